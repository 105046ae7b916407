"""FIWARE: Ultralight 2.0, the JSON of its IoT agent, and NGSI entities.

Devices publish to ``/ul/APIKEY/DEVICE/attrs`` or ``/json/APIKEY/DEVICE/attrs``, older agents
without the first level, single values to ``.../attrs/NAME``; commands and configurations measure
nothing. https://fiware-iotagent-ul.readthedocs.io, https://fiware-iotagent-json.readthedocs.io,
ETSI GS CIM 009 (NGSI-LD). No I/O, no clock.
"""

import re
from collections.abc import Iterator
from typing import Any

from bridge.errors import Malformed
from bridge.formats import places
from bridge.formats.format import Format
from bridge.formats.general import identity, measured, samples_of, value_named
from bridge.formats.keys import keys_of
from bridge.formats.sample import MAX_BYTES, MAX_ITEMS, MAX_TEXT, Decoded, Nothing, Sample, bounded
from bridge.formats.scalars import describe, instant, parse_json
from bridge.formats.shape import CLEARED
from bridge.formats.words import embedded

_COMMAND = Nothing("a command, its result or a configuration is no measurement")
_TIMES = ("TimeInstant", "timestamp")  # attributes that are the time of a measure
_SPOTS = frozenset({"gps", "loc", "location", "position", "geo"})
_SLASHED = re.compile(r"\s*([+-]?\d{1,3}(?:\.\d+)?)\s*/\s*([+-]?\d{1,3}(?:\.\d+)?)\s*").fullmatch
_ORDER = re.compile(rb"\s*[^|@#\s]{1,128}@[^|@#\s]{1,128}(?:\||\s*\Z)").match
_NAMED = rb"[A-Za-z_][\w.:-]{0,63}\|[^|#\r\n]+"
_GROUP = rb"(?:\d{4}-\d\d-\d\d[T ][\d:.+-]{5,24}Z?\|)?%s(?:\|%s)*" % (_NAMED, _NAMED)
_MEASURES = re.compile(rb"\|?%s(?:#\|?%s)*\s*" % (_GROUP, _GROUP)).fullmatch
_NUMERIC = re.compile(rb"\|\s*[+-]?[0-9]+(?:\.[0-9]+)?\s*(?:[|#]|\Z)").search
_PROPERTY = re.compile(rb':\s*\{\s*"(?:type|value|metadata|observedAt|unitCode)"\s*:')
_OPENS = re.compile(rb"\s*[{\[]").match


def decode_ultralight(topic: str, payload: bytes) -> Decoded:
    """A sample for each group of ``key|value`` pairs."""
    device, kind, name = _levels(topic)
    if kind not in ("attrs", "") or _ORDER(payload):
        return _COMMAND
    if device and _OPENS(payload):
        return decode_json(topic, payload)
    text = _text(payload)
    if not text:
        return CLEARED
    if name:
        return _single(device, name, text)
    if text.count("|") + 4 * text.count("#") > 2 * MAX_ITEMS:
        raise Malformed("payload", f"at most {MAX_ITEMS} items", "more")
    groups = text.split("#")
    trees = [_group(f"group {at + 1}", group) for at, group in enumerate(groups)]
    bounded(trees)
    return measured(list(_timed(device, trees, len(groups) > 1)))


def decode_json(topic: str, payload: bytes) -> Decoded:
    """A sample for each object; its attributes are flat."""
    device, kind, name = _levels(topic)
    if kind != "attrs":
        return _COMMAND
    if not payload.strip():
        return CLEARED
    if name:
        return _single(device, name, _text(payload))
    tree = parse_json(payload)
    trees = tree if isinstance(tree, list) else [tree]
    if not all(isinstance(one, dict) for one in trees):
        raise Malformed("payload", "an object of attributes, or a list of them", describe(payload))
    bounded(trees)
    return measured(list(_timed(device, trees, isinstance(tree, list))))


def _levels(topic: str) -> tuple[str, str, str]:
    """The device, what it sends, and the name of a single attribute; "" where none is said."""
    levels = topic.removeprefix("/").split("/")
    if len(levels) > 3 and levels[0] in ("ul", "json"):  # noqa: PLR2004
        levels = levels[1:]
    kinds = ("attrs", "cmd", "cmdexe", "configuration")
    if len(levels) < 3 or levels[2] not in kinds:  # noqa: PLR2004
        return "", "", ""
    return "/".join(levels[:2]), levels[2], "/".join(levels[3:])


def _text(payload: bytes) -> str:
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    try:
        return payload.strip(b"\0 \t\r\n").decode()
    except UnicodeDecodeError:
        raise Malformed("payload", "UTF-8", describe(payload)) from None


def _single(device: str, name: str, text: str) -> Decoded:
    """One value; the topic names it."""
    value = embedded(text)
    if value is not None:
        samples = samples_of({name: value})
    else:
        samples = [Sample()]
        value_named(samples[0], name, name, _typed(text.strip('"')))
    for sample in samples:
        sample.device = device
    return measured(samples)


def _typed(text: str) -> object:
    """Values of Ultralight have no types."""
    return {"true": True, "false": False}.get(text.strip().lower(), text)


def _group(where: str, group: str) -> dict[str, Any]:
    parts = group.strip().removeprefix("|").split("|")
    tree: dict[str, Any] = {}
    if len(parts) % 2:
        if instant(parts[0], utc=True) is None:
            raise Malformed(where, "pairs key|value, behind a time or not", repr(group[:40]))
        tree[_TIMES[0]] = parts[0]
        parts = parts[1:]
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        pair = _SLASHED(value) if key.lower() in _SPOTS else None
        tree[key.strip()] = f"{pair[1]},{pair[2]}" if pair else _typed(value)
    return tree


def _timed(device: str, trees: list[dict[str, Any]], many: bool) -> Iterator[Sample]:
    """The samples of measures, each with its own time."""
    for at, tree in enumerate(trees):
        rest = {key: value for key, value in tree.items() if key != _TIMES[0]}
        where = f"{at}" if many else ""
        for sample in samples_of(rest, where):
            if _TIMES[0] in tree:
                sample.time = instant(tree[_TIMES[0]])
                note = "no absolute time" if sample.time is None else "the time"
                sample.notes.append((f"{where}.{_TIMES[0]}".strip("."), note))
            sample.device = device or sample.device
            yield sample


def decode_ngsi(topic: str, payload: bytes) -> Decoded:
    """A sample for each time in an entity; of a simplified one all there is."""
    tree = parse_json(payload)
    entities = tree["data"] if "subscriptionId" in tree and "data" in tree else tree
    bounded(tree)
    if isinstance(entities, dict):
        return measured(_entity(entities, ""))
    if not isinstance(entities, list) or not all(isinstance(one, dict) for one in entities):
        raise Malformed("data", "a list of entities", describe(payload))
    return measured([s for at, one in enumerate(entities) for s in _entity(one, f"data.{at}")])


def _attributes(entity: dict[str, Any]) -> list[dict[str, Any]]:
    return [value for value in entity.values() if isinstance(value, dict) and "type" in value]


def _entity(entity: dict[str, Any], where: str) -> list[Sample]:
    if not _attributes(entity):
        return samples_of(entity, where)
    device = identity(entity.get("id"))
    default = next(filter(None, (_said(entity, key) for key in (*_TIMES, "dateObserved"))), None)
    samples: dict[int | None, Sample] = {}
    for name, sent in sorted(entity.items()):
        path = f"{where}.{name}" if where else name
        if name in ("id", "type", "@context", *_TIMES, "dateObserved"):
            continue
        many = isinstance(sent, list)
        for at, one in enumerate(sent if many else [sent]):
            time = (_observed(one) if isinstance(one, dict) else None) or default
            sample = samples.setdefault(time, Sample(device=device, time=time))
            _attribute(sample, f"{path}.{at}" if many else path, name[:MAX_TEXT], one)
    return list(samples.values())


def _said(tree: dict[str, Any], key: str) -> int | None:
    found = tree.get(key)
    return instant(found.get("value") if isinstance(found, dict) else found)


def _observed(one: dict[str, Any]) -> int | None:
    about = one.get("metadata")
    for tree in (one, about if isinstance(about, dict) else {}):
        for key in ("observedAt", *_TIMES):
            time = _said(tree, key)
            if time is not None:
                return time
    return None


def _attribute(sample: Sample, path: str, name: str, one: object) -> None:
    """A property with its value, its unit and perhaps the place it stands for."""
    if not isinstance(one, (dict, list)):
        value_named(sample, path, name, one)
    elif not isinstance(one, dict) or "value" not in one:
        sample.notes.append((path, "no property with a value"))
    elif str(one.get("type", "")).startswith("geo:point"):
        place = {"location": one["value"]}
        places.read(place, keys_of(tuple(place)), path, sample)
    elif isinstance(one["value"], (dict, list)):
        _structured(sample, path, name, one["value"])
    else:
        value_named(sample, path, name, one["value"], _unit(one))


def _unit(one: dict[str, Any]) -> str:
    about = one.get("metadata")
    unit = one.get("unitCode") or (about.get("unitCode") if isinstance(about, dict) else "")
    unit = unit.get("value") if isinstance(unit, dict) else unit
    return unit[:MAX_TEXT] if isinstance(unit, str) else ""


def _structured(sample: Sample, path: str, name: str, value: Any) -> None:
    if isinstance(value, dict) and "coordinates" in value:
        if not places.geojson(value, path, sample):
            sample.notes.append((path, "an area or a line is no position"))
        return
    for inner in samples_of({name: value}):
        sample.fields += [one._replace(path=f"{path}.{one.path}") for one in inner.fields]
        sample.values += inner.values
        sample.states += [one._replace(path=f"{path}.{one.path}") for one in inner.states]
        sample.position = sample.position or inner.position


def _measures(payload: bytes) -> bool:
    return bool(_MEASURES(payload)) and bool(_NUMERIC(payload))


def _is_entity(payload: bytes) -> bool:
    """Whether there are attributes with a type and a value, as no other JSON has them."""
    marked = any(mark in payload for mark in (b'"Property"', b'"GeoProperty"', b'"metadata"'))
    return marked and b'"value"' in payload and _PROPERTY.search(payload) is not None


def _at(root: str) -> tuple[str, ...]:
    kinds = ("attrs", "attrs/+", "cmd", "cmdexe", "configuration/#")
    return tuple([f"{root}/+/+/{kind}" for kind in kinds])


_UL, _JSON = "the topic is one of FIWARE's Ultralight agent", "the topic is one of FIWARE's agent"
FORMATS: tuple[Format, ...] = (
    Format("fiware_ul20", _UL, decode_ultralight, (*_at("/ul"), *_at("ul"))),
    Format("fiware_json", f"{_JSON} for JSON", decode_json, (*_at("/json"), *_at("json"))),
    Format("fiware_json", f"{_JSON}, and the payload JSON", decode_json, _at(""), _OPENS),
    Format("fiware_ul20", _UL, decode_ultralight, _at("")),
    Format(
        "fiware_ul20",
        "the payload is pairs key|value, as Ultralight 2.0 has them",
        decode_ultralight,
        shape=_measures,
        marks=frozenset(),
    ),
    Format(
        "ngsi",
        "the payload is NGSI entities in a notification",
        decode_ngsi,
        shape=re.compile(rb'"data"\s*:\s*\[').search,
        marks=frozenset({"subscriptionId", "data"}),
    ),
    Format(
        "ngsi",
        "the payload is an NGSI entity",
        decode_ngsi,
        shape=_is_entity,
        marks=frozenset({"id", "type"}),
    ),
)
