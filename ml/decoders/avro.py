"""Avro values -> columns. No I/O.

The fast way walks the bodies of a batch side by side (`ml.decoders.avro_walk`); what is broken
there is decoded with fastavro on its own, which says why. Fields that no column asks for are
stepped over, not judged.
"""

import io
import json
from collections.abc import Sequence
from typing import Any

import fastavro
import fastavro.schema
import numpy as np

from bridge.errors import Malformed, Misconfigured
from ml.decoders import avro_schema, column
from ml.decoders.avro_schema import Leaf, Schema, Source
from ml.decoders.avro_walk import Walk
from ml.decoders.cells import column_of, either
from ml.decoders.column import Column, find, shown
from ml.decoders.decoder import Array, Decoded, Framing
from ml.decoders.fields import MISSING, Field, Fields, normalised
from ml.decoders.frames import Frames, Group
from ml.decoders.pieces import Pieces, Table, Ways, read

FEW = 32  # records: fastavro takes 15 us for each, a walk about 0.5 ms to begin
MANY = 1 << 62  # records: never the fast way


class AvroDecoder:
    """One Avro record in each value."""

    def __init__(self, fields: Fields | None, schema: object, framing: Framing) -> None:
        self._reader = None if schema is None else _given(schema)
        self.fields = _defaults(normalised(_fields(fields, self._reader)), self._reader)
        self._columns = column.all_of(self.fields)
        if self._reader:
            _check(self._columns, self._reader)
        elif framing.schemas is None or framing.kind in ("single", "bare"):
            remedy = "give the schema, or the registry's address"
            raise Misconfigured("schema", "an Avro schema", "none", remedy)
        mark = b"\xc3\x01" + _fingerprint(self._reader) if self._reader else b""
        self._frames = Frames(framing, mark)
        self._schemas = framing.schemas
        self._ways: dict[bytes, Ways] = {}  # by frame

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Columns of the records that fit."""
        pieces = Pieces(self._columns)
        groups, pieces.misfits = self._frames.groups(values)
        for group in groups:
            try:
                ways = self.ways(group)
            except Malformed as error:
                for row in group.rows.tolist():
                    pieces.refuse(row, error)
                continue
            read(ways, group.values, group.rows, pieces)
        return pieces.whole(len(values))

    def ways(self, group: Group) -> Ways:
        """How to decode the values behind a frame.

        Raises:
            Malformed: the registry does not know the schema, or it gives not what is asked for.
        """
        if group.frame not in self._ways:
            writer = self._writer(group.schema_id)
            self._ways[group.frame] = _Body(writer, self._reader, self._columns).ways(group.frame)
        return self._ways[group.frame]

    def _writer(self, schema_id: int | None) -> Schema:
        if schema_id is None or self._schemas is None:
            if self._reader is None:
                raise Malformed(
                    "Kafka value", "a frame 00 and an id", "none, and no schema is given"
                )
            return self._reader
        text, kind = self._schemas(schema_id)
        where = f"schema {schema_id} of the registry"
        if kind != "AVRO":
            raise Malformed(where, "an Avro schema", kind)
        try:
            return _parsed(json.loads(text))
        except ValueError as error:
            raise Malformed(where, "an Avro schema", str(error)) from None


class _Body:
    """The records of one writer's schema."""

    def __init__(self, writer: Schema, reader: Schema | None, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._sources = [avro_schema.source(writer, reader, some) for some in columns]
        self._leaves = {source.path: source.leaf for source in self._sources if source.leaf}
        self._writer = writer
        self._raw: Any = fastavro.parse_schema(avro_schema.raw(writer.root))
        self._skip = 0  # bytes of the frame

    def ways(self, frame: bytes) -> Ways:
        """For values that begin with a frame."""
        self._skip = len(frame)
        mixed = any(leaf.kind == "union" for leaf in self._leaves.values())
        if mixed:
            return Ways(self._columns, lambda _: None, self.slow, MANY)
        return Ways(self._columns, self.fast, self.slow, FEW)

    def fast(self, values: Sequence[bytes]) -> Table | None:
        """All of them side by side."""
        try:
            walk = Walk(self._writer, self._leaves, values, self._skip)
        except RecursionError:
            return None
        made = [
            column_of(some, walk.cells(source.path))
            if source.leaf
            else (_constant(some, values), None)
            for some, source in zip(self._columns, self._sources, strict=True)
        ]
        doubt = either((walk.broken, *(doubt for _, doubt in made)))
        return Table([array for array, _ in made], doubt)

    def slow(self, value: bytes) -> list[object]:
        """The cells of one.

        Raises:
            Malformed: it does not fit.
        """
        body = io.BytesIO(value)
        body.seek(self._skip)
        try:
            record = fastavro.schemaless_reader(body, self._raw, None)
        except Exception as error:  # it raises whatever the bytes lead it to
            said = "one that ends early" if isinstance(error, EOFError) else repr(error)
            raise Malformed("Kafka value", "an Avro record", said) from None
        if body.tell() < len(value):
            more = f"{len(value) - body.tell()} bytes behind it"
            raise Malformed("Kafka value", "one Avro record", more)
        return [
            some.take(_translated(some, source, record))
            for some, source in zip(self._columns, self._sources, strict=True)
        ]


def _constant(some: Column, values: Sequence[bytes]) -> Array:
    """The column of a field that the writer's schema lacks."""
    return np.repeat(some.stack([some.absent()]), len(values), axis=0)


def _translated(some: Column, source: Source, record: object) -> object:
    """What fastavro gives as a column takes it."""
    if source.leaf is None:
        return some.absent()
    value = find(record, source.path)
    if isinstance(value, list):
        return [_scalar(some, source.leaf, item) for item in value]
    return _scalar(some, source.leaf, value)


def _scalar(some: Column, leaf: Leaf, value: object) -> object:
    if leaf.kind == "string" and isinstance(value, bytes):
        try:
            value.decode()
        except UnicodeDecodeError:
            raise Malformed(some.where, "a text in UTF-8", shown(value)) from None
    if leaf.kind == "enum" and value not in (None, MISSING, *leaf.symbols):
        raise Malformed(some.where, "a symbol that the schema given knows", shown(value))
    return value


# What a user gives.


def _parsed(schema: Any) -> Schema:
    """A schema from JSON, or one that fastavro has parsed.

    Raises:
        ValueError: it is none, or its root is no record.
    """
    try:
        parsed: Any = fastavro.parse_schema(schema)
    except Exception as error:  # it raises whatever the JSON leads it to
        raise ValueError(f"{shown(schema)}: {error!r}") from None
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise ValueError(f"{shown(schema)}, which is no record")
    return Schema(parsed, parsed.get("__named_schemas", {}))


def _given(schema: object) -> Schema:
    try:
        return _parsed(json.loads(schema) if isinstance(schema, str | bytes) else schema)
    except ValueError as error:
        raise Misconfigured("schema", "an Avro schema of a record", str(error)) from None


def _fingerprint(schema: Schema) -> bytes:
    """CRC-64-AVRO of the schema in Parsing Canonical Form, little endian, 8 bytes."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema.root)
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


def _fields(fields: Fields | None, reader: Schema | None) -> Fields:
    if fields is not None:
        return fields
    if reader is None:
        remedy = "name the fields, or give a schema"
        raise Misconfigured("fields", "the fields to read", "none", remedy)
    return avro_schema.fields_of(reader)


def _defaults(fields: dict[str, Field], reader: Schema | None) -> dict[str, Field]:
    """The fields with the schema's defaults where the user gives none."""
    if reader is None:
        return fields
    return {name: _with_default(some, reader) for name, some in fields.items()}


def _with_default(some: Field, reader: Schema) -> Field:
    if some.default is not MISSING:
        return some
    said = avro_schema.default(reader, some.path.split("."))
    return Field(some.dtype, some.path, some.shape, said)


def _check(columns: Sequence[Column], reader: Schema) -> None:
    """That the schema given has the fields, of the types asked for."""
    for some in columns:
        try:
            found = avro_schema.source(reader, None, some)
        except Malformed as error:
            remedy = f"the schema gives {', '.join(avro_schema.fields_of(reader))}"
            raise Misconfigured(
                f"fields.{some.name}", error.expected, error.received, remedy
            ) from None
        if found.leaf is None:
            where = f"fields.{some.name}"
            raise Misconfigured(
                where, "a field of the schema", ".".join(some.path), _near(some, reader)
            )


def _near(some: Column, reader: Schema) -> str:
    names = list(avro_schema.fields_of(reader))
    return f"it has {', '.join(names[:20])}"
