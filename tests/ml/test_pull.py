"""Kafka as a tf.data dataset: every record once, in order, with its offset; and it ends."""

import time
from collections.abc import Callable

import pytest

from bridge import kafka
from bridge.contracts import Topics
from bridge.errors import Unavailable
from bridge.kafka import EARLIEST, Consumer, Fetched, Producer, Record
from bridge.settings import Kafka
from ml.pull import Batch, Source


def collected(source: Source, enough: Callable[[list[Batch]], bool]) -> list[Batch]:
    batches: list[Batch] = []
    for batch in source:
        batches.append(batch)
        if enough(batches):
            break
    return batches


@pytest.mark.broker
def test_every_record_comes_once_and_carries_its_offset(kafka_settings: Kafka) -> None:
    kafka.ensure_topics(kafka_settings)
    topic = Topics(kafka_settings.prefix).readings
    with Producer(kafka_settings, "test") as producer:
        for n in range(1025):
            assert producer.produce(Record(topic, b"k%d" % n, b"v%d" % n, partition=0))
        while producer.in_flight():
            producer.poll(0.1)
    deadline = time.monotonic() + 60
    with Consumer(kafka_settings) as consumer:
        consumer.assign({(topic, 0): EARLIEST})
        source = Source(consumer, 100, 0.1, lambda: time.monotonic() > deadline)
        batches = collected(source, lambda b: sum(len(x["value"]) for x in b) >= 1025)
    values = [v for batch in batches for v in batch["value"].numpy()]
    offsets = [o for batch in batches for o in batch["offset"].numpy()]
    assert values == [b"v%d" % n for n in range(1025)]
    assert offsets == list(range(1025))
    assert max(len(batch["value"]) for batch in batches) <= 100


@pytest.mark.broker
def test_a_quiet_topic_gives_empty_batches_and_ends_when_told(kafka_settings: Kafka) -> None:
    kafka.ensure_topics(kafka_settings)
    seen: list[int] = []
    with Consumer(kafka_settings) as consumer:
        consumer.assign({(Topics(kafka_settings.prefix).readings, 0): EARLIEST})
        for batch in Source(consumer, 100, 0.01, lambda: len(seen) >= 3):
            seen.append(len(batch["value"]))
    assert seen == [0, 0, 0]


class Failing(Consumer):
    """A consumer whose second fetch fails."""

    def __init__(self) -> None:
        self.fetches = 0

    def fetch(self, maximum: int, timeout_s: float) -> list[Fetched]:
        self.fetches += 1
        if self.fetches > 1:
            raise Unavailable("kafka", "an answer", "none")
        return [Fetched("t", 0, 7, 0, b"k", b"v")]


def test_what_the_consumer_raises_comes_out_as_it_is() -> None:
    batches = []
    with pytest.raises(Unavailable, match="kafka: expected an answer"):
        for batch in Source(Failing(), 10, 0.0, lambda: False):
            batches.append(batch["offset"].numpy().tolist())
    assert batches == [[7]]


def test_leaving_in_the_middle_ends_the_dataset() -> None:
    consumer = Failing()
    for _ in Source(consumer, 10, 0.0, lambda: False):
        break
    assert consumer.fetches == 1
