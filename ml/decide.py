"""Score -> verdict: tests on the residuals, one limit per device, episodes, attribution. No I/O.

Seven tests watch each channel; each is divided by its limit, so that 1.0 means the same for all.
The limits stand where a fleet without faults stays below them (measured, see docs/detection.md); a
device whose normal life comes close to its limit raises it for itself.
"""

from dataclasses import dataclass

import numpy as np

from bridge.contracts import MICROS
from bridge.settings import Score
from ml.detectors import runs
from ml.state import Field, Table

REASONS = ("spike", "level", "drift", "noise", "stuck", "dropout", "range")
LIMITS = np.array([4.9, 6.5, 4.4, 10.0, 13.0, 9.5, 1.6])
# in: spreads, spreads, sigma, variance, nats, nats, widths
DRIFT = 1 / 12  # weight of a new value in the mean that the drift test watches
NOISE = 1 / 8  # and in the mean square that the noise test watches
SETTLE = 120  # values over which it is learned how far that mean strays
WHITE = DRIFT / (2.0 - DRIFT)  # variance of the running mean of white noise
CAUTION = 1.4  # the drift test of version 0, which knows no class, is so much less sensitive
CALM, YOUNG = 2.0, 30  # sigma; judged readings
WILD = 1.75  # sigma of white noise; a channel that strays further in its class has no drift test
TRUST = 30.0  # own values that weigh as much as the spread of innovations usual in the class
ABOVE = 1.5  # the spike limit is at least so many times the peaks that are usual in the class
CEILING, FADE = 8.0, 0.999  # spreads; of a remembered peak, per reading
FAR = 1e6  # a score beyond all measure
QUIET = 0.8  # a device's limit stays so far above what is usual for it: limit * QUIET = usual peak
RISE, FALL = 0.02, 0.0002  # of the usual peak, per reading above and below it

FIELDS = {
    "drift": Field("c"),
    "restless": Field("c", start=1.0),  # mean square of the drift, 1 for white noise
    "noise": Field("c", start=1.0),
    "largest": Field("c"),  # innovation lately, spreads
    "judged": Field("c"),
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
class Usual:
    """What is usual in a class by channel, over its devices; (channels,), NaN where not known."""

    innovation: np.ndarray  # median of the variance
    restless: np.ndarray  # median
    wild: np.ndarray  # of the same, what one device in ten is above
    alone: np.ndarray  # variance without the other channels by that with them, median
    largest: np.ndarray  # innovation, what one device in four is above


def usual(table: Table, least: int = 10) -> Usual:
    """What is usual over the devices that have ``least`` judged readings; NaN where none has."""
    rows = np.fromiter(table.devices.values(), np.int64, len(table.devices))
    known = table["judged"][rows] >= least
    restless, with_others = table["restless"][rows], table["level_spread"][rows]
    alone = table["alone_spread"][rows] / np.where(with_others > 0, with_others, np.inf)
    return Usual(
        innovation=_quantile(table["innovation_spread"][rows], known, 0.5),
        restless=_quantile(restless, known, 0.5),
        wild=_quantile(restless, known, 0.9),
        alone=_quantile(alone, known & (with_others > 0), 0.5),
        largest=_quantile(table["largest"][rows], known, 0.75),
    )


def _quantile(values: np.ndarray, known: np.ndarray, part: float) -> np.ndarray:
    columns = zip(values.T, known.T, strict=True)
    found = [v[k & np.isfinite(v)] for v, k in columns]
    return np.array([np.quantile(v, part) if v.size else np.nan for v in found])


@dataclass(frozen=True, slots=True)
class Evidence:
    """The residuals of n readings, (n, channels)."""

    known: np.ndarray  # bool: the channel was sent
    missing: np.ndarray  # bool: ... was not, though this device has sent it before
    repeats: np.ndarray  # bool: ... and is the same as before
    scored: np.ndarray  # bool
    innovation: np.ndarray  # spreads
    level: np.ndarray  # spreads, less what the model forecast
    left: np.ndarray  # widths outside its envelope
    usual: Usual | None = None  # from the model version, None in version 0


def decide(table: Table, at: np.ndarray, e: Evidence, time: np.ndarray, to: Score) -> Verdicts:
    """Judge n readings of different devices and remember what was seen.

    Args:
        table: the class.
        at: (n,) rows of the table.
        e: the residuals.
        time: (n,) event time, us.
        to: warm-up and episodes.
    """
    if e.known.size == 0:
        return _nothing(len(at))
    tests = _tests(table, at, e)  # (tests, n, channels)
    shares = np.abs(tests) / LIMITS[:, None, None]
    each = shares.transpose(1, 2, 0).reshape(len(at), -1)  # (n, channels * tests)
    channel, reason = np.divmod(each.argmax(axis=1), len(REASONS))
    raw = np.nan_to_num(each.max(axis=1), posinf=FAR)
    limit = np.maximum(1.0, table["peak"][at] / QUIET)
    warm = table["count"][at] >= to.warmup
    score = np.where(warm, raw / limit, np.minimum(raw / limit, 0.999))
    anomalous = score >= 1.0
    last = table["alarm"][at]
    opens = anomalous & ((last < 0) | (time - last > to.episode_s * MICROS))
    table["alarm"][at] = np.where(anomalous, time, last)
    _settle(table, at, raw, warm & ~anomalous)
    return Verdicts(score, channel, reason, anomalous, opens)


def _nothing(count: int) -> Verdicts:
    """Of readings without a single channel, or of none."""
    zero = np.zeros(count, np.int64)
    return Verdicts(np.zeros(count), zero, zero, zero > 0, zero > 0)


def _tests(table: Table, at: np.ndarray, e: Evidence) -> np.ndarray:
    level = np.clip(e.level, -4, 4)
    innovation = _innovation(table, at, e)
    drift = np.where(e.scored, _mean(table["drift"][at], level, DRIFT), table["drift"][at])
    drifted = drift / np.sqrt(_drift_variance(table, at, e.usual))
    square = np.clip(innovation, -6, 6) ** 2
    noise = np.where(e.scored, _mean(table["noise"][at], square, NOISE), table["noise"][at])
    stuck = runs.surprise(table, at, "repeat", e.repeats)
    dropout = runs.surprise(table, at, "gap", e.missing)
    table["drift"][at], table["noise"][at] = drift, noise
    _listen(table, at, drifted, e)
    gaussian = (np.where(e.scored, test, 0.0) for test in (innovation, e.level, drifted, noise))
    return np.stack((*gaussian, stuck, dropout, e.left))


def _drift_variance(table: Table, at: np.ndarray, usual: Usual | None) -> np.ndarray:
    """Variance of the drift's running mean: (n, channels), infinite where the test has no say.

    That of white noise, raised to what is usual in the class and to what the device showed. A
    class whose wildest devices stray further than `WILD` has a channel that wanders by itself.
    """
    own = np.maximum(table["restless"][at], 1.0)
    if usual is None:
        return np.asarray(WHITE * CAUTION**2 * own)
    in_class = np.where(usual.wild <= WILD**2, usual.restless, np.inf)  # NaN: not known, no say
    return np.asarray(WHITE * np.maximum(in_class, own))


def _listen(table: Table, at: np.ndarray, drifted: np.ndarray, e: Evidence) -> None:
    """Learn how far the drift's running mean strays; hardly from what may be a drift.

    Where the class judges a channel by itself, a suspicion also holds the mean it is judged by.
    """
    judged, restless = table["judged"][at], table["restless"][at]
    suspect = np.abs(drifted) >= CALM
    weight = np.where(suspect & (judged >= YOUNG), 0.1, 1.0) / np.minimum(judged + 1.0, SETTLE)
    change = weight * (table["drift"][at] ** 2 / WHITE - restless)
    table["restless"][at] = restless + np.where(e.scored, change, 0.0)
    table["judged"][at] = judged + e.scored
    alone = e.usual.alone <= 1.0 if e.usual else np.zeros(len(table.channels), bool)
    table["alone"][at] = alone
    table["held"][at] = np.where(e.scored, suspect & alone, table["held"][at])


def _innovation(table: Table, at: np.ndarray, e: Evidence) -> np.ndarray:
    """Innovations in spreads, where a device's own spread may be too young, in the class's.

    A channel that jumps by nature, as a speed in traffic does, is taken down by how far the peaks
    that are usual in its class come above those of white noise.
    """
    seen = np.maximum(FADE * table["largest"][at], np.minimum(np.abs(e.innovation), CEILING))
    table["largest"][at] = np.where(e.scored, seen, table["largest"][at])
    if e.usual is None:
        return e.innovation
    jumps = np.fmax(1.0, ABOVE * e.usual.largest / LIMITS[0])
    own = table["innovation_spread"][at]
    spread = _blend(e.usual.innovation, own, table["judged"][at], TRUST)
    share = np.divide(own, spread, out=np.ones_like(own), where=spread > 0)
    return np.asarray(e.innovation * np.sqrt(np.minimum(share, 1.0)) / jumps)


def _blend(usual: np.ndarray, own: np.ndarray, seen: np.ndarray, trust: float) -> np.ndarray:
    known = np.where(np.isnan(usual), own, usual)
    return np.asarray((trust * known + seen * own) / (trust + seen))


def _mean(before: np.ndarray, new: np.ndarray, weight: float) -> np.ndarray:
    return np.asarray(before + weight * (new - before))


def _settle(table: Table, at: np.ndarray, raw: np.ndarray, normal: np.ndarray) -> None:
    """The usual peak follows high scores quickly and falls back slowly."""
    peak = table["peak"][at]
    step = np.where(raw > peak, RISE * (np.minimum(raw, 1.0) - peak), -FALL * peak)
    table["peak"][at] = np.where(normal, peak + step, peak)
