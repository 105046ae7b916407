"""Avro schemas: where a writer's record holds what a reader asks for. No I/O.

The schemas are parsed: names are full. Avro 1.12, "Schema Resolution", as far as columns need it:
fields by name or by the reader's alias, numbers to wider ones, strings and bytes to each other,
the reader's defaults. What no column asks for is not compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bridge.errors import Malformed
from ml.decoders.column import Column
from ml.decoders.fields import MISSING, Field

Type = Any  # a schema or a part of one, as JSON has it
_WIDER = {
    "int": ("int", "long", "float", "double"),
    "long": ("long", "float", "double"),
    "float": ("float", "double"),
    "string": ("string", "bytes"),
    "bytes": ("bytes", "string"),
}
_DTYPES = {"int": "int32", "long": "int64", "float": "float32", "double": "float64"} | {
    "boolean": "bool",
    **dict.fromkeys(("string", "bytes", "enum", "fixed"), "string"),
}
_SERVES = {"int": ("int", "float"), "long": ("int", "float")} | {
    "float": ("float",),
    "double": ("float",),
    "boolean": ("bool",),
    **dict.fromkeys(("string", "bytes", "enum", "fixed"), ("string",)),
    "union": ("int", "float", "bool", "string"),  # what it is shows in each record
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """What stands at the end of a path."""

    kind: str  # an Avro type; union: of several that are not null
    array: bool = False
    symbols: tuple[str | None, ...] = ()  # of an enum; None: one that the reader does not know

    def __str__(self) -> str:
        return f"an array, {self.kind} each" if self.array else f"Avro's {self.kind}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a writer's records hold a column's values."""

    path: tuple[str, ...]
    leaf: Leaf | None  # None: nowhere, and the column's default stands for it


@dataclass(frozen=True, slots=True)
class Schema:
    """A parsed schema."""

    root: Type
    names: dict[str, Type] = field(default_factory=dict)

    def look(self, type_: Type) -> Type:
        """A type behind its name, and a primitive as a plain word."""
        while isinstance(type_, str) and type_ in self.names:
            type_ = self.names[type_]
        if isinstance(type_, dict) and not {"fields", "symbols", "size", "items", "values"} & set(
            type_
        ):
            logical = type_.get("logicalType") == "decimal"
            return "decimal" if logical else self.look(type_["type"])
        return type_

    def some(self, type_: Type) -> tuple[Type, bool]:
        """A type but for null, and whether it may be null."""
        type_ = self.look(type_)
        if not isinstance(type_, list):
            return type_, False
        others = [branch for branch in type_ if self.look(branch) != "null"]
        nullable = len(others) < len(type_)
        return (self.look(others[0]) if len(others) == 1 else others), nullable

    def leaf(self, type_: Type) -> Leaf:
        """What columns can be made of a type."""
        plain = self.some(type_)[0]
        if isinstance(plain, dict) and plain["type"] == "array":
            inner = self.leaf(plain["items"])
            return Leaf("array" if inner.array else inner.kind, True, inner.symbols)
        if isinstance(plain, list):
            kinds = {self.leaf(branch).kind for branch in plain}
            return Leaf("union" if kinds <= _DTYPES.keys() else "union of more than scalars")
        if isinstance(plain, str):
            return Leaf(plain)
        decimal = plain.get("logicalType") == "decimal"
        return Leaf("decimal" if decimal else plain["type"], False, tuple(plain.get("symbols", ())))


def member(record: Type, name: str, aliases: Sequence[str] = ()) -> Type | None:
    """The field of a record with the name, or with one of the others that it may have."""
    if not isinstance(record, dict) or record["type"] not in ("record", "error"):
        return None
    by_name = {said["name"]: said for said in record["fields"]}
    found = [by_name[some] for some in (name, *aliases) if some in by_name]
    return found[0] if found else None


def fields_of(schema: Schema) -> dict[str, Field]:
    """Every scalar of the record and every array of them; those of inner records by their path."""
    return dict(_fields(schema, schema.root, "", (schema.root["name"],)))


def _fields(
    schema: Schema, type_: Type, above: str, inside: tuple[str, ...]
) -> Iterator[tuple[str, Field]]:
    record = schema.some(type_)[0]
    for said in record["fields"]:
        path = f"{above}{said['name']}"
        plain = schema.some(said["type"])[0]
        if isinstance(plain, dict) and plain["type"] == "record":
            if plain["name"] not in inside:
                yield from _fields(schema, plain, f"{path}.", (*inside, plain["name"]))
            continue
        leaf = schema.leaf(said["type"])
        if leaf.kind in _DTYPES:
            yield path, Field(_DTYPES[leaf.kind], path, (None,) if leaf.array else ())


def default(schema: Schema, path: Sequence[str]) -> object:
    """What the schema says that a place holds where nothing was written; `MISSING`: nothing."""
    type_, said = schema.root, MISSING
    for name in path:
        found = member(schema.some(type_)[0], name)
        if found is None:
            return MISSING
        type_ = found["type"]
        inner = said.get(name, MISSING) if isinstance(said, dict) else MISSING
        said = inner if inner is not MISSING else found.get("default", MISSING)
    if schema.leaf(type_).kind in ("bytes", "fixed") and isinstance(said, str):
        return said.encode("latin-1")
    return MISSING if said is None else said


def source(writer: Schema, reader: Schema | None, column: Column) -> Source:
    """Where the writer's records hold a column's values.

    Raises:
        Malformed: they hold it nowhere, or as what is no column of this type.
    """
    theirs, ours, nullable = writer.root, reader.root if reader else None, reader is None
    found: list[str] = []
    for name in column.path:
        record = writer.some(theirs)[0]
        asked = member(reader.some(ours)[0], name) if reader else None
        said = member(record, name, (asked or {}).get("aliases", ()))
        ours = asked["type"] if asked else None
        nullable = nullable or bool(reader and asked and reader.some(ours)[1])
        if said is None:
            return _absent(column, nullable)
        found.append(said["name"])
        theirs = said["type"]
    leaf = writer.leaf(theirs)
    if reader and ours is not None:
        leaf = _resolved(column, leaf, reader.leaf(ours))
    check(column, leaf)
    return Source(tuple(found), leaf)


def _absent(column: Column, nullable: bool) -> Source:
    if column.absent() is MISSING or (column.default is MISSING and not nullable):
        said = "a schema of the writer's that lacks it"
        raise Malformed(column.where, "a field of the schema, or a default", said)
    return Source((), None)


def _resolved(column: Column, theirs: Leaf, ours: Leaf) -> Leaf:
    if "union" not in (theirs.kind, ours.kind):
        wider = _WIDER.get(theirs.kind, (theirs.kind,))
        if ours.kind not in wider or theirs.array != ours.array:
            said = f"{theirs} in the writer's schema"
            raise Malformed(column.where, f"{ours}, or what can be read so", said)
    if not (theirs.symbols and ours.symbols):
        return theirs
    known = tuple(symbol if symbol in ours.symbols else None for symbol in theirs.symbols)
    return Leaf(theirs.kind, theirs.array, known)


def check(column: Column, leaf: Leaf) -> None:
    """Whether a column of this type can be made of it.

    Raises:
        Malformed: it cannot.
    """
    if leaf.kind not in _SERVES:
        raise Malformed(column.where, "a scalar, or an array of scalars", str(leaf))
    if leaf.array != (column.size is not None) and leaf.kind != "union":
        said = "a shape (n,) or (None,)" if leaf.array else "the shape ()"
        raise Malformed(column.where, said, f"another for {leaf}")
    if column.kind not in _SERVES[leaf.kind]:
        raise Malformed(column.where, f"a type of column for {leaf}", column.dtype.name)


def raw(type_: Type) -> Type:
    """The same bytes, with no text that is checked for UTF-8 and no logical types."""
    if isinstance(type_, list):
        return [raw(branch) for branch in type_]
    if not isinstance(type_, dict):
        return "bytes" if type_ == "string" else type_
    if type_["type"] in ("enum", "fixed"):
        return {k: v for k, v in type_.items() if k in ("type", "name", "size", "symbols")}
    return _raw_inside(type_)


def _raw_inside(type_: Type) -> Type:
    match type_["type"]:
        case "record" | "error":
            fields = [{"name": f["name"], "type": raw(f["type"])} for f in type_["fields"]]
            return {"type": "record", "name": type_["name"], "fields": fields}
        case "array":
            return {"type": "array", "items": raw(type_["items"])}
        case "map":  # an array of pairs: the keys of a map would be checked
            fields = [
                {"name": "key", "type": "bytes"},
                {"name": "is", "type": raw(type_["values"])},
            ]
            pair = {"type": "record", "name": f"haltere.pair{next(_PAIRS)}", "fields": fields}
            return {"type": "array", "items": pair}
    return raw(type_["type"])


_PAIRS = count()  # their names differ
