"""Quantities and units: one canonical unit for each quantity, and what a key says about both.

Only values in and out: no I/O, no clock. Names of units follow UCUM and SenML. A value as sent
becomes canonical by ``value * scale + offset``. `meaning` is the one door: from a name and a
unit as sent to the channel, its canonical unit, the factors and the physical range.

>>> meaning("tempF", "").channel, meaning("tempF", "").canonical
('temperature', 'Cel')
"""

import re
import sys
from dataclasses import dataclass
from functools import lru_cache

from bridge.quantity_table import BEHIND, ORDINARY, PARTS, QUALIFIERS, QUANTITIES
from bridge.unit_table import UNITS

LONGEST = 48  # characters of a key that is interpreted
WIDEST = sys.float_info.max
_RENAMED = {("battery", "V"): "battery_voltage", ("light", "lx"): "illuminance"}
_WORDS_TOO = frozenset(ORDINARY.split())
_QUALIFIABLE = frozenset(BEHIND.split())
_QUALIFIERS = frozenset(QUALIFIERS.split())
_PARTS = frozenset(PARTS.split())
_OTHERS = frozenset({"color", "colour"})  # with them a temperature is none of a thing


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as sent: which canonical unit it becomes, and how."""

    canonical: str
    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is measured, its canonical unit, the one meant where none is named, its range."""

    channel: str
    canonical: str
    default: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name and a unit as sent say about a number."""

    channel: str
    unit: str  # as sent, in the unit's place or in the name; "" where neither says
    canonical: str  # of value * scale + offset; "" unknown
    scale: float = 1.0
    offset: float = 0.0
    low: float = -WIDEST  # outside low..high no such quantity exists
    high: float = WIDEST


def _spelled() -> dict[str, Unit]:
    """Every spelling, and those that people write in keys: ``km_h`` for ``km/h``."""
    found = {t: Unit(c, float(k), float(o)) for c, k, o, many in UNITS for t in many.split()}
    for spelling, unit in list(found.items()):
        if "/" in spelling.strip("/"):
            found.setdefault(spelling.replace("/", "_"), unit)
            found.setdefault(spelling.replace("/", "_per_"), unit)
    return found


_EXACT = _spelled()
_FOLDED: dict[str, Unit] = {}
for _spelling, _unit in _EXACT.items():
    _FOLDED.setdefault(_spelling.casefold(), _unit)
del _FOLDED["uv"]  # microvolts are written uV; UV is light
_NAMES = {
    key: Quantity(channel, canonical, default, low, high)
    for channel, canonical, default, low, high, called, others in QUANTITIES
    for key in f"{called} {others}".split()
}
_CALLED = {key: row[0] for row in QUANTITIES for key in row[5].split()}  # by the channel's name
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_APART = re.compile(r"[\W_]+")
_NUMBERED = re.compile(r"(.*?[^\W\d])_?(\d{1,3})")


def unit_of(sent: str) -> Unit | None:
    """The unit that a spelling means, or None.

    >>> unit_of("km/h").canonical
    'm/s'
    """
    text = sent.strip()
    return _EXACT.get(text) or _FOLDED.get(text.replace(" ", "").casefold())


def fits(key: str, sent: str) -> bool | None:
    """Whether a unit is one of the quantity that a key names; None where it names none.

    >>> fits("temperature", "F"), fits("humidity", "F"), fits("t1", "F")
    (True, False, None)
    """
    quantity, unit = _quantity(key)[0], unit_of(sent)
    return None if quantity is None else bool(unit and unit.canonical == quantity.canonical)


def canonical_unit(sent: str) -> str:
    """The canonical unit of a unit as sent; an unknown one stays as it is.

    >>> canonical_unit("°F"), canonical_unit("widgets")
    ('Cel', 'widgets')
    """
    unit = unit_of(sent)
    return unit.canonical if unit else sent


@lru_cache(maxsize=4096)
def snake(name: str) -> str:
    """A name in snake_case, ``.`` kept between the parts of a path.

    >>> snake("outdoorTemp.Bat-V")
    'outdoor_temp.bat_v'
    """
    return ".".join(_snake_part(part) for part in name.split("."))


def squash(name: str) -> str:
    """A name without case and punctuation, for looking it up."""
    return _APART.sub("", name).lower()


def known(name: str) -> bool:
    """Whether a key names a quantity."""
    return _quantity(name)[0] is not None


@lru_cache(maxsize=8192)
def meaning(name: str, unit: str) -> Meaning:
    """What a path's last part and the unit as sent say: channel, canonical unit, factors, range.

    >>> meaning("computed.heat_index", "").channel
    'computed.heat_index'
    >>> meaning("pressure_kPa", "").scale
    1000.0
    """
    prefix, _, key = name.rpartition(".")
    quantity, channel, suffix = _quantity(key)
    if quantity is None and prefix and not suffix:
        quantity, suffix = _of_parent(prefix, key)
    path = f"{snake(prefix)}." if prefix else ""
    if unit:
        return _with_unit(quantity, path, channel if quantity else _snake_part(key), unit)
    if suffix:
        return _with_unit(quantity, path, channel, suffix)
    if quantity is None or not quantity.default:
        return Meaning(path + channel, "", "")
    return Meaning(path + channel, "", quantity.canonical, low=quantity.low, high=quantity.high)


def _of_parent(prefix: str, key: str) -> tuple[Quantity | None, str]:
    """``{"temperature": {"min": 1}}``, ``{"temp": {"C": 1}}``: what the path before says."""
    quantity, _, suffix = _quantity(prefix.rpartition(".")[2])
    unit = unit_of(key)
    if quantity and unit and unit.canonical == quantity.canonical:
        return quantity, key
    flat = key.lower()
    if quantity and (flat in _QUALIFIERS or flat in _PARTS or flat.isdecimal()):
        return quantity, suffix
    return None, ""


def _with_unit(quantity: Quantity | None, path: str, channel: str, sent: str) -> Meaning:
    unit = unit_of(sent)
    if quantity and quantity.canonical == "m/s2" and sent in ("g", "mg"):
        unit = unit_of(f"{sent}_n")  # standard gravity, not grams
    if unit is None:
        return Meaning(path + channel, sent, sent)
    if quantity and channel == quantity.channel:
        channel = _RENAMED.get((channel, unit.canonical), channel)
    if quantity is None or quantity.canonical != unit.canonical:
        return Meaning(path + channel, sent, unit.canonical, unit.scale, unit.offset)
    low, high = quantity.low, quantity.high
    return Meaning(path + channel, sent, unit.canonical, unit.scale, unit.offset, low, high)


@lru_cache(maxsize=8192)
def _quantity(key: str) -> tuple[Quantity | None, str, str]:
    """What a key measures (None: unknown), the channel's name, and the unit in the key.

    A key that is a quantity's name in another spelling gives way to it; any other stays, without
    its unit where that is converted.
    """
    exact = _NAMES.get(squash(key))
    if exact or len(key) > LONGEST:
        return exact, _called(key), ""
    head, unit = _suffix(key)
    if not unit:
        quantity = _named(key)
        return (quantity, _snake_part(key), "") if quantity else _glued(key)
    name, found = _called(head), unit_of(unit)
    if found and (found.scale, found.offset) == (1, 0) and squash(head) not in _CALLED:
        name = _snake_part(key)
    return _named(head), name, unit


def _called(key: str) -> str:
    return _CALLED.get(squash(key)) or _snake_part(key)


def _suffix(key: str) -> tuple[str, str]:
    """A key before its unit, and the unit: ``temp-C``, ``tempF``, ``pressure_kPa``."""
    for cut in _cuts(key):
        head, unit = key[:cut].rstrip("_- ("), key[cut:].strip("_- ()")
        found = unit_of(unit) if head else None
        if found and _plausible(head, unit, found):
            return head, unit
    return key, ""


def _cuts(key: str) -> list[int]:
    apart = [match.end() for match in re.finditer(r"[\s_(-]+", key)][-3:]
    return sorted({*apart, *(match.start() for match in _CAMEL.finditer(key))})[-4:]


def _plausible(head: str, spelling: str, unit: Unit) -> bool:
    quantity = _named(head)
    if quantity is not None:
        fits = quantity.canonical == unit.canonical
        return fits or (quantity.channel, unit.canonical) in _RENAMED
    return len(spelling) > 1 and spelling.lower() not in _WORDS_TOO


def _named(key: str) -> Quantity | None:
    """The quantity of a key without unit, by all its words, its last or its first ones."""
    name = _snake_part(key)
    exact = _NAMES.get(squash(key))
    if exact:
        return exact
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        return _named(numbered[1])
    words = name.split("_")
    if words[0] in _OTHERS:
        return None
    for cut in range(1, min(len(words), 6)):
        last = _NAMES.get("".join(words[cut:]))
        if last and last.channel in _QUALIFIABLE:
            return last
        first = _NAMES.get("".join(words[:-cut]))
        if first and _QUALIFIERS.issuperset(words[-cut:]):
            return first
    return None


def _glued(key: str) -> tuple[Quantity | None, str, str]:
    """``tempf``, ``windspeedmph``, ``temp1f``: a quantity and a unit that fits, written as one."""
    flat = squash(key)
    for cut in range(len(flat) - 1, max(2, len(flat) - 9), -1):
        unit = _FOLDED.get(flat[cut:])
        stem = flat[:cut].rstrip("0123456789")
        quantity = _NAMES.get(flat[:cut]) or _NAMES.get(stem) if unit else None
        if unit and quantity and quantity.canonical == unit.canonical:
            return quantity, _CALLED.get(flat[:cut], flat[:cut]), flat[cut:]
    return None, _snake_part(key), ""


def _snake_part(part: str) -> str:
    return _APART.sub("_", _CAMEL.sub("_", part)).strip("_").lower() or "_"
