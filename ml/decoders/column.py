"""One column: what fits into it, taken from Python values one at a time. No I/O.

The slow way of every decoder, and the measure of the fast ones: what `Column.take` refuses no fast
way may let through.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.errors import Malformed, Misconfigured
from ml.decoders.decoder import Array
from ml.decoders.fields import FLOATS, INTS, MISSING, Field, Missing

EXACT = 1 << 53  # up to here every whole number has its own float64
SHOWN = 60  # characters of a value in an error
_NOTHING: dict[str, object] = {"float": math.nan, "int": 0, "bool": False, "string": b""}


@dataclass(frozen=True, slots=True)
class Column:
    """A field as the decoders use it."""

    name: str
    path: tuple[str, ...]
    kind: str  # float, int, bool, string
    dtype: np.dtype[np.generic]
    size: int | None  # None: a scalar; -1: an array of any length; else an array of so many
    default: object = MISSING  # a cell, or for an array a list of cells

    @property
    def where(self) -> str:
        """As errors name it."""
        return f"record field {'.'.join(self.path)}"

    @property
    def padding(self) -> object:
        """What fills an array that is too short."""
        return _NOTHING[self.kind] if self.item is MISSING else self.item

    @property
    def item(self) -> object:
        """What stands for a single null; `MISSING`: nothing does."""
        if isinstance(self.default, list):
            return MISSING
        if self.default is MISSING and self.kind == "float":
            return math.nan
        return self.default

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest that a column of whole numbers holds."""
        bits, signed = 8 * self.dtype.itemsize, self.dtype.kind == "i"
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def take(self, value: object) -> object:
        """The cell for a value of a record; None is null.

        >>> of("rpm", Field("int8")).take(21.0)
        21

        Raises:
            Malformed: it does not fit.
        """
        if self.size is None:
            return self._one(value, self.where)
        if value is None or value is MISSING:
            return self._no_array(value)
        if not isinstance(value, list):
            raise Malformed(self.where, f"an array, {_EXPECTED[self.kind]} each", shown(value))
        if self.size not in (-1, len(value)):
            raise Malformed(self.where, f"an array of {self.size}", f"one of {len(value)}")
        return [self._one(item, f"{self.where}[{n}]") for n, item in enumerate(value)]

    def stack(self, cells: Sequence[object]) -> Array:
        """The column of some cells; (rows,) or (rows, items)."""
        if self.size is None:
            return _filled(cells, self.dtype)
        width = max((len(c) for c in cells), default=0) if self.size == -1 else self.size  # type: ignore[arg-type]
        out = np.full((len(cells), width), self.padding, self.dtype)
        for row, cell in zip(out, cells, strict=True):
            row[: len(cell)] = cell  # type: ignore[arg-type]
        return out

    def absent(self) -> object:
        """The cell of what is null or missing; `MISSING` where the record then does not fit."""
        if self.size is None:
            return self.item
        if self.default is MISSING and self.kind != "float":
            return MISSING
        if isinstance(self.default, list):
            return self.default
        return [self.padding] * max(self.size, 0)

    def _no_array(self, value: object) -> object:
        cell = self.absent()
        if cell is MISSING:
            raise Malformed(self.where, f"an array, {_EXPECTED[self.kind]} each", shown(value))
        return cell

    def _one(self, value: object, where: str) -> object:
        absent = value is None or value is MISSING
        cell = self.item if absent else _TAKE[self.kind](self, value)
        if cell is not MISSING:
            return cell
        raise Malformed(where, self.expected(), shown(value))

    def expected(self) -> str:
        """What a value of it is, in words."""
        if self.kind != "int":
            return _EXPECTED[self.kind]
        low, high = self.limits
        return f"a whole number from {low} to {high}"


def of(name: str, field: Field) -> Column:
    """The column of a normalised field, its default checked.

    Raises:
        Misconfigured: the default does not fit the type.
    """
    dtype = field.dtype if isinstance(field.dtype, str) else str(field.dtype.name)
    kind = "float" if dtype in FLOATS else "int" if dtype in INTS else dtype
    numpy = np.dtype(object if dtype == "string" else dtype)
    size = None if not field.shape else -1 if field.shape[0] is None else field.shape[0]
    plain = Column(name, tuple((field.path or name).split(".")), kind, numpy, size)
    if field.default is MISSING:
        return plain
    try:
        default = _default(plain, field.default)
    except Malformed as error:
        where, remedy = f"fields.{name}.default", f"a {dtype} takes its own kind"
        raise Misconfigured(where, error.expected, error.received, remedy) from None
    return Column(name, plain.path, kind, numpy, size, default)


def _default(column: Column, said: object) -> object:
    given = said.tolist() if isinstance(said, np.ndarray | np.generic) else said
    if column.size is not None and isinstance(given, list | tuple):
        return column.take(list(given))
    if given is None:
        raise Malformed("default", column.expected(), "None")
    return column._one(given, "default")


def all_of(fields: Mapping[str, Field]) -> list[Column]:
    """The columns of normalised fields."""
    return [of(name, field) for name, field in fields.items()]


def find(record: object, path: Sequence[str]) -> object:
    """What stands at a path of a record; None where it or what it stands in is null.

    >>> find({"position": {"lat": 52.5}}, ["position", "lat"])
    52.5

    Raises:
        Malformed: the path leads into something that has no fields.
    """
    for n, name in enumerate(path):
        if record is None or record is MISSING:
            return record
        if not isinstance(record, dict):
            where = f"record field {'.'.join(path[:n])}" if n else "record"
            raise Malformed(where, "an object", shown(record))
        record = record.get(name, MISSING)
    return record


def shown(value: object) -> str:
    """A value as an error shows it: short."""
    if isinstance(value, Missing):
        return "nothing"
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _filled(cells: Sequence[object], dtype: np.dtype[np.generic]) -> Array:
    out = np.empty(len(cells), dtype)
    out[:] = cells
    return out


# What each kind takes from a Python value: a cell, or MISSING.


def _float(column: Column, value: object) -> object:
    if type(value) is not float and type(value) is not int:
        return MISSING
    try:
        number = float(value)
    except OverflowError:
        return MISSING
    if abs(number) <= 60_000 or not math.isfinite(number):  # noqa: PLR2004 every float has these
        return number
    with np.errstate(over="ignore"):
        fits = np.isfinite(np.float64(number).astype(column.dtype))
    return number if fits else MISSING


def _int(column: Column, value: object) -> object:
    if type(value) is float:
        if not value.is_integer() or abs(value) >= EXACT:
            return MISSING
        value = int(value)
    if type(value) is not int:
        return MISSING
    low, high = column.limits
    return value if low <= value <= high else MISSING


def _bool(_: Column, value: object) -> object:
    return value if type(value) is bool else MISSING


def _string(_: Column, value: object) -> object:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else MISSING


_TAKE = {"float": _float, "int": _int, "bool": _bool, "string": _string}
_EXPECTED = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a text",
}
