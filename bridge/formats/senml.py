"""SenML: packs of records in JSON and CBOR, resolved as RFC 8428 says.

A record inherits the base fields before it: name, time, unit, value, sum. Times from 2**28 s on
are absolute (4.5.3); others count from now, and then the reading has the time of its reception.
Units are those of RFC 8428, 12.1, and of RFC 8798. ``lat`` and ``lon`` of one time are a position.
The packs of the drafts before, objects with a list ``e``, are read as well. No I/O, no clock.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from bridge.errors import Malformed
from bridge.formats.binary import load_cbor
from bridge.formats.format import Format
from bridge.formats.sample import MAX_ITEMS, MAX_TEXT, Decoded, Field, Nothing, Sample, State
from bridge.formats.scalars import instant, mac_of, number, parse_json, place
from bridge.units import known

Record = Mapping[Any, Any]
ABSOLUTE = 2**28  # s: from here on a time is absolute
MAX_RECORDS = 300  # of a pack: each may be a reading of its own
_FEATURES = 0b11111  # version 10 and those before it, and secondary units (RFC 9100)
_BASE = ("bn", "bt", "bu", "bv", "bs")
_NAMES = "bs bv bu bt bn bver n u v vs vb s t ut vd"  # of the labels from -6 on
_LABELS: dict[Any, str] = dict(enumerate(_NAMES.split(), -6))
_KNOWN = frozenset(_LABELS.values())
_VALUES = frozenset({"v", "vs", "vb", "vd", "s"})
_DRAFT = {"sv": "vs", "bv": "vb"}  # fields of an entry in the drafts before the RFC
_OTHERWISE = {"C": "coulomb", "F": "farad", "H": "henry"}  # units that people mean other things by
_SUMMED = {"W": "J", "kW": "kJ", "VA": "VAs", "var": "vars", "m/s": "m"}  # unit times second
_MEASURED = (  # what a record without a name of its own is called by
    ("temperature", "Cel K"),
    ("humidity", "%RH"),
    ("battery", "%EL"),
    ("pressure", "Pa hPa"),
    ("illuminance", "lx"),
    ("voltage", "V mV"),
    ("current", "A mA"),
    ("power", "W kW"),
    ("energy", "J Wh kWh"),
    ("frequency", "Hz"),
    ("conductivity", "S/m"),
    ("ph", "pH"),
)
_MEASURES = {unit: name for name, units in _MEASURED for unit in units.split()}
_URN = re.compile(
    r"(urn:(?:dev:[a-z]+:[^:/_]+|uuid:[0-9a-f-]{36}))[:/_]*(.*)", re.DOTALL | re.IGNORECASE
).fullmatch
_KIND_OF_URN = re.compile(r"urn:(?:dev:(?:[a-z]+:)?|uuid:)?", re.IGNORECASE).fullmatch
_BETWEEN = re.compile("[:/]+")
_EDGES = ":/._-#"
_HEAD, _SOME = 1000, re.compile(rb'"(?:bn|bt|bu|bv|n|v)"').search  # bytes in which one stands
_PACK = re.compile(rb"[\x81-\x97\x9f]|\x98.|\x99..", re.DOTALL).match  # a list, in CBOR; then ...
_RECORD = re.compile(rb"[\xa1-\xb7\xbf][\0-\x08\x20-\x25\x61-\x64]").match  # ... a record
_ENTRIES = re.compile(rb'"e"\s*:\s*\[\s*\{').search
_EMPTY = "a pack without a value"


class _Name(NamedTuple):
    """Whose value it is, and what it is called."""

    device: str
    channel: str


def decode_json(topic: str, payload: bytes) -> Decoded:
    """The samples of a pack in JSON (RFC 8428, 5), or of a pack of the drafts."""
    pack = parse_json(payload)
    return _samples(_of_draft(pack) if isinstance(pack, dict) else pack)


def decode_cbor(topic: str, payload: bytes) -> Decoded:
    """The samples of a pack in CBOR, whose labels are numbers (RFC 8428, 6)."""
    pack = load_cbor(payload)
    return _samples([_labelled(r) for r in pack] if isinstance(pack, list) else pack)


def _labelled(record: Any) -> Any:
    if not isinstance(record, dict):
        return record
    return {_LABELS.get(k, k if isinstance(k, str) else "?"): v for k, v in record.items()}


def _of_draft(pack: dict[str, Any]) -> Any:
    entries = pack.get("e")
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise Malformed("e", "a list of entries", type(entries).__name__)
    base = {key: pack[key] for key in ("bn", "bt", "bu") if key in pack}
    return [base, *({_DRAFT.get(key, key): one[key] for key in one} for one in entries)]


def _bounded_pack(pack: list[Any]) -> None:
    if len(pack) > MAX_RECORDS:
        raise Malformed("payload", f"at most {MAX_RECORDS} records", f"{len(pack)}")
    if sum(len(record) for record in pack if isinstance(record, dict)) > 3 * MAX_ITEMS:
        raise Malformed("payload", f"at most {3 * MAX_ITEMS} fields", "more")


def _samples(pack: Any) -> Decoded:
    if not isinstance(pack, list):
        raise Malformed("payload", "a list of records", type(pack).__name__)
    _bounded_pack(pack)
    samples: dict[tuple[str, int | None], Sample] = {}
    spots: dict[tuple[str, int | None], dict[str, float]] = {}
    base: dict[str, Any] = {}
    for at, record in enumerate(pack):
        if not isinstance(record, dict):
            raise Malformed(str(at), "a record", type(record).__name__)
        base.update([(key, record[key]) for key in _BASE if key in record])
        unit = _text(at, "u", record["u"]) if "u" in record else _text(at, "bu", base.get("bu"))
        name, time = _name(at, base, record, unit), _time(at, base, record)
        key = (name.device, time)
        sample = samples.get(key)
        if sample is None:
            sample = samples[key] = Sample(device=name.device, time=time)
        _understood(at, record, sample)
        if unit in ("lat", "lon") and "v" in record:
            _coordinate(sample, spots.setdefault(key, {}), unit, (at, base, record))
        else:
            _take(sample, Field(f"{at}.{name.channel or 'v'}", name.channel, unit), base, record)
    for key, spot in spots.items():
        samples[key].position = place(spot.get("lat"), spot.get("lon"))
    found = [s for s in samples.values() if s.fields or s.states or s.position]
    notes = [note for sample in samples.values() for note in sample.notes[:MAX_TEXT]]
    return found or Nothing(_EMPTY, tuple(notes[:MAX_TEXT]))


def _take(sample: Sample, field: Field, base: Record, record: Record) -> None:
    """What a record says: one value, or the sum of values over time, or both."""
    path, name, unit = field
    at = int(path.partition(".")[0])
    if "v" in record:
        value = _value(at, "v", base, record)
        if value is None:
            sample.notes.append((path, "null: the channel is missing"))
        else:
            sample.number(Field(path, name, _OTHERWISE.get(unit, unit)), value)
    elif "vb" in record:
        if not isinstance(record["vb"], bool):
            raise Malformed(f"{at}.vb", "true or false", repr(record["vb"])[:40])
        sample.number(Field(path, name), int(record["vb"]))
    elif "vs" in record:
        _word(sample, State(path, name, _text(at, "vs", record["vs"])))
    elif "vd" in record:
        sample.notes.append((path, "bytes are no measurement"))
    if "s" in record and (total := _value(at, "s", base, record)) is not None:
        summed = unit and _SUMMED.get(unit, f"{unit}.s")
        sample.number(Field(f"{path}.sum", f"{name}.sum" if name else "sum", summed), total)


def _word(sample: Sample, state: State) -> None:
    if 0 < len(state.word) <= MAX_TEXT:
        sample.states.append(state)
    else:
        sample.notes.append((state.path, f"a text of 1 to {MAX_TEXT} characters is a state"))


def _coordinate(
    sample: Sample, spot: dict[str, float], unit: str, where: tuple[int, Record, Record]
) -> None:
    value = _value(where[0], "v", *where[1:])
    note = "another position" if unit in spot else "the position"
    if value is not None:
        spot.setdefault(unit, value)
    sample.notes.append((f"{where[0]}.{unit}", note))


def _understood(at: int, record: Record, sample: Sample) -> None:
    """Refuse what must be understood and is not (RFC 8428, 4.4); the rest is left out."""
    for key in record.keys() - _KNOWN:
        if key.endswith("_"):
            where = f"{at}.{key[:40]}"
            raise Malformed(where, "a field that is understood (RFC 8428, 4.4)", "another")
        sample.notes.append((f"{at}.{key[:MAX_TEXT]}", "a field of others"))
    version = record.get("bver", 0)
    if type(version) is not int or not 0 <= version <= _FEATURES:
        what = f"a version of at most {_FEATURES} (RFC 9100)"
        raise Malformed(f"{at}.bver", what, repr(version)[:40])


def _name(at: int, base: Record, record: Record, unit: str) -> _Name:
    start, own = _text(at, "bn", base.get("bn")), _text(at, "n", record.get("n"))
    whole = start + own
    if len(whole) > MAX_TEXT:
        raise Malformed(f"{at}.n", f"at most {MAX_TEXT} characters", f"{len(whole)}")
    device, local = _split(start, own)
    local = ".".join(filter(None, _BETWEEN.split(local.strip(_EDGES))))
    if not local:
        called = _BETWEEN.split(whole.strip(_EDGES))[-1].replace(".", "-")
        local = ".".join(filter(None, (_MEASURES.get(unit), called)))
    return _Name(device, local)


def _split(start: str, own: str) -> tuple[str, str]:
    """Device and channel of a full name; without a channel it is all the device's.

    >>> _split("urn:dev:ow:10e2:", "temp"), _split("", "urn:dev:ow:10e2:temp")
    (('urn:dev:ow:10e2', 'temp'), ('urn:dev:ow:10e2', 'temp'))
    """
    whole = start + own
    if whole.startswith("/"):  # a path within the device, as in LwM2M
        return "", whole
    if start and own and not _KIND_OF_URN(start):
        return start.rstrip(_EDGES) or start, own
    urn = _URN(whole)
    if urn:
        return urn[1], urn[2]
    head, _, tail = whole.rpartition("/" if "/" in whole else ":")
    if mac_of(whole) or (start and not known(tail)):
        return whole.rstrip(_EDGES) or whole, ""
    return head, tail


def _time(at: int, base: Record, record: Record) -> int | None:
    total = _seconds(at, "bt", base.get("bt")) + _seconds(at, "t", record.get("t"))
    return instant(format(total, "f")) if total >= ABSOLUTE else None


def _seconds(at: int, key: str, sent: Any) -> Decimal:
    if sent is None:
        return Decimal(0)
    if number(sent) is None or isinstance(sent, bool):
        raise Malformed(f"{at}.{key}", "a time in s", repr(sent)[:40])
    return Decimal(sent) if type(sent) is int else Decimal(str(sent).strip())


def _value(at: int, key: str, base: Record, record: Record) -> float | None:
    total: float = 0
    for name, sent in ((f"b{key}", base.get(f"b{key}", 0)), (key, record[key])):
        value = number(sent)
        if sent is None:
            return None
        if value is None:
            raise Malformed(f"{at}.{name}", "a number", repr(sent)[:40])
        total += value
    if not math.isfinite(total):
        raise Malformed(f"{at}.{key}", "a finite number", repr(total))
    return total


def _text(at: int, key: str, sent: Any) -> str:
    if sent is None:
        return ""
    if not isinstance(sent, str):
        raise Malformed(f"{at}.{key}", "a text", repr(sent)[:40])
    return sent.strip()


def _is_pack(pack: Any) -> bool:
    """Whether the first record has the fields of SenML and of nothing else."""
    first = pack[0] if isinstance(pack, list) and pack and isinstance(pack[0], dict) else {}
    if "bn" in first:  # other fields are to be ignored (RFC 8428, 4.4)
        return True
    plain = isinstance(first.get("v"), (int, float))
    marks = first.keys() & {"bt", "bu", "bv"} or ("n" in first and first.keys() & _VALUES) or plain
    return bool(marks) and all(key in _KNOWN or key.endswith("_") for key in first)


def _looks_json(payload: bytes) -> bool:
    head = payload[:_HEAD]
    if head.lstrip()[:1] != b"[" or not _SOME(head):
        return False
    try:
        return _is_pack(parse_json(payload))
    except Malformed:
        return False


def _looks_cbor(payload: bytes) -> bool:
    opens = _PACK(payload)
    if not opens or not _RECORD(payload, opens.end()):
        return False
    try:
        pack = load_cbor(payload)
    except Malformed:
        return False
    if not isinstance(pack, list) or not all(isinstance(record, dict) for record in pack):
        return False
    labels = {label for record in pack for label in record}
    strange = [label for label in labels if not isinstance(label, str) and label not in _LABELS]
    return not strange and _is_pack([_labelled(record) for record in pack])


_WHY = "the first record is one of SenML"
FORMATS: tuple[Format, ...] = (
    Format("senml_json", _WHY, decode_json, shape=_looks_json, marks=frozenset()),
    Format(
        "senml_json",
        "the payload has a base name and entries",
        decode_json,
        shape=_ENTRIES,
        marks=frozenset({"bn", "e"}),
    ),
    Format("senml_cbor", f"{_WHY} in CBOR", decode_cbor, shape=_looks_cbor, marks=frozenset()),
)
