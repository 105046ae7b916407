"""Protobuf: what is unset, repeated, of an enum; framed and not."""

from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from bridge.errors import Misconfigured
from ml.decoders import Decoded, Field, Fields, Framing, build
from ml.decoders.protobuf import ProtobufDecoder, message_class
from tests.ml.decoders import ways
from tests.ml.decoders.ways import same

NAN = float("nan")
Proto = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "d": Proto.TYPE_DOUBLE,
    "f": Proto.TYPE_FLOAT,
    "i": Proto.TYPE_INT32,
    "l": Proto.TYPE_SINT64,
    "u": Proto.TYPE_UINT32,
    "v": Proto.TYPE_FIXED64,
    "b": Proto.TYPE_BOOL,
    "s": Proto.TYPE_STRING,
    "y": Proto.TYPE_BYTES,
}


def add(message: Any, name: str, kind: Any, **rest: Any) -> None:
    number = len(message.field) + 1
    rest = {"label": Proto.LABEL_OPTIONAL} | rest
    message.field.add(name=name, number=number, type=kind, **rest)


def files() -> bytes:
    """As protoc --include_imports -o writes them."""
    place = descriptor_pb2.FileDescriptorProto(name="place.proto", package="p", syntax="proto3")
    add(inner := place.message_type.add(name="Place"), "lat", Proto.TYPE_DOUBLE)
    add(inner, "again", Proto.TYPE_MESSAGE, type_name=".p.Place")
    main = descriptor_pb2.FileDescriptorProto(name="main.proto", package="p", syntax="proto3")
    main.dependency.append("place.proto")
    colour = main.enum_type.add(name="Colour")
    for n, name in enumerate(("RED", "BLUE")):
        colour.value.add(name=name, number=n)
    message = main.message_type.add(name="Reading")
    for name, kind in SCALARS.items():
        add(message, name, kind)
    add(message, "e", Proto.TYPE_ENUM, type_name=".p.Colour")
    add(message, "place", Proto.TYPE_MESSAGE, type_name=".p.Place")
    add(message, "maybe", Proto.TYPE_INT32, proto3_optional=True, oneof_index=0)
    message.oneof_decl.add(name="_maybe")
    add(message, "many", Proto.TYPE_FLOAT, label=Proto.LABEL_REPEATED)
    add(message, "words", Proto.TYPE_STRING, label=Proto.LABEL_REPEATED)
    add(message, "places", Proto.TYPE_MESSAGE, label=Proto.LABEL_REPEATED, type_name=".p.Place")
    return descriptor_pb2.FileDescriptorSet(file=[main, place]).SerializeToString()


FILES = files()
SCHEMA = (FILES, "p.Reading")
READING: Any = message_class(SCHEMA)
FULL: dict[str, Any] = {
    "d": 1e300,
    "f": 0.1,
    "i": -5,
    "l": -(2**63),
    "u": 2**32 - 1,
    "v": 2**64 - 1,
    "b": True,
}
FULL |= {"s": "é", "y": b"\xff", "e": 1, "place": {"lat": 52.5}, "maybe": 7}
FULL |= {"many": [1.0, 2.0], "words": ["a", "b"]}


def encode(**values: Any) -> bytes:
    data: bytes = READING(**values).SerializeToString()
    return data


def decode(fields: Fields | None, values: list[bytes], schema: object = SCHEMA) -> Decoded:
    decoder = ProtobufDecoder(fields, schema, Framing("bare"))
    found = ways.fast(decoder.ways, values)
    same(found, ways.slow(decoder.ways, values))
    return found


def test_every_field_of_a_message_makes_a_column() -> None:
    found = decode(None, [encode(**FULL)])
    assert found.misfits == []
    assert {name: column.tolist() for name, column in found.columns.items()} == {
        **{name: [value] for name, value in FULL.items() if name not in ("f", "place", "s")},
        "f": [np.float32(0.1)],
        "s": ["é".encode()],
        "place.lat": [52.5],
        "many": [[1.0, 2.0]],
        "words": [[b"a", b"b"]],
    }
    assert {name: column.dtype.name for name, column in found.columns.items()} == {
        **dict.fromkeys(("d", "place.lat"), "float64"),
        **dict.fromkeys(("f", "many"), "float32"),
        **dict.fromkeys(("i", "e", "maybe"), "int32"),
        **dict.fromkeys(("s", "y", "words"), "object"),
        "l": "int64",
        "u": "uint32",
        "v": "uint64",
        "b": "bool",
    }


def test_what_was_not_written_is_the_default_of_its_type_or_null() -> None:
    fields: Fields = {
        "d": "float64",
        "s": "string",
        "place.lat": "float32",
        "maybe": Field("int8", default=-1),
        "many": Field("float32", shape=(None,)),
    }
    found = decode(fields, [b"", encode(place={}, maybe=0), encode(many=[5.0])])
    assert found.misfits == []
    assert found.columns["d"].tolist() == [0, 0, 0]
    assert found.columns["s"].tolist() == [b""] * 3
    assert found.columns["maybe"].tolist() == [-1, 0, -1]
    np.testing.assert_array_equal(found.columns["place.lat"], [NAN, 0, NAN])
    np.testing.assert_array_equal(found.columns["many"], [[NAN], [NAN], [5]])


def test_what_does_not_fit_says_why() -> None:
    values = [encode(maybe=1, many=[1, 2]), encode(many=[1, 2]), encode(maybe=300, many=[1, 2])]
    values += [encode(maybe=2), b"\xff\xff", encode(maybe=3, many=[3, 4])]
    fields: Fields = {"maybe": "int8", "many": Field("float64", shape=(2,))}
    for count in (1, 20):
        decoder = build("protobuf", fields, SCHEMA, Framing())
        found = decoder.decode(values * count)
        assert found.columns["maybe"].tolist() == [1, 3] * count
        assert [str(error) for _, error in found.misfits][:4] == [
            "record field maybe: expected a whole number from -128 to 127, received null",
            "record field maybe: expected a whole number from -128 to 127, received 300",
            "record field many: expected an array of 2, received one of 0",
            "Kafka value: expected a Protobuf message, received b'\\xff\\xff'",
        ]


@pytest.mark.parametrize(
    "index",
    [b"\0", b"\2\0", b"\2\2", b"\4\2\4", b"\2\x80\1"],
    ids=["first", "0", "1", "1 in 2", "64"],
)
def test_the_registrys_frame_and_the_messages_index_are_taken_off(index: bytes) -> None:
    framing = Framing("registry")
    values: list[bytes | None] = [b"\0\0\0\0\7" + index + encode(i=5), None, encode(i=6)]
    found = ProtobufDecoder({"i": "int32"}, SCHEMA, framing).decode([*values, b"\0\0\0\0\7\4\2"])
    assert found.columns["i"].tolist() == [5]
    assert [n for n, _ in found.misfits] == [1, 2, 3]


def test_a_class_is_a_schema_too() -> None:
    assert issubclass(READING, Message)
    assert decode({"i": "int64"}, [encode(i=5)], READING).columns["i"].tolist() == [5]


@pytest.mark.parametrize(
    ("fields", "schema", "framing", "words"),
    [
        (None, None, Framing(), "schema: expected a message class, or"),
        (None, (FILES, "p.Nothing"), Framing(), "schema: expected files that are whole and have"),
        (None, (b"\xff", "p.Reading"), Framing(), "schema: expected files that are whole"),
        (None, SCHEMA, Framing("single"), "framing: expected auto, registry or bare for Protobuf"),
        ({"x": "int32"}, SCHEMA, Framing(), "fields.x: expected a field of the message, which has"),
        ({"d.x": "int32"}, SCHEMA, Framing(), "fields.d.x: expected a field of the message"),
        ({"place": "int32"}, SCHEMA, Framing(), "fields.place: expected a scalar"),
        ({"places.lat": "int32"}, SCHEMA, Framing(), "fields.places.lat: expected a field"),
        ({"s": "int32"}, SCHEMA, Framing(), "fields.s: expected a type of column for string"),
        ({"d": "int32"}, SCHEMA, Framing(), "fields.d: expected a type of column for float64"),
        ({"many": "float32"}, SCHEMA, Framing(), r"fields.many: expected a shape \(n,\) or"),
    ],
    ids=str,
)
def test_a_decoder_that_cannot_be_says_why(
    fields: Any, schema: object, framing: Framing, words: str
) -> None:
    with pytest.raises(Misconfigured, match=words):
        build("protobuf", fields, schema, framing)
