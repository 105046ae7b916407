"""Topics of a test's own, filled as the test says."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from bridge.kafka import Consumer, Producer, Record, ensure_topic
from bridge.settings import Kafka
from bridge.spans import Place, Span
from ml import KafkaDataset


def topic(kafka: Kafka, partitions: int = 1) -> str:
    """A new one, empty."""
    name = f"d{uuid.uuid4().hex[:12]}"
    ensure_topic(kafka, Span(name, partitions - 1))
    return name


def fill(kafka: Kafka, name: str, values: Iterable[bytes | None], partition: int = 0) -> None:
    """Records in this order; their keys are k0, k1 and so on."""
    with Producer(kafka, "test") as producer:
        producer.produce_and_wait(
            Record(name, b"k%d" % n, value, partition) for n, value in enumerate(values)
        )


def numbered(count: int, begin: int = 0) -> list[bytes]:
    return [b"v%d" % n for n in range(begin, begin + count)]


def values(batches: Iterable[Any]) -> list[bytes]:
    return [v for batch in batches for v in batch["value"].numpy().tolist()]


def offsets(batches: Iterable[Any]) -> list[int]:
    return [o for batch in batches for o in batch["offset"].numpy().tolist()]


def committed(kafka: Kafka, group: str, places: Sequence[Place]) -> list[int]:
    """Next offsets; below 0 where there is none."""
    with Consumer(kafka, group) as consumer:
        found = consumer.committed_offsets(places)
    return [found[place] for place in places]


def read(name: str, kafka: Kafka, **options: Any) -> list[Any]:
    """All batches that are there."""
    return list(KafkaDataset(name, kafka, eof=True, batch_rows=500, **options))
