"""Score -> verdict: tests on the residuals, one limit per device, episodes, attribution. No I/O.

Six tests watch each channel; each is divided by its limit, so that 1.0 means the same for all.
The limits of the Gaussian tests stand where a fleet without faults stays below them (measured, see
docs/detection.md); a device whose normal life comes close to its limit raises it for itself.
A run of repeated or missing values counts by how unlikely it is for that channel, in nats.
"""

from dataclasses import dataclass

import numpy as np

from bridge.contracts import MICROS
from bridge.settings import Score
from ml.state import Field, Table

REASONS = ("spike", "level", "drift", "noise", "stuck", "dropout")
LIMITS = np.array([4.7, 5.5, 6.2, 5.8, 9.5, 9.5])  # spreads, spreads, sigma, variance, nats, nats
DRIFT = 1 / 12  # weight of a new value in the mean that the drift test watches
NOISE = 1 / 8  # and in the mean square that the noise test watches
SETTLE = 60  # values over which the drift's own spread is learned
QUIET = 0.8  # a device's limit stays so far above what is usual for it: limit * QUIET = usual peak
RISE, FALL = 0.02, 0.0002  # of the usual peak, per reading above and below it

FIELDS = {
    "drift": Field("c"),
    "drift_spread": Field("c", start=DRIFT / (2 - DRIFT)),  # variance of the mean of white noise
    "noise": Field("c", start=1.0),
    "judged": Field("c"),
    "repeats": Field("c"),  # in a row
    "repeated": Field("c"),  # of all
    "gaps": Field("c"),  # missing in a row
    "missing": Field("c"),  # of all
    "peak": Field(),  # usual peak of the score
    "alarm": Field(dtype="i8", start=-1),  # us, event time of the last anomalous reading
}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is decided of n readings, one each."""

    score: np.ndarray  # (n,); 1.0 is the limit
    channel: np.ndarray  # (n,), int; the column that contributes most
    reason: np.ndarray  # (n,), int; of `REASONS`
    anomalous: np.ndarray  # (n,), bool
    opens: np.ndarray  # (n,), bool; an episode begins: one alert


@dataclass(frozen=True, slots=True)
class Evidence:
    """The residuals of n readings, (n, channels)."""

    known: np.ndarray  # bool: the channel was sent
    repeats: np.ndarray  # bool: ... and is the same as before
    scored: np.ndarray  # bool
    innovation: np.ndarray  # spreads
    level: np.ndarray  # spreads, less what the model forecast


def decide(table: Table, at: np.ndarray, e: Evidence, time: np.ndarray, to: Score) -> Verdicts:
    """Judge n readings of different devices and remember what was seen.

    Args:
        table: the class.
        at: (n,) rows of the table.
        e: the residuals.
        time: (n,) event time, us.
        to: warm-up and episodes.
    """
    tests = _tests(table, at, e)  # (tests, n, channels)
    shares = np.abs(tests) / LIMITS[:, None, None]
    count = len(at)
    worst = shares.transpose(1, 2, 0).reshape(count, -1).argmax(axis=1)
    channel, reason = np.divmod(worst, len(REASONS))
    raw = shares.max(axis=(0, 2))
    limit = np.maximum(1.0, table["peak"][at] / QUIET)
    warm = table["count"][at] >= to.warmup
    score = np.where(warm, raw / limit, np.minimum(raw / limit, 0.999))
    anomalous = score >= 1.0
    last = table["alarm"][at]
    opens = anomalous & ((last < 0) | (time - last > to.episode_s * MICROS))
    table["alarm"][at] = np.where(anomalous, time, last)
    _settle(table, at, raw, warm & ~anomalous)
    return Verdicts(score, channel, reason, anomalous, opens)


def _tests(table: Table, at: np.ndarray, e: Evidence) -> np.ndarray:
    seen = table["count"][at][:, None] + 1.5
    drift = np.where(e.scored, _mean(table["drift"][at], np.clip(e.level, -4, 4), DRIFT), 0.0)
    spread = table["drift_spread"][at]
    least = DRIFT / (2 - DRIFT)
    judged = table["judged"][at]
    square = np.clip(e.innovation, -6, 6) ** 2
    noise = np.where(e.scored, _mean(table["noise"][at], square, NOISE), table["noise"][at])
    repeats = np.where(e.repeats, table["repeats"][at] + 1, 0)
    gaps = np.where(e.known, 0, table["gaps"][at] + 1)
    stuck = repeats * -np.log((table["repeated"][at] + 0.5) / seen)
    dropout = gaps * -np.log((table["missing"][at] + 0.5) / seen)
    weight = 1.0 / np.minimum(judged + 1.0, SETTLE)
    moved = spread + weight * (np.minimum(drift**2, 9.0 * spread) - spread)
    tests = (
        *(e.innovation, e.level, drift / np.sqrt(np.maximum(least, spread))),
        *(np.where(e.scored, noise, 0.0), np.maximum(stuck, 0.0), np.maximum(dropout, 0.0)),
    )
    table["drift"][at] = np.where(e.scored, drift, table["drift"][at])
    table["drift_spread"][at] = np.where(e.scored, moved, spread)
    table["noise"][at] = noise
    table["judged"][at] = judged + e.scored
    table["repeats"][at], table["gaps"][at] = repeats, gaps
    table["repeated"][at] += e.repeats
    table["missing"][at] += ~e.known
    return np.stack(tests)


def _mean(before: np.ndarray, new: np.ndarray, weight: float) -> np.ndarray:
    return before + weight * (new - before)


def _settle(table: Table, at: np.ndarray, raw: np.ndarray, normal: np.ndarray) -> None:
    """The usual peak follows high scores quickly and falls back slowly."""
    peak = table["peak"][at]
    step = np.where(raw > peak, RISE * (np.minimum(raw, 1.0) - peak), -FALL * peak)
    table["peak"][at] = np.where(normal, peak + step, peak)
