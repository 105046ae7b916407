"""JSON values -> columns. No I/O.

The fast way joins the values to lines and has polars read them with the types that the fields
need, and it errs on a value of another type. What it would let through all the same is looked for
before (`JsonDecoder._lines`). The slow way reads each value with orjson; both take of a name that
comes twice in an object the first.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from bridge.errors import Malformed, Misconfigured
from ml.decoders import column as columns
from ml.decoders.cells import Cells, Doubt, Lists, column_of, either
from ml.decoders.column import Column, find, shown
from ml.decoders.decoder import Decoded, Framing
from ml.decoders.fields import MISSING, Field, Fields, normalised
from ml.decoders.frames import Frames
from ml.decoders.pieces import Pieces, Table, Ways, read

FEW: Final = 64  # records: polars needs 0.3 ms to begin
_BEGINNINGS = (b"{", b" ", b"\t", b"\r")  # anything else may be a compressed file to polars
_SURROGATES = (b"\\ud", b"\\uD")  # polars takes half a pair for a character
_NO_TEXT = "Static("  # as polars writes a number of more than 64 bits where a text is asked for
_SCHEMA_TYPES = {"number": "float64", "integer": "int64", "boolean": "bool", "string": "string"}

Tree = dict[str, Any]  # names to trees or to polars types


class JsonDecoder:
    """One JSON object in each value.

    >>> JsonDecoder({"t": "float32"}, None, Framing()).decode([b'{"t": 21.5}', b'{}']).columns
    {'t': array([21.5,  nan], dtype=float32)}
    """

    def __init__(self, fields: Fields | None, schema: object, framing: Framing) -> None:
        if framing.kind == "single":
            asked = "auto, registry or bare for JSON"
            raise Misconfigured("framing", asked, "single", "single-object framing is Avro's")
        self.fields = normalised(_from_schema(schema) if fields is None else fields)
        self._columns = columns.all_of(self.fields)
        self._frames = Frames(framing)
        strings = pl.Categorical(pl.Categories.random())  # as pl.String numbers would be texts
        self._exact = _schema(self._columns, {**_LEAVES, "string": strings})
        loose = {**_LEAVES, "string": strings, "int": pl.Float64(), "uint64": pl.Float64()}
        self._loose = _schema(self._columns, loose)
        self.ways = Ways(self._columns, self.fast, self.slow, FEW)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Columns of the records that fit."""
        pieces = Pieces(self._columns)
        groups, pieces.misfits = self._frames.groups(values)
        for group in groups:
            read(self.ways, group.bodies(), group.rows, pieces)
        return pieces.whole(len(values))

    def fast(self, values: Sequence[bytes]) -> Table | None:
        """All of them at once; None if one of them cannot be read so."""
        lines, doubt = _lines(values)
        if not lines.startswith(_BEGINNINGS):
            return None
        frame = _read(lines, self._exact)
        if frame is None and self._loose != self._exact:  # whole numbers written 21.0
            frame = _read(lines, self._loose)
        if frame is None or frame.height != len(values):
            return None
        found = [
            column_of(column, _cells(column, _series(frame, column.path)))
            for column in self._columns
        ]
        doubts = either((doubt, *(unsure for _, unsure in found)))
        return Table([array for array, _ in found], doubts)

    def slow(self, value: bytes) -> list[object]:
        """The cells of one.

        Raises:
            Malformed: it does not fit.
        """
        try:
            record = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Malformed("Kafka value", "JSON", f"{shown(value)}: {error}") from None
        if type(record) is not dict:
            raise Malformed("Kafka value", "a JSON object", shown(record))
        if _names(record) != value.count(b":"):  # else no name comes twice
            record = _first(value, record)
        return [column.take(find(record, column.path)) for column in self._columns]


def _lines(values: Sequence[bytes]) -> tuple[bytes, Doubt]:
    """The values one to a line, and which of them polars may misread.

    A line break is white space in JSON or wrong, and so is a carriage return.
    """
    lines = b"\n".join(values)
    if lines.count(b"\n") >= len(values):
        lines = b"\n".join([value.replace(b"\n", b"\r") for value in values])
    if not any(mark in lines for mark in _SURROGATES):
        return lines, None
    odd = [any(mark in value for mark in _SURROGATES) for value in values]
    return lines, np.asarray(odd, np.bool_)


def _read(lines: bytes, schema: dict[str, pl.DataType]) -> pl.DataFrame | None:
    try:
        return pl.read_ndjson(lines, schema=schema)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None


def _series(frame: pl.DataFrame, path: Sequence[str]) -> pl.Series:
    series = frame[path[0]]
    for name in path[1:]:
        series = series.struct.field(name)
    return series


def _cells(column: Column, series: pl.Series) -> Cells | Lists:
    if column.size is None:
        return _scalars(column, series)
    lengths = series.list.len().fill_null(0).to_numpy().astype(np.int64)
    items = _scalars(column, series.explode(empty_as_null=False, keep_nulls=False))
    return Lists(items, lengths, series.is_null().to_numpy() if series.null_count() else None)


def _scalars(column: Column, series: pl.Series) -> Cells:
    null = series.is_null().to_numpy() if series.null_count() else None
    if column.kind == "string":
        written = series.cast(pl.String)
        odd = written.str.starts_with(_NO_TEXT).fill_null(False).to_numpy()
        texts = written.cast(pl.Binary).to_list()
        values = np.empty(len(texts), object)
        values[:] = texts
        return Cells(values, null, odd)
    filled = series if null is None else series.fill_null(column.kind != "bool" and 0)
    return Cells(filled.to_numpy(), null)


def _names(record: object) -> int:
    """How many names there are in all objects of a record."""
    if isinstance(record, dict):
        return len(record) + sum(map(_names, record.values()))
    return sum(map(_names, record)) if isinstance(record, list) else 0


def _first(value: bytes, record: object) -> object:
    """The record again, of a name that comes twice with the first: as polars has it."""
    try:
        return json.loads(value, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    except RecursionError:  # deeper than Python goes, though not than orjson
        return record


# The types that polars is asked for.

_LEAVES: dict[str, pl.DataType] = {
    "float": pl.Float64(),
    "int": pl.Int64(),  # polars panics over smaller ones
    "uint64": pl.UInt64(),
    "bool": pl.Boolean(),
}


def _schema(asked: Sequence[Column], leaves: dict[str, pl.DataType]) -> dict[str, pl.DataType]:
    tree: Tree = {}
    for column in asked:
        leaf = leaves["uint64" if column.dtype == np.uint64 else column.kind]
        _plant(tree, column, leaf if column.size is None else pl.List(leaf))
    return {name: _struct(branch) for name, branch in tree.items()}


def _plant(tree: Tree, column: Column, leaf: pl.DataType) -> None:
    *branches, last = column.path
    for name in branches:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise _conflict(column)
    if tree.setdefault(last, leaf) != leaf:
        raise _conflict(column)


def _conflict(column: Column) -> Misconfigured:
    said = "two that differ, or one inside the other"
    return Misconfigured(f"fields.{column.name}", "one type for each place of a record", said)


def _struct(branch: Any) -> pl.DataType:
    if not isinstance(branch, dict):
        return branch  # type: ignore[no-any-return]
    return pl.Struct({name: _struct(some) for name, some in branch.items()})


# JSON Schema to fields.


def _from_schema(schema: object) -> dict[str, Field]:
    if not isinstance(schema, dict):
        remedy = "JSON says no types: name the fields, or give a JSON Schema"
        raise Misconfigured("fields", "the fields to read", "none", remedy)
    found = _properties(schema, "")
    if not found:
        remedy = "name the fields"
        raise Misconfigured("schema", "a JSON Schema with typed properties", shown(schema), remedy)
    return found


def _properties(schema: Mapping[str, Any], above: str) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for name, said in schema.get("properties", {}).items():
        if not isinstance(said, dict):
            continue
        path = f"{above}{name}"
        kind, default = _type(said), said.get("default", MISSING)
        if kind in _SCHEMA_TYPES:
            found[path] = Field(_SCHEMA_TYPES[kind], path, (), default)
        elif kind == "array":
            items = _SCHEMA_TYPES.get(_type(said.get("items", {})))
            found |= {path: Field(items, path, (None,), default)} if items else {}
        else:
            found |= _properties(said, f"{path}.")
    return found


def _type(said: object) -> str:
    """The one type of a property, but for null."""
    types = said.get("type", "") if isinstance(said, dict) else ""
    kinds = [kind for kind in (types if isinstance(types, list) else [types]) if kind != "null"]
    return str(kinds[0]) if len(kinds) == 1 else ""
