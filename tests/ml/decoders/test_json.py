"""JSON: what fits and what does not, the same whichever way a value is read."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import Malformed, Misconfigured
from ml.decoders import Field, Fields, Framing, build
from ml.decoders.decoder import Decoded
from ml.decoders.json import JsonDecoder
from tests.ml.decoders import ways
from tests.ml.decoders.ways import same

FIELDS: Fields = {
    "f": "float32",
    "i": "int64",
    "small": Field("int8", default=-1),
    "u": Field("uint64", default=0),
    "b": Field("bool", default=False),
    "s": Field("string", default="none"),
    "deep": Field("float64", "p.q.x"),
    "vector": Field("float32", "v", shape=(3,)),
    "many": Field("int64", "m", shape=(None,), default=7),
    "words": Field("string", "w", shape=(None,), default=""),
}


def decoder(fields: Fields = FIELDS, framing: Framing | None = None) -> JsonDecoder:
    return JsonDecoder(fields, None, framing or Framing())


def fast(fields: Fields, values: Sequence[bytes]) -> Decoded:
    return ways.fast(decoder(fields).ways, values)


def slow(fields: Fields, values: Sequence[bytes]) -> Decoded:
    return ways.slow(decoder(fields).ways, values)


# (a value of the field, what stands in the column; an error's words where it does not fit)
FITS: list[tuple[str, object]] = [
    ("float32", (b"21", 21.0)),
    ("float32", (b"-0.5e1", -5.0)),
    ("float32", (b"null", float("nan"))),
    ("float64", (b"9007199254740993", 9007199254740992.0)),
    ("int64", (b"9007199254740993", 9007199254740993)),
    ("int64", (b"-9223372036854775808", -(2**63))),
    ("uint64", (b"18446744073709551615", 2**64 - 1)),
    ("int64", (b"21.0", 21)),
    ("int32", (b"1e3", 1000)),
    ("uint8", (b"255", 255)),
    ("bool", (b"true", True)),
    ("string", (b'"21"', b"21")),
    ("string", (b'"\\u00e9"', "é".encode())),
    ("string", (b'"\\ud83d\\ude00"', "😀".encode())),
]
MISFITS: list[tuple[str, bytes, str]] = [
    ("float32", b'"21"', "record field x: expected a number, received '21'"),
    ("float32", b"true", "record field x: expected a number, received True"),
    ("float32", b"1e39", "record field x: expected a number, received 1e+39"),
    ("float16", b"70000", "record field x: expected a number, received 70000"),
    ("float32", b"[1]", "record field x: expected a number, received [1]"),
    ("float32", b"{}", "record field x: expected a number, received {}"),
    ("int8", b"128", "record field x: expected a whole number from -128 to 127, received 128"),
    ("uint32", b"-1", "record field x: expected a whole number from 0 to 4294967295, received -1"),
    ("int16", b"2.5", "record field x: expected a whole number from -32768 to 32767, received 2.5"),
    ("int8", b"false", "record field x: expected a whole number from -128 to 127, received False"),
    ("int8", b"null", "record field x: expected a whole number from -128 to 127, received null"),
    ("bool", b"1", "record field x: expected true or false, received 1"),
    ("bool", b'"true"', "record field x: expected true or false, received 'true'"),
    ("string", b"5", "record field x: expected a text, received 5"),
    ("string", b"true", "record field x: expected a text, received True"),
    ("string", b"[]", "record field x: expected a text, received []"),
    ("string", b'{"a": 1}', "record field x: expected a text, received {'a': 1}"),
    (
        "string",
        b"18446744073709551616",
        "record field x: expected a text, received 1.8446744073709552e+19",
    ),
    ("string", b"null", "record field x: expected a text, received null"),
]


@pytest.mark.parametrize(("dtype", "case"), FITS, ids=str)
@pytest.mark.parametrize("way", [fast, slow])
def test_what_fits(way: Any, dtype: str, case: tuple[bytes, object]) -> None:
    text, expected = case
    found = way({"x": dtype}, [b'{"x": %s}' % text])
    assert found.misfits == []
    np.testing.assert_array_equal(found.columns["x"], [expected])


@pytest.mark.parametrize(("dtype", "text", "words"), MISFITS, ids=str)
@pytest.mark.parametrize("way", [fast, slow])
def test_what_does_not_fit_says_why(way: Any, dtype: str, text: bytes, words: str) -> None:
    neighbour = {"float": b"1", "int": b"1", "uint": b"1", "bool": b"true", "string": b'"a"'}
    good = b'{"x": %s}' % neighbour[dtype.rstrip("0123456789")]
    found = way({"x": dtype}, [good, b'{"x": %s}' % text, good])
    assert [(n, str(error)) for n, error in found.misfits] == [(1, words)]
    assert found.fits.tolist() == [True, False, True]
    assert len(found.columns["x"]) == 2


@pytest.mark.parametrize(
    "value",
    [b"", b" ", b"x", b"1", b"[]", b"null", b'{"x": 1', b'{"x": 1} {"x": 2}', b'{"x": 1},{"x": 2}']
    + [b"\xef\xbb\xbf{}", b'{"x": NaN}', b'{"x": 01}', b'{"y": "a\nb"}', b'{"y": "\xff"}', b"{}\0"]
    + [b'{"y": "\\ud800"}', b"[" * 5000, b'{"x":' * 5000, b'{"x": 1e400}', b"\x1f\x8b\x08"],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_not_one_json_object_costs_its_neighbours_nothing(value: bytes, place: int) -> None:
    values = [b'{"x": 1}', b'{"x": 2}']
    values.insert(place, value)
    found = fast({"x": "float32"}, values)
    same(found, slow({"x": "float32"}, values))
    assert [n for n, _ in found.misfits] == [place]
    assert found.columns["x"].tolist() == [1, 2]


def test_a_line_break_in_a_value_does_not_split_it() -> None:
    values = [json.dumps({"x": n, "p": {"y": [n]}}, indent=2).encode() + b"\r\n" for n in range(9)]
    found = fast({"x": "int64", "y": Field("int8", "p.y", (1,))}, values)
    assert found.misfits == []
    assert found.columns["x"].tolist() == list(range(9))
    assert found.columns["y"].tolist() == [[n] for n in range(9)]


def test_of_a_name_that_comes_twice_the_first_counts() -> None:
    values = [b'{"x": 1, "x": 2, "p": {"y": 3, "y": 4}, "\\u0078": 5}']
    for way in (fast, slow):
        found = way({"x": "int64", "p.y": "int64"}, values)
        assert [column.tolist() for column in found.columns.values()] == [[1], [3]]


def test_an_array_has_its_length_and_null_is_what_the_field_says() -> None:
    fields = {"a": Field(shape=(2,)), "b": Field("int8", shape=(None,), default=9)}
    values = [b'{"a": [1, null], "b": [1, 2, 3]}', b'{"b": null}', b'{"a": [3, 4], "b": [null]}']
    values += [b'{"a": [1]}', b'{"a": [1, 2, 3]}', b'{"a": [1, "x"]}', b'{"b": [1000]}']
    values += [b'{"b": {}}', b'{"b": [[]]}', b'{"b": [1, 2, 3, 4, 5, "x"]}']
    found = fast(fields, values)
    same(found, slow(fields, values))
    nan = float("nan")
    np.testing.assert_array_equal(found.columns["a"], [[1, nan], [nan, nan], [3, 4]])
    assert found.columns["b"].tolist() == [[1, 2, 3], [9, 9, 9], [9, 9, 9]]
    assert [str(error) for _, error in found.misfits][:3] == [
        "record field a: expected an array of 2, received one of 1",
        "record field a: expected an array of 2, received one of 3",
        "record field a[1]: expected a number, received 'x'",
    ]


def test_a_list_can_be_the_default_of_an_array() -> None:
    fields = {"a": Field("int8", shape=(2,), default=[1, 2]), "b": Field("int8", "a", (2,), [3, 4])}
    for way in (fast, slow):
        found = way(fields, [b"{}", b'{"a": [5, 6]}', b'{"a": [5, null]}'])
        assert found.columns["a"].tolist() == [[1, 2], [5, 6]]
        assert found.columns["b"].tolist() == [[3, 4], [5, 6]]


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_a_batch_of_any_length_keeps_its_order(count: int) -> None:
    values: list[bytes | None] = [b'{"i": %d, "s": "%d"}' % (n, n) for n in range(count)]
    bad = {count // 2, count // 3}
    for n in bad:
        values[n] = b'{"i": "x"}' if n else None
    found = decoder({"i": "int32", "s": "string"}).decode(values)
    kept = [n for n in range(count) if n not in bad]
    assert found.columns["i"].tolist() == kept
    assert found.columns["s"].tolist() == [b"%d" % n for n in kept]
    assert [n for n, _ in found.misfits] == sorted(bad)


def test_a_batch_without_misfits_says_all_fit() -> None:
    assert decoder({"x": "bool"}).decode([b'{"x": true}'] * 100).fits is None


def test_an_empty_batch_has_columns_without_rows() -> None:
    shapes = {name: column.shape for name, column in decoder().decode([]).columns.items()}
    assert shapes["f"] == (0,)
    assert shapes["vector"] == (0, 3)
    assert shapes["many"] == (0, 0)


def test_a_tombstone_does_not_fit() -> None:
    [(n, error)] = decoder().decode([None]).misfits
    assert (n, str(error)) == (0, "Kafka value: expected a record, received null, a tombstone")


def test_the_registrys_frame_is_taken_off() -> None:
    framed = b"\0\0\0\0\7"
    values = [framed + b'{"x": 1}', b'{"x": 2}', framed[:3]]
    never = Framing("auto", lambda _: ("{}", "JSON"))
    found = decoder({"x": "int8"}, never).decode(values)
    assert found.columns["x"].tolist() == [1, 2]
    assert [n for n, _ in found.misfits] == [2]
    found = decoder({"x": "int8"}, Framing("registry")).decode(values)
    assert [str(error) for _, error in found.misfits] == [
        "Kafka value: expected a frame 00 and an id, received 7b2278223a",
        "Kafka value: expected a frame 00 and an id, received 000000",
    ]


def test_a_json_schema_gives_the_fields() -> None:
    number = {"type": ["number", "null"]}
    schema = {
        "properties": {
            "t": {"type": "number", "default": 1.5},
            "n": {"type": "integer"},
            "b": {"type": "boolean"},
            "s": {"type": "string"},
            "p": {"type": "object", "properties": {"lat": number}},
            "v": {"type": "array", "items": number},
            "any": {},
        }
    }
    found = build("json", None, schema, Framing())
    assert {n: (tf.as_dtype(f.dtype).name, f.shape) for n, f in found.fields.items()} == {
        "t": ("float64", ()),
        "n": ("int64", ()),
        "b": ("bool", ()),
        "s": ("string", ()),
        "p.lat": ("float64", ()),
        "v": ("float64", (None,)),
    }
    value = b'{"n": 1, "b": true, "s": "", "p": {"lat": 2}, "v": [3]}'
    assert found.decode([value]).columns["t"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("fields", "framing", "words"),
    [
        (None, Framing(), "fields: expected the fields to read, received none"),
        ({"a": "int8", "b": Field("float32", "a")}, Framing(), "fields.b: expected one type"),
        ({"a": "int8", "b": Field("int8", "a.b")}, Framing(), "fields.b: expected one type"),
        ({"a.b": "int8", "a": "int8"}, Framing(), "fields.a: expected one type"),
        ({"a": "int8"}, Framing("single"), "framing: expected auto, registry or bare"),
        ({"a": "int8"}, Framing("confluent"), "framing: expected one of auto"),
    ],
)
def test_a_decoder_that_cannot_be_says_why(fields: Any, framing: Framing, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        build("json", fields, None, framing)


# The law: both ways give the same.

NAMES = st.sampled_from(["f", "i", "small", "u", "b", "s", "p", "q", "x", "v", "m", "w", "é", ""])
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-300, 300),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([21.0, 2.0**53, 2.0**53 - 1, 1e18, 3.4028235e38, 3.4028236e38, -0.0, 5e-324]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5))
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
LIKELY = st.fixed_dictionaries(
    {"i": st.integers(-(2**63), 2**63 - 1)},
    optional={
        "f": NUMBERS,
        "small": st.integers(-128, 127),
        "u": st.integers(0, 2**64 - 1),
        "b": st.booleans(),
        "s": st.text(max_size=6),
        "p": st.fixed_dictionaries({}, optional={"q": st.dictionaries(NAMES, NUMBERS)}),
        "v": st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3),
        "m": st.lists(st.integers(-9, 9) | st.none(), max_size=3),
        "w": st.lists(st.text(max_size=3), max_size=3),
    },
)


def written(record: object, plain: bool, indent: int | None) -> bytes:
    return json.dumps(record, ensure_ascii=plain, indent=indent).encode("utf-8", "surrogatepass")


def json_of(value: object) -> bytes:
    return written(value, True, None)


RECORDS = st.builds(
    written, LIKELY | st.dictionaries(NAMES, ANY) | ANY, st.booleans(), st.sampled_from([None, 1])
)
TWICE = st.lists(st.tuples(NAMES, SCALARS), max_size=5).map(
    lambda pairs: (
        b"{%s}"
        % b",".join(written(k, True, None) + b":" + written(v, True, None) for k, v in pairs)
    )
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    value = bytearray(draw(RECORDS))
    place = draw(st.integers(0, len(value) - 1))
    value[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(value)


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORDS | TWICE | damaged() | st.binary(max_size=8), min_size=1, max_size=6))
def test_both_ways_give_the_same(values: list[bytes]) -> None:
    same(fast(FIELDS, values), slow(FIELDS, values))


@settings(max_examples=50, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_both_ways_agree_on_what_has_no_default(values: list[bytes]) -> None:
    fields: Fields = {
        n: Field(f.dtype, f.path, f.shape) for n, f in FIELDS.items() if isinstance(f, Field)
    }
    for name, field in fields.items():
        same(fast({name: field}, values), slow({name: field}, values))


def test_a_misfit_is_malformed() -> None:
    [(_, error)] = decoder().decode([b"?"]).misfits
    assert isinstance(error, Malformed)
