"""Schemas from a real registry: versions, references, ids that it does not know."""

import io
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
import tensorflow as tf

from bridge import wire
from bridge.contracts import DeadLetter, Reading
from bridge.errors import Malformed, Misconfigured
from bridge.schema_registry import TYPE, register
from bridge.settings import Kafka
from ml import Field, KafkaDataset
from tests.ml.decoders.avro import encode, of, reading, record
from tests.ml.topic import fill, offsets, read, topic, values
from tests.real import Brokers
from tests.registry import Absent
from tests.registry import registry as running

pytestmark = pytest.mark.broker

OLD = record(id=of("string"), t=of("int"), gone=of({"type": "array", "items": "string"}))
NEW = record(t=of("double"), unit=of("string", default="Cel"), id=of("string"))
UNKNOWN = 1_000_000  # an id that no schema has


@pytest.fixture(scope="module")
def registry(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its url."""
    try:
        with running(brokers.bootstrap_servers, tmp_path_factory.mktemp("registry")) as url:
            yield url
    except Absent as why:
        pytest.skip(f"no schema registry: {why}")


def framed(identifier: int, *bodies: bytes) -> list[bytes]:
    """As the serializers of Confluent do: 00 and the id, big endian."""
    return [b"\0" + identifier.to_bytes(4, "big") + body for body in bodies]


def registered(url: str, subject: str, schema: Any, *rows: Any) -> list[bytes]:
    """Records of a schema, which is known to the registry from now on."""
    return framed(register(url, f"{subject}-value", schema), *encode(schema, *rows))


def filled(kafka: Kafka, records: list[bytes]) -> str:
    name = topic(kafka)
    fill(kafka, name, records)
    return name


def avro(name: str, kafka: Kafka, url: str, **options: Any) -> KafkaDataset:
    told: dict[str, Any] = {"eof": True, "batch_rows": 10, "decode": "avro", "registry": url}
    return KafkaDataset(name, kafka, **(told | options))


def rows(batches: Any) -> list[dict[str, Any]]:
    """All rows, a dict of each."""
    found = []
    for batch in batches:
        columns = {name: column.numpy().tolist() for name, column in batch["value"].items()}
        found += [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    return found


@pytest.mark.parametrize("count", [1, 200])
def test_two_versions_in_one_topic_are_read_as_one_schema(
    kafka_settings: Kafka, registry: str, unique: str, count: int
) -> None:
    old: list[Any] = [{"id": f"o{n}", "t": n, "gone": ["x"] * (n % 3)} for n in range(count)]
    new: list[Any] = [{"t": n + 0.5, "unit": "K", "id": f"n{n}"} for n in range(count)]
    parts = [registered(registry, unique, s, *r) for s, r in ((OLD, old), (NEW, new))]
    assert parts[0][0][:5] != parts[1][0][:5]
    mixed = [value for pair in zip(*parts, strict=True) for value in pair]
    name = filled(kafka_settings, mixed)
    for framing in ("auto", "registry"):
        found = avro(name, kafka_settings, registry, schema=NEW, framing=framing, batch_rows=64)
        batches = list(found)
        assert batches[0]["value"]["t"].dtype == tf.float64
        expected = [
            {"t": row["t"], "unit": row.get("unit", "Cel").encode(), "id": row["id"].encode()}
            for pair in zip(old, new, strict=True)
            for row in pair
        ]
        assert rows(batches) == expected
        assert offsets(batches) == list(range(2 * count))


def test_without_a_schema_each_record_is_read_with_its_writers(
    kafka_settings: Kafka, registry: str, unique: str
) -> None:
    old = registered(registry, unique, OLD, {"id": "a", "t": 1, "gone": []})
    new = registered(registry, unique, NEW, {"id": "b", "t": 2.5, "unit": "K"})
    name = filled(kafka_settings, [*old, *new])
    fields = {"t": "float32", "car": Field("string", path="id")}
    fields["unit"] = Field("string", default="none")
    assert rows(avro(name, kafka_settings, registry, fields=fields)) == [
        {"t": 1.0, "car": b"a", "unit": b"none"},
        {"t": 2.5, "car": b"b", "unit": b"K"},
    ]


def test_without_a_schema_the_fields_are_asked_for(kafka_settings: Kafka) -> None:
    with pytest.raises(Misconfigured, match="name the fields, or give a schema"):
        avro("a", kafka_settings, "http://localhost")


def in_space(name: str, **types: Any) -> dict[str, Any]:
    return {**record(name, **types), "namespace": "cars"}


SIZE, WHEEL = record("Size", x=of("double")), record("Wheel", size=of("Size"))
SPOT = in_space("Spot", x=of("double"))
REFERRING: dict[str, list[Any]] = {  # schemas, each of which refers to all before it
    "to another": [SIZE, record("Car", n=of("int"), a=of("Size"))],
    "twice": [SIZE, record("Car", n=of("int"), b=of(["null", "Size"]), a=of("Size"))],
    "also by another": [SIZE, WHEEL, record("Car", n=of("int"), w=of("Wheel"), a=of("Size"))],
    "in its namespace": [SPOT, in_space("Car", n=of("int"), a=of("Spot"))],
    "by its full name": [SPOT, record("Car", n=of("int"), a=of("cars.Spot"))],
}


def referring(url: str, subject: str, schemas: list[Any]) -> int:
    """The id of the last."""
    names = [".".join(filter(None, (s.get("namespace"), s["name"]))) for s in schemas]
    places = [f"{subject}-{name}" for name in names]
    for n, schema in enumerate(schemas):
        told = [
            {"name": names[m], "subject": places[m], "version": 1}
            for m in range(n)
            if f'"{schemas[m]["name"]}"' in json.dumps(schema) or names[m] in json.dumps(schema)
        ]
        body = json.dumps({"schema": json.dumps(schema), "references": told}).encode()
        asked = urllib.request.Request(f"{url}/subjects/{places[n]}/versions", body)
        asked.add_header("Content-Type", TYPE)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            identifier = int(json.load(answer)["id"])
    return identifier


@pytest.mark.parametrize("case", REFERRING)
def test_a_schema_that_refers_to_others_is_read(
    kafka_settings: Kafka, registry: str, unique: str, case: str
) -> None:
    schemas = REFERRING[case]
    known: dict[str, Any] = {}
    for schema in schemas:
        parsed = fastavro.parse_schema(schema, known)
    body = io.BytesIO()
    row = {"n": 1, "a": {"x": 2.5}, "b": {"x": 0.5}, "w": {"size": {"x": 1.5}}}
    fastavro.schemaless_writer(body, parsed, row)
    identifier = referring(registry, unique, schemas)
    name = filled(kafka_settings, framed(identifier, body.getvalue()))
    fields = {"n": "int32", "x": Field(path="a.x")}
    assert rows(avro(name, kafka_settings, registry, fields=fields)) == [{"n": 1, "x": 2.5}]


def test_a_field_that_a_writer_lacks_and_that_has_no_default_does_not_fit(
    kafka_settings: Kafka, registry: str, unique: str
) -> None:
    old = registered(registry, unique, OLD, {"id": "a", "t": 1, "gone": []})
    new = registered(registry, unique, NEW, {"id": "b", "t": 2.5, "unit": "K"})
    name = filled(kafka_settings, [*new, *old, *new])
    found = avro(name, kafka_settings, registry, fields={"unit": "string"}, misfit="drop")
    assert offsets(found) == [0, 2]
    assert found.misfits == 1


def test_a_schema_that_cannot_be_read_as_the_readers_does_not_fit(
    kafka_settings: Kafka, registry: str, unique: str
) -> None:
    narrow = record(t=of("int"))
    name = filled(kafka_settings, registered(registry, unique, NEW, {"t": 1, "id": "a"}))
    found = avro(name, kafka_settings, registry, schema=narrow)
    told = "record field t: expected Avro.*s int, or what can be read so, received .*double"
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"offset 0: {told}"):
        list(found)


def test_what_ingest_writes_with_a_registry_is_read_with_it(
    kafka_settings: Kafka, registry: str, unique: str
) -> None:
    identifier = register(registry, f"{unique}-value", wire.SCHEMAS[Reading])
    encoder = wire.Encoder("avro", {Reading: identifier})
    name = filled(kafka_settings, [encoder.encode(reading(n)) for n in range(50)])
    (batch,) = avro(*(name, kafka_settings, registry), schema=wire.SCHEMAS[Reading], batch_rows=50)
    assert batch["value"]["time"].numpy().tolist() == [reading(n).time for n in range(50)]


def test_an_id_that_the_registry_does_not_know_is_of_one_record(
    kafka_settings: Kafka, registry: str, unique: str
) -> None:
    good = registered(registry, unique, NEW, *({"t": n, "id": f"{n}"} for n in range(3)))
    records = [good[0], *framed(UNKNOWN, good[1][5:]), good[2], b"\0\0"]
    name, dead = filled(kafka_settings, records), topic(kafka_settings)
    options = {"schema": NEW, "misfit": "dead letter", "dead_letters": dead}
    found = avro(name, kafka_settings, registry, **options)
    assert offsets(found) == [0, 2]
    assert found.misfits == 2
    letters = [wire.decode(DeadLetter, value) for value in values(read(dead, kafka_settings))]
    assert [letter.payload for letter in letters] == [records[1], records[3]]
    assert letters[0].received == f"ids/{UNKNOWN}"
    raising = avro(name, kafka_settings, registry, schema=NEW)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"offset 1: .* ids/{UNKNOWN}"):
        list(raising)
    assert isinstance(raising.failure, Malformed)


def test_json_behind_a_registrys_frame_is_read(kafka_settings: Kafka, registry: str) -> None:
    records = framed(7, *(b'{"t": %d}' % n for n in range(100)))
    name = filled(kafka_settings, [*records, b'{"t": 100}', b"\0\0\0"])
    options = {"decode": "json", "fields": {"t": "int32"}, "misfit": "drop", "batch_rows": 200}
    auto = avro(name, kafka_settings, registry, **options)
    assert [row["t"] for row in rows(auto)] == list(range(101))
    assert auto.misfits == 1
    strict = avro(name, kafka_settings, "", framing="registry", **options)
    assert [row["t"] for row in rows(strict)] == list(range(100))
    assert strict.misfits == 2
