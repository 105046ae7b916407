"""Avro: schemas, framings and evolution; what is broken moves no other record."""

import io
import json
from typing import Any

import fastavro
import numpy as np
import pytest

from bridge import wire
from bridge.contracts import Position, Reading
from ml.decoders import Decoded, Field, Fields, Framing, build
from ml.decoders.avro import AvroDecoder
from ml.decoders.frames import Group
from tests.ml.decoders import ways
from tests.ml.decoders.avro import decode, encode, of, reading, record, told

NAN = float("nan")
READING = wire.SCHEMAS[Reading]
FIELDS: Fields = {
    "values": Field("float32", shape=(5,)),
    "time": "int64",
    "position.lat": Field("float32"),
    "speed": Field("float64", "position.speed"),
    "device": "string",
    "names": Field("string", "channels", (None,)),
    "quality": "int8",
}


ENCODERS = [wire.Encoder(), wire.Encoder(ids={Reading: 7})]


@pytest.mark.parametrize("count", [5, 200])
@pytest.mark.parametrize("encoder", ENCODERS, ids=["single", "registry"])
def test_columns_are_what_the_readings_say(encoder: wire.Encoder, count: int) -> None:
    readings = [reading(n % 50) for n in range(count)]
    framing = Framing("auto", lambda _: (json.dumps(READING), "AVRO"))
    found = build("avro", FIELDS, READING, framing).decode([encoder.encode(r) for r in readings])
    assert found.misfits == []
    places = [r.position or Position(NAN, NAN) for r in readings]
    expected = {
        "values": np.asarray([r.values for r in readings], np.float64),
        "time": [r.time for r in readings],
        "position.lat": [p.lat for p in places],
        "speed": [NAN if p.speed is None else p.speed for p in places],
        "device": [r.device.encode() for r in readings],
        "quality": [r.quality for r in readings],
    }
    with np.errstate(over="ignore"):
        for name, column in expected.items():
            given = found.columns[name]
            np.testing.assert_array_equal(given, np.asarray(column, given.dtype), name)
    padded = [[c.encode() for c in (*r.channels, "", "")][:3] for r in readings]
    assert found.columns["names"].tolist() == padded


@pytest.mark.parametrize("mask", [0x01, 0x02, 0x80, 0xFF])
def test_a_broken_byte_moves_no_other_record(mask: int) -> None:
    values = [wire.Encoder().encode(reading(n)) for n in range(20)]
    fields = {k: v for k, v in FIELDS.items() if k != "values"} | {
        "values": Field("float64", shape=(5,))
    }
    decoder = AvroDecoder(fields, READING, Framing("single"))
    two = decoder.ways(Group(values[0][:10], np.arange(20), values))
    whole = ways.fast(two, values)
    others = [n for n in range(20) if n != 9]
    for place in range(10, len(values[9])):
        hit = bytearray(values[9])
        hit[place] ^= mask
        found = ways.fast(two, [*values[:9], bytes(hit), *values[10:]])
        alone = ways.slow(two, [bytes(hit)])
        assert [n for n, _ in found.misfits] == [9] * len(alone.misfits)
        for name, column in found.columns.items():
            rest = column if found.misfits else np.delete(column, 9, 0)
            width = whole.columns[name].shape[1:]
            if name != "names" or rest.shape[1:] == width:
                np.testing.assert_array_equal(rest, whole.columns[name][others], name)
            if not found.misfits and name != "names":
                np.testing.assert_array_equal(column[9], alone.columns[name][0])
        if not found.misfits:
            agrees_with_fastavro(bytes(hit), found)


def agrees_with_fastavro(value: bytes, found: Decoded) -> None:
    """What it reads on its own; a text that nobody asks for need not be UTF-8."""
    schema = fastavro.parse_schema(READING)
    row: Any = fastavro.schemaless_reader(
        io.BytesIO(value[10:]), schema, None, handle_unicode_errors="replace"
    )
    columns = found.columns
    assert columns["time"][9] == row["time"]
    assert columns["device"][9] == row["device"].encode()
    np.testing.assert_array_equal(columns["values"][9], row["values"])
    assert columns["quality"][9] == row["quality"]


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: v + b"\0", lambda v: v[:10], lambda v: v + v]
)
def test_a_record_that_is_cut_or_too_long_costs_the_others_nothing(change: Any) -> None:
    values = [wire.Encoder().encode(reading(n)) for n in range(100)]
    values[3], values[99] = change(values[3]), change(values[99])
    found = build("avro", FIELDS, READING, Framing()).decode(values)
    assert [n for n, _ in found.misfits] == [3, 99]
    assert found.columns["quality"].tolist() == [n for n in range(99) if n != 3]


def test_what_is_asked_for_of_each_avro_type() -> None:
    point = record("P", x=of("double"), deeper=of(record("Q", y=of(["null", "int"]))))
    schema = record(
        i=of("int"),
        l=of("long"),
        f=of("float"),
        d=of("double"),
        b=of("boolean"),
        s=of("string"),
        y=of("bytes"),
        e=of({"type": "enum", "name": "E", "symbols": ["A", "B"]}),
        x=of({"type": "fixed", "name": "F", "size": 3}),
        t=of({"type": "long", "logicalType": "timestamp-millis"}),
        p=of(["null", point]),
        again=of("P"),
        a=of({"type": "array", "items": "float"}),
        n=of({"type": "array", "items": ["null", "long"]}),
        w=of(["null", {"type": "array", "items": "string"}]),
        m=of({"type": "map", "values": ["int", "string"]}),
        u=of(["int", "string", "null"]),
        z=of("null"),
        tree=of(["null", "R"]),
    )
    base = {"i": -5, "l": 2**62, "f": 1.5, "d": 1e300, "b": True, "s": "é", "y": b"\xff", "e": "B"}
    base |= {"x": b"abc", "t": 5, "again": {"x": 4.0, "deeper": {"y": 6}}, "a": [1.0, 2.0]}
    base |= {"n": [3, None], "w": ["q"], "m": {"k": 1, "j": "v"}, "u": "x", "z": None, "p": None}
    first = base | {"tree": None}
    second = base | {"tree": first, "l": -(2**63), "b": False, "a": [], "w": None, "u": None}
    second |= {"p": {"x": 1.0, "deeper": {"y": None}}}
    fields = {
        "n": Field("int64", shape=(None,), default=-1),
        "p.deeper.y": Field("int8", default=-1),
        "w": Field("string", shape=(None,), default=""),
    }
    fields |= {
        k: v for k, v in AvroDecoder(None, schema, Framing()).fields.items() if k not in fields
    }
    assert {"m", "u", "z", "tree"}.isdisjoint(fields)
    found = decode(schema, fields, encode(schema, first, second))
    assert found.misfits == []
    assert {name: column.tolist() for name, column in found.columns.items() if name != "p.x"} == {
        "i": [-5, -5],
        "l": [2**62, -(2**63)],
        "f": [1.5, 1.5],
        "d": [1e300, 1e300],
        "b": [True, False],
        "s": ["é".encode()] * 2,
        "y": [b"\xff"] * 2,
        "e": [b"B"] * 2,
        "x": [b"abc"] * 2,
        "t": [5, 5],
        "p.deeper.y": [-1, -1],
        "again.x": [4.0, 4.0],
        "again.deeper.y": [6, 6],
        "a": [[1.0, 2.0], pytest.approx([NAN, NAN], nan_ok=True)],
        "n": [[3, -1]] * 2,
        "w": [[b"q"], [b""]],
    }
    np.testing.assert_array_equal(found.columns["p.x"], [NAN, 1.0])


def test_a_union_of_several_types_is_judged_record_by_record() -> None:
    schema = record(u=of(["null", "int", "string", "double"]))
    values = encode(schema, {"u": 5}, {"u": "x"}, {"u": None}, {"u": 2.5})
    found = decode(schema, {"u": "float32"}, values)
    np.testing.assert_array_equal(found.columns["u"], np.asarray([5, NAN, 2.5], np.float32))
    assert told(found) == ["record field u: expected a number, received b'x'"]


def test_null_and_range_are_as_the_field_says() -> None:
    schema = record(i=of(["null", "int"]), a=of({"type": "array", "items": "double"}))
    rows = [{"i": 5, "a": [1.0]}, {"i": None, "a": [1.0]}, {"i": 300, "a": [1.0]}]
    found = decode(schema, {"i": "int8"}, encode(schema, *rows, {"i": 6, "a": []}))
    assert found.columns["i"].tolist() == [5, 6]
    words = "record field i: expected a whole number from -128 to 127, received"
    assert told(found) == [f"{words} null", f"{words} 300"]
    found = decode(schema, {"a": Field(shape=(1,))}, encode(schema, *rows, {"i": 6, "a": []}))
    assert told(found) == ["record field a: expected an array of 1, received one of 0"]


def test_arrays_in_blocks_and_of_many_lengths() -> None:
    schema = record(a=of({"type": "array", "items": "long"}), z=of("int"))
    one, two = wire.zigzag(1), wire.zigzag(2)
    sized = wire.zigzag(-2) + wire.zigzag(4) + wire.zigzag(300) + wire.zigzag(-300)
    values = [
        one + wire.zigzag(7) + two + wire.zigzag(8) + wire.zigzag(2**40) + b"\0\2",
        sized + b"\0\2",
        b"\0\2",
        sized + one + b"\2" + b"\0\2",
    ]
    found = decode(schema, {"a": Field("int64", shape=(None,), default=0)}, values)
    assert found.columns["a"].tolist() == [[7, 8, 2**40], [300, -300, 0], [0, 0, 0], [300, -300, 1]]


@pytest.mark.parametrize("size", [2**31, 2**62, -1, -(2**62), -(2**63)])
def test_a_size_that_no_record_has_is_refused(size: int) -> None:
    schema = record(s=of("string"), a=of({"type": "array", "items": "double"}), z=of("int"))
    values = encode(schema, *({"s": "x", "a": [1.0], "z": n} for n in range(5)))
    for bad in (wire.zigzag(size) + b"x" * 40, b"\0" + wire.zigzag(size) + b"x" * 40):
        found = decode(schema, {"z": "int32"}, [*values[:2], bad, *values[3:]])
        assert found.columns["z"].tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("items", ["double", "string", "long"])
def test_one_long_array_among_short_ones(items: str) -> None:
    schema = record(a=of({"type": "array", "items": items}), z=of("int"))
    lengths = [3] * 20 + [5000] + [n % 90 for n in range(100)]
    word = {"double": float, "string": str, "long": int}[items]
    rows = [{"a": [word(n) for n in range(length)], "z": length} for length in lengths]
    values = encode(schema, *rows)
    assert decode(schema, {"z": "int64"}, values).columns["z"].tolist() == lengths
    dtype = {"double": "float64", "string": "string", "long": "int64"}[items]
    field = Field(dtype, shape=(None,))
    assert decode(schema, {"a": field}, values).columns["a"].shape == (121, 5000)
