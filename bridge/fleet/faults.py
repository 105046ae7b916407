"""The faults: how large each is, and what it does to the values of a device. No I/O, no clock.

Sizes are in standard deviations of the channel's own noise where nothing else is said. A fault
draws from its own generator: a fleet without faults sends the same values in all other places.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from bridge.contracts import MICROS
from bridge.fleet import pump, vehicle
from bridge.fleet.pump import Pump
from bridge.fleet.signals import Wander, smooth
from bridge.fleet.vehicle import Vehicle


class Kind(StrEnum):
    SPIKE = "spike"  # off by a step, for one to three messages
    DRIFT = "drift"  # rises in a straight line, then stays until the end
    STUCK = "stuck"  # repeats the value before
    DROPOUT = "dropout"  # the field is missing
    NOISE = "noise"  # a burst of noise
    DECOUPLE = "decouple"  # follows a load of its own
    GPS_JUMP = "gps_jump"  # off by a step in a random direction
    GPS_FREEZE = "gps_freeze"  # repeats the position before, while the speed says it moves


SPIKE_SIGMA, SPIKE_MESSAGES = 6.0, (1, 3)
DRIFT_SIGMA, DRIFT_RISE_S, DRIFT_S = 4.0, 60.0, 75.0
STUCK_S = 20.0
DROPOUT_S = 20.0
NOISE_SIGMA, NOISE_S = 5.0, 20.0  # the whole noise of the channel during the burst
DECOUPLE_LOAD, DECOUPLE_RISE_S, DECOUPLE_S = 0.3, 60.0, 40.0  # where its own load goes, how fast
DECOUPLE_APART = 0.15  # the two loads come at least this far apart
GPS_JUMP_M, GPS_JUMP_MESSAGES = 400.0, 3
GPS_FREEZE_S = 20.0
GPS_FREEZE_MOVES_M_S = 2.0  # placed only where the vehicle is never slower

POSITION = "position"  # the channel of the GPS faults: lat and lon together


@dataclass(frozen=True, slots=True)
class Fault:
    """A label: the messages with start <= time < end are faulty."""

    device: str
    kind: str
    channel: str
    start: int  # microseconds
    end: int
    size: float  # signed; in the unit of its kind's constant, 0 where it has none


class Injection:
    """One fault at work on one device, from its first message to its last."""

    def __init__(self, fault: Fault, machine: Pump | Vehicle, seed: str, step_s: float) -> None:
        self.fault = fault
        self.machine = machine
        self.step_s = step_s
        self.rng = Random(f"{seed}/{fault.start}")
        self.index = 0 if fault.channel == POSITION else machine.channels.index(fault.channel)
        self.direction = self.rng.uniform(0.0, math.tau)
        self.load: tuple[float, Wander] | None = None
        self._effect = EFFECTS[Kind(fault.kind)]

    @property
    def missing(self) -> str:
        """The channel that the message does not have, or nothing."""
        return self.fault.channel if self.fault.kind == Kind.DROPOUT else ""

    def distort(self, due: int, values: list[float], before: Sequence[float]) -> None:
        """Change the values of the message at `due`; `before` are those of the one before."""
        self._effect(self, (due - self.fault.start) / MICROS, values, before)


Effect = Callable[[Injection, float, list[float], Sequence[float]], None]


def _spike(on: Injection, age_s: float, values: list[float], before: Sequence[float]) -> None:
    values[on.index] += on.fault.size * on.machine.noise[on.index]


def _drift(on: Injection, age_s: float, values: list[float], before: Sequence[float]) -> None:
    risen = min(age_s / DRIFT_RISE_S, 1.0)
    values[on.index] += on.fault.size * risen * on.machine.noise[on.index]


def _stuck(on: Injection, age_s: float, values: list[float], before: Sequence[float]) -> None:
    values[on.index] = before[on.index]


def _dropout(on: Injection, age_s: float, values: list[float], before: Sequence[float]) -> None:
    pass  # the message is written without the channel


def _noise(on: Injection, age_s: float, values: list[float], before: Sequence[float]) -> None:
    more = math.sqrt(on.fault.size**2 - 1.0)  # on top of the noise that is there
    values[on.index] += on.rng.gauss(0.0, more * on.machine.noise[on.index])


def _decouple(on: Injection, age_s: float, values: list[float], before: Sequence[float]) -> None:
    if not isinstance(on.machine, Pump):
        return
    machine = on.machine
    if on.load is None:  # leaves from where the load is now
        tau_s = pump.TURBULENCE_TAU_S
        wander = Wander(on.rng, pump.TURBULENCE, tau_s, on.step_s)
        wander.value = machine.turbulence
        on.load = machine.calm, wander
    begin, wander = on.load
    own = begin + on.fault.size * smooth(age_s / DECOUPLE_RISE_S) + wander.step()
    channel = on.index - pump.PRESSURE
    values[on.index] += machine.responses(own)[channel] - machine.responses(machine.load)[channel]


def _gps_jump(on: Injection, age_s: float, values: list[float], before: Sequence[float]) -> None:
    north, east = math.cos(on.direction), math.sin(on.direction)
    values[vehicle.LAT] += on.fault.size * north / vehicle.M_PER_DEG_LAT
    values[vehicle.LON] += on.fault.size * east / vehicle.M_PER_DEG_LON


def _gps_freeze(on: Injection, age_s: float, values: list[float], before: Sequence[float]) -> None:
    values[vehicle.LAT], values[vehicle.LON] = before[vehicle.LAT], before[vehicle.LON]


EFFECTS: dict[Kind, Effect] = {
    Kind.SPIKE: _spike,
    Kind.DRIFT: _drift,
    Kind.STUCK: _stuck,
    Kind.DROPOUT: _dropout,
    Kind.NOISE: _noise,
    Kind.DECOUPLE: _decouple,
    Kind.GPS_JUMP: _gps_jump,
    Kind.GPS_FREEZE: _gps_freeze,
}
