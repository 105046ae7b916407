"""Signal K: what is measured on boats, as deltas and as values that the topic names.

https://signalk.org/specification: a delta has a context (whose values they are) and updates, each
with a time, a source and values by path; units are SI, and the path says which. Metadata and
notifications are no measurement. No I/O, no clock.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from bridge.errors import Malformed
from bridge.formats import plain
from bridge.formats.format import Format
from bridge.formats.general import identity, measured, value_named
from bridge.formats.sample import MAX_ITEMS, MAX_TEXT, Decoded, Field, Nothing, Sample
from bridge.formats.scalars import instant, number, parse_json, place
from bridge.formats.shape import CLEARED

# The vocabulary of the specification: what a path measures is said by its last key, by the key's
# last word or its first ones, or by the key before it
_KEYS = {
    "Hz": "revolutions",
    "": "gearRatio pulleyRatio powerFactor",
    "ratio": "stateOfCharge stateOfHealth currentLevel salinity efficiency engineLoad engineTorque"
    " trimState lift dimmingLevel fieldDrive",
    "rad/s": "rateOfTurn maxDriveRate",
    "rad": "setTrue setMagnetic magneticVariation magneticDeviation leeway roll pitch yaw"
    " tackTrue tackMagnetic deadZone backlash portLock starboardLock courseRequired",
    "m/s": "drift",
    "m": "log heave beam airHeight fromBow fromCenter fromAft rodeLength xte crossTrackError"
    " geoidalSeparation",
    "m3": "used",
    "m3/s": "rate averageRate instantaneousRate",
    "C": "dischargeSinceFull lifetimeDischarge lifetimeRecharge",
    "s": "runTime timeTo timeRemaining magneticVariationAgeOfService differentialAge",
    "J": "yieldToday yieldYesterday yieldTotal",
    "kg": "displacement",
    "K": "dewPoint",
    "VA": "apparentPower",
    "var": "reactivePower",
    "lx": "illuminance",
}
_LAST_WORDS = {
    "K": "temperature",
    "Pa": "pressure",
    "V": "voltage",
    "A": "current",
    "W": "power",
    "Hz": "frequency",
    "J": "energy",
    "ratio": "ratio humidity",
    "rad": "angle heading bearing leeway",
    "m/s": "speed",
    "m3": "volume",
    "m": "distance radius altitude depth",
    "kg/m3": "density",
}
_FIRST_WORDS = {
    "rad": "angle heading bearing direction course rudder beatangle gybeangle windangle",
    "m/s": "speed",
    "s": "timeto",
    "m": "distance height",
    "K": "temperature",
}
_BEFORE = {
    "m": "depth length draft",
    "m2": "area",
    "J": "capacity energy",
    "K": "temperature",
    "Pa": "pressure",
    "V": "voltage",
    "rad": "attitude",
}


def _turned(table: dict[str, str]) -> dict[str, str]:
    return {key: unit for unit, keys in table.items() for key in keys.split()}


_BY_KEY, _BY_LAST, _BY_FIRST, _BY_BEFORE = map(_turned, (_KEYS, _LAST_WORDS, _FIRST_WORDS, _BEFORE))
_WORD = re.compile(r"[A-Z]?[a-z0-9]+")
_IDENTITY = ("name", "mmsi", "uuid", "url", "registrations", "communication", "flag", "port")
_SELF = ("", "self", "vessels.self")
_META = Nothing("metadata and notifications are no measurement")
_COMMAND = Nothing("a request measures nothing")
_BESIDE = ("timestamp", "$source", "source", "sentence", "pgn", "meta")
_MAX_LEVELS = 8  # of a value that is an object
_LONGEST = 48  # characters of a key that is interpreted


def decode(topic: str, payload: bytes) -> Decoded:
    """The samples of a delta: one for each of its updates."""
    tree = parse_json(payload)
    updates = tree.get("updates") if isinstance(tree, dict) else None
    if not isinstance(updates, list) or not all(map(_is_update, updates)):
        return plain.decode_json(topic, payload)
    if not updates and not tree.keys() <= {"context", "updates"}:
        return plain.decode_json(topic, payload)
    context = identity(tree.get("context"))
    delta = _Delta("" if context in _SELF else context)
    for index, update in enumerate(updates):
        delta.update(index, update)
    return measured(delta.samples)


def _is_update(update: object) -> bool:
    return isinstance(update, dict) and any(
        isinstance(update.get(key), list) for key in ("values", "meta")
    )


class _Delta:
    """One pass over the updates of a delta; `samples` is what it found."""

    def __init__(self, device: str) -> None:
        self.samples: list[Sample] = []
        self._device = device
        self._paths: set[str] = set()
        self._items = 0

    def update(self, index: int, update: dict[str, Any]) -> None:
        """The values of one source at one time."""
        self._spend(4)  # an object costs more than a value
        told = update.get("source")
        before = told.get("timestamp") if isinstance(told, dict) else None  # in old versions
        time = instant(update.get("timestamp", before))
        sample = Sample(device=self._device, time=time)
        self.samples.append(sample)
        if "meta" in update:
            sample.notes.append((f"updates.{index}.meta", "metadata"))
        values = update.get("values")
        source = _source(update)
        for place_in, one in enumerate(values if isinstance(values, list) else ()):
            self._spend()
            path = one.get("path") if isinstance(one, dict) else None
            where = f"updates.{index}.values.{place_in}"
            if not isinstance(path, str) or "value" not in one or len(path) > MAX_TEXT:
                sample.notes.append((where, "no path and value"))
                continue
            for inner, value in self._leaves(path, one["value"], 0):
                _take(sample, self._named(inner, source, where), inner, value)

    def _leaves(self, path: str, value: Any, level: int) -> Iterator[tuple[str, Any]]:
        """A value, or those of the object that it is; a position stays whole."""
        if not isinstance(value, dict) or "latitude" in value or path.startswith("notifications"):
            yield path, value
            return
        for key, inner in value.items():
            self._spend()
            below = f"{path}.{key}" if path else key
            if level < _MAX_LEVELS and len(below) <= MAX_TEXT:
                yield from self._leaves(below, inner, level + 1)

    def _named(self, path: str, source: str, where: str) -> str:
        """A path of its own, also where two sources tell of the same."""
        own = f"{source}.{path}" if source else path
        if own in self._paths:
            own = f"{where}.{path}"
        self._paths.add(own)
        return own

    def _spend(self, items: int = 1) -> None:
        self._items += items
        if self._items > MAX_ITEMS:
            raise Malformed("updates", f"at most {MAX_ITEMS} values", "more")


def _source(update: dict[str, Any]) -> str:
    """What a source is called: its label, and its sentence's talker or its address."""
    source = update.get("source")
    said = source if isinstance(source, dict) else {}
    label = identity(update.get("$source")) or identity(said.get("label"))
    more = identity(said.get("src")) or identity(said.get("talker"))
    return "-".join(filter(None, (label, "" if "$source" in update else more))).replace(".", "-")


def _take(sample: Sample, where: str, path: str, value: Any) -> None:
    """One value to the sample."""
    if path.startswith("notifications"):
        sample.notes.append((where, "a notification"))
    elif path.partition(".")[0] in _IDENTITY:
        sample.notes.append((where, "who it is"))
    elif path == "navigation.position" or isinstance(value, dict):
        _take_position(sample, where, path, value)
    elif isinstance(value, list):
        sample.notes.append((where, "a list is no value"))
    else:
        value_named(sample, where, path, value, unit_of_path(path))


def _take_position(sample: Sample, where: str, path: str, value: Any) -> None:
    spot = value if isinstance(value, dict) else {}
    found = place(spot.get("latitude"), spot.get("longitude"))
    if value is None:
        sample.notes.append((where, "null: there is no fix"))
    elif path != "navigation.position":
        sample.notes.append((where, "the position of something else"))
    elif found is None:
        sample.notes.append((where, "no position on Earth"))
    else:
        sample.notes.append((where, "the position" if not sample.position else "another position"))
        sample.position = sample.position or found
        altitude = number(spot.get("altitude"))
        if altitude is not None:
            sample.number(Field(f"{where}.altitude", f"{path}.altitude", "m"), altitude)


@lru_cache(maxsize=2048)
def unit_of_path(path: str) -> str:
    """The unit of what a path of Signal K measures; "" where it has none.

    >>> unit_of_path("navigation.speedOverGround"), unit_of_path("environment.wind.angleApparent")
    ('m/s', 'rad')
    """
    *_, before, key = ("", *path.split("."))
    if key in _BY_KEY:
        return _BY_KEY[key]
    if path.startswith("tanks.") and key == "capacity":
        return "m3"
    words = [word.lower() for word in _WORD.findall(key[-_LONGEST:])] or [""]
    if "velocity" in words:
        return "m/s"
    first = _BY_FIRST.get(words[0]) or _BY_FIRST.get("".join(words[:2]))
    return _BY_LAST.get(words[-1]) or first or _BY_BEFORE.get(before, "")


def _by_topic(topic: str, payload: bytes) -> Decoded:
    """One value; the topic is its path, with ``/`` for ``.`` behind ``vessels/self``."""
    levels = topic.split("/")
    at = levels.index("vessels") + 2
    path = [level for level in levels[at:] if level]
    if path[-1:] == ["value"]:
        path.pop()
    if not path or set(path) & set(_BESIDE) or path[:1] == ["notifications"]:
        return _META
    text = payload.strip()
    if not text:
        return CLEARED
    if _looks(text):
        return decode(topic, payload)
    value: Any = parse_json(text) if text[:1] in b'{["' else text.decode("utf-8", "replace")
    time = None
    if isinstance(value, dict) and "value" in value:
        time, value = instant(value.get("timestamp")), value["value"]
    own = "/".join(levels[:at]).removeprefix("N/").removesuffix("/vessels/self")
    update = {"values": [{"path": ".".join(path), "value": _switch(value)}]}
    delta = _Delta(own)
    delta.update(0, update)
    delta.samples[0].time = time
    return measured(delta.samples)


def _switch(value: Any) -> Any:
    return {"true": 1, "false": 0}.get(value, value) if isinstance(value, str) else value


def _looks(payload: bytes) -> bool:
    found = _UPDATES(payload)
    if found is None or payload.lstrip()[:1] != b"{":
        return False
    more = payload[found.end() :]
    return more.lstrip()[:1] == b"]" or b'"values"' in more or b'"meta"' in more


_UPDATES = re.compile(rb'"updates"\s*:\s*\[').search
_OWN = ("vessels/self/#", "+/vessels/self/#", "+/+/vessels/self/#")
FORMATS: tuple[Format, ...] = (
    Format(
        "signalk",
        "the topic is a path of Signal K",
        _by_topic,
        (*_OWN, "signalk/vessels/+/#", "N/signalk/+/vessels/+/#"),
    ),
    Format(
        "signalk",
        "the topic is one of requests to Signal K",
        lambda *_: _COMMAND,
        ("R/signalk/#", "W/signalk/#"),
    ),
    Format(
        "signalk",
        "the payload has the updates of Signal K",
        decode,
        shape=_looks,
        marks=frozenset({"updates"}),
    ),
)
