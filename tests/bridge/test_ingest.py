"""MQTT -> Kafka: nothing is acknowledged before Kafka has it, and nothing disappears."""

import logging
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import orjson
import pytest

from bridge import ingest, kafka, wire
from bridge.child import Child, Launch, free_endpoint
from bridge.contracts import DeadLetter, Reading, Topics
from bridge.errors import Malformed, Misconfigured, Unavailable
from bridge.ingest import BATCH, HEAD, Ingest
from bridge.kafka import Consumer, Fetched, Producer
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.settings import Kafka, Mqtt, Settings
from tests.fakes import FakeConnection, FakeProducer
from tests.poll import until

TOPICS = Topics("iot")
TOPIC = "fleet/pump/p1/telemetry"
AWAY = Unavailable("kafka", "an answer", "_MSG_TIMED_OUT")
TOO_LARGE = Malformed("kafka", "a record that Kafka accepts", "MSG_SIZE_TOO_LARGE")


def payload(number: int = 0, **more: float) -> bytes:
    return orjson.dumps({"time": 1_700_000_000 + number, "temp_C": number, **more})


class Bench:
    """An `Ingest` between two fakes."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.producer = FakeProducer(room)
        self.connection = FakeConnection()
        self.telemetry = Telemetry("ingest")
        self.ingest = Ingest(Settings(), self.producer, self.telemetry)
        self._number = 0

    def take(self, data: bytes, topic: str = TOPIC) -> None:
        self._number += 1
        self.ingest.take(self.connection.delivery(self._number, topic, data))

    def settle(self) -> list[int]:
        """The numbers of the messages that are acknowledged by now."""
        self.ingest.settle(0)
        return self.connection.acked


@pytest.fixture
def bench() -> Bench:
    return Bench()


# Between fakes.


def test_puback_waits_for_every_record_of_the_message(bench: Bench) -> None:
    both = [{"time": 1_700_000_000 + n, "temp_C": n, "lat": 48.1, "lon": 11.5} for n in (0, 1)]
    bench.take(orjson.dumps(both))
    topics = [record.topic for record, _ in bench.producer.under_way]
    assert topics == [TOPICS.readings, TOPICS.positions] * 2
    for _ in range(3):
        bench.producer.deliver()
        assert bench.settle() == []
    bench.producer.deliver()
    assert bench.settle() == [1]


def test_acks_leave_in_the_order_of_arrival_although_reports_come_in_another(bench: Bench) -> None:
    for number in range(5):
        bench.take(payload(number))
    for which, acked in [(3, []), (1, []), (0, [1, 2]), (1, [1, 2]), (0, [1, 2, 3, 4, 5])]:
        bench.producer.deliver(which)
        assert bench.settle() == acked


def test_a_failed_record_is_produced_again_and_never_acknowledged_before(bench: Bench) -> None:
    bench.take(payload(1))
    for _ in range(3):
        failed = bench.producer.fail(AWAY)
        assert bench.settle() == []
        assert [record for record, _ in bench.producer.under_way] == [failed]
    assert bench.telemetry.value("retries") == 3
    bench.producer.deliver()
    assert bench.settle() == [1]


def test_a_failed_record_holds_back_the_messages_after_it(bench: Bench) -> None:
    bench.take(payload(1))
    bench.take(payload(2))
    bench.producer.fail(AWAY)
    bench.producer.deliver()
    assert bench.settle() == []
    bench.producer.deliver()
    assert bench.settle() == [1, 2]


def test_a_record_too_large_for_kafka_becomes_a_dead_letter_that_releases_its_message(
    bench: Bench,
) -> None:
    bench.take(payload(1))
    bench.producer.fail(TOO_LARGE)
    assert bench.settle() == []
    ((record, _),) = bench.producer.under_way
    assert (record.topic, record.key) == (TOPICS.deadletters, TOPIC.encode())
    letter = wire.decode(DeadLetter, record.value or b"")
    assert (letter.stage, letter.path, letter.payload) == ("produce", TOPICS.readings, payload(1))
    assert "MSG_SIZE_TOO_LARGE" in letter.received
    bench.producer.deliver()
    assert bench.settle() == [1]


def test_a_record_that_is_refused_at_once_becomes_a_dead_letter_as_well(bench: Bench) -> None:
    bench.producer.refuses = lambda r: TOO_LARGE if r.topic == TOPICS.readings else None
    bench.take(payload(1))
    assert [record.topic for record, _ in bench.producer.under_way] == [TOPICS.deadletters]
    bench.producer.deliver()
    assert bench.settle() == [1]


def test_a_dead_letter_that_is_too_large_is_sent_with_the_head_of_the_payload(bench: Bench) -> None:
    bench.take(b"\xff" * 2 * HEAD)
    bench.producer.fail(TOO_LARGE)
    bench.settle()
    record = bench.producer.deliver()
    letter = wire.decode(DeadLetter, record.value or b"")
    assert letter.payload == b"\xff" * HEAD
    assert f"{2 * HEAD} bytes" in letter.received
    assert bench.settle() == [1]


@pytest.mark.parametrize("at_once", [True, False])
def test_kafka_that_refuses_even_the_head_is_misconfigured_and_nothing_is_acknowledged(
    bench: Bench, at_once: bool
) -> None:
    with pytest.raises(Misconfigured, match="deadletters"):
        if at_once:
            bench.producer.refuses = lambda record: TOO_LARGE
        bench.take(b"\xff" * 2 * HEAD)
        for _ in range(3):
            bench.producer.fail(TOO_LARGE)
            bench.settle()
    assert bench.connection.acked == []


@pytest.mark.parametrize("error", [AWAY, Misconfigured("kafka", "a topic", "_UNKNOWN_TOPIC")])
def test_a_producer_that_is_of_no_use_any_more_ends_the_loop_and_nothing_is_acknowledged(
    bench: Bench, error: Unavailable | Misconfigured
) -> None:
    bench.producer.refuses = lambda record: error
    with pytest.raises(type(error)):
        bench.take(payload(1))
    assert bench.connection.acked == []


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        (TOPIC, b"\xff\x00"),
        (TOPIC, b'{"temp_C":'),
        (TOPIC, b"[" * 1000),
        ("\N{REPLACEMENT CHARACTER}", b"\xc3"),
    ],
)
def test_garbage_becomes_a_dead_letter_with_the_message_whole(
    bench: Bench, topic: str, data: bytes
) -> None:
    bench.take(data, topic)
    assert bench.settle() == []
    record = bench.producer.deliver()
    letter = wire.decode(DeadLetter, record.value or b"")
    assert (record.topic, letter.topic, letter.payload) == (TOPICS.deadletters, topic, data)
    assert letter.expected
    assert letter.received
    assert bench.settle() == [1]
    assert bench.telemetry.value("messages", outcome="dead_letter") == 1


def test_ignored_messages_are_acknowledged_at_once_but_in_order(bench: Bench) -> None:
    bench.take(b"{}", "haltere/p1/alert")
    assert bench.settle() == [1]
    bench.take(payload(2))
    bench.take(b'{"_type": "lwt"}', "owntracks/jane/phone")
    assert bench.settle() == [1]
    bench.producer.deliver()
    assert bench.settle() == [1, 2, 3]
    assert bench.telemetry.value("ignored", format="owntracks", reason="_type lwt is no measurement")


def test_a_full_queue_blocks_the_taking_of_messages_and_loses_none() -> None:
    bench = Bench(room=2)
    bench.connection.arrive([bench.connection.delivery(n, TOPIC, payload(n)) for n in range(1, 4)])
    ingest._step(bench.ingest, bench.connection, bench.telemetry)
    assert bench.ingest.blocked()
    bench.connection.arrive([bench.connection.delivery(4, TOPIC, payload(4))])
    ingest._step(bench.ingest, bench.connection, bench.telemetry)
    assert bench.connection.waiting() == 1
    assert bench.connection.acked == []
    bench.producer.deliver_all()
    ingest._step(bench.ingest, bench.connection, bench.telemetry)  # makes room
    assert not bench.ingest.blocked()
    ingest._step(bench.ingest, bench.connection, bench.telemetry)
    assert bench.connection.waiting() == 0
    bench.producer.deliver_all()
    assert bench.settle() == [1, 2, 3, 4]
    assert len(bench.producer.delivered) == 4


def test_a_step_takes_a_batch_and_no_more(bench: Bench) -> None:
    count = BATCH + 1
    bench.connection.arrive([bench.connection.delivery(n, TOPIC, payload(n)) for n in range(count)])
    ingest._step(bench.ingest, bench.connection, bench.telemetry)
    assert bench.connection.waiting() == 1
    assert bench.telemetry.ready


@pytest.mark.parametrize("form", ["avro", "json"])
def test_the_key_is_the_device_and_the_value_in_the_form_that_was_set(form: str) -> None:
    producer = FakeProducer()
    loop = Ingest(Settings.model_validate({"wire": form}), producer, Telemetry("ingest"))
    loop.take(FakeConnection().delivery(1, TOPIC, payload(7)))
    record = producer.deliver()
    assert record.key == b"p1"
    assert (record.value or b"").startswith(b"{") == (form == "json")
    assert wire.decode(Reading, record.value or b"").values == (7.0,)


# On real brokers.


class Process(Child):
    """A real ``haltere ingest`` with its metrics on its endpoint."""

    name = "ingest"

    def __init__(self, folder: Path, told: Settings) -> None:
        super().__init__(folder)
        self._told = told

    def prepare(self) -> Launch:
        (self.folder / "haltere.toml").write_text(_toml(self._told, self.endpoint.port))
        command = (sys.executable, "-m", "haltere", "ingest", "-c", "haltere.toml")
        return Launch(command, self.folder / "ingest.log")

    def is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.endpoint}/readyz", timeout=1).close()
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False
        return True

    def leave(self) -> int:
        """SIGTERM; its exit code."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        return process.wait(5)


def _toml(told: Settings, port: int) -> str:
    mqtt, cluster = told.mqtt, told.kafka
    return f"""
    [mqtt]
    port = {mqtt.port}
    version = "{mqtt.version}"
    client_id = "{mqtt.client_id}"
    filters = ["{mqtt.filters[0]}"]
    [kafka]
    bootstrap_servers = "{cluster.bootstrap_servers}"
    prefix = "{cluster.prefix}"
    partitions = {cluster.partitions}
    [metrics]
    port = {port}
    [[route]]
    topic = "{told.route[0].topic}"
    """


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
        Ingest(told, producer, Telemetry("ingest")).take(
            FakeConnection().delivery(1, topic, wide)
        )


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_nothing_acknowledged_to_the_device_is_missing_after_a_kill_in_the_middle(
    settings: Settings, unique: str, tmp_path: Path
) -> None:
    count, safe = 2000, set[int]()
    process = Process(tmp_path, settings)
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
        publish(range(count // 2, count))
        process.kill()
        first = stored_count(settings.kafka)
        assert 100 <= first
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
    with Process(tmp_path, settings) as process, publisher(settings.mqtt) as device:
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
    process = Process(tmp_path, settings.model_copy(update={"kafka": away}))
    try:
        process.launch()
        until(lambda: process.logged().count("trying again") >= 2)
        assert process.alive()
        assert nobody in process.logged()
        assert "haltere brokers" in process.logged()  # what to do
        assert not process.is_ready()
        assert process.leave() == 0
    finally:
        process.kill()


@pytest.mark.broker
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
            assert len(loop.line) == 3
        with ingesting(settings) as again:
            until(lambda: again.value("acknowledged") == 3)
    assert sorted(r.values for r in readings(settings.kafka)) == [(0.0,), (1.0,), (2.0,)]
