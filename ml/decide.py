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
LIMITS = np.array([4.9, 6.0, 4.6, 9.0, 11.0, 9.5])  # spreads, spreads, sigma, variance, nats, nats
DRIFT = 1 / 12  # weight of a new value in the mean that the drift test watches
NOISE = 1 / 8  # and in the mean square that the noise test watches
SETTLE = 120  # values over which the autocorrelation of a level is learned
TRUST = 100.0  # values of a device's own that weigh as much as what is usual in its class
WHITE = DRIFT / (2.0 - DRIFT)  # variance of the running mean of white noise
CAUTION = 1.4  # the drift test of version 0, which knows no class, is so much less sensitive
CALM, YOUNG = 2.0, 30  # sigma; judged readings
DOUBT = 1.0  # standard errors added to an autocorrelation
TRUST_SPREAD = 30.0  # the same for the spread of its innovations
QUIET = 0.8  # a device's limit stays so far above what is usual for it: limit * QUIET = usual peak
RISE, FALL = 0.02, 0.0002  # of the usual peak, per reading above and below it

FIELDS = {
    "drift": Field("c"),
    "before": Field("c"),  # level of the reading before
    "power": Field("c", start=1.0),  # mean square of the level
    "echo": Field("c"),  # mean product of a level and the one before
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
class Usual:
    """What is usual in a class: variances by channel, medians over its devices; (channels,)."""

    innovation: np.ndarray
    power: np.ndarray
    echo: np.ndarray


def usual(table: Table, least: int = 20) -> Usual:
    """What is usual over the devices that have ``least`` judged readings; NaN where none has."""
    rows = np.fromiter(table.devices.values(), np.int64, len(table.devices))
    known = table["judged"][rows] >= least
    names = ("innovation_spread", "power", "echo")
    return Usual(*(_median(table[name][rows], known) for name in names))


def _median(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    columns = zip(values.T, known.T, strict=True)
    return np.array([np.median(v[k]) if k.any() else np.nan for v, k in columns])


@dataclass(frozen=True, slots=True)
class Evidence:
    """The residuals of n readings, (n, channels)."""

    known: np.ndarray  # bool: the channel was sent
    repeats: np.ndarray  # bool: ... and is the same as before
    scored: np.ndarray  # bool
    innovation: np.ndarray  # spreads
    level: np.ndarray  # spreads, less what the model forecast
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
    level = np.clip(e.level, -4, 4)
    innovation = _innovation(table, at, e)
    drift = np.where(e.scored, _mean(table["drift"][at], level, DRIFT), table["drift"][at])
    drifted = drift / np.sqrt(_drift_variance(table, at, e.usual))
    square = np.clip(innovation, -6, 6) ** 2
    noise = np.where(e.scored, _mean(table["noise"][at], square, NOISE), table["noise"][at])
    repeats = np.where(e.repeats, table["repeats"][at] + 1, 0)
    gaps = np.where(e.known, 0, table["gaps"][at] + 1)
    stuck = repeats * -np.log((table["repeated"][at] + 0.5) / seen)
    dropout = gaps * -np.log((table["missing"][at] + 0.5) / seen)
    _listen(table, at, level, drifted, e.scored)
    table["drift"][at], table["noise"][at] = drift, noise
    table["repeats"][at], table["gaps"][at] = repeats, gaps
    table["repeated"][at] += e.repeats
    table["missing"][at] += ~e.known
    gaussian = (np.where(e.scored, test, 0.0) for test in (innovation, e.level, drifted, noise))
    return np.stack((*gaussian, np.maximum(stuck, 0.0), np.maximum(dropout, 0.0)))


def _drift_variance(table: Table, at: np.ndarray, usual: Usual | None) -> np.ndarray:
    """Variance of the drift's running mean if the level is an AR(1) process; (n, channels).

    With weight w and autocorrelation r it is power * w / (2 - w) * (1 + (1-w) r) / (1 - (1-w) r).
    A device counts as at least as restless as is usual in its class.
    """
    judged, power, echo = (table[name][at] for name in ("judged", "power", "echo"))
    variance = _restless(power, echo / power + DOUBT / np.sqrt(judged + 1.0))
    if usual is None:
        return CAUTION**2 * variance
    return np.fmax(variance, _restless(usual.power, usual.echo / usual.power))


def _restless(power: np.ndarray, autocorrelation: np.ndarray) -> np.ndarray:
    held = (1.0 - DRIFT) * np.clip(autocorrelation, 0.0, 0.995)
    return np.asarray(WHITE * np.maximum(power, 0.5) * ((1.0 + held) / (1.0 - held)) ** 2)


def _listen(
    table: Table, at: np.ndarray, level: np.ndarray, drifted: np.ndarray, scored: np.ndarray
) -> None:
    """Learn how a level hangs together with the one before; hardly from what may be a drift."""
    judged = table["judged"][at]
    calm = (np.abs(drifted) < CALM) | (judged < YOUNG)
    weight = np.where(calm, 1.0, 0.1) / np.minimum(judged + 1.0, SETTLE)
    for name, value in (("power", level**2), ("echo", level * table["before"][at])):
        table[name][at] += np.where(scored, weight * (value - table[name][at]), 0.0)
    table["before"][at] = np.where(scored, level, table["before"][at])
    table["judged"][at] = judged + scored


def _innovation(table: Table, at: np.ndarray, e: Evidence) -> np.ndarray:
    """Innovations in spreads, where a device's own spread may be too young, in the class's."""
    if e.usual is None:
        return e.innovation
    own = table["innovation_spread"][at]
    spread = _blend(e.usual.innovation, own, table["judged"][at], TRUST_SPREAD)
    share = np.divide(own, spread, out=np.ones_like(own), where=spread > 0)
    return e.innovation * np.sqrt(np.minimum(share, 1.0))


def _blend(usual: np.ndarray, own: np.ndarray, seen: np.ndarray, trust: float) -> np.ndarray:
    known = np.where(np.isnan(usual), own, usual)
    return np.asarray((trust * known + seen * own) / (trust + seen))


def _mean(before: np.ndarray, new: np.ndarray, weight: float) -> np.ndarray:
    return before + weight * (new - before)


def _settle(table: Table, at: np.ndarray, raw: np.ndarray, normal: np.ndarray) -> None:
    """The usual peak follows high scores quickly and falls back slowly."""
    peak = table["peak"][at]
    step = np.where(raw > peak, RISE * (np.minimum(raw, 1.0) - peak), -FALL * peak)
    table["peak"][at] = np.where(normal, peak + step, peak)
