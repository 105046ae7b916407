"""A vehicle: GPS, speed, engine and tank on a drive through the city. No I/O, no clock.

A GPS error has two parts: one wanders over a minute (satellites, atmosphere), one is new with
each fix. A standing vehicle shows both.
"""

import math
from random import Random

from bridge.fleet.city import City, Drive
from bridge.fleet.signals import Wander

CHANNELS = ("lat", "lon", "speed_m_s", "engine_temperature_C", "fuel_percent")
DECIMALS = (7, 7, 3, 2, 1)
LAT, LON, SPEED, ENGINE, FUEL = range(5)

MIDDLE = (47.05, 8.31)  # lat, lon of the middle of the city
M_PER_DEG_LAT = 111_194.9  # on a sphere of 6,371 km
M_PER_DEG_LON = M_PER_DEG_LAT * math.cos(math.radians(MIDDLE[0]))
GPS_M = 1.5  # standard deviation of the whole error, in each direction
GPS_WANDER_M, GPS_TAU_S = 1.2, 60.0  # of which wanders
GPS_FIX_M = math.sqrt(GPS_M**2 - GPS_WANDER_M**2)
SPEED_M_S, ENGINE_C, FUEL_PERCENT = 0.1, 0.3, 0.25  # typical standard deviation of the noise
ENGINE_TAU_S = 60.0
RESERVE_PERCENT, FILLED_PERCENT = 10.0, 95.0
IDLE_L_S, DRIVE_L_M, ACCELERATE_L_M = 0.00025, 0.00005, 0.00004  # fuel; the last for each m/s2


class Vehicle:
    """One vehicle; its engine, tank and noises are its own."""

    channels = CHANNELS
    decimals = DECIMALS

    def __init__(self, seed: str, city: City, step_s: float) -> None:
        make = Random(f"{seed}/make")
        own = tuple(std * make.uniform(0.8, 1.2) for std in (SPEED_M_S, ENGINE_C, FUEL_PERCENT))
        self.noise = (GPS_M / M_PER_DEG_LAT, GPS_M / M_PER_DEG_LON, *own)
        self._coolant = make.uniform(80.0, 88.0)  # degC, standing
        self._warming = make.uniform(0.5, 0.9)  # degC for each m/s
        self._tank = make.uniform(40.0, 65.0)  # l
        self._fuel = make.uniform(25.0, 95.0)  # %
        self._gauss = Random(f"{seed}/noise").gauss
        self._drive = Drive(f"{seed}/motion", city)
        moves = Random(f"{seed}/disturbance")
        self._east = Wander(moves, GPS_WANDER_M, GPS_TAU_S, step_s)
        self._north = Wander(moves, GPS_WANDER_M, GPS_TAU_S, step_s)
        self._step_s = step_s
        self._heating = 1.0 - math.exp(-step_s / ENGINE_TAU_S)
        _, _, self._speed = self._drive.at(0.0)  # m/s, of the step before
        self._engine = self._coolant + self._warming * self._speed  # degC; in balance at first

    def measure(self, t: float) -> list[float]:
        """What the sensors say `t` seconds after the start; asked in order of time."""
        gauss = self._gauss
        x, y, speed = self._drive.at(t)
        self._run(speed)
        east = x + self._east.step() + gauss(0.0, GPS_FIX_M)
        north = y + self._north.step() + gauss(0.0, GPS_FIX_M)
        return [
            MIDDLE[0] + north / M_PER_DEG_LAT,
            MIDDLE[1] + east / M_PER_DEG_LON,
            abs(speed + gauss(0.0, self.noise[SPEED])),  # a receiver gives the magnitude
            self._engine + gauss(0.0, self.noise[ENGINE]),
            max(0.0, self._fuel + gauss(0.0, self.noise[FUEL])),
        ]

    def _run(self, speed: float) -> None:
        """Burn fuel and warm the engine for one step."""
        warm = self._coolant + self._warming * speed
        self._engine += (warm - self._engine) * self._heating
        gain = max(0.0, speed - self._speed) / self._step_s  # m/s2
        self._speed = speed
        litres = (IDLE_L_S + speed * (DRIVE_L_M + ACCELERATE_L_M * gain)) * self._step_s
        self._fuel -= 100.0 * litres / self._tank
        if self._fuel < RESERVE_PERCENT and speed == 0.0:
            self._fuel = FILLED_PERCENT  # the driver fills up
