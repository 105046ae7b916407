"""A city of streets, and the way of a vehicle through it. No I/O, no clock.

The streets form a turned grid with uneven blocks and crossings a little off the straight line.
A drive is a row of stretches in which the speed goes smoothly from one value to the next:
accelerate, keep with the traffic, brake for a corner or a light, wait.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

LINES = 30  # streets in each direction
BLOCK_M = (100.0, 220.0)
OFF_LINE_M = 8.0  # a crossing off the grid, at most
LIMIT_M_S = 50.0 / 3.6
PACE = (0.75, 1.05)  # of the limit
CORNER_M_S = (3.0, 6.0)
ACCELERATE, BRAKE = 1.2, 1.6  # mean, m/s2
PIECE_M = 60.0  # the traffic changes the speed this often
P_TURN, P_LIGHT = 0.35, 0.25
WAIT_S = (6.0, 35.0)
WAYS = ((1, 0), (0, 1), (-1, 0), (0, -1))


class City:
    """Where the crossings are, in metres east and north of the middle."""

    def __init__(self, seed: str) -> None:
        rng = Random(seed)
        turn = rng.uniform(0.0, math.pi / 2)
        cos, sin = math.cos(turn), math.sin(turn)
        across, along = _lines(rng), _lines(rng)
        self._crossings = [
            [
                (cos * x - sin * y + _off(rng), sin * x + cos * y + _off(rng)) for y in along
            ]
            for x in across
        ]  # fmt: skip

    def crossing(self, i: int, j: int) -> tuple[float, float]:
        return self._crossings[i][j]


def _lines(rng: Random) -> list[float]:
    at = [0.0]
    for _ in range(LINES - 1):
        at.append(at[-1] + rng.uniform(*BLOCK_M))
    return [x - at[-1] / 2 for x in at]


def _off(rng: Random) -> float:
    return rng.uniform(-OFF_LINE_M, OFF_LINE_M)


class Stretch(NamedTuple):
    """From (x, y) along (ux, uy); the speed goes smoothly from `before` to `after`."""

    start: float  # s
    seconds: float
    x: float  # m
    y: float  # m
    ux: float
    uy: float
    before: float  # m/s
    after: float  # m/s

    def at(self, t: float) -> tuple[float, float, float]:
        """x and y in m, and the speed in m/s."""
        u = t - self.start
        angle = math.pi * u / self.seconds
        gain = self.after - self.before
        speed = self.before + gain * (0.5 - 0.5 * math.cos(angle))
        way = self.before * u + gain * 0.5 * (u - self.seconds / math.pi * math.sin(angle))
        return self.x + self.ux * way, self.y + self.uy * way, speed


class Drive:
    """Where a vehicle is; asked in order of time."""

    def __init__(self, seed: str, city: City) -> None:
        self._stretches = _drive(Random(seed), city)
        self._now = next(self._stretches)

    def at(self, t: float) -> tuple[float, float, float]:
        while t >= self._now.start + self._now.seconds:
            self._now = next(self._stretches)
        return self._now.at(t)


def _drive(rng: Random, city: City) -> Iterator[Stretch]:
    """Crossing after crossing, from some time before the start, without end."""
    i, j = rng.randrange(2, LINES - 2), rng.randrange(2, LINES - 2)
    way, t, speed = rng.randrange(4), -rng.uniform(0.0, 60.0), 0.0
    while True:
        way = way if _inside(i, j, way) else _turned(rng, i, j, way)
        here = city.crossing(i, j)
        i, j = i + WAYS[way][0], j + WAYS[way][1]
        there = city.crossing(i, j)
        onward = way
        if rng.random() < P_TURN or not _inside(i, j, way):
            onward = _turned(rng, i, j, way)
        light = rng.random() < P_LIGHT
        cruise = LIMIT_M_S * rng.uniform(*PACE)
        corner = rng.uniform(*CORNER_M_S) if onward != way else cruise
        length = math.dist(here, there)
        course = ((there[0] - here[0]) / length, (there[1] - here[1]) / length)
        gone = 0.0
        for metres, after in _speeds(rng, length, (speed, cruise, 0.0 if light else corner)):
            seconds = 2.0 * metres / (speed + after)
            x, y = here[0] + course[0] * gone, here[1] + course[1] * gone
            yield Stretch(t, seconds, x, y, *course, speed, after)
            t, gone, speed = t + seconds, gone + metres, after
        if light:
            wait = rng.uniform(*WAIT_S)
            yield Stretch(t, wait, *there, *course, 0.0, 0.0)
            t += wait
        way = onward


def _inside(i: int, j: int, way: int) -> bool:
    return 0 <= i + WAYS[way][0] < LINES and 0 <= j + WAYS[way][1] < LINES


def _turned(rng: Random, i: int, j: int, way: int) -> int:
    sides = [turn % 4 for turn in (way + 1, way - 1) if _inside(i, j, turn % 4)]
    return rng.choice(sides)


def _speeds(
    rng: Random, length: float, speeds: tuple[float, float, float]
) -> Iterator[tuple[float, float]]:
    """(metres, speed at their end) over one block: to the cruise, with the traffic, to the end."""
    first, top, last = speeds
    up, down = _metres(first, top, ACCELERATE), _metres(top, last, BRAKE)
    while up + down > length and top > max(first, last):
        top = max(first, last, 0.95 * top)
        up, down = _metres(first, top, ACCELERATE), _metres(top, last, BRAKE)
    scale = min(1.0, length / (up + down)) if up + down > 0.0 else 1.0
    if up > 0.0:
        yield up * scale, top
    rest = length - (up + down) * scale
    pieces = int(rest / PIECE_M)
    for _ in range(pieces - 1):
        yield rest / pieces, top * rng.uniform(0.88, 1.04)
    if rest > 0.0:
        yield rest / max(pieces, 1), top
    if down > 0.0:
        yield down * scale, last


def _metres(before: float, after: float, rate: float) -> float:
    """The way on which the speed changes at this mean rate."""
    return abs(after - before) / rate * (before + after) / 2.0
