"""What is normal for one device, by statistics alone: version 0 of every model. No I/O.

Two views of each channel, both a Gaussian conditioned on the device's other channels at the same
time (the residual of channel c is (P u)_c / P_cc, with P the inverse of the correlation matrix):

* *innovation*: how far it is from the straight line through its own window. Sharp for spikes and
  noise, blind for what comes slowly.
* *level*: how far it is from its mean. Sees slow departures from the other channels.

Each residual is divided by the spread that the same residual had so far on values it had not yet
learned from, so the scores are honest from the start. What a device learns from is cleaned first:
the part of a residual beyond `CLEAN` spreads is taken off. Where a class knows that the other
channels do not help (`alone`), the level is the plain deviation: coefficients that explain nothing
would learn to explain a drift. There the mean is all but `held` while a drift is suspected.
"""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from ml.state import Field, Table

MEMORY = 300  # readings that the covariances remember
SPREAD = 120  # readings that the spreads remember
FIRST = 22  # innovations before their spread is learned
START = 15  # residuals before a channel is scored
CLEAN = 4.0  # spreads
CARE = 0.1  # weight of what is learned while a channel is held
RIDGE = 1e-4  # added to the diagonal of a correlation matrix

SPREADS = ("innovation", "level", "alone")

FIELDS = {
    "count": Field(),  # readings learned from
    "last": Field("c", start=np.nan),  # as sent
    "innovations": Field("c"),  # how many there were
    "residuals": Field("c"),
    "mean": Field("c", start=np.nan),
    "covariance": Field("cc"),  # of the values
    "coupling": Field("cc"),  # of the innovations
    "innovation_spread": Field("c"),  # variance of the residual
    "level_spread": Field("c"),
    "alone_spread": Field("c"),  # of the deviation from the mean
    "alone": Field("c"),  # 1 where the class judges the channel without the others
    "held": Field("c"),  # 1 where a drift of such a channel is suspected
}


@dataclass(frozen=True, slots=True)
class Residuals:
    """What the statistics say of n readings; all (n, channels), 0 where a channel is not scored."""

    scored: np.ndarray  # bool
    innovation: np.ndarray  # in spreads
    level: np.ndarray  # in spreads
    deviation: np.ndarray  # from the mean, in standard deviations: what the model looks at
    cleaned: np.ndarray  # values to learn from
    residual: np.ndarray  # of the innovation, in the unit of the channel
    offset: np.ndarray  # of the level, in the unit of the channel
    shift: np.ndarray  # from the mean, in the unit of the channel
    known: np.ndarray  # bool
    sent: np.ndarray

    def take(self, which: np.ndarray) -> Self:
        """The residuals of some of the readings."""
        return replace(self, **{f.name: getattr(self, f.name)[which] for f in fields(self)})


def judge(table: Table, at: np.ndarray, x: np.ndarray, line: np.ndarray) -> Residuals:
    """Residuals of values x (n, channels), NaN where missing; ``line`` is `windows.trend`."""
    known = ~np.isnan(x)
    follows = known & ~np.isnan(line)
    count = table["count"][at]
    innovation = np.where(follows, x - line, 0.0)
    mean = table["mean"][at]
    deviation = np.where(known & ~np.isnan(mean), x - mean, 0.0)
    coupled = _conditional(table["coupling"][at], innovation, follows, count)
    level = _conditional(table["covariance"][at], deviation, known, count)
    alone = table["alone"][at] > 0
    scored = follows & (table["residuals"][at] >= START)
    sharp, slow, plain = (np.sqrt(table[f"{n}_spread"][at]) for n in SPREADS)
    excess = np.where(scored, coupled - np.clip(coupled, -CLEAN * sharp, CLEAN * sharp), 0.0)
    sigma = np.sqrt(np.einsum("ncc->nc", table["covariance"][at]))
    filled = np.where(np.isnan(line), table["last"][at], line)
    return Residuals(
        scored=scored,
        innovation=_ratio(coupled, sharp, scored),
        level=np.where(alone, _ratio(deviation, plain, scored), _ratio(level, slow, scored)),
        deviation=_ratio(deviation, sigma, known),
        cleaned=np.where(known, x - excess, filled),
        residual=coupled,
        offset=level,
        shift=deviation,
        known=known,
        sent=x,
    )


def learn(table: Table, at: np.ndarray, line: np.ndarray, r: Residuals) -> None:
    """Take the readings into the statistics; each device at most once in ``at``."""
    known, follows = r.known, r.known & ~np.isnan(line)
    ready = follows & (table["innovations"][at] >= FIRST)
    seen = table["residuals"][at]
    care = np.where(table["held"][at] > 0, CARE, 1.0)
    cares: tuple[float | np.ndarray, ...] = (1.0, care, care)
    for name, residual, c in zip(SPREADS, (r.residual, r.offset, r.shift), cares, strict=True):
        new = _spread(table[f"{name}_spread"][at], residual, seen, c)
        table[f"{name}_spread"][at] = np.where(ready, new, table[f"{name}_spread"][at])
    table["residuals"][at] = seen + ready
    innovations = table["innovations"][at]
    weight = 1.0 / np.minimum(innovations + 1.0, MEMORY)
    change = np.where(follows, r.cleaned - line, 0.0)
    table["coupling"][at] = _blend(table["coupling"][at], change, weight, follows)
    table["innovations"][at] = innovations + follows
    count = table["count"][at] + 1.0
    mean = table["mean"][at]
    mean = np.where(known & np.isnan(mean), r.cleaned, mean)
    change = np.where(known, r.cleaned - mean, 0.0)
    weight = care / np.minimum(count, MEMORY)[:, None]
    table["mean"][at] = mean + weight * change
    table["covariance"][at] = _blend(table["covariance"][at], change, weight, known)
    table["count"][at] = count
    table["last"][at] = np.where(known, r.sent, table["last"][at])


def _conditional(
    covariance: np.ndarray, u: np.ndarray, known: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Residual of each channel given the others: (n, channels), in the unit of the channel."""
    sigma = np.sqrt(np.einsum("ncc->nc", covariance)) + 1e-12
    both = known[:, :, None] & known[:, None, :]
    r = np.where(both, covariance / (sigma[:, :, None] * sigma[:, None, :]), 0.0)
    diagonal = np.arange(u.shape[1])
    r[:, diagonal, diagonal] = 1.0 + RIDGE + 1.0 / (count[:, None] + 1.0) ** 3
    p = np.linalg.inv(r)
    whitened = np.einsum("nij,nj->ni", p, np.where(known, u / sigma, 0.0))
    return np.asarray(whitened / np.einsum("ncc->nc", p) * sigma)


def _ratio(value: np.ndarray, spread: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.asarray(
        np.divide(value, spread, out=np.zeros_like(value), where=where & (spread > 0))
    )


def _spread(
    variance: np.ndarray, residual: np.ndarray, seen: np.ndarray, care: np.ndarray | float
) -> np.ndarray:
    """Running variance; after the first few, one residual counts for at most three spreads."""
    weight = care / np.minimum(seen + 1.0, SPREAD)
    most = np.where(seen < 8, np.inf, 9.0 * variance)  # noqa: PLR2004
    return np.asarray(variance + weight * (np.minimum(residual**2, most) - variance))


def _blend(
    covariance: np.ndarray, change: np.ndarray, weight: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Welford's update with forgetting, for the pairs of channels that are both known."""
    w = np.minimum(weight[:, :, None], weight[:, None, :])
    product = change[:, :, None] * change[:, None, :]
    both = known[:, :, None] & known[:, None, :]
    return np.where(both, (1.0 - w) * (covariance + w * product), covariance)
