"""Sparkplug B payloads, byte by byte: an edge node that knows nothing of how they are read."""

import struct
from typing import Any

AT = 1_700_000_000_000  # ms
INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64 = range(1, 9)
FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME, TEXT, UUID, DATASET, BYTES, FILE, TEMPLATE = range(9, 20)
INT, LONG, FLOAT_, DOUBLE_, BOOL, TEXT_, RAW, ROWS, MEMBERS = range(10, 19)  # fields of a metric


class Float32(float):
    """A number that travels in four bytes."""


def varint(number: int) -> bytes:
    """A number in base 128; a negative one as 64 bits."""
    number %= 1 << 64
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def pb(*fields: tuple[int, Any]) -> bytes:
    """Fields of a message, by their numbers; those that are None are not sent."""
    out = b""
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, Float32):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        elif isinstance(value, float):
            out += varint(number << 3 | 1) + struct.pack("<d", value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


_HOLDS = {bool: (BOOL, BOOLEAN), int: (LONG, INT64), float: (DOUBLE_, DOUBLE), str: (TEXT_, STRING)}


def metric(name: str | None, value: Any = None, datatype: int | None = None, **more: Any) -> bytes:
    """A metric. `value` is a number, a text, or (field, what stands in it); None is null.

    Args:
        more: alias, time (ms), unit, quality; untyped: leave the type out.
    """
    holds, usual = _HOLDS.get(type(value), (0, None))
    field, sent = value if isinstance(value, tuple) else (holds, value)
    unit, quality = more.get("unit"), more.get("quality")
    said = []
    if unit is not None:
        said.append(("engUnit", pb((1, STRING), (8, unit))))
    if quality is not None:
        said.append(("Quality", pb((1, INT32), (3, quality))))
    keys, values = [(1, key) for key, _ in said], [(2, value) for _, value in said]
    return pb(
        (1, name),
        (2, more.get("alias")),
        (3, more.get("time")),
        (4, None if more.get("untyped") else datatype or usual),
        (7, True if sent is None else None),
        (9, pb(*keys, *values) if said else None),
        (field, sent),
    )


def payload(*metrics: bytes, time: int | None = AT, seq: int | None = None) -> bytes:
    """A message of these metrics; `time` in ms."""
    return pb((1, time), *((2, one) for one in metrics), (3, seq))


def nbirth(*metrics: bytes, bdseq: int = 0, time: int = AT) -> bytes:
    """The birth of a node with what each must have."""
    common = (
        metric("bdSeq", bdseq, UINT64, time=time),
        metric("Node Control/Rebirth", False, time=time),
    )
    return payload(*common, *metrics, time=time, seq=0)


def ndeath(bdseq: int = 0) -> bytes:
    """The last will of a node."""
    return payload(metric("bdSeq", bdseq, UINT64), time=None)
