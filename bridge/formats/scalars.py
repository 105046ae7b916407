"""What every format reads alike: JSON, times, places, numbers. No I/O, no clock."""

import math
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from bridge.contracts import MICROS
from bridge.errors import Malformed
from bridge.formats.sample import MAX_BYTES


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
            with suppress(orjson.JSONDecodeError):
                return orjson.loads(text)
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


def instant(sent: object, utc: bool = False) -> int | None:
    """UTC microseconds of a time as sent, or None where that is not an absolute time.

    Numbers are seconds, ms, us or ns since 1970, told apart by their magnitude; text is such
    a number or ISO 8601 with a zone (``utc``: without one it is UTC). An object may hold whole
    seconds beside nanoseconds. Before 1991 clocks are not set, after 2100 it is something else.

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
        micros = _decimal_epoch(Decimal(decimal[1])) if decimal else _iso(sent.strip(), utc)
    elif isinstance(sent, dict):
        micros = _parts(sent)
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


def _iso(sent: str, utc: bool) -> int | None:
    text = sent.replace("/", "-") if sent[4:5] == "/" else sent
    for zone in (" UTC", " GMT", " Z"):
        text = text.removesuffix(zone) + "+00:00" * text.endswith(zone)
    try:
        moment = datetime.fromisoformat(text.replace("z", "Z"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        if not utc or len(text) <= _A_DAY:
            return None
        moment = moment.replace(tzinfo=UTC)
    since = moment - _1970
    return (since.days * 86400 + since.seconds) * MICROS + since.microseconds


def _parts(sent: dict[Any, Any]) -> int | None:
    """As protobuf, ROS, AWS and MongoDB write times in JSON."""
    if "$date" in sent and len(sent) == 1:
        return instant(sent["$date"]) if not isinstance(sent["$date"], dict) else None
    for whole, fraction in _SECONDS:
        seconds, nanos = sent.get(whole), sent.get(fraction, 0)
        if type(seconds) is int and type(nanos) is int and seconds < 10**11 and 0 <= nanos < 10**9:
            return seconds * MICROS + nanos // 1000
    return None


def iso(time: int) -> str:
    """UTC microseconds as ISO 8601.

    >>> iso(1585674010500000)
    '2020-03-31T17:00:10.500000Z'
    """
    return (_1970 + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")


def place(lat: Any, lon: Any) -> tuple[float, float] | None:
    """Latitude and longitude where they are on Earth; 0/0 is what receivers without a fix send.

    >>> place(52.1, "13.4"), place(0, 0), place(91, 0)
    ((52.1, 13.4), None, None)
    """
    if lat.__class__ is not float or lon.__class__ is not float:
        lat, lon = number(lat), number(lon)
        if lat is None or lon is None:
            return None
    if -90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0 and (lat or lon):  # noqa: PLR2004  deg
        return float(lat), float(lon)
    return None


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


def mac_of(text: str) -> str:
    """A MAC address in its usual spelling; "" where a text is none.

    >>> mac_of("a4c1388fc8a7"), mac_of("A4-C1-38-8F-C8-A7"), mac_of("X")
    ('A4:C1:38:8F:C8:A7', 'A4:C1:38:8F:C8:A7', '')
    """
    return ":".join(re.findall("..", re.sub("[:-]", "", text).upper())) if _MAC(text) else ""


_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}").fullmatch
_SHOWN = 40  # characters of a payload in a message, and of the longest number
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)", re.ASCII)
_A_DAY = 10  # characters of a date, which is no instant
_SECONDS = (
    ("seconds", "nanos"),
    ("_seconds", "_nanoseconds"),
    ("sec", "nanosec"),
    ("secs", "nsecs"),
    ("timeInSeconds", "offsetInNanos"),
)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = 662_688_000 * MICROS  # 1991: ticks of .NET as nanoseconds are 1990
_LATEST = 4_133_980_800 * MICROS  # 2101: a date and time as digits is 2611 in milliseconds
