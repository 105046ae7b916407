"""Messages that came in on a connection and are not yet acknowledged: how many, and how large.

The network thread puts them in and the loop takes them out; neither waits for the other. When
what is held reaches its limit the network thread stops reading (`room`), the socket fills, and the
broker queues: it is pressed back by count through its own window (receive maximum) and, where
that does not bound memory, here.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.contracts import Message

OVERHEAD = 200  # bytes of a message beside its topic and payload
PIECE = 256 * 1024  # bytes of payload of one batch, for what becomes of them may be much more


@dataclass(slots=True, eq=False)
class Batch:
    """Messages in order of arrival, and the right to acknowledge them, all at once."""

    messages: list[Message]
    mids: list[int] = field(repr=False)  # packet identifiers, 0 at QoS 0
    size: int  # bytes, as `Inbox` counts them
    epoch: int  # which connection they came in on
    _inbox: "Inbox" = field(repr=False)

    def __len__(self) -> int:
        return len(self.messages)

    def ack(self) -> None:
        """Let the broker forget them; nothing happens if their connection is gone."""
        self._inbox.acknowledge(self)

    def stale(self) -> bool:
        """Whether their connection is gone, so that the broker sends them again."""
        return self.epoch != self._inbox.epoch


class _Arrival(NamedTuple):
    messages: list[Message]
    mids: list[int]


class Inbox:
    """What one connection holds.

    Args:
        send_acks: writes the PUBACKs of these packet identifiers.
        count: messages held before nothing more is read.
        size: bytes of payload held before nothing more is read.
    """

    def __init__(self, send_acks: Callable[[Sequence[int]], None], count: int, size: int) -> None:
        self.lock = threading.Condition()
        self.epoch = 0
        self._send_acks = send_acks
        self._limit = (count, size)
        self._held = (0, 0)  # messages, bytes
        self._arrivals: deque[_Arrival] = deque()

    def put(self, messages: list[Message], mids: list[int]) -> None:
        """These have arrived."""
        size = _size(messages)
        with self.lock:
            self._held = (self._held[0] + len(messages), self._held[1] + size)
            self._arrivals.append(_Arrival(messages, mids))
            self.lock.notify_all()

    def take(self, maximum: int) -> Batch:
        """Up to ``maximum`` messages that nobody has taken; the lock is held by the caller."""
        messages: list[Message] = []
        mids: list[int] = []
        size = 0
        while self._arrivals and len(messages) < maximum and size < PIECE:
            first = self._arrivals.popleft()
            room = _fitting(first.messages[: maximum - len(messages)], PIECE - size)
            messages += first.messages[:room]
            mids += first.mids[:room]
            size += _size(first.messages[:room])
            if len(first.messages) > room:
                self._arrivals.appendleft(_Arrival(first.messages[room:], first.mids[room:]))
        return Batch(messages, mids, size, self.epoch, self)

    def waiting(self) -> bool:
        """Whether there are messages that nobody has taken."""
        return bool(self._arrivals)

    def acknowledge(self, batch: Batch) -> None:
        """PUBACK for each message of a batch, if its connection is this one."""
        with self.lock:  # the epoch cannot change between the check and the writing
            if batch.epoch == self.epoch:
                self._held = (self._held[0] - len(batch), self._held[1] - batch.size)
                self._send_acks(batch.mids)
                self.lock.notify_all()

    def room(self, timeout_s: float) -> bool:
        """Whether more may be read; waits for it."""
        if not self._full():
            return True
        with self.lock:
            return self.lock.wait_for(lambda: not self._full(), timeout_s)

    def clear(self) -> None:
        """The connection is gone: the broker sends again what was not acknowledged."""
        with self.lock:
            self.epoch += 1
            self._arrivals.clear()
            self._held = (0, 0)
            self.lock.notify_all()

    def _full(self) -> bool:
        return self._held[0] >= self._limit[0] or self._held[1] >= self._limit[1]


def _size(messages: list[Message]) -> int:
    return sum([len(message.payload) + len(message.topic) + OVERHEAD for message in messages])


def _fitting(messages: list[Message], size: int) -> int:
    """How many of them go into so many bytes, at least one."""
    for count, message in enumerate(messages):
        size -= len(message.payload) + len(message.topic) + OVERHEAD
        if size < 0:
            return max(1, count)
    return len(messages)
