"""MQTT 3.1.1 and 5 packets, as one who only publishes needs them: values to bytes and back. No I/O.

>>> publish(b"a", b"21.5", Form(mid=1)).hex(" ")
'32 09 00 01 61 00 01 32 31 2e 35'
>>> read(bytes.fromhex("40020001 d000")).acknowledged
[1]
"""

import struct
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bridge.errors import Malformed

CONNACK, PUBACK, DISCONNECT = 0x20, 0x40, 0xE0
PING, GOODBYE = b"\xc0\x00", b"\xe0\x00"
FAILURE = 0x80  # this reason code and above (MQTT 5, 2.4)
MORE = 0x80  # in a length: another byte follows
LONGEST = 4  # bytes of a length
WINDOW = 65535  # unacknowledged messages at most: as many as there are packet identifiers
SHORT_ACK = 4  # bytes
# Lengths of the properties of a CONNACK (MQTT 5, 3.2.2.3); the others begin with their length.
_BYTES = {0x24: 1, 0x25: 1, 0x28: 1, 0x29: 1, 0x2A: 1, 0x13: 2, 0x21: 2, 0x22: 2, 0x11: 4, 0x27: 4}
_RECEIVE_MAXIMUM, _LARGEST_PACKET, _USER_PROPERTY = 0x21, 0x27, 0x26


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client says of itself when it connects."""

    client_id: str
    version: Literal["5", "3.1.1"] = "3.1.1"
    username: str = ""
    password: str = field(default="", repr=False)
    keepalive_s: int = 60
    clean: bool = True  # forget the session at both ends
    session_expiry_s: int = 0  # MQTT 5, where it is not clean


class Form(NamedTuple):
    """How a message is published; without a packet identifier it is QoS 0."""

    mid: int = 0
    dup: bool = False
    five: bool = False


class Welcome(NamedTuple):
    """What the broker answered to a CONNECT."""

    code: int  # 0: accepted
    session_present: bool
    receive_maximum: int = WINDOW
    largest: int = 0  # bytes of a packet, 0: any


class Heard(NamedTuple):
    """What the broker said, and the beginning of what it has not yet said in full."""

    acknowledged: list[int]  # packet identifiers
    refused: list[tuple[int, int]]  # packet identifier, reason code
    goodbye: int | None  # the reason code of a DISCONNECT
    rest: bytes


def connect(hello: Hello) -> bytes:
    """A CONNECT packet."""
    five = hello.version == "5"
    name, secret = hello.username.encode(), hello.password.encode()
    flags = 0x02 * hello.clean | 0x80 * bool(name) | 0x40 * bool(name and secret)
    properties = b""
    if five:
        keep = not hello.clean and hello.session_expiry_s
        properties = b"\x05\x11" + struct.pack(">I", hello.session_expiry_s) if keep else b"\0"
    credentials = (_text(name) if name else b"") + (_text(secret) if name and secret else b"")
    body = b"".join(
        (
            _text(b"MQTT"),
            bytes((5 if five else 4, flags)),
            struct.pack(">H", hello.keepalive_s),
            properties,
            _text(hello.client_id.encode()),
            credentials,
        )
    )
    return b"\x10" + length(len(body)) + body


def publish(topic: bytes, payload: bytes, form: Form) -> bytes:
    """A PUBLISH packet."""
    mid, dup, five = form
    head = len(topic).to_bytes(2, "big") + topic
    if mid:
        head += mid.to_bytes(2, "big")
    if five:
        head += b"\0"  # no properties
    kind = (0x3A if dup else 0x32) if mid else 0x30
    return b"".join((bytes((kind,)), length(len(head) + len(payload)), head, payload))


def length(n: int) -> bytes:
    """A remaining length.

    >>> length(127).hex(), length(128).hex(), length(268_435_455).hex()
    ('7f', '8001', 'ffffff7f')
    """
    out = b""
    while n >= MORE:
        out += bytes((n % MORE | MORE,))
        n //= MORE
    return out + bytes((n,))


def packet(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Kind and body of the first packet, and what follows it; nothing while it is not whole.

    Raises:
        Malformed: this is no MQTT.
    """
    n = 0
    for i, byte in enumerate(data[1 : 1 + LONGEST]):
        n |= (byte & ~MORE) << 7 * i
        if byte < MORE:
            begin = 2 + i
            if len(data) < begin + n:
                return None
            return data[0] & 0xF0, data[begin : begin + n], data[begin + n :]
    if len(data) > LONGEST:
        raise Malformed("MQTT packet", "a length of four bytes", data[: 1 + LONGEST].hex())
    return None


def welcome(body: bytes, version: str) -> Welcome:
    """A CONNACK's body.

    Raises:
        Malformed: it is cut short.
    """
    try:
        present, code = bool(body[0] & 1), body[1]
        found = _properties(body[2:]) if version == "5" and len(body) > 2 else {}  # noqa: PLR2004
    except (IndexError, struct.error):
        raise Malformed("MQTT CONNACK", "flags, a code and properties", body.hex()) from None
    window = int.from_bytes(found.get(_RECEIVE_MAXIMUM, b"\xff\xff"), "big")
    return Welcome(code, present, window, int.from_bytes(found.get(_LARGEST_PACKET, b""), "big"))


def read(data: bytes) -> Heard:
    """Everything whole in what the broker sent after its CONNACK.

    Raises:
        Malformed: this is no MQTT.
    """
    acknowledged, data = _short_acks(data)
    refused: list[tuple[int, int]] = []
    goodbye = None
    while (found := packet(data)) is not None:
        kind, body, data = found
        if kind == PUBACK:
            mid, code = int.from_bytes(body[:2], "big"), body[2] if len(body) > 2 else 0  # noqa: PLR2004
            if code < FAILURE:
                acknowledged.append(mid)
            else:
                refused.append((mid, code))
        elif kind == DISCONNECT:
            goodbye = body[0] if body else 0
    return Heard(acknowledged, refused, goodbye, data)


def _short_acks(data: bytes) -> tuple[list[int], bytes]:
    """PUBACKs of four bytes, when there is nothing else: by far the most of what comes."""
    whole = len(data) // SHORT_ACK * SHORT_ACK
    count = whole // SHORT_ACK
    if data[0:whole:4] != b"\x40" * count or data[1:whole:4] != b"\x02" * count:
        return [], data
    return [mid for (mid,) in struct.iter_unpack(">xxH", data[:whole])], data[whole:]


def _properties(data: bytes) -> dict[int, bytes]:
    found, size, at = {}, data[0] & ~MORE, 1
    if data[0] >= MORE:
        size, at = size | data[1] << 7, 2
    end = at + size
    while at < end:
        kind, at = data[at], at + 1
        for _ in range(2 if kind == _USER_PROPERTY else 1):
            n = _BYTES.get(kind) or 2 + struct.unpack_from(">H", data, at)[0]
            found[kind], at = data[at : at + n], at + n
    if at != end or end > len(data):
        raise IndexError(end)
    return found


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
