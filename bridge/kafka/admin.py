"""What topics there are, and those that haltere wants."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.kafka.bounds import no_partition
from bridge.kafka.client import REQUEST_S, build, common, translate, translated
from bridge.settings import Kafka
from bridge.spans import Place, Span
from bridge.topics import Topic, topics

LOOK_S = 1.0  # of a request, until it is asked why there is no answer
LOOKS = 300  # for a topic that was created
AGAIN_S = 0.1  # between two of them


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
            found = admin.list_topics(timeout=min(timeout_s, LOOK_S)).topics
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


def _ensure(
    kafka: Kafka, lacking: Callable[[Mapping[str, int]], Sequence[Any]], timeout_s: float
) -> Mapping[str, int]:
    """The topics of the cluster, once nothing is lacking.

    What was created is listed a little later. The looks are counted, not the seconds: whoever
    stood still in between, this process or the machine, has not looked.
    """
    for look in range(LOOKS):
        time.sleep(AGAIN_S if look > 1 else 0)  # most often it is there at the second
        found = partitions(kafka, timeout_s)
        if not (plans := lacking(found)):
            return found
        _create(kafka, plans)
    where = f"kafka {kafka.bootstrap_servers}"
    received = f"it is created and not listed, in {LOOKS} looks"
    raise Unavailable(where, f"the topic {plans[0].topic}", received)


def high_watermark(kafka: Kafka, place: Place) -> int:
    """The next offset of a partition, behind what transactions have left open.

    Raises:
        Unavailable: the broker does not answer.
    """
    admin = _admin(kafka)  # its requests end with it
    asked = {ck.TopicPartition(*place): OffsetSpec.latest()}  # type: ignore[no-untyped-call]
    uncommitted = ck.IsolationLevel.READ_UNCOMMITTED
    (answer,) = admin.list_offsets(
        asked, isolation_level=uncommitted, request_timeout=REQUEST_S
    ).values()
    with translated(f"kafka {kafka.bootstrap_servers}"):
        return int(answer.result().offset)


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


def _create(kafka: Kafka, plans: Sequence[Any]) -> None:
    admin = _admin(kafka)  # its requests end with it
    for future in admin.create_topics(plans, request_timeout=REQUEST_S).values():
        error = future.exception()
        if error and error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # another was quicker
            raise translate(f"kafka {kafka.bootstrap_servers}", error.args[0])


def _admin(kafka: Kafka, tell: Callable[[ck.KafkaError], None] = lambda error: None) -> Any:
    config = common(kafka, "haltere-admin") | {"log_level": 0, "error_cb": tell} | kafka.options
    return build(AdminClient, config, f"kafka {kafka.bootstrap_servers}")
