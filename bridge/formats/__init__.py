"""The table of formats, and which of them reads a message: the first that matches, alone.

A format is a value (`bridge.formats.format`): by what topic or payload it is recognised, why, and
a function ``decode(topic, payload)`` to samples. A sample is what the message says, in its own
units; `bridge.normalise` makes readings of it. Only values in and out: no I/O, no clock.
"""

from collections.abc import Set
from functools import lru_cache

from bridge.errors import Malformed
from bridge.formats import (
    binary,
    clouds,
    delimited,
    home,
    influx,
    lorawan,
    milesight,
    nmea,
    owntracks,
    plain,
    ruuvi,
    senml,
    signalk,
    sparkplug,
    stations,
    teltonika,
    trackers,
)
from bridge.formats.format import Format, fits
from bridge.formats.sample import MAX_BYTES, MAX_TEXT
from bridge.formats.scalars import describe, parse_json

FORMATS: tuple[Format, ...] = (
    *sparkplug.FORMATS,
    *owntracks.FORMATS,
    *lorawan.FORMATS,
    *clouds.FORMATS,
    *home.FORMATS,
    *stations.FORMATS,
    *ruuvi.FORMATS,
    *signalk.FORMATS,
    *trackers.FORMATS,
    *senml.FORMATS,
    *plain.JSON,
    *nmea.FORMATS,
    *influx.FORMATS,
    *teltonika.FORMATS,
    *milesight.FORMATS,
    *binary.FORMATS,
    *delimited.FORMATS,
    *plain.VALUES,
)


_MUCH = 64  # bytes of white space that nobody sends
_BLANK = b"\0 \t\r\n\xef\xbb\xbf"


def recognise(topic: str, payload: bytes) -> Format:
    """The first format of the table that takes this topic and payload.

    Raises:
        Malformed: none does.
    """
    keys: Set[str] | None = None
    if payload[:_MUCH].isspace():  # looked at by many: once is enough
        payload = payload.lstrip()
    for known in _by_topic(topic) if len(topic) <= MAX_TEXT else _candidates(topic):
        if known.marks:
            keys = _keys(payload) if keys is None else keys
            if not known.marks <= keys:
                continue
        if known.shape is None or known.shape(payload):
            return known
    raise Malformed("payload", "a format that haltere knows", describe(payload))


def _keys(payload: bytes) -> Set[str]:
    """Those of the JSON object that a payload is; none of any other payload."""
    if payload.lstrip(_BLANK)[:1] != b"{" or len(payload) > MAX_BYTES:
        return frozenset()
    try:
        return parse_json(payload).keys()  # type: ignore[no-any-return]
    except Malformed:
        return frozenset()


def _candidates(topic: str) -> tuple[Format, ...]:
    """The formats one of whose filters matches, in the order of the table."""
    levels = topic.split("/")
    beginning = _BEGINNING.get(levels[0], _ANYWHERE)
    return tuple([f for f, some in beginning if not some or any(fits(p, levels) for p in some)])


def _begin_with(level: str) -> tuple[tuple[Format, tuple[tuple[str, ...], ...]], ...]:
    """The formats that may take a topic with this first level, and by which filters; none: any."""
    found = []
    for known in FORMATS:
        patterns = [tuple(pattern.split("/")) for pattern in known.topics]
        some = tuple([pattern for pattern in patterns if pattern[0] in ("+", level)])
        if "#" in known.topics or some:
            found.append((known, () if "#" in known.topics else some))
    return tuple(found)


_FIRST = {pattern.partition("/")[0] for known in FORMATS for pattern in known.topics}
_ANYWHERE, _BEGINNING = _begin_with("+"), {level: _begin_with(level) for level in _FIRST}
_UNMARKED = {
    level: [(known, some) for known, some in found if known.marks is None]
    for level, found in (*_BEGINNING.items(), ("+", _ANYWHERE))
}
_by_topic = lru_cache(maxsize=20_000)(_candidates)


def plain_on(topic: str) -> bool:
    """Whether a JSON object on this topic, without the marks of a format, is plain JSON."""
    levels = topic.split("/")
    for known, some in _UNMARKED.get(levels[0], _UNMARKED["+"]):
        if not some or any(fits(pattern, levels) for pattern in some):
            return known.name == "json"
    return False


def marked(keys: tuple[str, ...]) -> bool:
    """Whether a JSON object with these keys may be of a format of its own."""
    return any(known.marks and known.marks.issubset(keys) for known in FORMATS)
