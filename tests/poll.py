"""Waiting with a deadline: no test sleeps for a guess."""

import time
from collections.abc import Callable

PATIENCE_S = 30.0  # a busy machine is slow
LOOK_S = 0.02
LATE_LOOKS = 100  # behind the deadline: a machine that stood still has not looked


def until(done: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Look again and again until it is so; a deadline that passes fails the test."""
    deadline, late = time.monotonic() + patience_s, 0
    while not done():
        late += time.monotonic() > deadline
        assert late < LATE_LOOKS, f"not so after {patience_s:g} s"
        time.sleep(LOOK_S)


def quickest(seconds: Callable[[], float], bar_s: float, tries: int = 4) -> float:
    """Of some tries, for other work may hold one up; none more than it needs to be in the bar."""
    took = seconds()
    while took >= bar_s and (tries := tries - 1):
        took = seconds()
    return took
