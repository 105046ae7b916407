"""Kafka is away and the devices go on: the MQTT connection stays up, memory stays bounded."""

import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from bridge import ingest, kafka
from bridge.brokers import KafkaBroker
from bridge.ingest import Ingest
from bridge.kafka import Producer
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.mqtt.client import READ
from bridge.settings import Mqtt, Settings
from tests.numbered import carried, publish
from tests.poll import until

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("mosquitto")]
WAIT_S = 20.0
KEEPALIVE_S = 2
KEEPALIVES = 4.5
HELD = 200_000  # bytes, inflight_bytes
COUNT, SIZE = 3000, 1000  # messages of such a size


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One that may be stopped."""
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def told(settings: Settings, own_kafka: KafkaBroker) -> Settings:
    at = {"bootstrap_servers": own_kafka.bootstrap_servers, "message_timeout_ms": 2000}
    short = {"keepalive_s": KEEPALIVE_S, "inflight_bytes": HELD, "receive_maximum": 1000}
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update=at),
            "mqtt": settings.mqtt.model_copy(update=short),
        }
    )


class Watched:
    """The loop in a thread of its own, and what its connection holds."""

    def __init__(self, told: Settings, connection: Connection, producer: Producer) -> None:
        self.telemetry = Telemetry("ingest")
        self.connection = connection
        self.held = 0
        self._loop = Ingest(told, producer, self.telemetry)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            ingest._step(self._loop, self.connection, self.telemetry)
            self.held = max(self.held, self.connection._inbox._held[1])

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(WAIT_S)

    def acknowledged(self) -> int:
        return int(self.telemetry.value("acknowledged"))


@pytest.fixture
def watched(told: Settings) -> Iterator[Watched]:
    name = told.mqtt.session("ingest")
    kafka.ensure_topics(told.kafka)
    with Producer(told.kafka, name) as producer, Connection(told.mqtt, name) as connection:
        connection.connect(WAIT_S)
        connection.subscribe(told.mqtt.filters)
        with Watched(told, connection, producer) as loop:
            yield loop


def rest(keepalives: float) -> None:
    """The outage itself: so long and no longer."""
    threading.Event().wait(keepalives * KEEPALIVE_S)


def hears_at_qos_0(told: Settings) -> Mqtt:
    return told.mqtt.model_copy(update={"qos": 0, "at_most_once": True})


def test_while_kafka_is_stopped_mqtt_stays_connected_and_then_all_arrives(
    told: Settings,
    watched: Watched,
    own_kafka: KafkaBroker,
    unique: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "bridge.mqtt.connection")
    topic = f"{unique}/pump/p1/telemetry"
    publish(told.mqtt, topic, range(10))
    until(lambda: watched.acknowledged() == 10)
    epoch = watched.connection._inbox.epoch
    own_kafka.interrupt()
    publish(told.mqtt, topic, range(10, COUNT), SIZE)
    rest(KEEPALIVES)
    assert watched.acknowledged() == 10
    assert HELD <= watched.held <= HELD + 2 * READ
    own_kafka.start()
    until(lambda: watched.acknowledged() == COUNT)
    assert watched.connection._inbox.epoch == epoch
    assert "connection lost" not in caplog.text
    assert set(carried(told.kafka)) == set(range(COUNT))


@pytest.mark.parametrize("qos", [0, 1])
def test_while_kafka_hangs_a_full_inbox_does_not_cost_the_connection(
    settings: Settings, told: Settings, own_kafka: KafkaBroker, unique: str, qos: int
) -> None:
    weak = hears_at_qos_0(told) if qos == 0 else told.mqtt
    told = told.model_copy(update={"mqtt": weak})
    name, topic = weak.session("ingest"), f"{unique}/pump/p1/telemetry"
    count = 500 if qos == 0 else COUNT  # what the broker and the sockets hold without a queue
    kafka.ensure_topics(told.kafka)
    with Producer(told.kafka, name) as producer, Connection(weak, name) as connection:
        connection.connect(WAIT_S)
        connection.subscribe(weak.filters)
        with Watched(told, connection, producer) as loop:
            publish(weak, topic, range(10), qos=qos)
            until(lambda: loop.acknowledged() == 10)
            epoch = connection._inbox.epoch
            os.kill(own_kafka.pid, signal.SIGSTOP)
            try:
                publish(weak, topic, range(10, count), SIZE, qos)
                until(lambda: connection._inbox._full())
                rest(1.5)  # and a PINGREQ, whose answer stands behind what is not read
                for n in range(12):  # a word from us now and then, as PUBACKs where Kafka is slow
                    connection.publish(f"{unique}-elsewhere", b"", n)
                    rest(0.25)
                assert connection._inbox._full()
            finally:
                os.kill(own_kafka.pid, signal.SIGCONT)
            until(lambda: loop.acknowledged() == count)
            assert connection._inbox.epoch == epoch
            assert HELD <= loop.held <= HELD + 2 * READ
    assert set(carried(told.kafka)) == set(range(count))
