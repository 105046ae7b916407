"""SenML: packs of records in JSON and CBOR, resolved as RFC 8428 says.

A record inherits the base fields before it: name, time, unit, value, sum. Times from 2**28 on are
absolute (4.5.3); others count from now, and then the reading has the time of its reception. Units
are those of RFC 8428 section 12.1 and of RFC 8798. ``lat`` and ``lon`` of one time are a position.
"""

import math
from decimal import Decimal
from typing import Any

from bridge.contracts import MICROS
from bridge.errors import Malformed
from bridge.formats.binary import load_cbor
from bridge.formats.format import Format
from bridge.formats.sample import (
    MAX_ITEMS,
    MAX_TEXT,
    Decoded,
    Field,
    Nothing,
    Sample,
    State,
)
from bridge.formats.scalars import describe, parse_json, place

Record = dict[str, Any]
ABSOLUTE = 2**28  # s: from here on a time is absolute
_LABELS = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
_VALUES = frozenset({"v", "vs", "vb", "vd", "s"})
_KNOWN = frozenset(_LABELS.values())
_OTHERWISE = {"C": "coulomb", "F": "farad", "H": "henry"}  # units that people mean other things by
_HEAD, _SOME = 1000, (b'"bn"', b'"bt"', b'"bu"', b'"n"')  # bytes in which one of them stands
_EMPTY = Nothing("a pack without a value")


def decode_json(topic: str, payload: bytes) -> Decoded:
    """The samples of a pack in JSON (RFC 8428, 5)."""
    return _samples(parse_json(payload))


def decode_cbor(topic: str, payload: bytes) -> Decoded:
    """The samples of a pack in CBOR, whose labels are numbers (RFC 8428, 6)."""
    pack = load_cbor(payload)
    if not isinstance(pack, list) or len(pack) > MAX_ITEMS:
        raise Malformed("payload", "a list of records", describe(payload))
    return _samples(
        [{_LABELS.get(k, str(k)): v for k, v in r.items()} for r in pack if isinstance(r, dict)]
    )


def _samples(pack: Any) -> Decoded:
    if not isinstance(pack, list) or len(pack) > MAX_ITEMS:
        raise Malformed("payload", f"a list of at most {MAX_ITEMS} records", type(pack).__name__)
    samples: dict[tuple[str, int | None], Sample] = {}
    spots: dict[tuple[str, int | None], dict[str, object]] = {}
    base: Record = {}
    for at, record in enumerate(pack):
        if not isinstance(record, dict):
            raise Malformed(str(at), "a record", type(record).__name__)
        base |= {
            key: value for key, value in record.items() if key in ("bn", "bt", "bu", "bv", "bs")
        }
        _understood(at, record)
        name, time = _name(at, base, record), _time(at, base, record)
        device, channel = _split(base, record, name)
        sample = samples.setdefault((device, time), Sample(device=device, time=time))
        unit = _text(at, "u", record.get("u", base.get("bu", "")))
        if unit in ("lat", "lon") and "v" in record:
            spots.setdefault((device, time), {})[unit] = _number(at, "v", base, record)
            sample.notes.append((f"{at}.{name}", "the position"))
        else:
            _take(sample, (at, name, channel, unit), base, record)
    for key, spot in spots.items():
        samples[key].position = place(spot.get("lat"), spot.get("lon"))
    found = [s for s in samples.values() if s.fields or s.states or s.position]
    return found or _EMPTY


def _take(sample: Sample, what: tuple[int, str, str, str], base: Record, record: Record) -> None:
    at, name, channel, unit = what
    path = f"{at}.{name}"[: 2 * MAX_TEXT]
    unit = _OTHERWISE.get(unit, unit)
    if "v" in record or (("bv" in base) and not _VALUES & record.keys()):
        sample.number(Field(path, channel, unit), _number(at, "v", base, record))
    elif isinstance(record.get("vb"), bool):
        sample.number(Field(path, channel), int(record["vb"]))
    elif isinstance(record.get("vs"), str):
        word = record["vs"].strip()
        if 0 < len(word) <= MAX_TEXT:
            sample.states.append(State(path, channel, word))
    elif "s" in record or "bs" in base:
        sample.number(Field(f"{path}.sum", f"{channel}.sum", unit), _number(at, "s", base, record))
    elif "vd" in record:
        sample.notes.append((path, "bytes are no measurement"))


def _understood(at: int, record: Record) -> None:
    for key in record:
        if key.endswith("_") and key not in _KNOWN:
            raise Malformed(
                f"{at}.{key[:40]}", "a field that is understood (RFC 8428, 4.4)", "another"
            )


def _name(at: int, base: Record, record: Record) -> str:
    name = _text(at, "bn", base.get("bn", "")) + _text(at, "n", record.get("n", ""))
    if len(name) > MAX_TEXT:
        raise Malformed(f"{at}.n", f"at most {MAX_TEXT} characters", f"{len(name)}")
    return name


def _split(base: Record, record: Record, name: str) -> tuple[str, str]:
    """Device and channel of a full name."""
    start, local = str(base.get("bn", "")), str(record.get("n", ""))
    if start and local:
        return start.rstrip(":/-._") or start, local.replace(".", "-")
    head, mark, tail = name.rpartition("/")
    if mark and head and tail:
        return head, tail.replace(".", "-")
    return name, name.rpartition(":")[2].replace(".", "-") or "value"


def _time(at: int, base: Record, record: Record) -> int | None:
    total = Decimal(0)
    for key, sent in (("bt", base.get("bt", 0)), ("t", record.get("t", 0))):
        if (
            isinstance(sent, bool)
            or not isinstance(sent, (int, float, Decimal))
            or not math.isfinite(sent)
        ):
            raise Malformed(f"{at}.{key}", "a time in s", repr(sent)[:40])
        total += Decimal(repr(sent)) if isinstance(sent, float) else Decimal(sent)
    if not ABSOLUTE <= total < 253_370_764_800:  # noqa: PLR2004  the year 9999
        return None
    return int(total * MICROS)


def _number(at: int, key: str, base: Record, record: Record) -> float:
    total: float = 0
    for sent in (base.get(f"b{key}", 0), record.get(key, 0)):
        if isinstance(sent, bool) or not isinstance(sent, (int, float, Decimal)):
            raise Malformed(f"{at}.{key}", "a number", repr(sent)[:40])
        total += float(sent) if isinstance(sent, Decimal) else sent
    if not math.isfinite(total):
        raise Malformed(f"{at}.{key}", "a finite number", repr(total))
    return total


def _text(at: int, key: str, sent: object) -> str:
    if not isinstance(sent, str):
        raise Malformed(f"{at}.{key}", "a text", repr(sent)[:40])
    return sent.strip()


def _looks_json(payload: bytes) -> bool:
    """Whether the first record has the fields of SenML and of nothing else."""
    head = payload[:_HEAD]
    if head.lstrip()[:1] != b"[" or not any(key in head for key in _SOME):
        return False
    try:
        pack = parse_json(payload)
    except Malformed:
        return False
    first = pack[0] if isinstance(pack, list) and pack and isinstance(pack[0], dict) else {}
    if "bn" in first:  # other fields are to be ignored (RFC 8428, 4.4)
        return True
    marks = first.keys() & {"bt", "bu", "bv"} or ("n" in first and first.keys() & _VALUES)
    return bool(marks) and all(key in _KNOWN or key.endswith("_") for key in first)


def _looks_cbor(payload: bytes) -> bool:
    if not payload or payload[0] not in range(0x81, 0xA0):
        return False
    try:
        pack = load_cbor(payload)
    except Malformed:
        return False
    if not isinstance(pack, list) or not pack or not all(isinstance(r, dict) for r in pack):
        return False
    return all(isinstance(k, int) and k in _LABELS for r in pack for k in r)


FORMATS: tuple[Format, ...] = (
    Format(
        "senml_json",
        "the payload is a pack of SenML",
        decode_json,
        ("#",),
        _looks_json,
        frozenset(),
    ),
    Format(
        "senml_cbor",
        "the payload is a pack of SenML in CBOR",
        decode_cbor,
        ("#",),
        _looks_cbor,
        frozenset(),
    ),
)
