"""How unlikely it is that a channel repeats its value, or is missing, for so long. No I/O.

A run of k is measured in nats: -log(first) - (k-1) log(next), where ``first`` is how often a run
begins with this channel of this device and ``next`` how often one goes on. A coarse sensor repeats
itself all the time and a fine one never; each is judged by its own habit. Only what stood outside
runs speaks against one, so a channel that has always stood still, or was never there, says nothing.
A run counts when it has ended, so that a long one does not excuse itself.
"""

import numpy as np

from ml.state import Field, Table

LIVELY = 20.0  # readings outside runs before a run can surprise
EXCUSED = 6  # of a run's length that is learned; a stuck sensor shall not become a habit ...
HABIT = 4  # ... but after so many runs it is one
PRIOR = 2.0  # continuations that ``first`` weighs as much as

FIELDS = {
    f"{what}_{name}": Field("c")
    for what in ("repeat", "gap")
    for name in ("now", "runs", "length", "free")
}  # the run under way; all runs ended; their lengths; readings outside runs


def surprise(table: Table, at: np.ndarray, what: str, happens: np.ndarray) -> np.ndarray:
    """Nats of the run that each channel is in: (n, channels), 0 outside a run.

    Args:
        table: the class.
        at: (n,) rows of the table, each once.
        what: ``"repeat"`` or ``"gap"``.
        happens: (n, channels), bool.
    """
    names = ("now", "runs", "length", "free")
    now, runs, length, free = (table[f"{what}_{name}"][at] for name in names)
    ended = ~happens & (now > 0)
    learned = np.where(runs < HABIT, np.minimum(now, EXCUSED), now)
    table[f"{what}_runs"][at] = runs + ended
    table[f"{what}_length"][at] = length + np.where(ended, learned, 0.0)
    table[f"{what}_free"][at] = free + ~happens
    now = table[f"{what}_now"][at] = np.where(happens, now + 1.0, 0.0)
    first = (runs + 0.5) / (free + runs + 1.5)
    on = (length - runs + PRIOR * first) / (length + PRIOR)
    nats = -np.log(first) - (now - 1.0) * np.log(np.maximum(first, on))
    return np.asarray(np.where(happens & (free >= LIVELY), np.maximum(nats, 0.0), 0.0))
