"""Kafka 3.9, embedded: a Kafka 4 does not tell tensorflow-io where a partition begins or ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge import jars
from bridge.brokers import KafkaBroker
from bridge.jars import Progress

LOCK = Path(__file__).with_name("kafka-3.9.lock")


@contextmanager
def old_kafka(folder: Path) -> Iterator[str]:
    """Start one in this folder, which stays, and stop it at the end; gives its address."""
    with KafkaBroker(folder, classpath=_classpath) as broker:
        yield broker.bootstrap_servers


def _classpath(progress: Progress) -> tuple[Path, ...]:
    return jars.resolve(progress, wanted=jars.parse(LOCK.read_text("utf-8").splitlines()))
