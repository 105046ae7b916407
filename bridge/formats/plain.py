"""Plain JSON as people send it, and bare values: what no other format claims.

Keys tell what they hold: a time, an identity, a coordinate, ``name``/``value``/``unit`` of a
triple; every other number is a channel and every other word a state. Objects nest: channels
are named by their path. An object with a time of its own is a sample of its own.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from bridge.errors import Malformed
from bridge.formats import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    Decoded,
    Field,
    Format,
    Nothing,
    Sample,
    State,
    describe,
    instant,
    number,
    parse_json,
    place,
)
from bridge.units import squash, unit_of

# Keys by what they hold, the one to be preferred first; case and punctuation do not matter.
_KEYS = {
    "time": "timestamp ts tst time datetime eventtime measuredat sampletime sampledat recordedat"
    " observedat timestampms tsms timems epoch epochms unixtime unixtimestamp utc utctime utcts"
    " dateutc timestamputc createdat publishedat sentat reportedat receivedat date",
    "device": "device deviceid deviceuid devid deveui thingid nodeid node sensorid sensoruid"
    " stationid vehicleid assetid gatewayid clientid devicename serialnumber serial imei mac"
    " macaddress uuid uid id",
    "lat": "lat latitude",
    "lon": "lon lng longitude long",
    "name": "name n metric quantity measurement parameter channel key field type valuetype sensor",
    "value": "value val v reading",
    "unit": "unit units uom u unitofmeasurement",
}
_ROLES = {k: (role, i) for role, keys in _KEYS.items() for i, k in enumerate(keys.split())}
REMEMBERED = 2048  # bytes of a payload whose keys are worth remembering
_WEAK = _ROLES["uuid"][1]  # from here on a device key identifies only at the top
_ELSEWHERE = {"gateway", "gateways", "gw", "rxmetadata", "rxinfo", "target", "destination"}
_NO_VALUE = (
    " null none nil nan na n/a unknown unavailable undefined inf -inf infinity -infinity - --"
)
_MISSING = frozenset(_NO_VALUE.split(" "))
_WITH_UNIT = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(?:\s+|(?=[^\w\s.]))(\D.{0,15})")
_OPENS = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]").match
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_-]{0,31}")


class _Shape(NamedTuple):
    """The keys of an object by what they hold, the preferred one first."""

    time: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    lat: tuple[str, ...] = ()
    lon: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    value: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    ordinary: tuple[Field, ...] = ()  # path and name are the key
    strong: frozenset[str] = frozenset()  # device keys that identify also below the top
    simple: bool = True  # each key is a path as it stands


def shaped(keys: tuple[str, ...]) -> _Shape:
    """The keys of an object by what they hold."""
    found: dict[str, list[tuple[int, str]]] = {}
    for key in keys:
        role, rank = _ROLES.get(squash(key), ("ordinary", 0))
        found.setdefault(role, []).append((rank, key))
    many = {role: tuple([key for _, key in sorted(keys)]) for role, keys in found.items()}
    if not ("name" in many or squash(many.get("value", ("",))[0]) == "value"):
        many.setdefault("ordinary", ())
        many["ordinary"] += many.pop("value", ())
    if "value" not in many:
        loose = many.pop("name", ()) + many.pop("unit", ())
        many["ordinary"] = many.get("ordinary", ()) + loose
    ordinary = tuple([Field(key, key) for key in many.pop("ordinary", ())])
    strong = frozenset(key for rank, key in found.get("device", ()) if rank < _WEAK)
    simple = not any("." in key or len(key) > MAX_TEXT for key in keys)
    return _Shape(**many, ordinary=ordinary, strong=strong, simple=simple)


_remembered = lru_cache(maxsize=2048)(shaped)


class _At(NamedTuple):
    """Where in the payload an object stands."""

    path: str = ""
    name: str = ""  # what its channels' names begin with
    depth: int = 0
    listed: bool = False

    def below(self, key: str, listed: bool = False) -> "_At":
        part = key.replace(".", "-")
        path = f"{self.path}.{part}" if self.path else part
        name = f"{self.name}.{part}" if self.name else part
        return _At(path, name, self.depth + 1, listed)


_TOP = _At()


def decode_json(topic: str, payload: bytes) -> Decoded:
    """The samples of a JSON object or list: one for each device and time stated in it."""
    tree = parse_json(payload)
    walk = _Walk(_remembered if len(payload) <= REMEMBERED else lru_cache(maxsize=64)(shaped))
    if isinstance(tree, dict):
        walk.top(tree, _TOP)
    elif any(isinstance(item, dict) for item in tree):
        for index, item in enumerate(tree):
            walk.top(item, _At(str(index), "", 1, True))
    else:
        walk.top({"value": tree}, _TOP)
    if any(s.fields or s.states or s.position for s in walk.samples):
        return walk.samples
    notes = "; ".join(f"{path}: {note}" for s in walk.samples[:9] for path, note in s.notes[:3])
    return Nothing("no number, no state and no position" + (f" ({notes})" if notes else ""))


class _Walk:
    """One pass over one payload; `samples` is what it found."""

    def __init__(self, shape: Callable[[tuple[str, ...]], _Shape]) -> None:
        self._shape = shape
        self.samples: list[Sample] = []
        self._items = 0
        self._top = _TOP

    def top(self, tree: object, at: _At) -> None:
        """An object that inherits nothing; the samples in it inherit its device."""
        first = len(self.samples)
        sample = Sample()
        self.samples.append(sample)
        self._top = at
        if isinstance(tree, dict):
            self._object(tree, at, sample)
        else:
            self._list([tree], at, sample)
        if len(self.samples) == first + 1:
            return
        inner = self.samples[first + 1 :]
        for other in inner:
            other.device = other.device or sample.device
        times = {other.time for other in inner}
        if sample.time is None and len(times) == 1:
            sample.time = times.pop()

    def _object(self, tree: dict[str, Any], at: _At, sample: Sample) -> None:
        self._spend(len(tree) + 4, at)  # an object costs more than a field
        shape = self._shape(tuple(tree))
        if shape.time or shape.device:
            sample, at = self._own(tree, shape, at, sample)
        if shape.lat or shape.lon:
            _position(tree, shape, at, sample)
        ordinary = shape.ordinary
        if shape.value:
            ordinary += _triple(tree, shape, at, sample)
        simple, nested = shape.simple and not at.path, []
        for name in ordinary:
            key = name[0]
            value = tree[key]
            kind = value.__class__
            if (kind is float or kind is int) and simple:
                sample.fields.append(name)
                sample.values.append(value)
            elif kind is dict or kind is list:
                nested.append(key)
            else:
                _scalar(sample, at.below(key), value)
        nested += [k for k in shape.time + shape.device if isinstance(tree[k], (dict, list))]
        for key in sorted(nested):
            self._nested(tree[key], at.below(key), sample)

    def _nested(self, tree: Any, at: _At, sample: Sample) -> None:
        if isinstance(tree, list):
            self._list(tree, at, sample)
        elif "coordinates" in tree and tree.get("type") == "Point":
            _geojson_point(tree["coordinates"], at, sample)
        else:
            self._object(tree, at, sample)

    def _list(self, items: list[Any], at: _At, sample: Sample) -> None:
        self._spend(len(items) + 1, at)
        for index, item in enumerate(items):
            if isinstance(item, dict):
                name = _identity(item.get("id")) or str(index)
                self._object(item, at.below(name, listed=True), sample)
            elif isinstance(item, list):
                self._list(item, at.below(str(index)), sample)
            else:
                _scalar(sample, at.below(str(index)), item)

    def _own(
        self, tree: dict[str, Any], shape: _Shape, at: _At, sample: Sample
    ) -> tuple[Sample, _At]:
        """The sample that an object with a time or an identity is, and where it stands."""
        notes: list[tuple[str, str]] = []
        time = _time(tree, shape.time, notes) if shape.time else None
        device, strong = _device(tree, shape, notes) if shape.device else ("", False)
        if at is self._top:
            sample.time, sample.device = time, device
        elif time is not None or (at.listed and strong):
            sample = Sample(time=time, device=device if strong else "")
            self.samples.append(sample)
            at = at._replace(name="") if at.listed else at
        elif strong and not sample.device:
            sample.device = device
        prefix = f"{at.path}." if at.path else ""
        sample.notes.extend([(prefix + key, note) for key, note in notes])
        return sample, at

    def _spend(self, items: int, at: _At) -> None:
        self._items += items
        if self._items > MAX_ITEMS:
            raise Malformed(at.path[:80] or "payload", f"at most {MAX_ITEMS} items", "more")
        if at.depth > MAX_DEPTH:
            raise Malformed(at.path[:80], f"at most {MAX_DEPTH} levels", "more")
        if len(at.path) > 2 * MAX_TEXT:
            raise Malformed(f"{at.path[:80]}...", f"a path of {2 * MAX_TEXT} characters", "more")


def _time(tree: dict[str, Any], keys: tuple[str, ...], notes: list[tuple[str, str]]) -> int | None:
    """The first absolute time; no other time is a channel."""
    stated = None
    for key in keys:
        found = instant(tree[key])
        if stated is None:
            stated = found
        notes.append((key, "no absolute time" if found is None else "the time"))
    return stated


def _device(tree: dict[str, Any], shape: _Shape, notes: list[tuple[str, str]]) -> tuple[str, bool]:
    """The first identity, and whether it identifies also below the top."""
    device, strong = "", False
    for key in shape.device:
        found = _identity(tree[key])
        if device or not found:
            notes.append((key, "another identity" if found else "no identity"))
        else:
            device, strong = found, key in shape.strong
            notes.append((key, "the device"))
    return device, strong


def _position(tree: dict[str, Any], shape: _Shape, at: _At, sample: Sample) -> None:
    lat = tree[shape.lat[0]] if shape.lat else None
    lon = tree[shape.lon[0]] if shape.lon else None
    position, note = place(lat, lon), "the position"
    if position is None:
        note = "no position on Earth"
    elif at.path and not _ELSEWHERE.isdisjoint(squash(part) for part in at.path.split(".")):
        note = "the position of something else"
    elif sample.position is not None:
        note = "another position"
    else:
        sample.position = position
    for key in shape.lat + shape.lon:
        sample.notes.append((at.below(key).path, note))


def _triple(tree: dict[str, Any], shape: _Shape, at: _At, sample: Sample) -> tuple[Field, ...]:
    """``{name, value, unit}``, or a ``value`` named by its place or the topic; gives the rest."""
    key = shape.value[0]
    name = _identity(tree[shape.name[0]]) if shape.name else ""
    if isinstance(tree[key], (dict, list)) or not (name or squash(key) == "value"):
        return tuple([Field(k, k) for k in shape.name + shape.value + shape.unit])
    unit = tree[shape.unit[0]] if shape.unit else ""
    below = at.below(name or key)
    if not name:
        below = below._replace(name=at.name)
    elif at.listed:
        below = below._replace(name=name.replace(".", "-"))
    _scalar(sample, below, tree[key], unit if isinstance(unit, str) else "")
    rest = shape.name[bool(name) :] + shape.value[1:] + shape.unit[1:]
    return tuple([Field(k, k) for k in rest])


def _scalar(sample: Sample, at: _At, value: object, unit: str = "") -> None:
    """A number is a field, a word a state; everything else is noted."""
    if len(at.path) > 2 * MAX_TEXT:
        sample.notes.append((f"{at.path[:40]}...", "the name is too long"))
    elif isinstance(value, (int, float)):
        number = int(value) if isinstance(value, bool) else value
        sample.number(Field(at.path, at.name, unit[:MAX_TEXT]), number)
    elif isinstance(value, str):
        _text(sample, at, value.strip(), unit[:MAX_TEXT])
    else:
        sample.notes.append((at.path, "null: the channel is missing"))


def _text(sample: Sample, at: _At, text: str, unit: str) -> None:
    value, found, note = _read(text) if len(text) <= MAX_TEXT else _TOO_LONG
    if value is not None:
        sample.number(Field(at.path, at.name, found or unit), value)
    elif note:
        sample.notes.append((at.path, note))
    else:
        sample.states.append(State(at.path, at.name, text))


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[float | None, str, str]:
    """The number in a text and its unit, or why it is no state either."""
    if text.lower() in _MISSING:
        return None, "", f"{text!r}: the channel is missing"
    value = number(text)
    measured = _WITH_UNIT.fullmatch(text) if value is None else None
    if measured and unit_of(measured[2]):
        return number(measured[1]), measured[2], "" if number(measured[1]) else "no number"
    timed = value is None and text[:1].isdigit() and instant(text) is not None
    return value, "", "a time that is not the message's" if timed else ""


_TOO_LONG = (None, "", f"a text of more than {MAX_TEXT} characters is no state")


def _identity(value: object) -> str:
    """What a value is called by, where it can be: a short text, or an integer."""
    if isinstance(value, str):
        return value.strip() if len(value) <= MAX_TEXT else ""
    return str(value) if type(value) is int else ""


def _geojson_point(coordinates: Any, at: _At, sample: Sample) -> None:
    east, north, *up = coordinates if isinstance(coordinates, list) and coordinates[1:] else (0, 0)
    position = place(north, east)
    sample.notes.append((at.path, "the position" if position else "no position on Earth"))
    if position and sample.position is None:
        sample.position = position
        if up:
            _scalar(sample, at.below("altitude"), up[0], "m")


def decode_value(topic: str, payload: bytes) -> Decoded:
    """A bare number, boolean or word; the topic names it."""
    text = payload.strip(b"\0 \t\r\n")
    if not text:
        return Nothing("the payload is empty")
    if text[:1] == text[-1:] == b'"':
        text = text[1:-1].strip()
    sample = Sample()
    if len(text) <= MAX_TEXT and text.lower() not in (b"nan", b"inf", b"infinity"):
        word = text.decode("utf-8", "replace")
        switch = {"true": 1, "false": 0}.get(word.lower(), word)
        _scalar(sample, _At("payload"), switch)
        if sample.fields or (sample.states and _WORD.fullmatch(text)):
            return [sample]
        if not sample.states:
            return Nothing(f"{word!r} is no value")
    raise Malformed("payload", "JSON, a finite number, a boolean or a word", describe(payload))


FORMATS: tuple[Format, ...] = (
    Format("json", "the payload begins like a JSON object or list", decode_json, shape=_OPENS),
    Format("plain", "no other format took it: a bare value", decode_value),
)
