"""Sparkplug B on both sides: payloads byte by byte, and a host application that hears them."""

import struct
from typing import Any

from bridge.formats.sample import Decoded, Sample
from bridge.formats.sparkplug import REBIRTH_EVERY, Session, decode

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


_HOLDS = {
    bool: (BOOL, BOOLEAN),
    int: (LONG, INT64),
    float: (DOUBLE_, DOUBLE),
    Float32: (FLOAT_, FLOAT),
    str: (TEXT_, STRING),
}


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


NODE, DEVICE = "plant/edge", "plant/edge/pump"
NBIRTH, NDATA, NDEATH = (f"spBv1.0/plant/{verb}/edge" for verb in ("NBIRTH", "NDATA", "NDEATH"))
DBIRTH, DDATA, DDEATH = (f"spBv1.0/plant/D{verb}/edge/pump" for verb in ("BIRTH", "DATA", "DEATH"))
NCMD = "spBv1.0/plant/NCMD/edge"
MOTOR = pb((2, metric("rpm", 900.0, unit="1/min")), (2, metric("on", True)), (4, "Motor"))
BORN = payload(
    metric("Inputs/Temp", 20.0, alias=1, time=AT, unit="°F"),
    metric("Inputs/Count", (INT, 5), INT8, alias=2, time=AT),
    metric("Mode", "eco", alias=3, time=AT),
    metric("Motor 1", (MEMBERS, MOTOR), TEMPLATE, alias=4, time=AT),
    seq=1,
)
UNITS = payload(
    metric("Temp C", 21.5), metric("Supply Voltage", 12.1), metric("PM2.5", (INT, 9), 7), seq=2
)
POSITION = payload(metric("GPS/Latitude", 48.1), metric("GPS/Longitude", 11.5), seq=2)


class Host:
    """A session, and the messages that it hears."""

    def __init__(self) -> None:
        self.session = Session()
        self.now = AT * 1000

    def hears(self, topic: str, sent: bytes, dup: bool = False) -> Decoded:
        self.now += 1000
        self.session.now, self.session.dup = self.now, dup
        return decode(topic, sent, self.session)

    def samples(self, topic: str, sent: bytes, dup: bool = False) -> list[Sample]:
        found = self.hears(topic, sent, dup)
        assert isinstance(found, list), found
        return found

    def sample(self, topic: str, sent: bytes, dup: bool = False) -> Sample:
        (found,) = self.samples(topic, sent, dup)
        return found

    def asks(self) -> bool:
        """Whether it has a request, and forgets when it asked."""
        asked = [topic for topic, _ in self.session.rebirths()]
        assert asked in ([], [NCMD])
        self.now += REBIRTH_EVERY
        return bool(asked)


def alive() -> Host:
    """A host that knows the node and its pump."""
    host = Host()
    host.hears(NBIRTH, nbirth())
    host.hears(DBIRTH, BORN)
    assert not host.asks()
    return host


def values(sample: Sample) -> dict[str, float]:
    return {f.path: v for f, v in zip(sample.fields, sample.values, strict=True)}


def states(sample: Sample) -> dict[str, str]:
    return {state.name: state.word for state in sample.states}


def data(seq: int, *, alias: int = 1, value: float = 70.0) -> bytes:
    return payload(metric(None, value, alias=alias, time=AT), seq=seq)
