"""MQTT -> Kafka on real brokers: all arrives, over crashes, outages and restarts."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import orjson
import pytest

from bridge import ingest, kafka, wire
from bridge.child import free_endpoint
from bridge.contracts import DeadLetter, Reading, Topics
from bridge.errors import Misconfigured, Unavailable
from bridge.ingest import Ingest
from bridge.kafka import Consumer, Fetched, Producer
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.settings import Kafka, Mqtt, Settings
from tests.fakes import FakeConnection
from tests.poll import until
from tests.process import Process


def payload(number: int = 0, **more: float) -> bytes:
    return orjson.dumps({"time": 1_700_000_000 + number, "temp_C": number, **more})


@contextmanager
def ingesting(told: Settings) -> Iterator[Telemetry]:
    """The loop in a thread of this process; drained and ended at the end, and its error raised."""
    stop, telemetry, errors = Event(), Telemetry("ingest"), list[Exception]()

    def run() -> None:
        try:
            ingest.run(told, stop, telemetry)
        except Exception as error:
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        until(lambda: telemetry.ready or errors)
        yield telemetry
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    assert errors == []


@contextmanager
def publisher(mqtt: Mqtt) -> Iterator[Connection]:
    with Connection(mqtt, f"{mqtt.client_id}-device", clean=True) as connection:
        connection.connect(10)
        yield connection


def stored(cluster: Kafka, topic: str) -> list[Fetched]:
    with Consumer(cluster) as consumer:
        return consumer.read_all(topic, range(cluster.partitions))


def readings(cluster: Kafka) -> list[Reading]:
    records = stored(cluster, Topics(cluster.prefix).readings)
    return [wire.decode(Reading, record.value or b"") for record in records]


@pytest.mark.broker
def test_all_messages_arrive_as_readings_positions_or_dead_letters(
    settings: Settings, unique: str
) -> None:
    with ingesting(settings) as telemetry, publisher(settings.mqtt) as device:
        for n in range(200):
            more = {"lat": 48.0 + n / 1000, "lon": 11.5} if n % 4 == 0 else {}
            device.publish(f"{unique}/pump/p{n % 5}/telemetry", payload(n, **more), n)
        for n in range(10):
            device.publish(f"{unique}/pump/p1/telemetry", b"\xff\xfe" + bytes([n]), n)
        until(lambda: telemetry.value("acknowledged") == 210)
    names = Topics(settings.kafka.prefix)
    arrived = readings(settings.kafka)
    assert sorted(r.values for r in arrived) == [(float(n),) for n in range(200)]
    assert {(r.device, r.device_class) for r in arrived} == {(f"p{n}", "pump") for n in range(5)}
    assert len(stored(settings.kafka, names.positions)) == 50
    letters = [
        wire.decode(DeadLetter, record.value or b"")
        for record in stored(settings.kafka, names.deadletters)
    ]
    assert sorted(x.payload for x in letters) == [b"\xff\xfe" + bytes([n]) for n in range(10)]
    of_device = [r.time for r in arrived if r.device == "p1"]
    assert of_device == sorted(of_device)  # one partition, in the order of arrival


@pytest.mark.broker
def test_a_reading_too_large_for_its_topic_is_a_dead_letter_on_the_real_kafka(
    settings: Settings, unique: str
) -> None:
    small = settings.kafka.model_copy(update={"options": {"message.max.bytes": 1000}})
    told = settings.model_copy(update={"kafka": small})
    topic = f"{unique}/pump/p1/telemetry"
    wide = orjson.dumps({f"channel{n}_C": n for n in range(200)})
    kafka.ensure_topics(settings.kafka)
    with Producer(small, unique) as producer, pytest.raises(Misconfigured, match="dead letter"):
        loop = Ingest(told, producer, Telemetry("ingest"))
        loop.take(FakeConnection().delivery(1, topic, wide))
        for _ in range(3):
            loop.settle(0.1)


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_nothing_acknowledged_to_the_device_is_missing_after_a_kill_in_the_middle(
    settings: Settings, unique: str, tmp_path: Path
) -> None:
    count, safe = 2000, set[int]()
    process = Process("ingest", tmp_path, settings)
    with process, publisher(settings.mqtt) as device:

        def publish(numbers: range) -> None:
            for n in numbers:
                device.publish(f"{unique}/pump/p{n % 20}/telemetry", payload(n), n)
                safe.update(t for t in device.acknowledged() if isinstance(t, int))

        def confirmed() -> int:
            safe.update(t for t in device.acknowledged() if isinstance(t, int))
            return len(safe)

        publish(range(count // 2))
        until(lambda: stored_count(settings.kafka) >= 100)
        publish(range(count // 2, count - 200))
        process.kill()
        publish(range(count - 200, count))  # while it is away
        assert 100 <= stored_count(settings.kafka) < count
        process.start()
        until(lambda: confirmed() == count)
        until(lambda: len({r.values for r in readings(settings.kafka)}) == count)
        assert process.leave() == 0
    arrived = {int(r.values[0]) for r in readings(settings.kafka)}
    assert safe <= arrived


def stored_count(cluster: Kafka) -> int:
    names = Topics(cluster.prefix)
    try:
        with Consumer(cluster) as consumer:
            return sum(end - start for start, end in consumer.ends(names.readings).values())
    except Unavailable:  # a topic that was made just now has no leader yet
        return 0


@pytest.mark.broker
def test_sigterm_drains_and_leaves_within_five_seconds(
    settings: Settings, unique: str, tmp_path: Path
) -> None:
    with Process("ingest", tmp_path, settings) as process, publisher(settings.mqtt) as device:
        for n in range(300):
            device.publish(f"{unique}/pump/p1/telemetry", payload(n), n)
        until(lambda: len(device.acknowledged()) == 0 and device.in_flight() == 0)
        begun = time.monotonic()
        assert process.leave() == 0
        assert time.monotonic() - begun < 5
        assert "Traceback" not in process.logged()


@pytest.mark.broker
def test_while_kafka_is_away_ingest_says_so_keeps_trying_and_leaves_when_told(
    settings: Settings, tmp_path: Path
) -> None:
    nobody = str(free_endpoint())
    away = settings.kafka.model_copy(update={"bootstrap_servers": nobody})
    process = Process("ingest", tmp_path, settings.model_copy(update={"kafka": away}))
    try:
        process.launch()
        until(lambda: process.logged().count("trying again"))
        assert process.alive()
        assert nobody in process.logged()
        assert "haltere brokers" in process.logged()  # what to do
        assert not process.is_ready()
        assert process.leave() == 0
    finally:
        process.kill()


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_messages_wait_at_the_mqtt_broker_until_kafka_has_them(
    settings: Settings, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    nobody = settings.kafka.model_copy(
        update={"bootstrap_servers": str(free_endpoint()), "message_timeout_ms": 1000}
    )
    told = settings.model_copy(update={"kafka": nobody})
    name = f"{settings.mqtt.client_id}-ingest"
    telemetry = Telemetry("ingest")
    with publisher(settings.mqtt) as device:
        with Producer(nobody, name) as producer, Connection(settings.mqtt, name) as connection:
            loop = Ingest(told, producer, telemetry)
            connection.connect(10)
            connection.subscribe(settings.mqtt.filters)
            for n in range(3):
                device.publish(f"{unique}/pump/p1/telemetry", payload(n), n)

            def tried() -> bool:
                ingest._step(loop, connection, telemetry)
                return telemetry.value("retries") >= 6

            until(tried)
            assert telemetry.value("acknowledged") == 0
            assert sum(len(run.batch) for run in loop.line) == 3
        with ingesting(settings) as again:
            until(lambda: again.value("acknowledged") == 3)
    assert sorted(r.values for r in readings(settings.kafka)) == [(0.0,), (1.0,), (2.0,)]
