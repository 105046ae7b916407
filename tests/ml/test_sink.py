"""What a model gives goes into Kafka: in order, with its input's key, and exactly once if asked."""

import numpy as np
import pytest
import tensorflow as tf

from bridge.errors import Fenced, Misconfigured, Unavailable
from bridge.kafka import Producer
from bridge.settings import Kafka
from ml import KafkaDataset, KafkaOutputSequence, OutputCallback
from tests.ml.model import echo, number
from tests.ml.topic import committed, fill, numbered, read, topic, values

pytestmark = [
    pytest.mark.broker,
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]


def test_values_leave_in_the_order_of_their_index(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    with KafkaOutputSequence(name, kafka_settings) as sequence:
        for index in (2, 0, 1, 4):
            sequence.setitem(index, f"v{index}")
        sequence.flush()
        assert values(read(name, kafka_settings)) == [b"v0", b"v1", b"v2", b"v4"]
        with pytest.raises(Misconfigured, match="an index that was not set yet"):
            sequence.setitem(1, "again")
        sequence.setitem(5, b"v5", key="device", headers=[("model", b"7")])
    (batch,) = read(name, kafka_settings, headers=["model"], start=4)
    assert (batch["key"].numpy(), batch["headers"]["model"].numpy()) == ([b"device"], [b"7"])


def test_a_topic_that_is_not_there_is_made(kafka_settings: Kafka, unique: str) -> None:
    with KafkaOutputSequence(unique, kafka_settings) as sequence:
        sequence.setitem(0, "first")
    assert values(read(unique, kafka_settings)) == [b"first"]


def test_a_partition_is_named_in_the_topic_or_for_one_value(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings, 3)
    with KafkaOutputSequence(f"{name}:2", kafka_settings) as sequence:
        sequence.setitem(0, "a")
        sequence.setitem(1, "b", partition=1)
    places = {
        value: int(partition)
        for batch in read(name, kafka_settings)
        for value, partition in zip(batch["value"].numpy(), batch["partition"], strict=True)
    }
    assert places == {b"a": 2, b"b": 1}


def test_what_kafka_does_not_take_is_raised(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    sequence = KafkaOutputSequence(name, kafka_settings)
    sequence.setitem(0, np.random.default_rng(1).bytes(3_000_000))
    with pytest.raises(Exception, match="MSG_SIZE_TOO_LARGE"):
        sequence.flush()
    with pytest.raises(Unavailable, match="a Kafka broker that answers"):
        KafkaOutputSequence(name, "127.0.0.1:1")
    with pytest.raises(Misconfigured, match="topic or topic:partition"):
        KafkaOutputSequence("^x", kafka_settings)


def test_without_a_source_each_row_is_a_value(kafka_settings: Kafka, unique: str) -> None:
    callback = OutputCallback(
        32, unique, kafka_settings, encode=lambda row: f"<{row[0]:g}>", model_version="v7"
    )
    echo().predict(np.arange(70.0)[:, None], verbose=0, callbacks=[callback])
    assert values(read(unique, kafka_settings)) == [b"<%d>" % n for n in range(70)]


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("face", ["batches", "records"])
def test_each_prediction_has_its_inputs_key_and_place(
    kafka_settings: Kafka, unique: str, face: str, at_once: int
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(250))
    if face == "batches":
        source = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=40)
        inputs = source.map(number).prefetch(2)
    else:
        source = KafkaDataset(f"{name}:0", kafka_settings, group=name, eof=True)
        inputs = source.map(lambda v: number({"value": v[None]})[0]).batch(40).prefetch(2)
    model = echo()
    model.compile(steps_per_execution=at_once)
    callback = OutputCallback(40, unique, kafka_settings, source=inputs, model_version="v7")
    model.predict(inputs, verbose=0, callbacks=[callback])
    rows = [
        row
        for b in read(unique, kafka_settings, headers=["offset", "model"])
        for row in zip(
            *(c.numpy() for c in (b["value"], b["key"], *b["headers"].values())), strict=True
        )
    ]
    assert rows == [
        (b"[%d.0]" % n, b"k%d" % n, f"{name}:0:{n}".encode(), b"v7") for n in range(250)
    ]
    assert committed(kafka_settings, name, [(name, 0)]) == [250]


def test_without_a_group_nothing_is_committed(kafka_settings: Kafka, unique: str) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(100))
    inputs = KafkaDataset(name, kafka_settings, eof=True, batch_rows=10).map(number)
    callback = OutputCallback(10, unique, kafka_settings, source=inputs)
    echo().predict(inputs, verbose=0, callbacks=[callback])
    (batch,) = read(unique, kafka_settings)
    assert batch["key"].numpy().tolist() == [b"k%d" % n for n in range(100)]
    assert committed(kafka_settings, "haltere-none", [(name, 0)])[0] < 0


def test_rows_that_were_added_or_dropped_on_the_way_are_an_error(
    kafka_settings: Kafka, unique: str
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(100))
    source = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=50)
    for change in (lambda x: x[::2], lambda x: tf.repeat(x, 2, 0)):
        inputs = source.map(number).map(change)
        callback = OutputCallback(50, unique, kafka_settings, source=inputs)
        with pytest.raises(Misconfigured, match="50 rows, as many as were read"):
            echo().predict(inputs, verbose=0, callbacks=[callback])
        source.close()
    assert committed(kafka_settings, name, [(name, 0)])[0] < 0


def test_predictions_and_offsets_are_one_transaction(kafka_settings: Kafka, unique: str) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(300))
    for _ in range(2):  # the second finds nothing left to do
        source = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=50)
        inputs = source.map(number)
        callback = OutputCallback(
            50, unique, kafka_settings, source=inputs, transactional_id=unique
        )
        echo().predict(inputs, verbose=0, callbacks=[callback]) if _ == 0 else list(inputs)
        callback.close()
    assert committed(kafka_settings, name, [(name, 0)]) == [300]
    assert values(read(unique, kafka_settings)) == [b"[%d.0]" % n for n in range(300)]


def test_a_second_of_the_same_transactional_id_stops_the_first(
    kafka_settings: Kafka, unique: str
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(100))
    rivals: list[Producer] = []

    def encode(row: np.ndarray) -> bytes:
        if not rivals:
            rivals.append(Producer(kafka_settings, "rival", transactional_id=unique))
        return b"%d" % row[0]

    source = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=50)
    inputs = source.map(number)
    callback = OutputCallback(
        50, unique, kafka_settings, source=inputs, transactional_id=unique, encode=encode
    )
    with pytest.raises((Fenced, tf.errors.InvalidArgumentError), match="FENCED|Fenced"):
        echo().predict(inputs, verbose=0, callbacks=[callback])
    source.close()
    callback.close()
    assert values(read(unique, kafka_settings)) == []
    assert committed(kafka_settings, name, [(name, 0)])[0] < 0


def test_what_could_not_be_encoded_is_not_committed(kafka_settings: Kafka, unique: str) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(100))

    def encode(row: np.ndarray) -> bytes:
        if row[0] == 70:
            raise ValueError("seventy")
        return b"%d" % row[0]

    source = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=50)
    inputs = source.map(number)
    callback = OutputCallback(50, unique, kafka_settings, source=inputs, encode=encode)
    with pytest.raises(ValueError, match="seventy"):
        echo().predict(inputs, verbose=0, callbacks=[callback])
    source.close()
    callback.close()
    assert committed(kafka_settings, name, [(name, 0)])[0] <= 50


def test_a_transactional_predict_that_failed_goes_on_when_it_is_called_again(
    kafka_settings: Kafka, unique: str
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(300))
    failing = {170}

    def encode(row: np.ndarray) -> bytes:
        if int(row[0]) in failing:
            raise ValueError("once")
        return b"%d" % row[0]

    source = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=50)
    inputs = source.map(number)
    callback = OutputCallback(
        50, unique, kafka_settings, source=inputs, encode=encode, transactional_id=unique
    )
    with pytest.raises(ValueError, match="once"):
        echo().predict(inputs, verbose=0, callbacks=[callback])
    failing.clear()
    echo().predict(inputs, verbose=0, callbacks=[callback])
    assert values(read(unique, kafka_settings)) == [b"%d" % n for n in range(300)]


def test_exactly_once_needs_one_source_with_a_group(kafka_settings: Kafka, unique: str) -> None:
    alone = KafkaDataset("t", kafka_settings, batch_rows=10)
    for options in ({}, {"source": alone}):
        with pytest.raises(Misconfigured, match="made of a KafkaDataset with group="):
            OutputCallback(10, unique, kafka_settings, transactional_id="t", **options)
