"""How far a channel has left all that its device has shown so far. No I/O.

The envelope is the range of a short running mean. After `FIRST` readings it no longer grows at
once but by at most 1/`GROW` of its width a reading, so a slow departure, which means and spreads
follow and so forgive, stands out against what the device used to do.
"""

import numpy as np

from ml.state import Field, Table

FIRST = 300  # readings before the envelope judges
GROW = 300.0  # readings in which it may double its width
SMOOTH = 1 / 8  # weight of a new value in the running mean

FIELDS = {
    "smooth": Field("c", start=np.nan),
    "low": Field("c", start=np.nan),
    "high": Field("c", start=np.nan),
    "shown": Field("c"),  # readings of the channel
}


def leave(table: Table, at: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Widths of its envelope by which each channel is outside: (n, channels), 0 inside.

    Learns from x (n, channels), NaN where missing; each device at most once in ``at``.
    """
    before, known = table["smooth"][at], ~np.isnan(x)
    smooth = np.where(np.isnan(before), x, before + SMOOTH * (x - before))
    smooth = np.where(known, smooth, before)
    low, high, shown = table["low"][at], table["high"][at], table["shown"][at]
    judged = known & (shown >= FIRST)
    width = np.where(judged & (high > low), high - low, np.inf)
    beyond = np.maximum(0.0, np.maximum(smooth - high, low - smooth))
    step = width / GROW
    table["low"][at] = np.where(known, np.fmax(np.fmin(low, smooth), low - step), low)
    table["high"][at] = np.where(known, np.fmin(np.fmax(high, smooth), high + step), high)
    table["smooth"][at], table["shown"][at] = smooth, shown + known
    return np.asarray(np.where(judged, beyond / width, 0.0))
