"""Leaving, and a network thread that died: what is queued is carried, and a fault is noticed."""

import os
import signal
import threading
from pathlib import Path
from threading import Event

import orjson
import pytest

from bridge import ingest
from bridge.brokers import MqttBroker
from bridge.errors import Unavailable
from bridge.inbox import Batch
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.settings import Mqtt, Settings
from tests.numbered import carried, count, publish
from tests.poll import until

pytestmark = pytest.mark.broker
QUEUED = 12_000
STANDS_S = 2.5


@pytest.mark.usefixtures("mosquitto")
def test_a_broker_that_stands_still_for_a_while_is_not_taken_for_an_empty_queue(
    settings: Settings, unique: str, tmp_path: Path
) -> None:
    with MqttBroker(tmp_path / "mqtt") as broker:
        mqtt = settings.mqtt.model_copy(update={"port": broker.endpoint.port})
        told = settings.model_copy(update={"mqtt": mqtt.model_copy(update={"receive_maximum": 20})})
        with Connection(told.mqtt, told.mqtt.session("ingest")) as session:
            session.connect(20)
            session.subscribe(told.mqtt.subscriptions())
        publish(told.mqtt, f"{unique}/pump/p1/telemetry", range(QUEUED))
        leave = Event()
        leave.set()
        loop = threading.Thread(
            target=ingest.run, args=(told, Event(), Telemetry("ingest"), leave), daemon=True
        )
        loop.start()
        until(lambda: count(told.kafka) >= QUEUED // 2)
        os.kill(broker.pid, signal.SIGSTOP)
        loop.join(STANDS_S)
        os.kill(broker.pid, signal.SIGCONT)
        assert loop.is_alive()
        loop.join(60)
        assert not (loop.is_alive() or leave.is_set())  # it has left
    assert sorted(carried(told.kafka)) == list(range(QUEUED))


@pytest.mark.usefixtures("mosquitto")
def test_the_last_acknowledgments_are_read_before_a_next_connection_of_the_session(
    mqtt_settings: Mqtt, unique: str, tmp_path: Path
) -> None:
    with MqttBroker(tmp_path / "mqtt") as broker:
        mqtt = mqtt_settings.model_copy(update={"port": broker.endpoint.port})
        with Connection(mqtt, unique) as session:
            session.connect(20)
            session.subscribe([f"{unique}/#"])
            publish(mqtt, f"{unique}/a", range(20))
            batches = list[Batch]()
            while sum(map(len, batches)) < 20:
                batches.append(session.receive(20, 20))
            os.kill(broker.pid, signal.SIGSTOP)
            for batch in batches:
                batch.ack()
            threading.Timer(0.3, os.kill, (broker.pid, signal.SIGCONT)).start()
        with Connection(mqtt, unique) as session:
            session.connect(20)
            publish(mqtt, f"{unique}/a", range(99, 100))
            arrived = session.receive(20, 20).messages
            assert [orjson.loads(message.payload)["temp_C"] for message in arrived] == [99]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_network_thread_that_died_is_noticed(mqtt_settings: Mqtt, unique: str) -> None:
    with Connection(mqtt_settings, unique) as connection:
        connection.connect(20)
        connection.subscribe([f"{unique}/#"])
        assert connection.connected()

        def fault(messages: object, mids: object) -> None:
            raise MemoryError

        connection._inbox.put = fault  # type: ignore[method-assign]
        connection.publish(f"{unique}/a", b"x", "token")
        with pytest.raises(Unavailable, match="a network thread that lives"):
            while True:
                connection.receive(1, 0.1)
        assert not connection.connected()
