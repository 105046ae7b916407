"""What topics there are, and those that haltere wants."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.kafka.bounds import no_partition
from bridge.kafka.client import REQUEST_S, build, common, in_service, translate
from bridge.kafka_errors import FENCED_BROKER, LEADERLESS
from bridge.settings import Kafka
from bridge.spans import Place, Span
from bridge.topics import Topic, topics

LOOK_S = 1.0  # of a request, until it is asked why there is no answer
LOOKS = 600  # for what passes by itself, such as a topic that is created and not listed yet
AGAIN_S = 0.1  # between two of them
READ_UNCOMMITTED = ck.IsolationLevel.READ_UNCOMMITTED


def partitions(kafka: Kafka, timeout_s: float) -> dict[str, int]:
    """How many partitions each topic of the cluster has.

    Raises:
        Unavailable: no broker answers.
        Misconfigured: the brokers refuse us, or we them; waiting does not mend it.
    """
    return _Admin(kafka).partitions(timeout_s)


def ensure_topics(kafka: Kafka, timeout_s: float = REQUEST_S) -> None:
    """Create what is missing, and wait until it is there.

    Raises:
        Unavailable: no broker answers.
        Misconfigured: a topic exists with another number of partitions, or may not be created.
    """

    def lacking(found: Mapping[str, int]) -> list[Any]:
        return [
            NewTopic(t.name, t.partitions, kafka.replication, config=t.config)
            for t in missing(kafka, found)
        ]

    _ensure(kafka, lacking, timeout_s)


def ensure_topic(kafka: Kafka, span: Span, timeout_s: float = REQUEST_S) -> None:
    """Create a topic if there is none of this name, and wait until it is there.

    It has one partition, or as many as the span's needs, and as many replicas as the cluster says.

    Raises:
        Unavailable: no broker answers.
        Misconfigured: it may not be created, or has no such partition.
    """
    partition = span.partition or 0

    def lacking(found: Mapping[str, int]) -> list[Any]:
        return [] if span.topic in found else [NewTopic(span.topic, 1 + partition, -1)]

    found = _ensure(kafka, lacking, timeout_s)
    if partition >= found[span.topic]:
        where = f"kafka {kafka.bootstrap_servers}"
        raise no_partition(where, (span.topic, partition), found[span.topic])


def high_watermark(kafka: Kafka, place: Place) -> int:
    """The next offset of a partition, behind what transactions have left open.

    Raises:
        Unavailable: the broker does not answer.
    """
    return _Admin(kafka).high_watermark(place)


def missing(kafka: Kafka, existing: Mapping[str, int]) -> list[Topic]:
    """The topics that are not there.

    Raises:
        Misconfigured: one is there with another number of partitions.
    """
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


def _ensure(
    kafka: Kafka, lacking: Callable[[Mapping[str, int]], Sequence[Any]], timeout_s: float
) -> Mapping[str, int]:
    """The topics of the cluster, once nothing is lacking.

    What was created is listed a little later. The looks are counted, not the seconds: whoever
    stood still in between, this process or the machine, has not looked.
    """
    admin = _Admin(kafka)
    for look in range(LOOKS):
        time.sleep(AGAIN_S if look > 1 else 0)  # most often it is there at the second
        found = admin.partitions(timeout_s)
        if not (plans := lacking(found)):
            return found
        said = admin.create(plans)
    raise Unavailable(admin.where, f"the topic {plans[0].topic}", said)


class _Admin:
    """One client, which knows the cluster from its first answer; its requests end with it.

    Of a client that was told of no broker (see `in_service`) a request to the controller, which it
    does not know, waits in vain for all its time. So such a client is given up, and whoever creates
    has looked before, with the same client.
    """

    def __init__(self, kafka: Kafka) -> None:
        self.where = f"kafka {kafka.bootstrap_servers}"
        self._told: list[ck.KafkaError] = []  # why a connection failed; a request does not know
        own = {"log_level": 0, "error_cb": self._told.append}
        self._config = common(kafka, "haltere-admin") | own | kafka.options
        self._client = self._new()

    def _new(self) -> Any:
        return build(AdminClient, self._config, self.where)

    def partitions(self, timeout_s: float) -> dict[str, int]:
        self._told.clear()
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            failure: HaltereError
            try:
                listed = self._client.list_topics(timeout=min(timeout_s, LOOK_S))
                topics = in_service(self.where, listed)
                return {name: len(topic.partitions) for name, topic in topics.items()}
            except Unavailable as error:
                self._client, failure = self._new(), error
                time.sleep(AGAIN_S)
            except ck.KafkaException as error:
                self._client.poll(AGAIN_S)
                failure = _why(self.where, [error.args[0], *self._told])
            if left <= LOOK_S or isinstance(failure, Misconfigured):
                raise failure

    def create(self, plans: Sequence[Any]) -> str:
        """What there is to wait for, if these are not listed afterwards."""
        said = "it is created and not listed"
        for future in self._client.create_topics(plans, request_timeout=REQUEST_S).values():
            if error := future.exception():
                said = error.args[0].str()
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS" and FENCED_BROKER not in said:
                    raise translate(self.where, error.args[0])
        return said

    def high_watermark(self, place: Place) -> int:
        asked = {ck.TopicPartition(*place): OffsetSpec.latest()}  # type: ignore[no-untyped-call]
        options = {"isolation_level": READ_UNCOMMITTED, "request_timeout": REQUEST_S}
        for _ in range(LOOKS):
            (answer,) = self._client.list_offsets(asked, **options).values()
            if not (error := answer.exception()):
                return int(answer.result().offset)
            if error.args[0].name() not in LEADERLESS:
                break
            time.sleep(AGAIN_S)
        raise translate(self.where, error.args[0])


def _why(where: str, told: list[ck.KafkaError]) -> HaltereError:
    """The first error that waiting does not mend, or else the last that says anything."""
    told = [e for e in told if e.name() != "_ALL_BROKERS_DOWN"][1:] or told[-1:]
    failures = [translate(where, error) for error in told]
    return next((f for f in failures if isinstance(f, Misconfigured)), failures[-1])
