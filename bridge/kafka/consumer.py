"""Records in: committed ones, in batches; offsets are committed when the caller says so."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import confluent_kafka as ck

from bridge.errors import Unavailable
from bridge.kafka.client import REQUEST_S, build, common, in_service, translate, translated
from bridge.kafka_errors import FAMILIES, LEADERLESS
from bridge.records import Changes, Fetched
from bridge.settings import Kafka

LEADER_S, LOOK_S = 5.0, 0.1  # a partition has its leader after so long, and is looked at so often
NO_OPTIONS: Mapping[str, Any] = {}
EARLIEST, LATEST = ck.OFFSET_BEGINNING, ck.OFFSET_END


class Consumer:
    """Reads committed records; offsets are committed when the caller says so, never by itself.

    Args:
        kafka: the cluster.
        group: the consumer group; with none, `assign` partitions instead of `subscribe`.
        options: librdkafka names, over those that stand here and below ``kafka.options``.
    """

    def __init__(
        self, kafka: Kafka, group: str = "", options: Mapping[str, Any] = NO_OPTIONS
    ) -> None:
        config = common(kafka, group or "haltere") | {
            "group.id": group or "haltere-none",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "session.timeout.ms": 10_000,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 3,  # 1 s by default: a quick reader starves, 4 times slower
            "topic.metadata.refresh.interval.ms": 10_000,
        }
        if kafka.options.get("group.protocol") == "consumer":  # KIP-848: the broker decides it
            del config["session.timeout.ms"]
        self.where = f"kafka {kafka.bootstrap_servers}"
        self._assigned: set[tuple[str, int]] = set()
        self._revoked: set[tuple[str, int]] = set()
        self._ended: set[tuple[str, int]] = set()
        self._lost: set[tuple[str, int]] = set()  # revoked within one fetch
        self._config = config | dict(options) | kafka.options
        self._consumer = self._new()

    def _new(self) -> Any:
        return build(ck.Consumer, self._config, self.where)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group; `changes` tells what it is given."""
        self._consumer.subscribe(
            list(topics), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )

    def assign(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Read these partitions from these offsets, without a group."""
        self._ended.clear()
        self._consumer.assign([ck.TopicPartition(t, p, o) for (t, p), o in offsets.items()])

    def fetch(self, maximum: int, timeout_s: float) -> list[Fetched]:
        """Up to ``maximum`` records; waits for the first, then takes what is there.

        Raises:
            HaltereError: the group or the topic is refused. Of a broker that is away nothing is
                raised: librdkafka comes back to it.
        """
        with translated(self.where):
            messages = self._consumer.consume(1, timeout_s)
            if messages and maximum > 1:
                self._lost.clear()
                more = self._consumer.consume(maximum - 1, 0.002)
                first = (messages[0].topic(), messages[0].partition())
                messages = more if first in self._lost else messages + more
        return [record for message in messages if (record := self._fetched(message))]

    def read_all(self, topic: str, partitions: Sequence[int]) -> list[Fetched]:
        """Every committed record of these partitions up to the end that is reached first.

        Takes the place of whatever was assigned.

        Raises:
            Unavailable: nothing came for a while, and the end was not reached.
        """
        self.assign({(topic, p): EARLIEST for p in partitions})
        records: list[Fetched] = []
        patience = int(REQUEST_S)
        while len(self._ended) < len(partitions):
            fetched = self.fetch(10_000, 1.0)
            records += fetched
            patience = int(REQUEST_S) if fetched else patience - 1
            if patience <= 0:
                raise Unavailable(self.where, f"the end of {topic}", f"nothing in {REQUEST_S:g} s")
        return records

    def changes(self) -> Changes:
        """Partitions assigned and revoked since the last call."""
        changes = Changes(frozenset(self._assigned), frozenset(self._revoked))
        self._assigned, self._revoked = set(), set()
        return changes

    def commit(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit the next offset to read of each partition."""
        positions = [ck.TopicPartition(t, p, o) for (t, p), o in offsets.items()]
        with translated(self.where):
            done = self._consumer.commit(offsets=positions, asynchronous=False)
        if failed := next((place.error for place in done or () if place.error), None):
            raise translate(self.where, failed)

    def ends(self, topic: str) -> dict[tuple[str, int], tuple[int, int]]:
        """First and next offset of every partition of a topic.

        Raises:
            Unavailable: the broker does not answer, or the topic does not exist.
        """
        deadline = time.monotonic() + LEADER_S
        while True:
            try:
                found = self._watermarks(topic)
                break
            except ck.KafkaException as error:
                if error.args[0].name() not in LEADERLESS or time.monotonic() > deadline:
                    raise translate(self.where, error.args[0]) from None
            time.sleep(LOOK_S)
        if not found:
            raise Unavailable(self.where, f"the topic {topic}", "no such topic")
        return found

    def _watermarks(self, topic: str) -> dict[tuple[str, int], tuple[int, int]]:
        listed = self._consumer.list_topics(topic, REQUEST_S)
        partitions = in_service(self.where, listed)[topic].partitions
        places = {(topic, p): ck.TopicPartition(topic, p) for p in partitions}
        ask = self._consumer.get_watermark_offsets
        return {place: ask(at, REQUEST_S) for place, at in places.items()}

    def known(self, timeout_s: float = REQUEST_S) -> dict[str, list[int]]:
        """The partitions of every topic of the cluster."""
        with translated(self.where):
            listed = self._consumer.list_topics(timeout=timeout_s)
        topics = in_service(self.where, listed)
        return {name: sorted(topic.partitions) for name, topic in topics.items()}

    def committed_offsets(self, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The next offset of each partition that the group has committed; below 0: none."""
        asked = [ck.TopicPartition(*place) for place in places]
        with translated(self.where):
            found = self._consumer.committed(asked, timeout=REQUEST_S)
        if failed := next((place.error for place in found if place.error), None):
            raise translate(self.where, failed)
        return {(place.topic, place.partition): place.offset for place in found}

    def ended(self) -> frozenset[tuple[str, int]]:
        """Partitions of the last `assign` that were read to their end."""
        return frozenset(self._ended)

    def since(self, places: Iterable[tuple[str, int]], ms: int) -> dict[tuple[str, int], int]:
        """The first offset of each partition whose record is not older; -1 where all are."""
        asked = [ck.TopicPartition(t, p, ms) for t, p in places]
        with translated(self.where):
            found = self._consumer.offsets_for_times(asked, REQUEST_S)
        if failed := next((place.error for place in found if place.error), None):
            raise translate(self.where, failed)
        return {(place.topic, place.partition): place.offset for place in found}

    def lag(self) -> int:
        """Records between the position and the last known end, over assigned partitions."""
        behind = 0
        for place in self._consumer.position(self._consumer.assignment()):
            low, high = self._consumer.get_watermark_offsets(place, cached=True)
            behind += max(0, high - (place.offset if place.offset >= 0 else low))
        return behind

    def _assign(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._assigned |= {(p.topic, p.partition) for p in partitions}

    def _revoke(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._lost |= {(p.topic, p.partition) for p in partitions}
        self._revoked |= self._lost

    def _fetched(self, m: ck.Message) -> Fetched | None:
        error = m.error()
        topic, partition = m.topic() or "", m.partition() or 0
        if error is None:
            value, key = m.value(), m.key() or b""
            return Fetched(topic, partition, m.offset() or 0, m.timestamp()[1], key, value)
        if error.name() == "_PARTITION_EOF":
            self._ended.add((topic, partition))
        elif not error.retriable() and FAMILIES.get(error.name()) is not Unavailable:
            raise translate(self.where, error)
        return None
