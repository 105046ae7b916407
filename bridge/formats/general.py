"""JSON as people send it: a walk over any tree of objects, lists and scalars. No I/O, no clock.

Keys tell what they hold (`bridge.formats.keys`): a time, an identity, a coordinate, the
``name``, ``value`` and ``unit`` of a triple; every other number is a channel and every other word
a state. Objects nest: channels are named by their path. An object with a time of its own is a
sample of its own.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from bridge.errors import Malformed
from bridge.formats import places
from bridge.formats.keys import Keys, about_the_device, elsewhere, keys_of, remembered
from bridge.formats.sample import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    Decoded,
    Field,
    Nothing,
    Sample,
    State,
)
from bridge.formats.scalars import instant
from bridge.formats.tables import rows_of
from bridge.formats.words import embedded, read_text
from bridge.units import fits, known, unit_of

MAX_NOTES = 50  # that are told of a message without measurements
REMEMBERED = 2048  # characters of them
SMALL = 64  # keys of an object that are worth remembering
_TYPES = {
    *("float", "number", "double", "integer", "int", "string", "text", "boolean", "bool"),
    *("property", "structuredvalue", "analog", "digital", "gauge", "counter", "value", "decimal"),
    *("float32", "float64", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
}
_NO_UNITS: Mapping[str, str] = {}


class _At(NamedTuple):
    """Where in the payload something stands."""

    path: str = ""
    name: str = ""  # what its channels' names begin with
    depth: int = 0
    listed: bool = False
    about: bool = False  # it is about the device
    units: Mapping[str, str] = _NO_UNITS  # of its keys, where another object tells them

    def below(self, key: str, listed: bool = False) -> "_At":
        part = key.replace(".", "-")
        path = f"{self.path}.{part}" if self.path else part
        name = f"{self.name}.{part}" if self.name else part
        return _At(path, name, self.depth + 1, listed)


def samples_of(tree: Any, path: str = "") -> list[Sample]:
    """The samples of a tree: one for each device and time stated in it, the first of the whole.

    Args:
        tree: what `parse_json` gives, or a decoder of another notation with the same types.
        path: where the tree stands in its message; paths begin with it, names do not.

    Raises:
        Malformed: too many items, too many levels, or too long a path.
    """
    walk, top = _Walk(), _At(path)
    if isinstance(tree, dict):
        walk.top(tree, top)
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        walk.spend(len(tree), top)
        for index, item in enumerate(tree):
            walk.top(item, _At(f"{path}.{index}" if path else str(index), "", 1, True))
    else:
        walk.top({"value": tree}, top)
    return walk.samples


def measured(samples: list[Sample]) -> Decoded:
    """The samples, or why there is nothing in them."""
    if any(s.fields or s.states or s.position for s in samples):
        return samples
    notes = [note for sample in samples for note in sample.notes[:MAX_NOTES]]
    return Nothing("no number, no state and no position", tuple(sorted(notes[:MAX_NOTES])))


def identity(value: object) -> str:
    """What a value is called by, where it can be: a short text, or an integer."""
    if isinstance(value, str):
        return value.strip() if len(value) <= MAX_TEXT else ""
    return str(value) if type(value) is int and abs(value) < 2**64 else ""


class _Walk:
    """One pass over one payload; `samples` is what it found."""

    def __init__(self) -> None:
        self._large: dict[tuple[str, ...], Keys] = {}
        self.samples: list[Sample] = []
        self._items = 0
        self._top = _At()

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

    def spend(self, items: int, at: _At) -> None:
        """Count what is looked at; there is a limit to it."""
        self._items += items
        if self._items > MAX_ITEMS:
            raise Malformed(at.path[:80] or "payload", f"at most {MAX_ITEMS} items", "more")
        if at.depth > MAX_DEPTH:
            raise Malformed(at.path[:80], f"at most {MAX_DEPTH} levels", "more")
        if len(at.path) > 2 * MAX_TEXT:
            raise Malformed(f"{at.path[:80]}...", f"a path of {2 * MAX_TEXT} characters", "more")

    def _object(self, tree: dict[str, Any], at: _At, sample: Sample) -> Sample:
        """Everything in an object; gives the sample that is its own."""
        self.spend(len(tree) + 4, at)  # an object costs more than a field
        if tree.get("type") == "Feature" and isinstance(tree.get("geometry"), dict):
            return self._feature(tree, at, sample)
        keys = tuple(tree)
        short = len(keys) <= SMALL and len("".join(keys)) <= REMEMBERED
        shape = remembered(keys) if short else self._once(keys)
        rows = rows_of(tree, shape) if len(keys) <= SMALL else []
        if len(rows) == 1:
            return self._object(rows[0], at._replace(depth=at.depth + 1), sample)
        if rows:
            self._list(rows, at, sample)
            return sample
        taken: tuple[str, ...] = ()
        if shape.time or shape.device or shape.maybe or shape.foreign:
            sample, at, taken = self._own(tree, shape, at, sample)
        taken += places.read(tree, shape, at.path, sample)
        told = _NO_UNITS
        if shape.told or shape.units or at.units:
            told, read = _told(tree, shape, at, sample)
            taken += read
        ordinary = shape.ordinary
        if shape.value:
            ordinary += self._triple(tree, shape, at, sample)
        self._fields(tree, ordinary, (at, shape.simple and not at.path, taken, told), sample)
        return sample

    def _once(self, keys: tuple[str, ...]) -> Keys:
        """Many keys: remembered for this payload alone."""
        if keys not in self._large:
            self._large[keys] = keys_of(keys)
        return self._large[keys]

    def _fields(
        self,
        tree: dict[str, Any],
        fields: tuple[Field, ...],
        how: tuple[_At, bool, tuple[str, ...], Mapping[str, str]],
        sample: Sample,
    ) -> None:
        at, simple, taken, told = how
        nested: list[tuple[str, Any]] = []
        for name in fields:
            key = name[0]
            value = tree[key]
            kind = value.__class__
            if key in taken:
                continue
            if (kind is float or kind is int) and simple and not told:
                sample.fields.append(name)
                sample.values.append(value)
            elif kind is dict or kind is list:
                nested.append((key, value))
            elif kind is str and (inner := embedded(value)) is not None:
                nested.append((key, inner))
            else:
                _scalar(sample, at.below(key), value, told.get(key, ""))
        for key, inner in sorted(nested, key=itemgetter(0)):
            units = _texts(tree.get(f"{key}_units") or tree.get(f"{key}Units"))
            about = about_the_device(key)
            self._nested(inner, at.below(key)._replace(about=about, units=units), sample)

    def _nested(self, tree: Any, at: _At, sample: Sample) -> None:
        if isinstance(tree, list):
            self._list(tree, at, sample)
        elif places.geojson(tree, at.path, sample):
            return
        else:
            self._object(tree, at, sample)

    def _list(self, items: list[Any], at: _At, sample: Sample) -> None:
        self.spend(len(items) + 1, at)
        for index, item in enumerate(items):
            if isinstance(item, dict):
                name = identity(item.get("id")) or str(index)
                below = at.below(name, listed=True)._replace(units=at.units)
                self._object(item, below, sample)
            elif isinstance(item, list):
                self._list(item, at.below(str(index)), sample)
            else:
                _scalar(sample, at.below(str(index)), item)

    def _feature(self, tree: dict[str, Any], at: _At, sample: Sample) -> Sample:
        """GeoJSON (RFC 7946, 3.2): what is measured in the properties, where in the geometry."""
        facts = tree.get("properties")
        inner = dict(facts) if isinstance(facts, dict) else {}
        if "id" in tree:
            inner.setdefault("id", tree["id"])
        inner.pop("geometry", None)
        own = self._object(inner, at._replace(depth=at.depth + 1, about=True), sample)
        places.geojson(tree["geometry"], f"{at.path}.geometry" if at.path else "geometry", own)
        return own

    def _own(
        self, tree: dict[str, Any], shape: Keys, at: _At, sample: Sample
    ) -> tuple[Sample, _At, tuple[str, ...]]:
        """The sample that an object with a time or an identity is, and where it stands."""
        notes: list[tuple[str, str]] = []
        maybe = tuple([key for key in shape.maybe if _is_time(tree[key])])
        time = _time(tree, shape.time + maybe, notes) if shape.time or maybe else None
        device, strong = _device(tree, shape, at.about, notes) if shape.device else ("", False)
        notes += [(k, "something else than the device") for k in shape.foreign if k in _flat(tree)]
        if at is self._top:
            sample.time, sample.device = time, device
        elif elsewhere(at.path):
            pass
        elif time is not None or (at.listed and strong):
            sample = Sample(time=time, device=device if strong else "")
            self.samples.append(sample)
            at = at._replace(name="") if at.listed else at
        elif strong and not sample.device:
            sample.device = device
        prefix = f"{at.path}." if at.path else ""
        sample.notes.extend([(prefix + key, note) for key, note in notes])
        for key in sorted(shape.time + shape.device + shape.foreign):
            if isinstance(tree[key], (dict, list)) and not _is_time(tree[key]):
                below = at.below(key)._replace(about=about_the_device(key))
                self._nested(tree[key], below, sample)
        return sample, at, maybe

    def _triple(
        self, tree: dict[str, Any], shape: Keys, at: _At, sample: Sample
    ) -> tuple[Field, ...]:
        """``{name, value, unit}``, or a ``value`` named by its place or the topic; the rest."""
        key = shape.value[0]
        names = () if at.name and not at.listed and known(at.name) else shape.name
        name = next(filter(_names, (identity(tree[key]) for key in names)), "")
        if isinstance(tree[key], (dict, list)) or not (name or shape.value):
            return tuple([Field(k, k) for k in shape.name + shape.value + shape.unit])
        unit = tree[shape.unit[0]] if shape.unit else ""
        below = at.below(name or key)
        if not name:
            below = below._replace(name=at.name)
        elif at.listed:
            below = below._replace(name=name.replace(".", "-"))
        _scalar(sample, below, tree[key], unit if isinstance(unit, str) else "")
        used = [k for k in names if identity(tree[k]) == name][:1]
        rest = [k for k in shape.name if k not in used]
        return tuple([Field(k, k) for k in (*rest, *shape.value[1:], *shape.unit[1:])])


def _names(text: str) -> bool:
    """Whether a text names something: not where it is a type of data."""
    return bool(text) and text.lower() not in _TYPES


def _flat(tree: dict[str, Any]) -> list[str]:
    return [key for key, value in tree.items() if not isinstance(value, (dict, list))]


def _is_time(value: object) -> bool:
    return not isinstance(value, list) and instant(value) is not None


def _time(tree: dict[str, Any], keys: tuple[str, ...], notes: list[tuple[str, str]]) -> int | None:
    """The first absolute time; no other time is a channel."""
    stated = None
    for key in keys:
        found = instant(tree[key], utc="utc" in key.lower() or "gmt" in key.lower())
        if stated is None:
            stated = found
        notes.append((key, "no absolute time" if found is None else "the time"))
    return stated


def _device(
    tree: dict[str, Any], shape: Keys, about: bool, notes: list[tuple[str, str]]
) -> tuple[str, bool]:
    """The first identity, and whether it identifies also below the top."""
    device, strong = "", False
    for key in shape.device:
        found = identity(tree[key])
        if device or not found:
            notes.append((key, "another identity" if found else "no identity"))
        else:
            device, strong = found, about or key in shape.strong
            notes.append((key, "the device"))
    return device, strong


def _told(
    tree: dict[str, Any], shape: Keys, at: _At, sample: Sample
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Units that stand under other keys, and these keys."""
    units, read = dict(at.units), []
    for key in shape.units:
        if isinstance(tree[key], dict):
            units |= _texts(tree[key])
            read.append(key)
        elif (
            isinstance(tree[key], str)
            and not shape.value
            and (of := _measured_in(tree, shape, tree[key]))
        ):
            units |= dict.fromkeys(of, tree[key])
            sample.notes.append((at.below(key).path, f"the unit of {', '.join(of)}"[:MAX_TEXT]))
            read.append(key)
    for key, where in sorted(shape.told):
        unit = tree[where]
        if isinstance(unit, str):
            units[key] = unit[:MAX_TEXT]
        sample.notes.append((at.below(where).path, f"the unit of {key}"))
        read.append(where)
    return units, tuple(read)


def _measured_in(tree: dict[str, Any], shape: Keys, unit: str) -> list[str]:
    """Which numbers a unit beside them is meant for: those of its quantity, or the only one."""
    if len(tree) > SMALL or unit_of(unit) is None:
        return []
    plain = {field.path for field in shape.ordinary}
    numbers = [k for k, v in tree.items() if k in plain and isinstance(v, (int, float))]
    of = [key for key in numbers if fits(key, unit)]
    alone = len(numbers) == 1 and fits(numbers[0], unit) is None
    return numbers if alone else of


def _texts(units: object) -> Mapping[str, str]:
    if not isinstance(units, dict):
        return _NO_UNITS
    return {k: v[:MAX_TEXT] for k, v in units.items() if isinstance(v, str)}


def _scalar(sample: Sample, at: _At, value: object, unit: str = "") -> None:
    """A number is a field, a word a state; everything else is noted."""
    if len(at.path) > 2 * MAX_TEXT:
        sample.notes.append((f"{at.path[:40]}...", "the name is too long"))
    elif isinstance(value, (int, float)):
        sent = int(value) if isinstance(value, bool) else value
        sample.number(Field(at.path, at.name, unit[:MAX_TEXT]), sent)
    elif isinstance(value, str):
        text, found, note = read_text(value.strip())
        if text is not None:
            sample.number(Field(at.path, at.name, found or unit[:MAX_TEXT]), text)
        elif note:
            sample.notes.append((at.path, note))
        else:
            sample.states.append(State(at.path, at.name, value.strip()))
    else:
        sample.notes.append((at.path, "null: the channel is missing"))


def value_named(sample: Sample, path: str, name: str, value: object, unit: str = "") -> None:
    """One more value of a sample, whatever it is: a number, a word, or nothing."""
    _scalar(sample, _At(path, name), value, unit)
