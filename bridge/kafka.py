"""The only file that knows librdkafka: producer, consumer, creation of topics.

No decisions and no callbacks above this file: delivery reports, assignments and revocations are
polled. Foreign errors leave as `bridge.errors` by the table in `bridge.kafka_errors`.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.kafka_errors import EXPECTED, FAMILIES, judged, unbuilt
from bridge.kafka_security import security
from bridge.records import Changes as Changes
from bridge.records import Fetched as Fetched
from bridge.records import Record as Record
from bridge.records import Report as Report
from bridge.settings import Kafka
from bridge.topics import LARGEST, Topic, topics

log = logging.getLogger(__name__)

TRANSACTION_MS = 10_000
REQUEST_S = 30.0  # for one request to the brokers
LOOK_S = 1.0  # of it, until it is asked why there is no answer
EARLIEST, LATEST = ck.OFFSET_BEGINNING, ck.OFFSET_END


def translate(where: str, error: ck.KafkaError) -> HaltereError:
    """A librdkafka error as one of ours."""
    family, remedy = judged(error.name(), error.str())
    return family(where, EXPECTED[family], f"{error.name()}: {error.str()}", remedy)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except ck.KafkaException as error:
        raise translate(where, error.args[0]) from None


def _common(kafka: Kafka, client_id: str) -> dict[str, Any]:
    return security(kafka) | {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": client_id,
        "log_level": 3,  # errors
        "socket.nagle.disable": True,
    }


class Producer:
    """Idempotent, all in-sync replicas, murmur2 by key; transactional where an id is given.

    Args:
        kafka: the cluster.
        client_id: a name for the broker's logs.
        transactional_id: stable for one worker; a second producer under it fences the first.
    """

    def __init__(self, kafka: Kafka, client_id: str, transactional_id: str = "") -> None:
        config = _common(kafka, client_id) | {
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 5,
            "message.max.bytes": LARGEST + 1024 * 1024,
            "message.timeout.ms": kafka.message_timeout_ms,
            "queue.buffering.max.messages": 100_000,
        }
        if transactional_id:
            config |= {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": TRANSACTION_MS,
                "message.timeout.ms": TRANSACTION_MS,
                "linger.ms": 0,  # the commit flushes at once
                "retry.backoff.ms": 5,  # the last commit may still be under way: 133 -> 42 ms
            }
        self.where = f"kafka {kafka.bootstrap_servers}"
        self._reports: deque[Report] = deque()
        self._producer = _build(ck.Producer, config | kafka.options, self.where)
        if transactional_id:
            with _translated(self.where):
                self._producer.init_transactions(REQUEST_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ck.KafkaException):  # that it was fenced has been said
            self._producer.purge()
            self._producer.flush(1.0)

    def produce(self, record: Record, token: object = None) -> bool:
        """Queue a record; False when the queue is full. A `Report` with the token follows.

        Raises:
            Malformed: librdkafka refuses the record at once, for instance for its size.
        """

        def delivered(error: ck.KafkaError | None, _: ck.Message) -> None:
            failure = None if error is None else translate(self.where, error)
            self._reports.append(Report(token, failure))

        what = (record.topic, record.value, record.key, record.partition)
        headers = list(record.headers) or None
        try:
            self._producer.produce(*what, on_delivery=delivered, headers=headers)
        except BufferError:
            return False
        except ck.KafkaException as error:
            if error.args[0].name() == "_FATAL":
                with _translated(self.where):
                    self._producer.poll(0)  # raises the cause, for instance that it was fenced
            raise translate(f"{self.where} topic {record.topic}", error.args[0]) from None
        return True

    def poll(self, timeout_s: float) -> list[Report]:
        """The delivery reports since the last call; waits up to the time for the first.

        Raises:
            HaltereError: this producer is of no use any more, for instance because it was fenced.
        """
        with _translated(self.where):
            self._producer.poll(timeout_s)
        reports, self._reports = self._reports, deque()
        return list(reports)

    def in_flight(self) -> int:
        """Records that have no report yet."""
        return len(self._producer)

    def begin(self) -> None:
        """Begin a transaction."""
        with _translated(self.where):
            self._producer.begin_transaction()

    def commit(self, consumer: "Consumer", offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit the transaction with the consumer's next offsets in it.

        Raises:
            HaltereError: it was aborted; nothing of it is visible, and the offsets stand.
        """
        positions = [ck.TopicPartition(t, p, offset) for (t, p), offset in offsets.items()]
        try:
            if positions:
                group = consumer._consumer.consumer_group_metadata()
                self._producer.send_offsets_to_transaction(positions, group, REQUEST_S)
            self._producer.commit_transaction(REQUEST_S)
        except ck.KafkaException as error:
            self.abort()
            raise translate(self.where, error.args[0]) from None
        failed = next((r.error for r in self.poll(0) if r.error), None)
        if failed:
            raise failed

    def abort(self) -> None:
        """Abort the transaction, if there is one that can be."""
        try:
            self._producer.abort_transaction(REQUEST_S)
        except ck.KafkaException as error:
            log.warning("%s: abort: %s", self.where, error.args[0].str())
        self.poll(0)


class Consumer:
    """Reads committed records; offsets are committed when the caller says so, never by itself.

    Args:
        kafka: the cluster.
        group: the consumer group; with none, `assign` partitions instead of `subscribe`.
    """

    def __init__(self, kafka: Kafka, group: str = "") -> None:
        config = _common(kafka, group or "haltere") | {
            "group.id": group or "haltere-none",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "session.timeout.ms": 10_000,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "topic.metadata.refresh.interval.ms": 10_000,
        }
        self.where = f"kafka {kafka.bootstrap_servers}"
        self._assigned: set[tuple[str, int]] = set()
        self._revoked: set[tuple[str, int]] = set()
        self._ended: set[tuple[str, int]] = set()
        self._lost: set[tuple[str, int]] = set()  # revoked within one fetch
        self._consumer = _build(ck.Consumer, config | kafka.options, self.where)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        with _translated(self.where):
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
        with _translated(self.where):
            self._consumer.commit(offsets=positions, asynchronous=False)

    def ends(self, topic: str) -> dict[tuple[str, int], tuple[int, int]]:
        """First and next offset of every partition of a topic.

        Raises:
            Unavailable: the broker does not answer, or the topic does not exist.
        """
        with _translated(self.where):
            partitions = self._consumer.list_topics(topic, REQUEST_S).topics[topic].partitions
            places = [ck.TopicPartition(topic, p) for p in partitions]
            found = [self._consumer.get_watermark_offsets(place, REQUEST_S) for place in places]
        if not found:
            raise Unavailable(self.where, f"the topic {topic}", "no such topic")
        return {(topic, p): ends for p, ends in zip(partitions, found, strict=True)}

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


def partitions(kafka: Kafka, timeout_s: float) -> dict[str, int]:
    """How many partitions each topic of the cluster has.

    Raises:
        Unavailable: no broker answers.
        Misconfigured: the brokers refuse us, or we them; waiting does not mend it.
    """
    told: list[ck.KafkaError] = []  # why a connection failed; the request itself does not know
    admin = _admin(kafka, told.append)
    deadline = time.monotonic() + timeout_s
    while True:
        left = deadline - time.monotonic()
        try:
            found = admin.list_topics(timeout=max(0.01, min(left, LOOK_S))).topics
            return {name: len(topic.partitions) for name, topic in found.items()}
        except ck.KafkaException as error:
            admin.poll(0.1)
            failure = _why(f"kafka {kafka.bootstrap_servers}", [error.args[0], *told])
            if left <= LOOK_S or isinstance(failure, Misconfigured):
                raise failure from None


def _why(where: str, told: list[ck.KafkaError]) -> HaltereError:
    """The first error that waiting does not mend, or else the last that says anything."""
    told = [e for e in told if e.name() != "_ALL_BROKERS_DOWN"][1:] or told[-1:]
    failures = [translate(where, error) for error in told]
    return next((f for f in failures if isinstance(f, Misconfigured)), failures[-1])


def ensure_topics(kafka: Kafka, timeout_s: float = REQUEST_S) -> None:
    """Create what is missing, and wait until it is there.

    Raises:
        Unavailable: no broker answers.
        Misconfigured: a topic exists with another number of partitions, or may not be created.
    """
    deadline = time.monotonic() + REQUEST_S
    while missing := _missing(kafka, partitions(kafka, timeout_s)):
        _create(kafka, missing)
        if time.monotonic() > deadline:
            where = f"kafka {kafka.bootstrap_servers}"
            raise Unavailable(where, f"the topic {missing[0].name}", "no such topic")


def _missing(kafka: Kafka, existing: Mapping[str, int]) -> list[Topic]:
    wanted = topics(kafka)
    for topic in wanted:
        if existing.get(topic.name, topic.partitions) != topic.partitions:
            raise Misconfigured(
                f"kafka {kafka.bootstrap_servers} topic {topic.name}",
                f"{topic.partitions} partitions",
                f"{existing[topic.name]}",
                "set kafka.partitions to what the topic has, or another kafka.prefix",
            )
    return [topic for topic in wanted if topic.name not in existing]


def _create(kafka: Kafka, missing: Sequence[Topic]) -> None:
    admin = _admin(kafka)  # its requests end with it
    plans = [NewTopic(t.name, t.partitions, kafka.replication, config=t.config) for t in missing]
    for future in admin.create_topics(plans, request_timeout=REQUEST_S).values():
        error = future.exception()
        if error and error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # another was quicker
            raise translate(f"kafka {kafka.bootstrap_servers}", error.args[0])


def _admin(kafka: Kafka, tell: Callable[[ck.KafkaError], None] = lambda error: None) -> Any:
    config = _common(kafka, "haltere-admin") | {"log_level": 0, "error_cb": tell} | kafka.options
    return _build(AdminClient, config, f"kafka {kafka.bootstrap_servers}")


def _build(kind: Any, config: dict[str, Any], where: str) -> Any:
    try:
        return kind(config)
    except ck.KafkaException as error:
        said = error.args[0].str()
        raise Misconfigured(where, "options that librdkafka takes", said, unbuilt(said)) from None
