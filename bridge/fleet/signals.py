"""How things change over time: smooth ramps and wandering disturbances. No I/O, no clock."""

import math
from random import Random


def smooth(part: float) -> float:
    """From 0 to 1 without a corner at either end, held outside.

    >>> smooth(-1.0), round(smooth(0.5), 9), smooth(2.0)
    (0.0, 0.5, 1.0)
    """
    if part <= 0.0:
        return 0.0
    return 0.5 - 0.5 * math.cos(math.pi * part) if part < 1.0 else 1.0


def daily(seconds: float, peak_h: float) -> float:
    """-1 to 1 over a UTC day, 1 at `peak_h`; `seconds` since 1970."""
    return math.cos(math.tau * (seconds / 86_400.0 - peak_h / 24.0))


class Wander:
    """A disturbance that forgets: first-order autoregressive, standard deviation `std`."""

    __slots__ = ("_gauss", "_keep", "_kick", "value")

    def __init__(self, rng: Random, std: float, tau_s: float, step_s: float) -> None:
        self._gauss = rng.gauss
        self._keep = math.exp(-step_s / tau_s)
        self._kick = std * math.sqrt(1.0 - self._keep * self._keep)
        self.value = rng.gauss(0.0, std)

    def step(self) -> float:
        self.value = self._keep * self.value + self._gauss(0.0, self._kick)
        return self.value
