"""A pump: five sensors that hang together through the load. No I/O, no clock.

The load is the speed of the shaft, 1.0 at full speed. The affinity laws give the rest: flow goes
with the load, pressure with its square, power (and so current and heat) with its cube. A valve
in the plant moves pressure and flow against each other; the metal warms slowly.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from bridge.fleet.signals import Wander, daily, smooth

CHANNELS = ("temperature_C", "pressure_kPa", "vibration_mm_s", "current_A", "flow_l_min")
DECIMALS = (2, 2, 3, 3, 2)
NOISE = (0.25, 2.5, 0.12, 0.15, 0.25)  # typical standard deviation, in the unit of the channel
TEMPERATURE, PRESSURE, VIBRATION, CURRENT, FLOW = range(5)
FOLLOW_AT_ONCE = (PRESSURE, VIBRATION, CURRENT, FLOW)  # the temperature lags by minutes

LOWEST, HIGHEST = 0.5, 1.0  # load
HOLD_S = (40.0, 150.0)
RAMP_S = (60.0, 180.0)
STEP = 0.12  # least change of the load between two levels
TURBULENCE, TURBULENCE_TAU_S = 0.003, 8.0  # of the load
VALVE, VALVE_TAU_S = 0.003, 120.0  # of pressure and flow
HEAT_TAU_S = 240.0
DAILY_LOAD = 0.03  # of the load
DAILY_AMBIENT = 6.0  # degC


class Leg(NamedTuple):
    """The load goes smoothly from `before` to `after`; both are the same while it is held."""

    start: float  # s
    end: float  # s
    before: float
    after: float

    def at(self, t: float) -> float:
        if self.before == self.after:
            return self.after
        part = smooth((t - self.start) / (self.end - self.start))
        return self.before + (self.after - self.before) * part


class Profile:
    """The load over time; asked in order of time."""

    def __init__(self, seed: str) -> None:
        self._legs = _legs(Random(seed))
        self._leg = next(self._legs)

    def at(self, t: float) -> float:
        while t >= self._leg.end:
            self._leg = next(self._legs)
        return self._leg.at(t)


def _legs(rng: Random) -> Iterator[Leg]:
    t, level = -rng.uniform(0.0, HOLD_S[1] + RAMP_S[1]), rng.uniform(LOWEST, HIGHEST)
    while True:
        end = t + rng.uniform(*HOLD_S)
        yield Leg(t, end, level, level)
        before = level
        while abs(level - before) < STEP:
            level = rng.uniform(LOWEST, HIGHEST)
        t = end + rng.uniform(*RAMP_S)
        yield Leg(end, t, before, level)


class Pump:
    """One pump; its levels, gains and noises are its own."""

    channels = CHANNELS
    decimals = DECIMALS

    def __init__(self, seed: str, start_s: float, step_s: float) -> None:
        make = Random(f"{seed}/make")
        self.noise = tuple(std * make.uniform(0.8, 1.2) for std in NOISE)
        self._suction = make.uniform(80.0, 130.0)  # kPa
        self._head = make.uniform(300.0, 480.0)  # kPa at full load
        self._rest = make.uniform(1.2, 2.0)  # mm/s
        self._imbalance = make.uniform(1.6, 3.2)  # mm/s at full load
        self._idle = make.uniform(2.5, 4.0)  # A
        self._torque = make.uniform(14.0, 24.0)  # A at full load
        self._capacity = make.uniform(80.0, 140.0)  # l/min at full load
        self._ambient = make.uniform(16.0, 26.0)  # degC
        self._heating = make.uniform(22.0, 34.0)  # degC at full load
        self._peak_h = make.uniform(12.0, 16.0)  # hour of the day, UTC
        self._gauss = Random(f"{seed}/noise").gauss
        self._start_s = start_s
        self._profile = Profile(f"{seed}/motion")
        moves = Random(f"{seed}/disturbance")
        self._turbulence = Wander(moves, TURBULENCE, TURBULENCE_TAU_S, step_s)
        self._valve = Wander(moves, VALVE, VALVE_TAU_S, step_s)
        self._warming = 1.0 - math.exp(-step_s / HEAT_TAU_S)
        day = daily(start_s, self._peak_h)
        self.calm = self.load = self._profile.at(0.0) * (1.0 + DAILY_LOAD * day)
        self._heat = self._warm(day)  # degC; in balance with the load at first

    @property
    def turbulence(self) -> float:
        return self._turbulence.value

    def measure(self, t: float) -> list[float]:
        """What the sensors say `t` seconds after the start; asked in order of time."""
        day = daily(self._start_s + t, self._peak_h)
        self.calm = self._profile.at(t) * (1.0 + DAILY_LOAD * day)
        load = self.load = self.calm + self._turbulence.step()
        self._valve.step()
        self._heat += (self._warm(day) - self._heat) * self._warming
        gauss, noise = self._gauss, self.noise
        pressure, vibration, current, flow = self.responses(load)
        return [
            self._heat + gauss(0.0, noise[0]),
            pressure + gauss(0.0, noise[1]),
            vibration + gauss(0.0, noise[2]),
            current + gauss(0.0, noise[3]),
            flow + gauss(0.0, noise[4]),
        ]

    def _warm(self, day: float) -> float:
        """The temperature in balance with the load, degC."""
        return self._ambient + DAILY_AMBIENT * day + self._heating * self.load**3

    def responses(self, load: float) -> tuple[float, float, float, float]:
        """Pressure, vibration, current and flow at this load, without noise."""
        square, valve = load * load, self._valve.value
        return (
            self._suction + self._head * square * (1.0 - valve),
            self._rest + self._imbalance * square,
            self._idle + self._torque * square * load,
            self._capacity * load * (1.0 + valve),
        )
