"""Contracts <-> Avro, one record at a time. No I/O.

Two framings before the Avro body, and readers take both: single-object encoding (Avro 1.12,
"Single-object encoding": C3 01 and the CRC-64 fingerprint of the schema) where there is no schema
registry, Confluent's (00 and the registry's id) where there is one. A value that begins with ``{``
is JSON (``wire = "json"``).

`Reading` is the hot one: its encoder is written for the one schema and keeps the bytes of what is
constant for a device; any Avro reader reads the result.
"""

import base64
import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, TypeVar

import fastavro
import fastavro.schema
import fastavro.validation
import orjson

from bridge.contracts import (
    Alert,
    Birth,
    Command,
    Contract,
    DeadLetter,
    DeviceState,
    ModelCard,
    Position,
    Reading,
    Score,
)
from bridge.errors import Malformed

C = TypeVar("C", bound=Contract)
Kind = type[Any]  # of a contract
STRINGS = {"type": "array", "items": "string"}
DOUBLES = {"type": "array", "items": "double"}
OPTIONAL = ["null", "double"]
CACHED, SHORT = 50_000, 1000  # device prefixes that are kept, and the longest of them in bytes


def _names(kind: Kind) -> tuple[str, ...]:
    return tuple(kind.__annotations__)


def _record(name: str, /, **types: Any) -> dict[str, Any]:
    columns = [{"name": key.rstrip("_"), "type": type_} for key, type_ in types.items()]
    return {"type": "record", "name": name, "namespace": "haltere", "fields": columns}


POSITION = _record(
    "Position",
    lat="double",
    lon="double",
    altitude=OPTIONAL,
    speed=OPTIONAL,
    course=OPTIONAL,
    accuracy=OPTIONAL,
)
SCHEMAS: dict[Kind, dict[str, Any]] = {
    # What is constant for a device comes first; `layout` is the CRC-32 of the channel names.
    Reading: _record(
        "Reading",
        device="string",
        device_class="string",
        source="string",
        channels=STRINGS,
        units=STRINGS,
        states=STRINGS,
        layout="long",
        time="long",
        received="long",
        id="string",
        values=DOUBLES,
        state_values=STRINGS,
        position=["null", POSITION],
        quality="int",
    ),
    Score: _record(
        "Score",
        device="string",
        time="long",
        received="long",
        reading="string",
        score="double",
        channel="string",
        anomalous="boolean",
        model="int",
        partition="int",
        offset="long",
    ),
    Alert: _record(
        "Alert",
        id="string",
        device="string",
        time="long",
        raised="long",
        valid_until="long",
        channel="string",
        reason="string",
        value=OPTIONAL,
        score="double",
        model="int",
    ),
    Command: _record(
        "Command",
        id="string",
        device="string",
        name="string",
        arguments="string",
        valid_until="long",
    ),
    ModelCard: _record(
        "ModelCard",
        version="int",
        device_class="string",
        created="long",
        channels=STRINGS,
        readings="long",
        loss="double",
        offsets={"type": "array", "items": "long"},
        weights="bytes",
    ),
    DeadLetter: _record(
        "DeadLetter",
        topic="string",
        payload="bytes",
        stage="string",
        path="string",
        expected="string",
        received="string",
        time="long",
        qos="int",
        retain="boolean",
    ),
    Birth: _record("Birth", topic="string", payload="bytes", received="long"),
    DeviceState: _record(
        "DeviceState",
        device="string",
        device_class="string",
        offset="long",
        snapshot="bytes",
    ),
}
_PARSED = {kind: fastavro.parse_schema(dict(schema)) for kind, schema in SCHEMAS.items()}
_FIELDS = {kind: _names(kind) for kind in SCHEMAS}


def fingerprint(kind: type[Contract]) -> bytes:
    """CRC-64-AVRO of the schema in Parsing Canonical Form, little endian, 8 bytes."""
    canonical = fastavro.schema.to_parsing_canonical_form(SCHEMAS[kind])
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


SINGLE_OBJECT = {kind: b"\xc3\x01" + fingerprint(kind) for kind in SCHEMAS}
_REGISTRY_FRAME = 5  # bytes: 00 and a big-endian id
_SINGLE_FRAME = 10  # bytes: C3 01 and the fingerprint


class Encoder:
    """Contracts to Kafka values, in one form and framing for each contract.

    Args:
        form: ``"avro"`` or ``"json"``.
        ids: the registry's schema id of each contract, where there is a registry.
    """

    def __init__(self, form: str = "avro", ids: Mapping[type[Contract], int] | None = None) -> None:
        self._frames = dict(SINGLE_OBJECT)
        for kind, identifier in (ids or {}).items():
            self._frames[kind] = struct.pack(">bI", 0, identifier)
        self._prefixes: dict[tuple[Any, ...], bytes] = {}
        self._received = (-1, b"")  # the last, which a batch of messages shares, and its bytes
        self.encode: Callable[[Contract], bytes] = self._json if form == "json" else self._avro

    def _avro(self, value: Contract) -> bytes:
        if isinstance(value, Reading):
            return self._reading(value)
        kind = type(value)
        out = io.BytesIO(self._frames[kind])
        out.seek(0, io.SEEK_END)
        row = {name: getattr(value, name) for name in _FIELDS[kind]}
        fastavro.schemaless_writer(out, _PARSED[kind], row)
        return out.getvalue()

    def _json(self, value: Contract) -> bytes:
        return orjson.dumps(as_row(value), default=_base64)

    def _reading(self, r: Reading) -> bytes:
        constant = (r.device, r.device_class, r.source, r.channels, r.units, r.states)
        prefix = self._prefixes.get(constant) or self._prefix(constant)
        if r.received != self._received[0]:
            self._received = (r.received, zigzag(r.received))
        head, pack = _doubles(len(r.values))
        return b"".join(
            (
                prefix,
                zigzag(r.time),
                self._received[1],
                _string(r.id),
                head,
                pack(*r.values),
                b"\0",
                _strings(r.state_values) if r.state_values else b"\0",
                _position(r.position) if r.position else b"\0",
                zigzag(r.quality),
            )
        )

    def _prefix(self, constant: tuple[Any, ...]) -> bytes:
        """What is the same for every reading of a device; short ones are kept."""
        if len(self._prefixes) >= CACHED:
            self._prefixes.clear()
        prefix = self._frames[Reading] + _constant(*constant)
        if len(prefix) <= SHORT:
            self._prefixes[constant] = prefix
        return prefix


def as_row(value: Contract) -> dict[str, Any]:
    """The fields of a contract by name."""
    if not isinstance(value, Reading):
        return asdict(value)
    return value._asdict() | {"position": value.position and value.position._asdict()}


def layout(channels: tuple[str, ...]) -> int:
    """A short name for a list of channels, the same in every process."""
    return zlib.crc32("\0".join(channels).encode())


def decode(kind: type[C], data: bytes) -> C:
    """One contract from a Kafka value in any of the forms that haltere writes.

    Raises:
        Malformed: the framing is unknown or the body does not fit the schema.
    """
    name = kind.__name__
    try:
        if data[:1] == b"{":
            row = _from_json(kind, data)
        else:
            body = io.BytesIO(data[frame_length(kind, data) :])
            row = fastavro.schemaless_reader(body, _PARSED[kind], None)
        return _build(kind, row)
    except Malformed:
        raise
    except Exception as error:  # the decoders raise whatever the bytes lead them to
        raise Malformed(f"Kafka value of {name}", f"a {name}", f"{error!r}") from None


def frame_length(kind: Kind, data: bytes) -> int:
    """How many bytes stand before the Avro body.

    Raises:
        Malformed: neither a registry frame nor this contract's fingerprint.
    """
    if data[:1] == b"\0" and len(data) > _REGISTRY_FRAME:
        return _REGISTRY_FRAME
    if data[:_SINGLE_FRAME] == SINGLE_OBJECT[kind]:
        return _SINGLE_FRAME
    raise Malformed(
        f"Kafka value of {kind.__name__}",
        f"a frame 00 or {SINGLE_OBJECT[kind].hex()}",
        data[:_SINGLE_FRAME].hex() or "nothing",
    )


def _build(kind: type[C], row: Any) -> C:
    arguments = {name: row[name] for name in _FIELDS[kind]}
    for name, value in arguments.items():
        if isinstance(value, list):
            arguments[name] = tuple(value)
    if isinstance(arguments.get("position"), dict):
        arguments["position"] = Position(**arguments["position"])
    return kind(**arguments)


def _from_json(kind: type[C], data: bytes) -> Any:
    """Held to the schema, as Avro is by its nature."""
    row = orjson.loads(data)
    for name in ("payload", "weights", "snapshot"):
        if name in row:
            row[name] = base64.b64decode(row[name], validate=True)
    fastavro.validation.validate({"layout": 0} | row, _PARSED[kind])
    return row


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value))


# Avro primitives (Avro 1.12, "Binary Encoding").


def zigzag(n: int) -> bytes:
    """An Avro int or long."""
    n = (n << 1) ^ (n >> 63)
    if n < 128:  # noqa: PLR2004
        return _ONE[n]
    if n >= 1 << 42:  # a time: what is above 28 bits changes every two minutes
        low = n & 0xFFF_FFFF
        return _TWO_MORE[low & 16383] + _TWO_MORE[low >> 14] + _high(n >> 28)
    out = b""
    while n >= 128:  # noqa: PLR2004
        out += _MORE[n & 127]
        n >>= 7
    return out + _ONE[n]


@lru_cache(maxsize=4096)
def _high(n: int) -> bytes:
    return zigzag(n >> 1 if n % 2 == 0 else -(n >> 1) - 1)


_ONE = [bytes((n,)) for n in range(128)]  # the last seven bits of a number ...
_MORE = [bytes((n | 128,)) for n in range(128)]  # ... seven bits that others follow ...
_TWO_MORE = [_MORE[n & 127] + _MORE[n >> 7] for n in range(1 << 14)]  # ... and fourteen


@lru_cache(maxsize=1024)
def _doubles(count: int) -> tuple[bytes, Callable[..., bytes]]:
    """The head of an array's one block, and what packs its items; the array ends with a 0."""
    return (zigzag(count) if count else b""), struct.Struct(f"<{count}d").pack


def _string(text: str) -> bytes:
    data = text.encode()
    return zigzag(len(data)) + data


def _strings(texts: tuple[str, ...]) -> bytes:
    if not texts:
        return b"\0"
    return zigzag(len(texts)) + b"".join(map(_string, texts)) + b"\0"


def _position(p: Position) -> bytes:
    lat, lon, altitude, speed, course, accuracy = p
    if altitude is None and course is None and accuracy is None:
        if speed is None:
            return _STILL(2, lat, lon)
        return _MOVING(2, lat, lon, 2, speed)
    return _STILL(2, lat, lon)[:-4] + b"".join(map(_optional, (altitude, speed, course, accuracy)))


def _optional(value: float | None) -> bytes:
    return b"\0" if value is None else b"\2" + struct.pack("<d", value)


_STILL = struct.Struct("<Bddxxxx").pack  # each x is a 0: a union's null
_MOVING = struct.Struct("<BddxBdxx").pack


def _constant(device: str, class_: str, source: str, *lists: tuple[str, ...]) -> bytes:
    words = _string(device) + _string(class_) + _string(source)
    return words + b"".join(map(_strings, lists)) + zigzag(layout(lists[0]))
