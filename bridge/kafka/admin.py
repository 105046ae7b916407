"""What topics there are, and those that haltere wants."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bridge.errors import Misconfigured, Unavailable
from bridge.kafka.client import REQUEST_S, build, common, translate, translated
from bridge.settings import Kafka
from bridge.topics import Topic, topics


def partitions(kafka: Kafka, timeout_s: float) -> dict[str, int]:
    """How many partitions each topic of the cluster has.

    Raises:
        Unavailable: no broker answers.
    """
    with translated(f"kafka {kafka.bootstrap_servers}"):
        found = _admin(kafka).list_topics(timeout=timeout_s).topics
    return {name: len(topic.partitions) for name, topic in found.items()}


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


def _admin(kafka: Kafka) -> Any:
    where = f"kafka {kafka.bootstrap_servers}"
    return build(
        AdminClient, common(kafka, "haltere-admin") | {"log_level": 0} | kafka.options, where
    )
