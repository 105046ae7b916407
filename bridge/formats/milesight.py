"""Milesight: the bytes of their LoRaWAN sensors, triplets of channel, type and value.

A table says what channel and type mean (`bridge.formats.milesight_table`); some models mean
something else by them, and a level of the topic names the model. Stored values have the time at
which they were measured; all others are of now. No I/O, no clock.
"""

import math
import re
import struct
from functools import lru_cache
from typing import NamedTuple

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import measured
from bridge.formats.milesight_table import EVERY, MODELS
from bridge.formats.sample import Decoded, Field, Nothing, Sample, State
from bridge.formats.scalars import describe, instant, place

LONGEST = 512  # bytes of a LoRaWAN payload and more
_HEX = re.compile(rb"\s*(?:[0-9A-Fa-f]{2}\s?){3,2000}\s*").fullmatch
_NO_TEXT = re.compile(rb"\A\xff|[\0-\x08\x0b\x0c\x0e-\x1f]").search
_READ = re.compile(r"([a-z])(\d)(?:/(\d+))?").fullmatch
_MARKS = {"time": 4, "i": 1, "?": 1, "&": 0}  # in the table, and how many bytes they stand for
_STORED = (b"\x20\xce", b"\x21\xce")  # values of an earlier time
_BY_SIZE = b"\xff\x19"  # a register of Modbus: channel, bytes, type
_BY_BITS = b"\xff\x0e"  # the same: channel, bytes and type in one byte
_REAL = {5, 7}  # types of registers
_PARTLY = {8: 0, 10: 0, 9: 2, 11: 2}  # two of their four bytes count
_SMOKE = "gs524n"  # has no triplets
_SMOKE_BYTES = 6
_MISSING = 0xFFFD  # and above: codes of errors
_NOTHING = Nothing("nothing in these bytes is a measurement")


class _Part(NamedTuple):
    """One number of a triplet, least significant byte first."""

    name: str
    unit: str
    kind: str
    size: int  # bytes
    per: int = 1
    words: tuple[str, ...] = ()  # what its values are called


_Layout = tuple[_Part, ...]
_Pieces = list[tuple[str, _Part, bytes]]


def decode(topic: str, payload: bytes) -> Decoded:
    """What is measured now, and a sample for each stored time."""
    data = bytes.fromhex(payload.decode()) if _HEX(payload) else payload
    if len(data) > LONGEST:
        raise Malformed("payload", f"at most {LONGEST} bytes", f"{len(data)} bytes")
    levels = [level.lower().replace("_", "-") for level in topic.split("/")]
    if _SMOKE in levels:
        return _smoke(data)
    table = _table(tuple([m for m, _ in _MODELS if any(n.startswith(m) for n in levels)]))
    samples, end = _read(table, data)
    found = measured(samples)
    if isinstance(found, Nothing):
        if end < len(data):
            raise Malformed(f"byte {end}", "channel and type of Milesight", describe(data[end:]))
        return Nothing(_NOTHING.reason, found.notes)
    return found


def _read(table: dict[bytes, _Layout], data: bytes) -> tuple[list[Sample], int]:
    """The samples, that of now first, and where reading ended."""
    now, at = Sample(), 0
    samples = [now]
    while at < len(data):
        cut = _triplet(table, data, at)
        if cut is None:
            now.notes.append((f"byte {at}", "not known: from here on nothing is read"))
            break
        stored = data[at : at + 2] in _STORED
        sample = Sample() if stored else now
        _keep(sample, at, cut[0])
        if stored and sample.time is None:
            now.notes.append((f"byte {at}", "stored without an absolute time"))
        elif stored:
            samples.append(sample)
        at = cut[1]
    return samples, at


def _triplet(table: dict[bytes, _Layout], data: bytes, at: int) -> tuple[_Pieces, int] | None:
    """The numbers of a triplet, and where the next one begins; None of what cannot be read."""
    key = data[at : at + 2]
    if key in (_BY_SIZE, _BY_BITS):
        return _register(data, at + 2, key == _BY_SIZE)
    return _cut(table[key], data, at + 2) if key in table else None


def _cut(layout: _Layout, data: bytes, at: int) -> tuple[_Pieces, int] | None:
    pieces: _Pieces = []
    region, more = 0, True
    for part in layout:
        raw = data[at : at + part.size]
        if part.kind == "&" and not more:
            break
        if len(raw) < part.size:
            return None
        at += part.size
        if part.kind == "i":
            region = raw[0]
        elif part.kind == "?":
            more = raw[0] != 0
        elif part.kind not in ("_", "&"):
            pieces.append((part.name.format(region), part, raw))
    return pieces, at


def _register(data: bytes, at: int, by_size: bool) -> tuple[_Pieces, int] | None:
    """A register of Modbus that a controller read."""
    head = data[at : at + (3 if by_size else 2)]
    if len(head) < (3 if by_size else 2):
        return None
    size, kind = (head[1], head[2]) if by_size else (head[1] >> 3, head[1] & 7)
    raw = data[at + len(head) : at + len(head) + size]
    if len(raw) < size or size not in (1, 2, 4):
        return None
    sort, end = kind & 0x7F, at + len(head) + size
    if by_size and sort in _PARTLY and size == 4:  # noqa: PLR2004
        raw = raw[_PARTLY[sort] : _PARTLY[sort] + 2]
    read = "f" if sort in _REAL and size == 4 else "s" if kind & 0x80 else "p"  # noqa: PLR2004
    name = f"modbus_{head[0] + 1 if by_size else head[0] - 6}"
    return [(name, _Part(name, "", read, len(raw)), raw)], end


def _keep(sample: Sample, at: int, pieces: _Pieces) -> None:
    """Take the numbers of a triplet."""
    spot: dict[str, float | None] = {}
    for name, part, raw in pieces:
        if part.kind == "time":
            sample.time = instant(int.from_bytes(raw, "little"))
        elif part.kind == "d":
            spot[name] = _value(part, raw)
        else:
            for one, bit in [(f"{name}_{n + 1}", n) for n in range(part.per * (part.kind == "x"))]:
                sample.number(Field(f"byte {at}.{one}", one), raw[0] >> bit & 1)
            if part.kind != "x":
                _number(sample, Field(f"byte {at}.{name}", name, part.unit), part, raw)
    if spot:
        sample.position = place(spot["latitude"], spot["longitude"])
    note = "the position" if sample.position else "no position on Earth"
    if spot or not pieces:
        sample.notes.append((f"byte {at}", note if spot else "no measurement"))


def _number(sample: Sample, field: Field, part: _Part, raw: bytes) -> None:
    value = _value(part, raw)
    if value is None:
        sample.notes.append((field.path, "not measured, says the device"))
    elif any(field.name == one.name for one in sample.fields):
        sample.notes.append((field.path, "the same again"))
    elif not part.words:
        sample.number(field, value)
    elif value < len(part.words) and part.words[int(value)]:
        sample.states.append(State(field.path, field.name, part.words[int(value)]))
    else:
        sample.notes.append((field.path, f"the code {value} is not known"))


def _value(part: _Part, raw: bytes) -> float | None:
    if part.kind in ("f", "h"):
        (real,) = struct.unpack("<e" if part.kind == "h" else "<f", raw)
        return real if math.isfinite(real) else None
    sent = int.from_bytes(raw, "little", signed=part.kind not in ("u", "p"))
    missing = (
        (part.kind == "u" and part.size == 2 and sent >= _MISSING)  # noqa: PLR2004
        or (part.kind == "e" and sent in (-1, -3))
        or (part.kind == "d" and sent == -1)
    )
    if missing:
        return None
    if part.kind == "a":
        sent >>= 1
    return sent / part.per if part.per > 1 else sent


def _smoke(data: bytes) -> Decoded:
    if len(data) != _SMOKE_BYTES or sum(data) & 0xFF:
        raise Malformed("payload", "six bytes that add up to 0 (mod 256)", describe(data))
    samples = [Sample()]
    cut = _cut(_SMOKE_LAYOUT, data, 0)
    _keep(samples[0], 0, cut[0] if cut else [])
    return samples


def _layout(text: str) -> _Layout:
    return tuple([_part(one) for one in text.split()])


def _part(text: str) -> _Part:
    if text in _MARKS:
        return _Part(text, "", text, _MARKS[text])
    if text.startswith("_"):
        return _Part("", "", "_", int(text[1:]))
    head, _, read = text.rpartition(":")
    named, _, unit = head.partition(":")
    name, _, words = named.partition("=")
    found = _READ(read)
    kind, size, per = found.groups() if found else ("_", "0", "")
    if kind == "x":
        return _Part(name, "", kind, 1, int(size))
    return _Part(name, unit, kind, int(size), int(per or 1), tuple(words.split("|") * bool(words)))


def _lines(text: str) -> dict[bytes, _Layout]:
    return {bytes.fromhex(line[:5]): _layout(line[6:]) for line in text.strip().splitlines()}


_EVERY = _lines(EVERY)
_MODELS = tuple(
    [
        (model, _lines(lines))
        for model, _, lines in [one.partition("]\n") for one in MODELS.strip()[1:].split("\n[")]
    ]
)
_SMOKE_LAYOUT = _layout("_2 battery:%:u1 concentration:%:u1 temperature:Cel:s1 _1")
_KEYS = frozenset(_EVERY).union((_BY_SIZE, _BY_BITS), *[lines for _, lines in _MODELS])


@lru_cache(maxsize=256)
def _table(models: tuple[str, ...]) -> dict[bytes, _Layout]:
    """What channel and type mean to a model."""
    table = dict(_EVERY)
    for model, lines in _MODELS:
        if model in models:
            table |= lines
    return table


def _looks(payload: bytes) -> object:
    if payload[:1] in (b"{", b"["):
        return False
    if _HEX(payload):
        return bytes.fromhex(payload.decode())[:2] in _KEYS
    return payload[:2] in _KEYS or _NO_TEXT(payload)


FORMATS: tuple[Format, ...] = (
    Format(
        "milesight",
        "a level of the topic is milesight",
        decode,
        ("milesight/#", "+/milesight/#"),
        _looks,
        frozenset(),
    ),
)
