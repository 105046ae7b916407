"""Sparkplug's host: a birth is kept before its PUBACK, requests and STATE go back."""

import pytest

from bridge import wire
from bridge.contracts import Birth, Message, Topics
from bridge.errors import Misconfigured
from bridge.formats.sparkplug import Session
from bridge.host import Host, announcement, key_of
from bridge.ingest import Ingest
from bridge.metrics import Telemetry
from bridge.mqtt_words import Said
from bridge.normalise import Accepted, Ignored, Normaliser
from bridge.settings import Ingest as IngestSettings
from bridge.settings import Mqtt, Settings
from tests import sparkplug as sp
from tests.fakes import FakeConnection, FakeProducer

TOPICS = Topics("iot")
NOW = 1_700_000_000_000_000  # us
BIRTH = sp.payload(
    sp.metric("bdSeq", (sp.LONG, 0), sp.INT64),
    sp.metric("Temperature", (sp.DOUBLE_, 21.5), sp.DOUBLE, alias=7),
    seq=0,
)
DATA = sp.payload(sp.metric("", (sp.DOUBLE_, 22.5), sp.DOUBLE, alias=7), seq=1)


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def ingest(producer: FakeProducer) -> Ingest:
    return Ingest(Settings(), producer, Telemetry("ingest"))


def test_a_birth_is_in_kafka_before_its_puback(ingest: Ingest, producer: FakeProducer) -> None:
    connection = FakeConnection()
    ingest.take(connection.delivery(1, "spBv1.0/plant/NBIRTH/edge-1", BIRTH))
    topics = [record.topic for record, _ in producer.under_way]
    assert sorted(topics) == [TOPICS.births, TOPICS.readings]
    producer.deliver(topics.index(TOPICS.readings))
    ingest.settle(0)
    assert connection.acked == []
    kept = producer.deliver()
    ingest.settle(0)
    assert connection.acked == [1]
    assert kept.key == b"plant/edge-1"
    birth = wire.decode(Birth, kept.value or b"")
    assert (birth.topic, birth.payload) == ("spBv1.0/plant/NBIRTH/edge-1", BIRTH)


def test_a_birth_that_comes_again_is_kept_again(ingest: Ingest, producer: FakeProducer) -> None:
    """The first may have been lost with its connection."""
    connection = FakeConnection()
    for number in (1, 2):
        batch = connection.delivery(number, "spBv1.0/plant/NBIRTH/edge-1", BIRTH)
        batch.messages[0] = batch.messages[0]._replace(dup=number > 1)
        ingest.take(batch)
    assert [r.topic for r, _ in producer.under_way].count(TOPICS.births) == 2


def test_data_of_a_stranger_asks_for_its_birth_once(ingest: Ingest) -> None:
    connection = FakeConnection()
    for number in (1, 2, 3):
        ingest.take(connection.delivery(number, "spBv1.0/plant/NDATA/edge-9", DATA))
    (said,) = ingest.host.says()
    assert (said.topic, said.retain) == ("spBv1.0/plant/NCMD/edge-9", False)
    assert ingest.host.says() == []


def test_who_says_that_we_are_gone_is_answered() -> None:
    host = Host(Session())
    ours = host.announcement = announcement(IngestSettings(sparkplug_host="scada"), NOW)
    assert ours
    for payload, answers in [
        (ours.offline, 1),
        (ours.online, 0),
        (b"OFFLINE", 0),
        (b"[]", 0),
        (b"\xff", 0),
    ]:
        host.heard(Message(ours.topic, payload, NOW))
        assert host.says() == [Said(ours.topic, ours.online, True)] * answers
    host.heard(Message("spBv1.0/STATE/other", ours.offline, NOW))
    assert host.says() == []


def test_only_who_has_a_name_as_primary_host_says_state() -> None:
    assert announcement(IngestSettings(), NOW) is None
    assert announcement(IngestSettings(sparkplug=False, sparkplug_host="scada"), NOW) is None


def test_births_of_node_and_device_are_kept_apart() -> None:
    assert key_of("spBv1.0/g/NBIRTH/n") == b"g/n"
    assert key_of("spBv1.0/g/DBIRTH/n/d") == b"g/n/d"


def test_who_does_not_follow_sparkplug_ignores_it_and_says_so() -> None:
    outcome = Normaliser((), sparkplug=False)(Message("spBv1.0/g/NBIRTH/n", BIRTH, NOW))
    assert isinstance(outcome, Ignored)
    assert "ingest.sparkplug" in outcome.reason
    assert isinstance(Normaliser(())(Message("spBv1.0/g/NBIRTH/n", BIRTH, NOW)), Accepted)


@pytest.mark.parametrize("filters", [("#",), ("spBv1.0/#",), ("a/#", "+/b/#")])
def test_a_group_does_not_divide_sparkplug(filters: tuple[str, ...]) -> None:
    mqtt = Mqtt(group="g", filters=filters)
    with pytest.raises(Misconfigured, match=r"ingest\.sparkplug"):
        Settings(mqtt=mqtt)
    Settings(mqtt=mqtt, ingest=IngestSettings(sparkplug=False))
    Settings(mqtt=Mqtt(group="g", filters=("plant/#", "spBv2/#")))
