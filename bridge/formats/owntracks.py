"""OwnTracks: phones and trackers that tell where they are. JSON with a ``_type``.

https://owntracks.org/booklet/tech/json: ``location`` is a position with its circumstances,
``transition`` the position of entering or leaving a region; every other type (last will,
command, card, waypoint, encrypted) is no measurement. A negative vel, cog or batt is "unknown".
"""

import re
from typing import Any

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.sample import MAX_TEXT, Decoded, Field, Nothing, Sample, State
from bridge.formats.scalars import describe, instant, number, parse_json, place

_MEASURED = (  # key, channel, unit, smallest value that is one
    ("acc", "accuracy", "m", 0.0),
    ("alt", "altitude", "m", -12000.0),
    ("batt", "battery", "%", 0.0),
    ("cog", "course", "deg", 0.0),
    ("p", "pressure", "kPa", 0.0),
    ("vac", "vertical_accuracy", "m", 0.0),
    ("vel", "speed", "km/h", 0.0),
)
_WORDS = (("event", "event"), ("desc", "region"))
_TYPES = rb"beacon|card|cmd|configuration|encrypted|location|lwt|request|status|steps|transition"
_SHAPE = re.compile(rb'"_type"\s*:\s*"(?:%s|waypoints?)"' % _TYPES)


def decode(topic: str, payload: bytes) -> Decoded:
    """One sample for a location or a transition."""
    if not payload:
        return Nothing("the payload is empty: a retained message is cleared")
    message = parse_json(payload)
    if not isinstance(message, dict):
        raise Malformed("payload", "a JSON object", describe(payload))
    kind = message.get("_type")
    if not isinstance(kind, str):
        raise Malformed("_type", "the type of an OwnTracks message", repr(kind)[:80])
    if kind not in ("location", "transition"):
        return Nothing(f"_type {kind[:32]} is no measurement")
    return [_sample(topic, message)]


def _sample(topic: str, message: dict[str, Any]) -> Sample:
    if "lat" not in message or "lon" not in message:
        raise Malformed("lat" if "lat" not in message else "lon", "a number", "nothing")
    root, *parts = topic.split("/", 3)
    sample = Sample(
        device="/".join(parts[:2]) if root == "owntracks" and parts[1:] else "",
        time=instant(message.get("tst")),
        position=place(message["lat"], message["lon"]),
    )
    for key, channel, unit, smallest in _MEASURED if message["_type"] == "location" else ():
        value = number(message.get(key))
        if value is not None and value >= smallest:
            sample.number(Field(key, channel, unit), value)
        elif key in message:
            sample.notes.append((key, "unknown, says the device"))
    for key, name in _WORDS:
        if isinstance(message.get(key), str) and 0 < len(message[key]) <= MAX_TEXT:
            sample.states.append(State(key, name, message[key]))
    if sample.position is None:
        sample.notes.append(("lat, lon", "no position on Earth"))
    return sample


def _looks(payload: bytes) -> object:
    return b'"_type"' in payload and _SHAPE.search(payload)


FORMATS: tuple[Format, ...] = (
    Format("owntracks", "the topic is owntracks/USER/DEVICE", decode, ("owntracks/+/+/#",)),
    Format(
        "owntracks",
        "the payload has a _type of OwnTracks",
        decode,
        shape=_looks,
        marks=frozenset({"_type"}),
    ),
)
