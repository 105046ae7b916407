"""PUBLISH packets out of a stream of bytes, many at a time, and PUBACKs into one write. No I/O.

MQTT 3.1.1 and 5, sections 2.1 (fixed header), 3.3 (PUBLISH) and 3.4 (PUBACK). A packet of another
kind is cut out whole, for somebody else to understand.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.contracts import Message
from bridge.errors import Malformed

LARGEST_PACKET = 268_435_460  # bytes: the longest remaining length (MQTT 5, 1.5.5), its header
PUBLISH = 0x30
_PUBACK = 0x4002_0000  # all of it, a success, but for the packet identifier (3.4)
_MORE = 128  # a byte of a variable byte integer that others follow
_BYTES = 4  # of a variable byte integer at most
_HEADER = 2  # bytes of the shortest packet
_made = tuple.__new__  # a named tuple in half the time
REMEMBERED, SHORT = 20_000, 256  # topics whose text is kept, and the longest of them in bytes


class Other(NamedTuple):
    """A packet that is no PUBLISH."""

    command: int  # first byte
    body: bytes  # what the remaining length counts


@dataclass(slots=True)
class Arrived:
    """What the stream gave: messages, and at most one other packet, which came after them."""

    messages: list[Message] = field(default_factory=list)
    mids: list[int] = field(default_factory=list)  # their packet identifiers, 0 at QoS 0
    other: Other | None = None


class Stream:
    """Bytes in, packets out; what is not yet whole is kept.

    Args:
        five: MQTT 5, where a packet has properties.
        largest: bytes of a packet that is still taken.

    >>> stream = Stream(five=False)
    >>> stream.feed(bytes.fromhex("320700016100072134"))
    >>> stream.take(received=0).messages[0].payload, puback([7]).hex()
    (b'!4', '40020007')
    """

    def __init__(self, five: bool, largest: int = LARGEST_PACKET) -> None:
        self._five = five
        self._largest = largest
        self._pieces: list[bytes] = []
        self._at = 0  # where in them the first packet begins that was not handed over
        self._have = 0  # bytes from there on
        self._need = _HEADER  # bytes without which nothing is whole
        self._topics: dict[bytes, str] = {}

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream."""
        self._pieces.append(data)
        self._have += len(data)

    def take(self, received: int) -> Arrived | None:
        """What is whole, up to the first packet that is no PUBLISH; None when nothing is.

        Raises:
            Malformed: this is not MQTT, or a packet is too large; the stream is of no use any
                more. What came before has been handed over, as if it had come alone.
        """
        if self._have < self._need:
            return None
        data = b"".join(self._pieces)
        arrived = Arrived()
        try:
            self._read(data, received, arrived)
        except Malformed:
            if not arrived.messages:
                raise  # else the next call comes upon it again
        if 2 * self._at >= len(data):  # seldom, for the rest is copied
            data, self._at = data[self._at :], 0
        self._pieces, self._have = [data], len(data) - self._at
        return arrived if arrived.messages or arrived.other else None

    def _read(self, data: bytes, received: int, arrived: Arrived) -> None:
        """Up to where a packet begins that is not whole, is malformed, or was not looked at."""
        at, end = self._at, len(data)
        self._need = _HEADER
        try:
            while end - at >= _HEADER and not arrived.other:
                command, length, body = data[at], data[at + 1], at + 2
                if length >= _MORE:
                    length, body = _varint(data, at + 1)
                stop = body + length
                if stop > end or stop - at > self._largest:
                    self._need = self._wanted(stop - at) if body <= end else end - at + 1
                    break
                if command & 0xF0 != PUBLISH:
                    arrived.other = Other(command, data[body:stop])
                else:
                    message, mid = self._publish(command, data[body:stop], received)
                    arrived.messages.append(message)
                    arrived.mids.append(mid)
                at = stop
        finally:
            self._at = at

    def _wanted(self, size: int) -> int:
        if size > self._largest:
            raise Malformed("MQTT packet", f"at most {self._largest} bytes", f"{size} bytes")
        return size

    def _publish(self, command: int, body: bytes, received: int) -> tuple[Message, int]:
        qos, at = command >> 1 & 3, 0
        try:
            end = at = 2 + (body[0] << 8 | body[1])
            mid = 0
            if qos:
                mid = body[at] << 8 | body[at + 1]
                at += 2
            if self._five:
                length, at = (body[at], at + 1) if body[at] < _MORE else _varint(body, at)
                at += length
        except IndexError:
            at = len(body) + 1
        if at > len(body) or qos > 1 or (qos and not mid):
            what = f"a PUBLISH {bytes((command,)).hex()} of {len(body)} bytes: {body[:20].hex()}"
            raise Malformed("MQTT packet", "a whole PUBLISH at QoS 0 or 1", what)
        name = body[2:end]
        topic = self._topics.get(name) or self._topic(name)
        said = (topic, body[at:], received, qos, command & 1 == 1, command & 8 == 8)  # noqa: PLR2004
        return _made(Message, said), mid

    def _topic(self, name: bytes) -> str:
        """Its text; kept, for the same topics come again and again."""
        if not name:
            raise Malformed("MQTT packet", "a topic: no alias was allowed", "none")
        topic = name.decode("utf-8", "replace")
        if len(name) <= SHORT:
            if len(self._topics) >= REMEMBERED:
                self._topics.clear()
            self._topics[name] = topic
        return topic


def puback(mids: Sequence[int]) -> bytes:
    """The PUBACK packets of these packet identifiers, in this order; 0, of QoS 0, has none."""
    packets = [_PUBACK | mid for mid in mids if mid]
    return struct.pack(f">{len(packets)}I", *packets)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends; of one that is not whole, beyond the data."""
    value = 0
    for n, byte in enumerate(data[at : at + _BYTES]):
        value |= (byte & 127) << 7 * n
        if byte < _MORE:
            return value, at + n + 1
    if at + _BYTES <= len(data):
        raise Malformed("MQTT packet", "a length of at most 4 bytes", data[at : at + _BYTES].hex())
    return value, len(data) + 1
