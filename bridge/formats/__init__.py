"""What a format is, what every format reads alike (times, places, numbers), and the table.

A format is a value: by what topic or payload it is recognised, why, and a function
``decode(topic, payload)`` to samples. A sample is what the message says, in its own units;
`bridge.normalise` makes readings of it. The first format of the table that matches decodes,
alone. Only values in and out: no I/O, no clock.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from bridge.contracts import MICROS
from bridge.errors import Malformed, Misconfigured

MAX_BYTES = 96 * 1024  # of a payload: what can be decoded in 10 ms
MAX_ITEMS = 1000  # fields and list items of a payload, an object counting as four more
MAX_CHANNELS = 200  # numbers and words of a device at one time
MAX_DEPTH = 32  # of objects and lists in each other
MAX_TEXT = 128  # characters of a word, an identity or a path: longer ones are something else


class Field(NamedTuple):
    """What a message calls one of its numbers."""

    path: str  # in the payload; no two fields of a message share it
    name: str  # what the channel is named from; "" where the topic names it
    unit: str = ""  # as sent


class State(NamedTuple):
    """One thing that a message says in a word."""

    path: str
    name: str
    word: str


@dataclass(slots=True)
class Sample:
    """What one device measured at one time, as the message says it."""

    fields: list[Field] = field(default_factory=list)
    values: list[float] = field(default_factory=list)  # of the fields, in their units
    states: list[State] = field(default_factory=list)
    device: str = ""  # "": the topic says it
    time: int | None = None  # UTC, us; None: no absolute time is stated
    position: tuple[float, float] | None = None  # lat, lon
    notes: list[tuple[str, str]] = field(default_factory=list)  # path, what it was taken for

    def number(self, name: Field, value: float) -> None:
        """One more number."""
        self.fields.append(name)
        self.values.append(value)


def merge(samples: list[Sample]) -> list[Sample]:
    """One sample for each device and time; the first position counts."""
    merged: dict[tuple[str, int | None], Sample] = {}
    for sample in samples:
        new = Sample(device=sample.device, time=sample.time)
        one = merged.setdefault((sample.device, sample.time), new)
        one.fields.extend(sample.fields)
        one.values.extend(sample.values)
        one.states.extend(sample.states)
        one.notes.extend(sample.notes)
        one.position = one.position or sample.position
    return list(merged.values())


@dataclass(frozen=True, slots=True)
class Nothing:
    """A message that by its format's own rules carries no measurement."""

    reason: str


Decoded = list[Sample] | Nothing


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is recognised and read; `decode` raises Malformed and nothing else."""

    name: str
    why: str  # how it was recognised, for people
    decode: Callable[[str, bytes], Decoded]
    topics: tuple[str, ...] = ("#",)  # one of these MQTT filters matches ...
    shape: Callable[[bytes], object] | None = None  # ... and the payload looks like it,
    marks: frozenset[str] = frozenset()  # which a JSON object without these keys does not


def recognise(topic: str, payload: bytes) -> Format:
    """The first format of the table that takes this topic and payload."""
    for known in _by_topic(topic) if len(topic) <= MAX_TEXT else _candidates(topic):
        if known.shape is None or known.shape(payload):
            return known
    raise Malformed("payload", "a format that haltere knows", describe(payload))


def _candidates(topic: str) -> tuple[Format, ...]:
    return tuple(f for f in FORMATS if any(matches(pattern, topic) for pattern in f.topics))


def plain_on(topic: str) -> bool:
    """Whether a JSON object on this topic, without the marks of a format, is plain JSON."""
    first = next(f for f in _candidates(topic) if f.name == "json" or not f.marks)
    return first.name == "json"


def marked(keys: tuple[str, ...]) -> bool:
    """Whether a JSON object with these keys may be of a format of its own."""
    return any(not known.marks.isdisjoint(keys) for known in FORMATS)


_by_topic = lru_cache(maxsize=4096)(_candidates)


def matches(pattern: str, topic: str) -> bool:
    """Whether an MQTT filter matches a topic.

    >>> matches("owntracks/+/+/#", "owntracks/jane/phone"), matches("a/+", "a/b/c")
    (True, False)
    """
    wanted, given = pattern.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        w in ("+", g) for w, g in zip(wanted, given, strict=True)
    )


def route_pattern(topic: str) -> re.Pattern[str]:
    """A filter whose levels may be named: ``plant/{site}/{device}/+``.

    >>> route_pattern("plant/{device}/#").fullmatch("plant/7/temp")["device"]
    '7'
    """
    text = re.escape(topic).replace(r"\+", "[^/]*").replace(r"/\#", "(?:/.*)?")
    text = re.sub(r"\\\{(site|device|class)\\\}", r"(?P<\1>[^/]+)", text.replace(r"\#", ".*"))
    if r"\{" in text or r"\}" in text or "#" in topic[:-1]:
        expected = "the parts {site} {device} {class}, + and, at the end, #"
        raise Misconfigured("route.topic", expected, topic)
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise Misconfigured("route.topic", "each part named once", f"{topic} ({error})") from None


def parse_json(payload: bytes) -> Any:
    """The JSON of a payload; of a key that stands twice the last one counts.

    Raises:
        Malformed: not JSON (NaN and Infinity are not), not UTF-8, too long or too deep.
    """
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        text = payload.strip(b"\0 \t\r\n").removeprefix(b"\xef\xbb\xbf")
        if len(text) < len(payload):  # a C string's end, a byte order mark
            return parse_json(text)
        raise Malformed(
            f"payload at line {error.lineno} column {error.colno}",
            "JSON",
            f"{describe(payload)} ({error.msg})",
        ) from None


def describe(payload: bytes) -> str:
    """A payload for a message to people: its beginning and its length.

    >>> describe(b"temp=" + bytes(100))
    "b'temp=' followed by 100 NUL bytes"
    """
    text = payload.rstrip(b"\0")
    if text and len(payload) - len(text) > _SHOWN:
        return f"{describe(text)} followed by {len(payload) - len(text)} NUL bytes"
    shown = repr(payload[:_SHOWN])
    return shown if len(payload) <= _SHOWN else f"{shown}... ({len(payload)} bytes)"


def instant(sent: object) -> int | None:
    """UTC microseconds of a time as sent, or None where that is not an absolute time.

    Numbers are seconds, ms, us or ns since 1970, told apart by their magnitude; text is such
    a number or ISO 8601 with a zone. Before 1990 clocks are not set, they are reset.

    >>> instant(1585674010), instant("2020-03-31T17:00:10Z"), instant("2020-03-31T17:00:10")
    (1585674010000000, 1585674010000000, None)
    """
    micros: int | None = None
    if type(sent) is int:
        micros = _epoch(sent)
    elif type(sent) is float and math.isfinite(sent):
        micros = _decimal_epoch(Decimal(repr(sent)))
    elif isinstance(sent, str) and len(sent) <= _SHOWN:
        decimal = _NUMBER.fullmatch(sent.strip())
        micros = _decimal_epoch(Decimal(decimal[1])) if decimal else _iso(sent.strip())
    return micros if micros is not None and _EARLIEST <= micros < _LATEST else None


def _epoch(sent: int) -> int | None:
    if sent < 10**11:
        return sent * MICROS
    if sent < 10**14:
        return sent * 1000
    if sent < 10**17:
        return sent
    return sent // 1000 if sent < 10**20 else None


def _decimal_epoch(sent: Decimal) -> int | None:
    if not 0 <= sent < 10**20:
        return None
    whole = int(sent)
    scaled = _epoch(whole)
    if scaled is None or whole >= 10**14:
        return scaled
    return scaled + int((sent - whole) * (MICROS if whole < 10**11 else 1000))


def _iso(sent: str) -> int | None:
    try:
        moment = datetime.fromisoformat(sent.removesuffix(" UTC") + "+00:00" * (" UTC" in sent))
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    since = moment - _1970
    return (since.days * 86400 + since.seconds) * MICROS + since.microseconds


def iso(time: int) -> str:
    """UTC microseconds as ISO 8601.

    >>> iso(1585674010500000)
    '2020-03-31T17:00:10.500000Z'
    """
    return (_1970 + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")


def place(lat: object, lon: object) -> tuple[float, float] | None:
    """Latitude and longitude where they are on Earth; 0/0 is what receivers without a fix send.

    >>> place(52.1, "13.4"), place(0, 0), place(91, 0)
    ((52.1, 13.4), None, None)
    """
    north = lat if type(lat) is float else number(lat)
    east = lon if type(lon) is float else number(lon)
    if north is None or east is None or (north == 0 and east == 0):
        return None
    if not (-_POLE <= north <= _POLE and -2 * _POLE <= east <= 2 * _POLE):
        return None
    return float(north), float(east)


def number(sent: object) -> float | None:
    """The finite number that a JSON value is, also where it was sent as text.

    >>> number(True), number("21.5"), number("nan"), number("1_0")
    (1, 21.5, None, None)
    """
    if isinstance(sent, str):
        found = _NUMBER.fullmatch(sent.strip()) if len(sent) <= _SHOWN else None
        sent = float(found[1]) if found else None
    if isinstance(sent, (int, float)) and math.isfinite(sent):
        return int(sent) if isinstance(sent, bool) else sent
    return None


_SHOWN = 40  # characters of a payload in a message, and of the longest number
_POLE = 90  # deg
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)", re.ASCII)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = 631_152_000 * MICROS  # 1990
_LATEST = 253_370_764_800 * MICROS  # 9999

# The families need what stands above.
from bridge.formats import owntracks, plain  # noqa: E402

FORMATS: tuple[Format, ...] = (*owntracks.FORMATS, *plain.FORMATS)  # the first match wins
