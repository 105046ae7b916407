"""Reads what arrives in Kafka while it arrives, in a thread of its own, into the tally."""

import time
from collections.abc import Callable
from threading import Event

from bridge.contracts import Topics
from bridge.errors import Unavailable
from bridge.kafka import Consumer
from bridge.records import Fetched
from bridge.settings import Kafka
from torture.ledger import Stall, Tally

BATCH = 5000
LOOK_S = 0.1
END_S = 30.0  # to reach the end of the topics when all is quiet


class Watch:
    """The tally's reader: only what comes after its beginning counts."""

    def __init__(self, kafka: Kafka, tally: Tally, acknowledged: Callable[[], bytearray]) -> None:
        quiet: dict[str, str | int | float | bool] = {"log_level": 0}  # Kafka goes away: no news
        self._kafka = kafka.model_copy(update={"options": kafka.options | quiet})
        self._acknowledged = acknowledged
        self._next: dict[tuple[str, int], int] = {}
        self._names = Topics(kafka.prefix)
        self.tally = tally
        self.stall = Stall(time.monotonic())
        self.grown_at = self._looked = time.monotonic()
        self._known = 0
        self.abandoned = False  # then the end of the topics is not waited for

    def run(self, begun: Event, stop: Event) -> None:
        """Read until told to stop, then up to the end of the topics.

        Raises:
            HaltereError: the topics cannot be read, or their end is not reached in time.
        """
        with Consumer(self._kafka) as consumer:
            self._next = self._ends(consumer)
            consumer.assign(self._next)
            begun.set()
            while not stop.is_set():
                self._look(consumer)
            if self.abandoned:
                return
            ends, deadline = self._ends(consumer), time.monotonic() + END_S
            while any(self._next[place] < end for place, end in ends.items()):
                self._look(consumer)
                if time.monotonic() > deadline:
                    raise Unavailable(consumer.where, "the end of its topics", f"not in {END_S} s")

    def _ends(self, consumer: Consumer) -> dict[tuple[str, int], int]:
        """Tried again for a while: what was just created or just started has no leader yet."""
        deadline = time.monotonic() + END_S
        while True:
            try:
                return self._found(consumer)
            except Unavailable:
                if self.abandoned or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_S)

    def _found(self, consumer: Consumer) -> dict[tuple[str, int], int]:
        places: dict[tuple[str, int], int] = {}
        for topic in (self._names.readings, self._names.deadletters):
            places |= {place: end for place, (_, end) in consumer.ends(topic).items()}
        return places

    def _look(self, consumer: Consumer) -> None:
        for record in consumer.fetch(BATCH, LOOK_S):
            self._take(record)
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        grown, self._looked, self._known = self.tally.known > self._known, now, self.tally.known
        self.grown_at = now if grown else self.grown_at
        self.stall.look(now, grown, bool(self.tally.pending(self._acknowledged())))

    def _take(self, record: Fetched) -> None:
        self._next[record.topic, record.partition] = record.offset + 1
        if record.value is None:
            return
        if record.topic == self._names.readings:
            self.tally.reading(record.value)
        else:
            self.tally.letter(record.value)
