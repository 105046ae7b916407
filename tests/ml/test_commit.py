"""In fit, evaluate and predict a batch is committed when Keras is done with it."""

from typing import Any

import keras
import pytest
import tensorflow as tf

from bridge.errors import Misconfigured
from bridge.settings import Kafka
from ml import CommitCallback, KafkaDataset
from tests.ml.model import echo, learner, number, pairs
from tests.ml.topic import committed, fill, numbered, topic, values

pytestmark = [
    pytest.mark.broker,
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
]


class Stopping(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the process's patience after so many batches."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch + 1 == self.after:
            raise KeyboardInterrupt

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self.on_train_batch_end(batch)


@pytest.fixture
def name(kafka_settings: Kafka) -> str:
    """A topic of a thousand records."""
    found = topic(kafka_settings)
    fill(kafka_settings, found, numbered(1000))
    return found


def hundreds(name: str, kafka: Kafka) -> KafkaDataset:
    return KafkaDataset(name, kafka, group=name, eof=True, batch_rows=100)


def test_fit_commits_what_it_has_learned_from(kafka_settings: Kafka, name: str) -> None:
    train = pairs(hundreds(name, kafka_settings))
    learner().fit(train, epochs=3, verbose=0, callbacks=[CommitCallback(train)])
    assert committed(kafka_settings, name, [(name, 0)]) == [1000]


@pytest.mark.parametrize("at_once", [1, 2])
def test_what_ran_ahead_is_not_committed(kafka_settings: Kafka, name: str, at_once: int) -> None:
    source = hundreds(name, kafka_settings)
    train = pairs(source).prefetch(4)
    model = learner()
    model.compile("sgd", "mse", steps_per_execution=at_once)
    with pytest.raises(KeyboardInterrupt):
        model.fit(train, verbose=0, callbacks=[CommitCallback(train), Stopping(4)])
    source.close()
    assert committed(kafka_settings, name, [(name, 0)]) == [400]
    assert values(hundreds(name, kafka_settings)) == numbered(600, 400)


def test_steps_per_epoch_go_on_where_the_last_epoch_ended(kafka_settings: Kafka, name: str) -> None:
    source = hundreds(name, kafka_settings)
    train = pairs(source)
    commit = CommitCallback(train)
    learner().fit(train, epochs=3, steps_per_epoch=2, verbose=0, callbacks=[commit])
    assert committed(kafka_settings, name, [(name, 0)]) == [600]


def test_single_records_that_were_zipped_and_batched(kafka_settings: Kafka, name: str) -> None:
    other = topic(kafka_settings)
    fill(kafka_settings, other, numbered(1000))
    sources = [
        KafkaDataset([f"{t}:0"], kafka_settings, group=name, eof=True) for t in (name, other)
    ]
    parts = [s.map(lambda v: number({"value": v[None]})[0]) for s in sources]
    train = tf.data.Dataset.zip((parts[0], parts[1])).batch(64).prefetch(2)
    with pytest.raises(KeyboardInterrupt):
        learner().fit(train, verbose=0, callbacks=[CommitCallback(train), Stopping(5)])
    for source in sources:
        source.close()
    assert committed(kafka_settings, name, [(name, 0), (other, 0)]) == [320, 320]


def test_evaluate_and_predict_commit_as_well(kafka_settings: Kafka, name: str) -> None:
    source = hundreds(name, kafka_settings)
    with pytest.raises(KeyboardInterrupt):
        inputs = source.map(number)
        echo().predict(inputs, verbose=0, callbacks=[CommitCallback(inputs), Stopping(3)])
    source.close()
    assert committed(kafka_settings, name, [(name, 0)]) == [300]
    test = pairs(source)
    echo().evaluate(test, verbose=0, callbacks=[CommitCallback(test)])
    assert committed(kafka_settings, name, [(name, 0)]) == [1000]


def test_validation_is_not_what_was_learned_from(kafka_settings: Kafka, name: str) -> None:
    train = pairs(hundreds(name, kafka_settings))
    held = pairs(KafkaDataset(f"{name}:0", kafka_settings, eof=True, batch_rows=10))
    learner().fit(train, validation_data=held, verbose=0, callbacks=[CommitCallback(train)])
    assert committed(kafka_settings, name, [(name, 0)]) == [1000]


def test_a_dataset_without_a_group_or_with_shuffled_rows_is_refused(kafka_settings: Kafka) -> None:
    with pytest.raises(Misconfigured, match="with group="):
        CommitCallback(KafkaDataset("t", kafka_settings, batch_rows=10))
    grouped = KafkaDataset("t", kafka_settings, group="g", batch_rows=10)
    with pytest.raises(Misconfigured, match="in their order, received shuffle"):
        CommitCallback(grouped.shuffle(10))
    with pytest.raises(Misconfigured, match="made of a KafkaDataset"):
        CommitCallback(tf.data.Dataset.range(3))


def test_datasets_of_different_length_commit_what_was_handled(
    kafka_settings: Kafka, name: str
) -> None:
    short = topic(kafka_settings)
    fill(kafka_settings, short, numbered(100))
    sources = [
        KafkaDataset([f"{t}:0"], kafka_settings, group=name, eof=True) for t in (short, name)
    ]
    parts = [s.map(lambda v: number({"value": v[None]})[0]) for s in sources]
    train = tf.data.Dataset.zip((parts[0], parts[1])).batch(64)
    learner().fit(train, verbose=0, callbacks=[CommitCallback(train)])
    for source in sources:
        source.close()
    assert committed(kafka_settings, name, [(short, 0), (name, 0)]) == [100, 100]


def test_take_behind_batch_is_understood_and_before_it_refused(
    kafka_settings: Kafka, name: str
) -> None:
    single = KafkaDataset(f"{name}:0", kafka_settings, group=name, eof=True)
    with pytest.raises(Misconfigured, match=r"take\(\) behind batch\(\)"):
        CommitCallback(single.take(100).batch(64))
    train = pairs(hundreds(name, kafka_settings)).take(3)
    learner().fit(train, verbose=0, callbacks=[CommitCallback(train)])
    assert committed(kafka_settings, name, [(name, 0)]) == [300]


def test_named_partitions_of_a_group_go_on_behind_what_is_committed(
    kafka_settings: Kafka, name: str
) -> None:
    def rest() -> KafkaDataset:
        return KafkaDataset(f"{name}:0", kafka_settings, group=name, eof=True, batch_rows=100)

    train = pairs(rest()).take(3)
    learner().fit(train, verbose=0, callbacks=[CommitCallback(train)])
    assert values(rest()) == numbered(700, 300)
    anew = KafkaDataset(f"{name}:0:0", kafka_settings, group=name, eof=True, batch_rows=100)
    assert values(anew) == numbered(1000)


def test_after_fit_the_caller_may_report(kafka_settings: Kafka, name: str) -> None:
    source = hundreds(name, kafka_settings)
    train = pairs(source)
    learner().fit(train, steps_per_epoch=2, verbose=0, callbacks=[CommitCallback(train)])
    for batch in source:
        source.commit(batch)
    assert committed(kafka_settings, name, [(name, 0)]) == [1000]
