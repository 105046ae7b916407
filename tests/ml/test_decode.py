"""Values of a Kafka topic as columns, in every format, and what is beside them in step."""

import json
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from bridge import wire
from bridge.contracts import Position, Reading
from bridge.kafka import Producer, Record
from bridge.settings import Kafka
from ml import CommitCallback, Field, KafkaDataset
from tests.ml.decoders.avro import encode, of, reading, record
from tests.ml.topic import committed, fill, offsets, read, topic

pytestmark = [
    pytest.mark.broker,
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
]

Proto = descriptor_pb2.FieldDescriptorProto
NUMBER: dict[str, Any] = {"decode": "json", "fields": {"t": "float32"}}  # of the records of `lines`
BAD = b'{"t": "hot"}'


def lines(count: int, bad: tuple[int, ...] = ()) -> list[bytes | None]:
    """JSON of the numbers from 0 on, some of them words."""
    return [BAD if n in bad else b'{"t": %d}' % n for n in range(count)]


def filled(kafka: Kafka, records: list[bytes | None]) -> str:
    name = topic(kafka)
    fill(kafka, name, records)
    return name


def decoded(kafka: Kafka, records: list[bytes | None], **options: Any) -> dict[str, Any]:
    """The columns of their one batch."""
    dataset = KafkaDataset(filled(kafka, records), kafka, eof=True, batch_rows=9999, **options)
    (batch,) = list(dataset)
    for name, column in batch["value"].items():
        spec = dataset.element_spec["value"][name]
        assert spec.is_compatible_with(column), name
    return {name: column.numpy() for name, column in batch["value"].items()}


def told(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}


def test_json_becomes_columns_of_the_types_asked_for(kafka_settings: Kafka) -> None:
    fields = {
        "t": "float32",
        "n": tf.int8,
        "big": "uint64",
        "on": "bool",
        "car": Field("string", path="meta.id", default="unknown"),
        "wheels": Field("float64", shape=(2,)),
        "tags": Field("string", shape=(None,), default=""),
        "deep": Field("int32", path="a.b.c", default=-1),
    }
    first = {"t": 21.5, "n": -5, "big": 2**64 - 1, "on": True, "meta": {"id": "é"}}
    first |= {"wheels": [1, 2.5], "tags": ["x", "yz"], "a": {"b": {"c": 7}}}
    second = {"n": 127.0, "big": 0, "on": False, "wheels": [3, None], "more": [{}]}
    records: list[bytes | None] = [json.dumps(first).encode(), json.dumps(second).encode()]
    columns = decoded(kafka_settings, records, decode="json", fields=fields)
    assert {name: column.dtype.name for name, column in columns.items()} == {
        "t": "float32",
        "n": "int8",
        "big": "uint64",
        "on": "bool",
        "car": "object",
        "wheels": "float64",
        "tags": "object",
        "deep": "int32",
    }
    assert math.isnan(columns["t"][1])
    assert math.isnan(columns["wheels"][1, 1])
    assert told(columns) == {
        "t": pytest.approx([21.5, math.nan], nan_ok=True),
        "n": [-5, 127],
        "big": [2**64 - 1, 0],
        "on": [True, False],
        "car": ["é".encode(), b"unknown"],
        "wheels": [[1.0, 2.5], pytest.approx([3.0, math.nan], nan_ok=True)],
        "tags": [[b"x", b"yz"], [b"", b""]],
        "deep": [7, -1],
    }


def test_a_json_schema_names_the_columns(kafka_settings: Kafka) -> None:
    inner = {"type": "object", "properties": {"id": {"type": "string"}}}
    schema = {"type": "object", "properties": {"t": {"type": "number"}, "meta": inner}}
    records: list[bytes | None] = [b'{"t": 1, "meta": {"id": "a"}}']
    columns = decoded(kafka_settings, records, decode="json", schema=schema)
    assert told(columns) == {"t": [1.0], "meta.id": [b"a"]}


@pytest.mark.parametrize("count", [1, 2, 300])
@pytest.mark.parametrize("framing", ["auto", "single"])
def test_readings_of_haltere_are_read_in_single_object_framing(
    kafka_settings: Kafka, count: int, framing: str
) -> None:
    sent = [reading(n) for n in range(count)]
    records: list[bytes | None] = [wire.Encoder().encode(one) for one in sent]
    schema = wire.SCHEMAS[Reading]
    columns = decoded(kafka_settings, records, decode="avro", schema=schema, framing=framing)
    for name in ("time", "received", "quality"):
        assert columns[name].tolist() == [getattr(r, name) for r in sent]
    for name in ("device", "device_class", "source", "id"):
        assert [v.decode() for v in columns[name].tolist()] == [getattr(r, name) for r in sent]
    assert columns["layout"].tolist() == [wire.layout(r.channels) for r in sent]
    assert columns["quality"].dtype == np.int32
    assert columns["values"].tolist() == [list(r.values) for r in sent]
    for name in ("channels", "units", "states", "state_values"):
        texts = [[word.decode() for word in row if word] for row in columns[name].tolist()]
        assert texts == [list(getattr(r, name)) for r in sent]
    for name in Position._fields:
        found = [getattr(r.position, name, None) for r in sent]
        expected = [math.nan if value is None else value for value in found]
        np.testing.assert_array_equal(columns[f"position.{name}"], expected)


def test_bare_avro_is_read_with_the_schema_given(kafka_settings: Kafka) -> None:
    schema = record(d=of("double"), i=of("int"), s=of("string"), o=of(["null", "long"]))
    rows = [{"d": n / 2, "i": n, "s": f"s{n}", "o": n if n % 2 else None} for n in range(100)]
    records: list[bytes | None] = [*encode(schema, *rows)]
    wanted = {"i": "int64", "s": "string", "d": "float32", "o": Field("int64", default=-1)}
    for framing in ("auto", "bare"):
        options = {"schema": json.dumps(schema), "framing": framing, "fields": wanted}
        columns = decoded(kafka_settings, records, decode="avro", **options)
        assert told(columns) == {
            "i": list(range(100)),
            "s": [b"s%d" % n for n in range(100)],
            "d": [n / 2 for n in range(100)],
            "o": [n if n % 2 else -1 for n in range(100)],
        }


def message() -> Any:
    """A class of protobuf messages, as protoc would have made it."""
    file = descriptor_pb2.FileDescriptorProto(name="car.proto", package="cars", syntax="proto3")
    place = file.message_type.add(name="Place")
    place.field.add(name="lat", number=1, type=Proto.TYPE_DOUBLE, label=Proto.LABEL_OPTIONAL)
    car = file.message_type.add(name="Car")
    kinds = {"id": Proto.TYPE_STRING, "rpm": Proto.TYPE_UINT32, "on": Proto.TYPE_BOOL}
    for n, (name, kind) in enumerate(kinds.items(), 1):
        car.field.add(name=name, number=n, type=kind, label=Proto.LABEL_OPTIONAL)
    car.field.add(name="t", number=8, type=Proto.TYPE_FLOAT, label=Proto.LABEL_REPEATED)
    inner = {"type": Proto.TYPE_MESSAGE, "type_name": ".cars.Place"}
    car.field.add(name="place", number=9, label=Proto.LABEL_OPTIONAL, **inner)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("cars.Car"))


@pytest.mark.parametrize("count", [1, 100])
def test_protobuf_becomes_columns(kafka_settings: Kafka, count: int) -> None:
    kind = message()
    sent = [kind(id=f"c{n}", rpm=n, on=bool(n % 2), t=[n, 0.5]) for n in range(count)]
    sent[0].place.lat = 52.5
    records: list[bytes | None] = [one.SerializeToString() for one in sent]
    columns = decoded(kafka_settings, records, decode="protobuf", schema=kind)
    assert columns["rpm"].dtype == np.uint32
    np.testing.assert_array_equal(columns.pop("place.lat"), [52.5] + [math.nan] * (count - 1))
    assert told(columns) == {
        "id": [b"c%d" % n for n in range(count)],
        "rpm": list(range(count)),
        "on": [bool(n % 2) for n in range(count)],
        "t": [[n, 0.5] for n in range(count)],
    }


def test_what_is_beside_the_columns_stays_in_step_when_rows_are_dropped(
    kafka_settings: Kafka,
) -> None:
    names = [topic(kafka_settings), topic(kafka_settings)]
    bad = {0, 3, 4, 9}
    with Producer(kafka_settings, "test") as producer:
        for name in names:
            producer.produce_and_wait(
                Record(
                    *(name, b"k%d" % n, BAD if n in bad else b'{"t": %d}' % n, 0),
                    (("names", b"h%d" % n), ("index", name.encode())),
                )
                for n in range(10)
            )
    options: dict[str, Any] = {
        "headers": ["index"],
        "misfit": "drop",
        "eof": True,
        "batch_rows": 100,
    }
    dataset = KafkaDataset(names, kafka_settings, **options, **NUMBER)
    rows = []
    for batch in dataset:
        columns = [batch["value"]["t"], batch["topic"], batch["headers"]["index"]]
        columns += [batch[name] for name in ("key", "partition", "offset")]
        rows += list(zip(*(c.numpy().tolist() for c in columns), strict=True))
        assert len(batch["timestamp"]) == len(batch["offset"])
    expected = [
        (float(n), name.encode(), name.encode(), b"k%d" % n, 0, n)
        for name in names
        for n in range(10)
        if n not in bad
    ]
    assert sorted(rows) == sorted(expected)
    assert dataset.misfits == 8


def test_a_header_of_any_name_stays_in_step_when_rows_are_dropped(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    with Producer(kafka_settings, "test") as producer:
        producer.produce_and_wait(
            Record(name, b"k", line, 0, (("names", b"h%d" % n),))
            for n, line in enumerate(lines(3, (1,)))
        )
    (batch,) = read(name, kafka_settings, headers="names", misfit="drop", **NUMBER)
    assert batch["headers"]["names"].numpy().tolist() == [b"h0", b"h2"]


@pytest.mark.parametrize("columns", [("value",), ("offset",), ("key", "topic"), ("value", "key")])
def test_a_record_that_does_not_fit_is_in_no_column_of_those_asked_for(
    kafka_settings: Kafka, columns: tuple[str, ...]
) -> None:
    name = filled(kafka_settings, lines(4, (1,)))
    (batch,) = read(name, kafka_settings, columns=columns, misfit="drop", **NUMBER)
    assert set(batch) == set(columns)
    assert {len(column) for column in tf.nest.flatten(batch)} == {3}


def test_fit_takes_decoded_columns_as_inputs_by_name(kafka_settings: Kafka) -> None:
    records: list[bytes | None] = [b'{"a": %d, "b": [1, 2], "y": 3}' % n for n in range(95)]
    records[50:50] = [b"{", None, b'{"a": [], "b": [1, 2], "y": 3}', b'{"b": [1], "y": 3}', b"[]"]
    name = filled(kafka_settings, records)
    fields = {"a": "float32", "b": Field(shape=(2,)), "y": "float32"}
    options: dict[str, Any] = {
        "decode": "json",
        "fields": fields,
        "misfit": "drop",
        "batch_rows": 10,
    }
    source = KafkaDataset(name, kafka_settings, group=name, eof=True, **options)

    def split(batch: Any) -> Any:
        columns = dict(batch["value"])
        goal = columns.pop("y")[:, None]
        return columns, goal

    inputs = {"a": keras.Input((1,), name="a"), "b": keras.Input((2,), name="b")}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="zeros")(joined))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    train = source.map(split)
    history = model.fit(train, epochs=2, verbose=0, callbacks=[CommitCallback(train)])
    assert history.history["loss"] == pytest.approx([9.0, 9.0])
    assert source.misfits == 2 * 5
    assert committed(kafka_settings, name, [(name, 0)]) == [100]


def test_a_table_of_columns_can_be_batched_anew(kafka_settings: Kafka) -> None:
    name = filled(kafka_settings, lines(100, (0, 50, 99)))
    dataset = KafkaDataset(name, kafka_settings, eof=True, batch_rows=9, misfit="drop", **NUMBER)
    again = list(dataset.map(lambda batch: batch["value"]["t"]).unbatch().batch(64))
    assert [len(part) for part in again] == [64, 33]
    assert np.concatenate(again).tolist() == [n for n in range(100) if n not in (0, 50, 99)]


@pytest.mark.parametrize("place", [0, 2500, 4999])
def test_one_bad_record_of_five_thousand_costs_itself_alone(
    kafka_settings: Kafka, place: int
) -> None:
    schema = record(n=of("long"), s=of("string"))
    avro = encode(schema, *({"n": n, "s": f"s{n}"} for n in range(5000)))
    kinds: dict[str, tuple[list[bytes | None], bytes, dict[str, Any]]] = {
        "json": ([b'{"n": %d}' % n for n in range(5000)], b'{"n": 1', {"fields": {"n": "int64"}}),
        "avro": ([*avro], avro[7][:-1], {"schema": schema}),
    }
    for kind, (records, bad, options) in kinds.items():
        records[place] = bad
        name = filled(kafka_settings, records)
        how: dict[str, Any] = {"batch_rows": 5000, "misfit": "drop", "decode": kind, **options}
        dataset = KafkaDataset(name, kafka_settings, eof=True, batch_ms=5000, **how)
        batches = list(dataset)
        good = [n for n in range(5000) if n != place]
        assert offsets(batches) == good
        assert [n for b in batches for n in b["value"]["n"].numpy().tolist()] == good
        assert dataset.misfits == 1
