"""Topics are made once and found, on a real cluster; and clear errors where they cannot be."""

import itertools
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from bridge.brokers import KafkaBroker
from bridge.child import free_endpoint
from bridge.errors import Misconfigured, Unavailable
from bridge.kafka import Reader, ensure_topic, ensure_topics, partitions
from bridge.kafka.admin import high_watermark
from bridge.kafka.bounds import Ranges, Wanted
from bridge.kafka.client import REQUEST_S
from bridge.settings import Kafka
from bridge.spans import Span
from bridge.topics import topics

pytestmark = pytest.mark.broker
WAIT_S = 20.0


def test_topics_are_made_once_with_their_partitions(kafka_settings: Kafka) -> None:
    ensure_topics(kafka_settings)
    ensure_topics(kafka_settings)
    found = partitions(kafka_settings, WAIT_S)
    wanted = {topic.name: topic.partitions for topic in topics(kafka_settings)}
    assert {name: found.get(name) for name in wanted} == wanted


class Fenced(KafkaBroker):
    """Every second and a half it is late for its own controller, as after standing still."""

    def configuration(self) -> str:
        late = "broker.heartbeat.interval.ms=1500\nbroker.session.timeout.ms=1000\n"
        return super().configuration() + late


def test_a_broker_that_was_fenced_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    with Fenced(tmp_path / "kafka") as broker:
        kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
        begun = time.monotonic()
        for n in range(30):
            ensure_topic(kafka, Span(f"t{n}"))
            assert high_watermark(kafka, (f"t{n}", 0)) == 0
            with Reader(kafka, "", Wanted((Span(f"t{n}"),)), Ranges(), MagicMock()) as reader:
                assert reader.known()[f"t{n}"] == [0]
            time.sleep(0.1)  # over some of its lapses
        assert time.monotonic() - begun < 2 * REQUEST_S
        assert broker.logged().count("Fencing broker 1") > 1


def test_a_machine_that_stood_still_finds_the_topics_that_it_made(
    kafka_settings: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaps = itertools.count(step=60)  # seconds, before every line that asks for the time
    monkeypatch.setattr(time, "monotonic", lambda: float(next(leaps)))
    ensure_topics(kafka_settings)
    ensure_topic(kafka_settings, Span(f"{kafka_settings.prefix}-own", 2))
    assert partitions(kafka_settings, WAIT_S)[f"{kafka_settings.prefix}-own"] == 3


def test_a_topic_with_another_number_of_partitions_is_misconfigured(cluster: Kafka) -> None:
    wider = cluster.model_copy(update={"partitions": 3})
    with pytest.raises(Misconfigured, match="expected 3 partitions, received 2.*kafka.partitions"):
        ensure_topics(wider)


def test_a_replication_that_the_cluster_cannot_give_is_misconfigured(kafka_settings: Kafka) -> None:
    with pytest.raises(Misconfigured, match="INVALID_REPLICATION_FACTOR"):
        ensure_topics(kafka_settings.model_copy(update={"replication": 3}))


def test_where_nobody_listens_topics_are_unavailable_within_the_timeout() -> None:
    nobody = Kafka(bootstrap_servers=str(free_endpoint()))
    begun = time.monotonic()
    for call in (partitions, ensure_topics):
        with pytest.raises(Unavailable, match=f"kafka {nobody.bootstrap_servers}.*haltere brokers"):
            call(nobody, 0.5)
    assert time.monotonic() - begun < 5
