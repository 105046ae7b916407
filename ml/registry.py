"""Versions of the models, in the compacted topic: publish, promote, and follow.

A version is a record under ``class/version``; the champion of a class is a record of its own under
``champion/class`` that names a version. So promoting is one small record, and what was is kept:
the last `KEPT` versions of a class.
"""

import logging
from collections.abc import Iterator

from bridge import wire
from bridge.contracts import CHAMPION, ModelCard, Topics
from bridge.errors import Malformed
from bridge.kafka import EARLIEST, Consumer, Fetched, Record
from bridge.settings import Kafka

log = logging.getLogger(__name__)

KEPT = 20  # versions of a class; older ones are deleted


def publish(topics: Topics, card: ModelCard, value: bytes) -> list[Record]:
    """The records that publish a version and promote it."""
    name = card.device_class
    records = [
        Record(topics.models, f"{name}/{card.version}".encode(), value),
        Record(topics.models, CHAMPION + name.encode(), str(card.version).encode()),
    ]
    if card.version > KEPT:
        old = f"{name}/{card.version - KEPT}".encode()
        records.append(Record(topics.models, old, None))
    return records


class Champions:
    """Follows the topic; a context manager around its own consumer."""

    def __init__(self, kafka: Kafka) -> None:
        self._topic = Topics(kafka.prefix).models
        self._consumer = Consumer(kafka)
        self._cards: dict[bytes, bytes] = {}

    def __enter__(self) -> "Champions":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.__exit__(None, None, None)

    def load(self) -> dict[str, ModelCard]:
        """The champion of every class now; `news` goes on from there."""
        records = self._consumer.read_all(self._topic, [0])
        champions = {card.device_class: card for card in self._take(records)}
        last = records[-1].offset + 1 if records else EARLIEST
        self._consumer.assign({(self._topic, 0): last})
        return champions

    def news(self) -> list[ModelCard]:
        """Champions named since the last call; does not wait."""
        return list(self._take(self._consumer.fetch(100, 0.0)))

    def _take(self, records: list[Fetched]) -> Iterator[ModelCard]:
        for record in records:
            if not record.key.startswith(CHAMPION):
                self._cards[record.key] = record.value or b""
                continue
            name = record.key.removeprefix(CHAMPION)
            card = self._cards.get(name + b"/" + (record.value or b""))
            if card:
                try:
                    yield wire.decode(ModelCard, card)
                except Malformed as error:
                    log.warning("%s %d: %s", record.topic, record.offset, error)
