"""Sparkplug on the real brokers: births outlive the process, requests and STATE go back."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge import wire
from bridge.contracts import DeadLetter, Message, Reading, Topics
from bridge.dlq import replay
from bridge.letters import Choice
from bridge.mqtt import Connection
from bridge.mqtt_words import Said
from bridge.settings import Settings
from tests import sparkplug as sp
from tests.bridge.test_ingest_real import ingesting, publisher, readings, stored
from tests.poll import until
from tests.process import Process

pytestmark = pytest.mark.broker
SPEED = sp.metric("Speed", (sp.DOUBLE_, 10.0), sp.DOUBLE, alias=7, unit="km/h")


@pytest.fixture
def told(settings: Settings, unique: str) -> Settings:
    """An ingest that follows one Sparkplug group, and nothing else."""
    mqtt = settings.mqtt.model_copy(update={"filters": (f"spBv1.0/{unique}/#",)})
    return settings.model_copy(update={"mqtt": mqtt})


def speed(seq: int, value: float) -> bytes:
    return sp.payload(sp.metric(None, (sp.DOUBLE_, value), sp.DOUBLE, alias=7), seq=seq)


@contextmanager
def listening(told: Settings, topic: str) -> Iterator[Callable[[], list[Message]]]:
    """All that arrived on a topic so far."""
    with Connection(told.mqtt, f"{told.mqtt.client_id}-ear", clean=True) as ear:
        ear.connect(10)
        ear.subscribe([topic])
        heard: list[Message] = []

        def so_far() -> list[Message]:
            batch = ear.receive(100, 0.05)
            heard.extend(batch.messages)
            batch.ack()
            return heard

        yield so_far


def letters(told: Settings) -> list[DeadLetter]:
    records = stored(told.kafka, Topics(told.kafka.prefix).deadletters)
    return [wire.decode(DeadLetter, record.value or b"") for record in records]


def fast(arrived: list[Reading]) -> dict[float, str]:
    """The devices by their speed in km/h."""
    return {
        round(dict(zip(r.channels, r.values, strict=True))["speed"] * 3.6, 3): r.device
        for r in arrived
        if "speed" in r.channels
    }


def test_an_alias_is_known_to_the_next_process(told: Settings, unique: str) -> None:
    node = f"spBv1.0/{unique}"
    with ingesting(told) as telemetry, publisher(told.mqtt) as device:
        device.publish(f"{node}/NBIRTH/edge", sp.nbirth(SPEED), 1)
        until(lambda: telemetry.value("acknowledged") == 1)
    with ingesting(told) as telemetry, publisher(told.mqtt) as device:
        device.publish(f"{node}/NDATA/edge", speed(1, 20.0), 2)
        until(lambda: telemetry.value("acknowledged") == 1)
    assert fast(readings(told.kafka)) == {10.0: f"{unique}/edge", 20.0: f"{unique}/edge"}
    assert letters(told) == []


def test_a_killed_ingest_has_kept_the_birth_or_gets_it_again(
    told: Settings, unique: str, tmp_path: Path
) -> None:
    node = f"spBv1.0/{unique}"
    first = Process("ingest", tmp_path / "first", told)
    first.launch()
    until(first.is_ready)
    with publisher(told.mqtt) as device:
        for n in range(20):
            device.publish(f"{node}/NBIRTH/edge-{n}", sp.nbirth(SPEED), n)
        until(lambda: len(device.acknowledged()) == 0 and device.in_flight() == 0)
        assert first.pid
        os.kill(first.pid, signal.SIGKILL)
        first.kill()
        for n in range(20):
            device.publish(f"{node}/NDATA/edge-{n}", speed(1, 20.0 + n), n)
        until(lambda: len(device.acknowledged()) == 0 and device.in_flight() == 0)
    with ingesting(told):
        until(lambda: len(fast(readings(told.kafka))) == 21)
    assert letters(told) == []


def test_a_node_whose_birth_is_missing_is_asked_for_it(told: Settings, unique: str) -> None:
    node = f"spBv1.0/{unique}"
    with (
        listening(told, f"{node}/NCMD/#") as commands,
        ingesting(told),
        publisher(told.mqtt) as device,
    ):
        for n in range(3):
            device.publish(f"{node}/NDATA/edge", speed(n, 20.0), n)
        until(lambda: len(commands()) > 0)
        until(lambda: len(letters(told)) == 3)
        (asked,) = commands()
    assert asked.topic == f"{node}/NCMD/edge"
    assert b"Node Control/Rebirth" in asked.payload
    assert {letter.path for letter in letters(told)} == {"metrics.0.alias"}


@pytest.mark.usefixtures("mosquitto")
def test_state_says_whether_the_host_is_there_also_when_it_was_killed(
    told: Settings, unique: str, tmp_path: Path
) -> None:
    host = told.ingest.model_copy(update={"sparkplug_host": unique})
    told = told.model_copy(update={"ingest": host})

    def states(heard: list[Message]) -> list[bool]:
        return [json.loads(message.payload)["online"] for message in heard]

    with listening(told, f"spBv1.0/STATE/{unique}") as heard:
        for how, told_twice in ((signal.SIGTERM, 1), (signal.SIGKILL, 2)):
            process = Process("ingest", tmp_path / str(told_twice), told)
            process.launch()
            until(process.is_ready)
            until(lambda n=told_twice: states(heard())[-1:] == [True] and len(heard()) >= n)  # type: ignore[misc]
            assert process.pid
            os.kill(process.pid, how)
            until(lambda: states(heard())[-1:] == [False])
            process.kill()
        with publisher(told.mqtt) as other, ingesting(told):
            until(lambda: states(heard())[-1:] == [True])
            last = heard()[-1]
            other.say(Said(last.topic, json.dumps({"online": False}).encode(), True))
            until(lambda: states(heard())[-2:] == [False, True])
            assert heard()[-1].payload == last.payload
        until(lambda: states(heard())[-1:] == [False])
        heard()
    with listening(told, f"spBv1.0/STATE/{unique}") as late:
        until(lambda: len(late()) > 0)
        assert late()[0].retain
        assert states(late()) == [False]


@pytest.mark.usefixtures("mosquitto")
def test_workers_leave_sparkplug_to_one_of_their_own(
    told: Settings, unique: str, tmp_path: Path
) -> None:
    mqtt = told.mqtt.model_copy(update={"member": unique})
    told = told.model_copy(update={"mqtt": mqtt})
    node, process = f"spBv1.0/{unique}", Process("ingest", tmp_path, told, "--workers", "2")
    process.launch()
    until(lambda: process.logged().count("-> kafka") >= 3)
    until(lambda: f"{unique}-sparkplug" in (tmp_path / "ingest" / "workers.json").read_text())
    with publisher(told.mqtt) as device:
        for n in range(10):
            device.publish(f"{node}/NBIRTH/edge-{n}", sp.nbirth(SPEED), n)
            for seq in range(1, 5):
                device.publish(f"{node}/NDATA/edge-{n}", speed(seq, 20.0 + 10 * n + seq), n)
        until(lambda: len(fast(readings(told.kafka))) == 41)
    assert process.leave() == 0
    assert letters(told) == []
    arrived = [r for r in readings(told.kafka) if "speed" in r.channels]
    assert len(arrived) == 50  # each once


def test_data_before_its_birth_is_replayed_after_it(told: Settings, unique: str) -> None:
    node = f"spBv1.0/{unique}"
    with ingesting(told) as telemetry, publisher(told.mqtt) as device:
        device.publish(f"{node}/NDATA/edge", speed(1, 20.0), 1)
        device.publish(f"{node}/NBIRTH/edge", sp.nbirth(SPEED), 2)
        until(lambda: telemetry.value("acknowledged") >= 3)  # and our request for the birth
    assert list(fast(readings(told.kafka))) == [10.0]
    account = replay(told, Choice(), False, lambda done, total: None)
    assert (account.replayed, account.readings) == (1, 1)
    assert sorted(fast(readings(told.kafka))) == [10.0, 20.0]


@pytest.mark.usefixtures("mosquitto")
def test_a_retired_worker_carries_its_sparkplug_messages(
    told: Settings, unique: str, tmp_path: Path
) -> None:
    mqtt = told.mqtt.model_copy(update={"member": unique})
    told = told.model_copy(update={"mqtt": mqtt})
    node = f"spBv1.0/{unique}"
    first = Process("ingest", tmp_path / "first", told, "--workers", "1")
    first.launch()
    until(lambda: first.logged().count("-> kafka") >= 2)
    with publisher(told.mqtt) as device:
        device.publish(f"{node}/NBIRTH/edge", sp.nbirth(SPEED), 1)
        until(lambda: len(fast(readings(told.kafka))) == 1)
        assert first.leave() == 0
        for seq in range(1, 5):
            device.publish(f"{node}/NDATA/edge", speed(seq, 20.0 + seq), seq)
        until(lambda: len(device.acknowledged()) == 0 and device.in_flight() == 0)
    last = Process("ingest", tmp_path / "last", told, "--workers", "0")
    last.launch()
    until(lambda: last.code() is not None)
    assert len(fast(readings(told.kafka))) == 5
    assert letters(told) == []
