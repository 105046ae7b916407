"""Avro: writers whose schema is not the reader's, and how values say which it is."""

import json
from typing import Any

import fastavro
import numpy as np
import pytest

from bridge import wire
from bridge.contracts import Reading
from bridge.errors import Malformed, Misconfigured, Unavailable
from ml.decoders import Decoded, Field, Fields, Framing, build
from ml.decoders.avro import AvroDecoder
from tests.ml.decoders.avro import decode, encode, of, reading, record, told

NAN = float("nan")
READING = wire.SCHEMAS[Reading]

WRITER = record(
    "W",
    i=of("int"),
    f=of("float"),
    s=of("string"),
    old=of("long"),
    e=of({"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}),
    p=of(record("P", x=of("int"))),
)
ROW = {"i": 5, "f": 1.5, "s": "t", "old": 7, "e": "A", "p": {"x": 3}}


def evolved(reader: Any, fields: Fields | None, *rows: dict[str, Any]) -> Decoded:
    framing = Framing("registry", lambda _: (json.dumps(WRITER), "AVRO"))
    decoder = AvroDecoder(fields, reader, framing)
    values = [b"\0\0\0\0\1" + value for value in encode(WRITER, *rows)]
    found, many = decoder.decode(values), decoder.decode(values * 50)
    assert told(many) == told(found) * 50
    for name, column in found.columns.items():
        np.testing.assert_array_equal(many.columns[name], np.concatenate([column] * 50))
    return found


@pytest.mark.parametrize(
    ("name", "said", "dtype", "value"),
    [
        ("i", of("long"), "int64", 5),
        ("i", of("double"), "float64", 5.0),
        ("f", of("double"), "float64", 1.5),
        ("s", of("bytes"), "string", b"t"),
        ("new", of("long", aliases=["gone", "old"]), "int64", 7),
        ("new", of("int", default=9), "int32", 9),
        ("new", of("string", default="d"), "string", b"d"),
        ("new", of("bytes", default="\xff"), "string", b"\xff"),
        ("new", of(["null", "double"], default=None), "float32", NAN),
        ("new", of({"type": "array", "items": "int"}, default=[1, 2]), "int32", [1, 2]),
        ("i", of(["null", "long"]), "int64", 5),
    ],
    ids=str,
)
def test_a_writers_schema_is_read_as_the_readers(
    name: str, said: Any, dtype: str, value: Any
) -> None:
    shape = (2,) if isinstance(value, list) else ()
    for count in (1, 100):
        found = evolved(record(**{name: said}), {name: Field(dtype, shape=shape)}, *[ROW] * count)
        assert found.misfits == []
        np.testing.assert_array_equal(found.columns[name], [value] * count)


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("s", of("int"), "Avro's int, or what can be read so, received Avro's string"),
        ("old", of("int"), "Avro's int, or what can be read so, received Avro's long"),
        ("new", of("double"), "a field of the schema, or a default, received a schema"),
        ("new", of("int"), "a field of the schema, or a default, received a schema"),
    ],
)
def test_schemas_that_do_not_resolve_make_misfits(name: str, said: Any, words: str) -> None:
    [error] = told(evolved(record(**{name: said}), None, ROW))
    assert error.startswith(f"record field {name}: expected {words}")


def test_a_symbol_that_the_reader_lacks_does_not_fit() -> None:
    reader = record(e=of({"type": "enum", "name": "E", "symbols": ["A", "B"]}))
    for count in (1, 50):
        found = evolved(reader, None, *[ROW, ROW | {"e": "C"}] * count)
        assert found.columns["e"].tolist() == [b"A"] * count
        words = "record field e: expected a symbol that the schema given knows, received 'C'"
        assert set(told(found)) == {words}


def test_the_fields_default_goes_before_the_schemas() -> None:
    reader = record(new=of("int", default=9))
    assert evolved(reader, None, ROW).columns["new"].tolist() == [9]
    given = {"new": Field("int32", default=4)}
    assert evolved(reader, given, ROW).columns["new"].tolist() == [4]


# Framings.

SCHEMAS = {
    1: record("R", a=of("int")),
    2: record("R", b=of("string"), a=of("int")),
    3: record("R", a=of("double")),
}


def known(schema_id: int) -> tuple[str, str]:
    if schema_id == 9:
        raise Unavailable("registry", "an answer", "none")
    if schema_id not in SCHEMAS:
        raise Malformed("schema registry", "a known id", str(schema_id))
    return json.dumps(SCHEMAS[schema_id]), "AVRO"


def framed(schema_id: int, **row: Any) -> bytes:
    return schema_id.to_bytes(5, "big") + encode(SCHEMAS[schema_id], row)[0]


@pytest.mark.parametrize("count", [1, 40])
def test_a_batch_of_several_schemas_keeps_its_order(count: int) -> None:
    values: list[bytes | None] = [framed(1, a=1), framed(2, a=2, b="x"), None, framed(1, a=3)]
    values += [b"\0\0\0\0\5\2", framed(3, a=4.0), b"", framed(2, a=5, b="")]
    found = AvroDecoder(None, SCHEMAS[1], Framing("auto", known)).decode(values * count)
    assert found.columns["a"].tolist() == [1, 2, 3, 5] * count
    assert told(found)[:4] == [
        "Kafka value: expected a record, received null, a tombstone",
        "schema registry: expected a known id, received 5",
        "record field a: expected Avro's int, or what can be read so, received Avro's double in"
        " the writer's schema",
        "Kafka value: expected an Avro record, received one that ends early",
    ]


def test_what_the_registry_says_else_goes_through() -> None:
    decoder = AvroDecoder({"a": "int32"}, None, Framing("registry", known))
    assert decoder.decode([framed(1, a=1), framed(2, a=2, b="x")]).columns["a"].tolist() == [1, 2]
    with pytest.raises(Unavailable):
        decoder.decode([framed(1, a=1), b"\0\0\0\0\x09\2"])


def test_without_a_schema_the_writers_say_what_a_field_is() -> None:
    decoder = AvroDecoder({"a": "int32"}, None, Framing("registry", known))
    assert told(decoder.decode([framed(3, a=1.0)])) == [
        "record field a: expected a type of column for Avro's double, received int32"
    ]
    found = AvroDecoder({"b": "float32"}, None, Framing("registry", known)).decode([framed(1, a=1)])
    np.testing.assert_array_equal(found.columns["b"], [NAN])


def test_single_object_framing_wants_the_fingerprint() -> None:
    [value] = [wire.Encoder().encode(reading(1))]
    decoder = AvroDecoder({"time": "int64"}, READING, Framing("single"))
    assert decoder.decode([value]).misfits == []
    other = value[:2] + b"\0" + value[3:]
    [error] = told(decoder.decode([other]))
    assert error == f"Kafka value: expected a frame {value[:10].hex()}, received {other[:10].hex()}"


@pytest.mark.parametrize(
    "given", [SCHEMAS[1], json.dumps(SCHEMAS[1]), fastavro.parse_schema(SCHEMAS[1])]
)
def test_a_schema_is_a_dict_or_a_text_or_parsed(given: Any) -> None:
    assert decode(given, None, encode(SCHEMAS[1], {"a": 5})).columns["a"].tolist() == [5]


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4}
MAP = {"type": "map", "values": "int"}


@pytest.mark.parametrize(
    ("fields", "schema", "words"),
    [
        (None, None, "fields: expected the fields to read, received none"),
        ({"a": "int32"}, None, "schema: expected an Avro schema, received none"),
        (None, "nonsense", "schema: expected an Avro schema of a record, received"),
        (None, '"string"', "schema: expected an Avro schema of a record, received 'string', which"),
        ({"b": "int32"}, SCHEMAS[1], "fields.b: expected a field of the schema"),
        ({"a": "string"}, SCHEMAS[1], "fields.a: expected a type of column for Avro's int"),
        ({"a": "int32"}, SCHEMAS[3], "fields.a: expected a type of column for Avro's double"),
        ({"a": Field("int32", shape=(2,))}, SCHEMAS[1], r"fields.a: expected the shape \(\)"),
        ({"a": "int32", "a.b": "int32"}, SCHEMAS[1], "fields.a.b: expected a field of the schema"),
        ({"a": "string"}, record(a=of(DECIMAL)), "fields.a: expected a scalar"),
        ({"a": "string"}, record(a=of(MAP)), "fields.a: expected a scalar"),
    ],
    ids=str,
)
def test_a_decoder_that_cannot_be_says_why(fields: Any, schema: Any, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        build("avro", fields, schema, Framing())
