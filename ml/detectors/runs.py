"""How unlikely it is that a channel repeats its value, or is missing, for so long. No I/O.

A run of k is measured in nats: -log(first) - (k-1) log(next), where ``first`` is how often a run
begins with this channel of this device and ``next`` how often one goes on. A coarse sensor repeats
itself all the time and a fine one never; each is judged by its own habit. A run counts when it has
ended, so that a long one does not excuse itself.
"""

import numpy as np

from ml.state import Field, Table

EXCUSED = 6  # of a run's length that is learned; a stuck sensor shall not become a habit
PRIOR = 2.0  # continuations that ``first`` weighs as much as

FIELDS = {
    f"{what}_{name}": Field("c")
    for what in ("repeat", "gap")
    for name in ("now", "runs", "length")  # the run under way; all runs ended; their lengths
}


def surprise(table: Table, at: np.ndarray, what: str, happens: np.ndarray) -> np.ndarray:
    """Nats of the run that each channel is in: (n, channels), 0 outside a run.

    Args:
        table: the class.
        at: (n,) rows of the table, each once.
        what: ``"repeat"`` or ``"gap"``.
        happens: (n, channels), bool.
    """
    now, runs, length = (table[f"{what}_{name}"][at] for name in ("now", "runs", "length"))
    ended = ~happens & (now > 0)
    table[f"{what}_runs"][at] = runs + ended
    table[f"{what}_length"][at] = length + np.where(ended, np.minimum(now, EXCUSED), 0.0)
    now = table[f"{what}_now"][at] = np.where(happens, now + 1.0, 0.0)
    first = (runs + 0.5) / (table["count"][at][:, None] + 1.5)
    on = (length - runs + PRIOR * first) / (length + PRIOR)
    nats = -np.log(first) - (now - 1.0) * np.log(np.maximum(first, on))
    return np.asarray(np.where(happens, np.maximum(nats, 0.0), 0.0))
