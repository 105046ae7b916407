"""Kafka -> MQTT: the offset waits for the PUBACK, and a device never gets an old alert."""

from dataclasses import replace
from pathlib import Path
from typing import Self

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import egress, kafka, wire
from bridge.child import free_endpoint
from bridge.contracts import MICROS, Alert, Command, Topics
from bridge.egress import Egress, topic_of
from bridge.errors import Malformed
from bridge.kafka import Changes, Consumer, Fetched, Producer, Record, Report
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.settings import Kafka, Mqtt, Settings
from tests.fakes import FakeConnection
from tests.line import line_to
from tests.poll import until
from tests.process import Process

NOW = 1_700_000_000_000_000  # us
TOPICS = Topics("iot")
ALERTS = (TOPICS.alerts, 0)
ALERT = Alert(
    id="a1",
    device="p1",
    time=NOW,
    raised=NOW,
    valid_until=NOW + 300 * MICROS,
    channel="temperature",
    reason="spike",
    value=99.5,
    score=3.5,
    model=2,
)
COMMAND = Command(
    id="c1", device="p1", name="stop", arguments='{"now": true}', valid_until=NOW + 300 * MICROS
)
ENCODE = wire.Encoder().encode


def record(offset: int, value: bytes | None, topic: str = TOPICS.alerts, part: int = 0) -> Fetched:
    return Fetched(topic, part, offset, NOW // 1000, b"p1", value)


class Bench:
    """An `Egress` between two fakes, at `now`."""

    def __init__(self) -> None:
        self.connection = FakeConnection()
        self.telemetry = Telemetry("egress")
        self.now = NOW
        self.egress = Egress(Settings(), self.connection, self.telemetry, lambda: self.now)

    def count(self, outcome: str) -> float:
        return self.telemetry.value("messages", outcome=outcome)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# Between fakes.


@pytest.mark.parametrize(
    ("verdict", "topic", "target"),
    [
        (ALERT, TOPICS.alerts, "haltere/p1/alert"),
        (COMMAND, TOPICS.commands, "haltere/p1/command"),
        (replace(ALERT, device="site/p1"), TOPICS.alerts, "haltere/site/p1/alert"),
        (replace(ALERT, value=None), TOPICS.alerts, "haltere/p1/alert"),
    ],
)
def test_a_verdict_goes_to_its_device_as_json(
    bench: Bench, verdict: Alert | Command, topic: str, target: str
) -> None:
    bench.egress.take(record(0, ENCODE(verdict), topic))
    ((sent_to, payload),) = bench.connection.published
    assert sent_to == target
    assert type(verdict)(**orjson.loads(payload)) == verdict


def test_the_offset_waits_for_the_puback(bench: Bench) -> None:
    bench.egress.take(record(7, ENCODE(ALERT)))
    assert bench.egress.settle() == {}
    assert bench.egress.pending() == 1
    bench.connection.acknowledge()
    assert bench.egress.settle() == {ALERTS: 8}
    assert bench.egress.pending() == 0
    assert bench.egress.settle() == {}


def test_pubacks_in_another_order_move_the_offset_only_over_what_is_safe(bench: Bench) -> None:
    for offset in range(4):
        bench.egress.take(record(offset, ENCODE(ALERT)))
    for which, offsets in [(2, {}), (1, {}), (0, {ALERTS: 3}), (0, {ALERTS: 4})]:
        bench.connection.acknowledge(which)
        assert bench.egress.settle() == offsets


@given(st.permutations(range(6)))
def test_whatever_the_order_of_pubacks_no_offset_passes_an_unacknowledged_message(
    order: list[int],
) -> None:
    bench = Bench()
    for n in range(6):
        bench.egress.take(record(n // 2, ENCODE(ALERT), part=n % 2))
    left, committed = list(range(6)), {0: 0, 1: 0}
    for n in order:
        bench.connection.acknowledge(left.index(n))
        left.remove(n)
        moved = bench.egress.settle()
        committed |= {partition: offset for (_, partition), offset in moved.items()}
        for partition in (0, 1):
            unsafe = [m // 2 for m in left if m % 2 == partition]
            assert committed[partition] == min(unsafe, default=3)


def test_an_expired_verdict_is_counted_and_not_sent(bench: Bench) -> None:
    bench.egress.take(record(0, ENCODE(ALERT)))
    bench.now = ALERT.valid_until
    bench.egress.take(record(1, ENCODE(ALERT)))
    bench.now += 1
    bench.egress.take(record(2, ENCODE(ALERT)))
    bench.egress.take(record(0, ENCODE(COMMAND), TOPICS.commands))
    assert len(bench.connection.published) == 2
    assert bench.count("expired") == 2
    assert bench.egress.settle() == {(TOPICS.commands, 0): 1}
    bench.connection.acknowledge()
    bench.connection.acknowledge()
    assert bench.egress.settle() == {ALERTS: 3}


@pytest.mark.parametrize(
    "value",
    [
        *(None, b"", b"\xff", b"{", b"{}", b"null", ENCODE(COMMAND), ENCODE(ALERT)[:-1]),
        orjson.dumps({**orjson.loads(wire.Encoder("json").encode(ALERT)), "valid_until": "soon"}),
        orjson.dumps({**orjson.loads(wire.Encoder("json").encode(ALERT)), "device": 5}),
        *(ENCODE(replace(ALERT, device=name)) for name in ("", "a+", "#", "a\0", "x" * 70_000)),
    ],
)
def test_a_record_that_cannot_be_sent_is_counted_and_holds_nothing_up(
    bench: Bench, value: bytes | None
) -> None:
    bench.egress.take(record(0, value))
    bench.egress.take(record(1, ENCODE(ALERT)))
    assert len(bench.connection.published) == 1
    assert bench.count("malformed") == 1
    assert bench.egress.settle() == {ALERTS: 1}
    bench.connection.acknowledge()
    assert bench.egress.settle() == {ALERTS: 2}


def test_a_message_that_the_broker_refuses_is_counted_and_holds_nothing_up(bench: Bench) -> None:
    bench.egress.take(record(0, ENCODE(ALERT)))
    bench.egress.take(record(1, ENCODE(ALERT)))
    bench.connection.refuse("Not authorized")
    assert bench.egress.settle() == {ALERTS: 1}
    assert bench.count("refused") == 1
    bench.connection.acknowledge()
    assert bench.egress.settle() == {ALERTS: 2}


def test_a_puback_for_a_partition_that_is_gone_commits_nothing(bench: Bench) -> None:
    bench.egress.take(record(0, ENCODE(ALERT)))
    bench.egress.take(record(0, ENCODE(ALERT), part=1))
    bench.egress.forget(frozenset([ALERTS]))
    assert bench.egress.pending() == 1
    bench.connection.acknowledge()
    bench.connection.acknowledge()
    assert bench.egress.settle() == {(TOPICS.alerts, 1): 1}


class FakeConsumer(Consumer):
    """Gives each batch with the changes that came with it; records commits."""

    def __init__(self, batches: list[tuple[list[Fetched], Changes]]) -> None:
        self._batches = batches
        self._changes = Changes()
        self.asked: list[int] = []
        self.committed: list[dict[tuple[str, int], int]] = []

    def fetch(self, maximum: int, timeout_s: float) -> list[Fetched]:
        self.asked.append(maximum)
        if not self._batches:
            return []
        records, self._changes = self._batches.pop(0)
        return records

    def changes(self) -> Changes:
        changes, self._changes = self._changes, Changes()
        return changes

    def commit(self, offsets: object) -> None:
        assert isinstance(offsets, dict)
        self.committed.append(offsets)


def test_a_partition_that_goes_and_comes_begins_anew(bench: Bench) -> None:
    first = [record(n, ENCODE(ALERT)) for n in (0, 1)]
    again = Changes(assigned=frozenset([ALERTS]), revoked=frozenset([ALERTS]))
    consumer = FakeConsumer([(first, Changes()), (first, again)])
    for _ in range(2):
        egress._step(bench.egress, consumer, bench.connection, bench.telemetry)
    assert bench.egress.pending() == 2
    for _ in range(2):  # of the first time: nobody waits for them
        bench.connection.acknowledge()
    egress._step(bench.egress, consumer, bench.connection, bench.telemetry)
    assert consumer.committed == []
    for _ in range(2):
        bench.connection.acknowledge()
    egress._step(bench.egress, consumer, bench.connection, bench.telemetry)
    assert consumer.committed == [{ALERTS: 2}]


def test_with_a_full_window_nothing_more_is_fetched(bench: Bench) -> None:
    count = egress.WINDOW
    batches = [([record(n, ENCODE(ALERT)) for n in range(count)], Changes())]
    consumer = FakeConsumer(batches)
    egress._step(bench.egress, consumer, bench.connection, bench.telemetry)
    egress._step(bench.egress, consumer, bench.connection, bench.telemetry)
    assert len(consumer.asked) == 1
    bench.connection.acknowledge()
    egress._step(bench.egress, consumer, bench.connection, bench.telemetry)
    egress._step(bench.egress, consumer, bench.connection, bench.telemetry)
    assert consumer.asked[1:] == [1]


@given(st.text())
def test_a_device_has_a_topic_that_mqtt_takes_or_is_malformed(device: str) -> None:
    try:
        topic = topic_of(device, "alert")
    except Malformed:
        return
    assert topic == f"haltere/{device}/alert"
    assert not set(topic) & set("+#\0")


# On real brokers.


class Device:
    """One that listens to its alerts."""

    def __init__(self, mqtt: Mqtt, name: str) -> None:
        self._connection = Connection(mqtt, f"{mqtt.client_id}-device")
        self._name = name
        self._heard: list[Alert] = []

    def __enter__(self) -> Self:
        self._connection.connect(20)
        self._connection.subscribe([f"haltere/{self._name}/#"])
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ids(self) -> list[str]:
        """Of all alerts that it has heard by now, in order."""
        arrived = self._connection.receive(100, 0.05)
        self._heard += [Alert(**orjson.loads(message.payload)) for message in arrived.messages]
        arrived.ack()
        assert {alert.device for alert in self._heard} <= {self._name}
        return [alert.id for alert in self._heard]


def raise_alerts(cluster: Kafka, *alerts: Alert) -> None:
    """Put alerts into Kafka, as `score` does."""
    topic, reported = Topics(cluster.prefix).alerts, list[Report]()
    with Producer(cluster, "score") as producer:
        for alert in alerts:
            producer.produce(Record(topic, alert.device.encode(), ENCODE(alert)))

        def all_there() -> bool:
            reported.extend(producer.poll(0.1))
            return len(reported) == len(alerts)

        until(all_there)
    assert all(report.error is None for report in reported)


def lasting(device: str, number: int) -> Alert:
    return replace(ALERT, id=f"a{number}", device=device, valid_until=2**62)


@pytest.mark.broker
def test_alerts_reach_their_device_once_and_in_order_over_restarts_of_egress(
    settings: Settings, unique: str, tmp_path: Path
) -> None:
    kafka.ensure_topics(settings.kafka)
    raise_alerts(settings.kafka, lasting(unique, 0), replace(ALERT, device=unique), ALERT)
    process = Process("egress", tmp_path, settings)
    with Device(settings.mqtt, unique) as device, process:
        until(lambda: device.ids() == ["a0"])  # the others: expired, and of another device
        raise_alerts(settings.kafka, *(lasting(unique, n) for n in range(1, 20)))
        until(lambda: len(device.ids()) == 20)
        assert process.leave() == 0
        process.start()
        raise_alerts(settings.kafka, lasting(unique, 20))
        until(lambda: "a20" in device.ids())
        assert device.ids() == [f"a{n}" for n in range(21)]
        assert "Traceback" not in process.logged()


@pytest.mark.broker
def test_after_a_kill_before_the_commit_an_alert_is_sent_again_under_the_same_id(
    settings: Settings, unique: str, tmp_path: Path
) -> None:
    kafka.ensure_topics(settings.kafka)
    with Device(settings.mqtt, unique) as device, line_to(settings.mqtt) as line:
        through = settings.mqtt.model_copy(update={"port": line.port})
        with Process("egress", tmp_path, settings.model_copy(update={"mqtt": through})) as process:
            line.mute()  # no PUBACK comes through
            raise_alerts(settings.kafka, lasting(unique, 0))
            until(lambda: device.ids() == ["a0"])
            process.kill()
        with Process("egress", tmp_path, settings) as process:
            until(lambda: device.ids() == ["a0", "a0"])
            assert process.leave() == 0
        with Process("egress", tmp_path, settings) as process:
            raise_alerts(settings.kafka, lasting(unique, 1))
            until(lambda: "a1" in device.ids())
            assert device.ids() == ["a0", "a0", "a1"]


@pytest.mark.broker
def test_while_kafka_is_away_egress_says_so_and_leaves_when_told(
    settings: Settings, tmp_path: Path
) -> None:
    nobody = str(free_endpoint())
    away = settings.kafka.model_copy(update={"bootstrap_servers": nobody})
    process = Process("egress", tmp_path, settings.model_copy(update={"kafka": away}))
    try:
        process.launch()
        until(lambda: process.logged().count("trying again"))
        assert nobody in process.logged()
        assert process.leave() == 0
    finally:
        process.kill()
