"""Ctrl-C while the main thread waits inside TensorFlow for a record that does not come.

Python runs its handlers between two steps of Python, and there the main thread takes none. So who
reads Kafka is told by the file descriptor that Python writes signals to, and ends the wait; then
the main thread comes back to Python and is interrupted as usual. Another user of that descriptor,
asyncio for instance, or of the signal, is left alone.

The first step of Python that follows is the making of TensorFlow's own exception, from C++, which
does not bear another exception there: it would leave as a RuntimeError. So the interrupt comes at
the next call of a function, which is TensorFlow's handling of its exception.
"""

import atexit
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import FrameType

from tensorflow.python.eager import core

MAKING = core._NotOkStatusException.__init__.__code__
_EARS: list[socket.socket] = []  # what is heard; at most one


def listen() -> None:
    """From now on; once, and from the main thread only."""
    if _EARS or threading.current_thread() is not threading.main_thread():
        return
    ear, mouth = socket.socketpair()
    for end in (ear, mouth):
        end.setblocking(False)
    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before)
        ear.close()
        mouth.close()
        return
    _EARS.extend((ear, mouth))
    atexit.register(_close)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    os.register_at_fork(after_in_child=_be_deaf)


def _close() -> None:
    ends, _EARS[:] = _EARS[:], []
    with suppress(ValueError):  # not in the main thread; the process ends anyway
        signal.set_wakeup_fd(-1)
    for end in ends:
        end.close()


def _be_deaf() -> None:
    """A child that was forked has the same ears: its signals are not ours."""
    signal.set_wakeup_fd(-1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if frame is None or frame.f_code is not MAKING:
        signal.default_int_handler(number, frame)
    sys.settrace(_at_the_next_call)


def _at_the_next_call(*_: object) -> None:
    raise KeyboardInterrupt  # Python drops a trace function that raises


def heard() -> bool:
    """Whether there was a Ctrl-C since the last call, and Python means to interrupt for it."""
    if not _EARS:
        return False
    with suppress(OSError, IndexError):  # nothing to hear, or no ears any more
        told = _EARS[0].recv(4096)
        return signal.SIGINT in told and signal.getsignal(signal.SIGINT) in _INTERRUPTS
    return False


_INTERRUPTS = (signal.default_int_handler, _interrupt)
