"""Sessions on the real brokers: taken over, changed, queued behind, forgotten, ended."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from bridge import ingest
from bridge.brokers import MqttBroker
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.settings import Ingest, Mqtt, Settings
from tests.line import line_to
from tests.numbered import carried, count, publish, until_carried
from tests.poll import until
from tests.process import Process

pytestmark = pytest.mark.broker
WAIT_S = 20.0


@contextmanager
def ingesting(told: Settings, leave: Event | None = None) -> Iterator[Telemetry]:
    """The loop in a thread of this process; drained and ended at the end, and its error raised."""
    stop, telemetry, errors = Event(), Telemetry("ingest"), list[Exception]()

    def run() -> None:
        try:
            ingest.run(told, stop, telemetry, leave)
        except Exception as error:
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        if leave is None:
            until(lambda: telemetry.ready or errors)
        yield telemetry
    finally:
        if leave is None:
            stop.set()
        thread.join(WAIT_S)
        stop.set()
    assert not thread.is_alive()
    assert errors == []


@pytest.fixture
def topic(unique: str) -> str:
    return f"{unique}/pump/p1/telemetry"


def spoken(settings: Settings, version: str) -> Settings:
    mqtt = settings.mqtt.model_copy(update={"version": version})
    return settings.model_copy(update={"mqtt": mqtt})


def narrowed(settings: Settings, **mqtt: object) -> Settings:
    return settings.model_copy(update={"mqtt": settings.mqtt.model_copy(update=mqtt)})


def has_session(mqtt: Mqtt) -> bool:
    """Whether the broker keeps something for ingest; it is there for a moment in its place."""
    with Connection(mqtt, mqtt.session("ingest")) as connection:
        connection.connect(WAIT_S)
        return connection.resumed()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.usefixtures("mosquitto")
def test_of_two_ingest_with_one_id_one_ends_and_says_why_and_all_arrives(
    settings: Settings, topic: str, tmp_path: Path, version: str
) -> None:
    told = spoken(settings, version)
    other = told.model_copy(update={"ingest": Ingest(state=tmp_path / "another host")})
    with (
        Process("ingest", tmp_path / "a", told) as a,
        Process("ingest", tmp_path / "b", other) as b,
    ):
        publish(told.mqtt, topic, range(1000))
        until(lambda: a.code() is not None or b.code() is not None)
        ended, stays = (b, a) if a.alive() else (a, b)
        assert ended.code() == 4
        (line,) = [line for line in ended.logged().splitlines() if line.startswith("haltere: ")]
        assert told.mqtt.session("ingest") in line
        assert "stop the other, or set another mqtt.client_id" in line
        assert "Traceback" not in ended.logged()
        until(stays.is_ready)
        lost = stays.logged().count("connection lost")
        publish(told.mqtt, topic, range(1000, 2000))
        until_carried(told.kafka, range(2000))
        assert stays.logged().count("connection lost") == lost  # nobody fights any more
        assert stays.leave() == 0


@pytest.mark.usefixtures("mosquitto")
def test_a_second_ingest_of_one_name_on_this_machine_is_refused_and_hurts_nobody(
    settings: Settings, topic: str, tmp_path: Path
) -> None:
    with Process("ingest", tmp_path / "a", settings) as first:
        for options in ((), ("--leave",)):
            second = Process("ingest", tmp_path / "b", settings, *options)
            try:
                second.launch()
                until(lambda second=second: second.code() is not None)  # type: ignore[misc]
                assert second.code() == 4
                assert "to be the only ingest of this name here" in second.logged()
            finally:
                second.kill()
        publish(settings.mqtt, topic, range(100))
        until_carried(settings.kafka, range(100))
        assert first.is_ready()
        assert "connection lost" not in first.logged()


def test_a_broker_that_starts_again_is_no_takeover(
    mqtt_settings: Mqtt, tmp_path: Path, caplog: pytest.LogCaptureFixture, mosquitto: None
) -> None:
    caplog.set_level(logging.WARNING)
    with MqttBroker(tmp_path / "mqtt") as broker:
        mqtt = mqtt_settings.model_copy(update={"port": broker.endpoint.port})
        with Connection(mqtt, mqtt.session("ingest")) as connection:
            connection.connect(WAIT_S)
            connection.subscribe(mqtt.filters)
            for n in (1, 2):
                broker.restart()
                until(lambda n=n: caplog.text.count("connection lost") == n)  # type: ignore[misc]
                until(connection.connected)
                assert connection.resumed()
            publish(mqtt, mqtt.filters[0].replace("#", "a"), range(1))
            assert len(connection.receive(1, WAIT_S)) == 1


class Forgetful(MqttBroker):
    """Keeps nothing on disk."""

    def configuration(self) -> str:
        return super().configuration().replace("persistence true", "persistence false")


def test_a_broker_that_forgot_the_session_is_subscribed_to_again(
    mqtt_settings: Mqtt, tmp_path: Path, mosquitto: None
) -> None:
    with Forgetful(tmp_path / "mqtt") as broker:
        mqtt = mqtt_settings.model_copy(update={"port": broker.endpoint.port})
        with Connection(mqtt, mqtt.session("ingest")) as connection:
            connection.connect(WAIT_S)
            connection.subscribe(mqtt.filters)
            broker.restart()
            until(lambda: connection.connected() and connection.answered())
            assert not connection.resumed()
            publish(mqtt, mqtt.filters[0].replace("#", "a"), range(1))
            assert len(connection.receive(1, WAIT_S)) == 1


@pytest.mark.usefixtures("mosquitto")
def test_messages_of_a_filter_that_left_the_configuration_come_no_more(
    settings: Settings, unique: str
) -> None:
    mine, other = f"{unique}/pump/p1/telemetry", f"{unique}/pump/p2/telemetry"
    with ingesting(narrowed(settings, filters=(mine, other))):
        publish(settings.mqtt, mine, range(10))
        publish(settings.mqtt, other, range(10, 20))
        until_carried(settings.kafka, range(20))
    with ingesting(narrowed(settings, filters=(mine,))):
        publish(settings.mqtt, other, range(20, 30))
        publish(settings.mqtt, mine, range(30, 40))
        until(lambda: count(settings.kafka) >= 30)
    publish(settings.mqtt, other, range(40, 50))  # while nobody is there
    with ingesting(narrowed(settings, filters=(mine,))):
        publish(settings.mqtt, mine, range(50, 60))
        until(lambda: count(settings.kafka) >= 40)
    assert set(carried(settings.kafka)) == {*range(20), *range(30, 40), *range(50, 60)}


@pytest.mark.usefixtures("mosquitto")
def test_a_subscribe_whose_answer_was_lost_is_sent_again_though_the_session_is_there(
    mqtt_settings: Mqtt,
) -> None:
    name = mqtt_settings.session("ingest")
    with line_to(mqtt_settings) as line:
        through = mqtt_settings.model_copy(update={"port": line.port})
        with Connection(through, name) as connection:
            connection.connect(WAIT_S)
            line.mute()
            connection.subscribe(mqtt_settings.filters, 0)
            assert not connection.answered()
            line.unmute()
            line.cut()
            until(lambda: connection.connected() and connection.answered())
            assert connection.resumed()
            publish(mqtt_settings, mqtt_settings.filters[0].replace("#", "a"), range(1))
            assert len(connection.receive(1, WAIT_S)) == 1


@pytest.mark.usefixtures("mosquitto")
def test_more_queued_messages_than_may_be_held_do_not_block_the_start(
    settings: Settings, topic: str
) -> None:
    narrow = narrowed(settings, receive_maximum=100)
    with ingesting(narrow):
        pass
    publish(settings.mqtt, topic, range(20_000))
    with ingesting(narrow):
        until(lambda: count(settings.kafka) >= 20_000)
    assert carried(settings.kafka) == dict.fromkeys(range(20_000), 1)


@pytest.mark.usefixtures("mosquitto")
def test_a_retained_message_is_not_sent_again_at_a_reconnect(
    mqtt_settings: Mqtt, unique: str
) -> None:
    retain(mqtt_settings, f"{unique}/kept")
    with line_to(mqtt_settings) as line:
        through = mqtt_settings.model_copy(update={"port": line.port})
        with Connection(through, mqtt_settings.session("ingest")) as connection:
            connection.connect(WAIT_S)
            connection.subscribe(mqtt_settings.filters)
            batch = connection.receive(1, WAIT_S)
            assert [message.retain for message in batch.messages] == [True]
            batch.ack()
            connection.unsubscribe(["nothing"])  # whose answer shows that the ack was read
            line.cut()
            until(batch.stale)
            until(connection.connected)
            publish(mqtt_settings, f"{unique}/last", range(1))
            topics = set[str]()

            def all_there() -> bool:
                topics.update(m.topic for m in connection.receive(10, 0.2).messages)
                return f"{unique}/last" in topics

            until(all_there)
            assert f"{unique}/kept" not in topics


def retain(mqtt: Mqtt, topic: str) -> None:
    with Connection(mqtt, f"{mqtt.client_id}-retains", clean=True) as connection:
        connection.connect(WAIT_S)
        connection._client.publish(topic, b"old", 1, retain=True).wait_for_publish(WAIT_S)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.usefixtures("mosquitto")
def test_sigterm_keeps_the_session_and_sigusr1_ends_it(
    settings: Settings, topic: str, tmp_path: Path, version: str
) -> None:
    told = spoken(settings, version)
    with Process("ingest", tmp_path, told) as process:
        assert process.leave() == 0
        assert has_session(told.mqtt)
        publish(told.mqtt, topic, range(500))
        process.start()
        assert process.leave(signal.SIGUSR1, WAIT_S) == 0
        assert not has_session(told.mqtt)
        assert "Traceback" not in process.logged()
    assert carried(told.kafka) == dict.fromkeys(range(500), 1)
    assert not list(Path(told.ingest.state).glob("*.filters.json"))


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.usefixtures("mosquitto")
def test_leaving_carries_what_is_queued_and_takes_nothing_new(
    settings: Settings, topic: str, version: str
) -> None:
    told = spoken(settings, version)
    with ingesting(told):
        pass
    publish(told.mqtt, topic, range(3000))
    leave = Event()
    leave.set()
    with ingesting(told, leave):
        pass
    assert carried(told.kafka) == dict.fromkeys(range(3000), 1)
    publish(told.mqtt, topic, range(3000, 3010))
    assert not has_session(told.mqtt)


@pytest.mark.usefixtures("mosquitto")
def test_haltere_ingest_leave_ends_with_zero(settings: Settings, tmp_path: Path) -> None:
    with ingesting(settings):
        pass
    process = Process("ingest", tmp_path, settings, "--leave")
    try:
        process.launch()
        until(lambda: process.code() is not None)
        assert process.code() == 0
    finally:
        process.kill()
    assert not has_session(settings.mqtt)


@pytest.mark.parametrize(
    "weak", [{"qos": 0}, {"clean_session": True}, {"client_id": ""}, {"session_expiry_s": 0}]
)
@pytest.mark.usefixtures("mosquitto")
def test_where_losing_is_meant_messages_arrive_and_no_session_is_left(
    settings: Settings, topic: str, weak: dict[str, object]
) -> None:
    told = narrowed(settings, at_most_once=True, **weak)
    with ingesting(told):
        publish(settings.mqtt, topic, range(100), qos=min(told.mqtt.qos, 1))
        until_carried(settings.kafka, range(100))
    if "qos" not in weak:
        assert not has_session(settings.mqtt)
