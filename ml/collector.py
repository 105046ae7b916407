"""Python's cyclic garbage collector, kept away while a batch is made.

The records of a batch are thousands of new objects, which live as long as a collector needs to take
them for lasting; after a few batches it searches everything that there is, TensorFlow's half a
million objects included. Records have no cycles and go by themselves. Without this a third of the
time goes there.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_away = {"users": 0, "was_enabled": 0}


@contextmanager
def kept_away() -> Iterator[None]:
    """For milliseconds; several threads may. Who has disabled it finds it disabled.

    >>> with kept_away():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    with _LOCK:
        if not _away["users"]:
            _away["was_enabled"] = gc.isenabled()
            gc.disable()
        _away["users"] += 1
    try:
        yield
    finally:
        with _LOCK:
            _away["users"] -= 1
            if not _away["users"] and _away["was_enabled"]:
                gc.enable()
