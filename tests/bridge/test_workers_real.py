"""Several workers on the real brokers: they share, one that was killed comes back, all leave."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.mqtt import Connection
from bridge.settings import Settings
from tests.numbered import carried, count, publish, readings, until_carried
from tests.poll import until
from tests.process import Process, get

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("mosquitto")]
WAIT_S = 20.0
ACKNOWLEDGED = "haltere_ingest_acknowledged_total"
LEAVE_S = 8.0  # from SIGTERM to the end of all

Start = Callable[..., Process]


@pytest.fixture
def told(settings: Settings, unique: str) -> Settings:
    """Workers of a host of the test's own."""
    mqtt = settings.mqtt.model_copy(update={"member": unique})
    return settings.model_copy(update={"mqtt": mqtt})


@pytest.fixture
def start(told: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts ``haltere ingest`` with these options; what is left of it is killed at the end."""
    started: list[Process] = []

    def begin(*options: str, told: Settings = told) -> Process:
        process = Process("ingest", tmp_path / str(len(started)), told, *options)
        started.append(process)
        process.launch()
        return process

    yield begin
    for process in started:
        pids = workers_of(process)
        process.kill()
        until(lambda pids=pids: not any(map(runs, pids)))  # type: ignore[misc]


def workers_of(process: Process) -> list[int]:
    """Their process ids, in the order of their start."""
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ready(process: Process, workers: int = 2) -> None:
    """Wait until each has said that it runs, and the first that it is subscribed."""
    until(lambda: process.logged().count("-> kafka") >= workers or process.code() is not None)
    until(process.is_ready)


def has_session(told: Settings, number: int) -> bool:
    """Whether the broker keeps something for that worker; it is there for a moment in its place."""
    name = f"{told.mqtt.client_id}-ingest-{told.mqtt.member}-{number}"
    with Connection(told.mqtt, name) as connection:
        connection.connect(WAIT_S)
        return connection.resumed()


def environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def test_two_workers_share_the_messages_and_each_message_arrives_once(
    told: Settings, unique: str, start: Start
) -> None:
    process = start("--workers", "2")
    ready(process)
    topic = f"{unique}/pump/p1/telemetry"
    publish(told.mqtt, topic, range(4000))
    assert until_carried(told.kafka, range(4000)) == dict.fromkeys(range(4000), 1)
    pids = workers_of(process)
    until(lambda: sum(map(acknowledged, pids)) == 4000)
    assert min(map(acknowledged, pids)) > 400
    assert process.leave(within_s=LEAVE_S) == 0
    assert has_session(told, 0)
    assert has_session(told, 1)
    assert "Traceback" not in process.logged()


def acknowledged(pid: int) -> int:
    """How many messages a worker has acknowledged, by its metrics."""
    _, text = get(f"http://127.0.0.1:{environment(pid)['HALTERE_METRICS_PORT']}/metrics")
    said = [line.split()[-1] for line in text.splitlines() if line.startswith(ACKNOWLEDGED)]
    return int(float(said[0])) if said else 0


def test_a_worker_that_was_killed_comes_back_under_its_name_to_what_was_queued_for_it(
    told: Settings, unique: str, start: Start
) -> None:
    process = start("--workers", "2")
    ready(process)
    _, second = workers_of(process)
    name = environment(second)["HALTERE_MQTT_MEMBER"]
    os.kill(second, signal.SIGKILL)
    publish(told.mqtt, f"{unique}/pump/p1/telemetry", range(1000))
    until_carried(told.kafka, range(1000))
    until(lambda: len(workers_of(process)) == 2)
    assert second not in workers_of(process)
    assert {environment(pid)["HALTERE_MQTT_MEMBER"] for pid in workers_of(process)} >= {name}
    assert f"worker {name} ended with -9" in process.logged()
    assert process.leave(within_s=LEAVE_S) == 0


def test_workers_end_with_a_parent_that_was_killed(start: Start) -> None:
    process = start("--workers", "2")
    ready(process)
    pids = workers_of(process)
    process.kill()
    until(lambda: not any(map(runs, pids)))


def test_a_worker_that_is_no_more_is_retired_and_what_was_queued_for_it_arrives(
    told: Settings, unique: str, start: Start
) -> None:
    topic = f"{unique}/pump/p1/telemetry"
    process = start("--workers", "2")
    ready(process)
    assert process.leave(within_s=LEAVE_S) == 0
    publish(told.mqtt, topic, range(1000))  # the broker queues for both
    process = start("--workers", "1")
    until_carried(told.kafka, range(1000))
    note = told.ingest.state / "workers.json"
    until(lambda: json.loads(note.read_text()) == [f"{told.mqtt.member}-0"])
    assert not has_session(told, 1)
    publish(told.mqtt, topic, range(1000, 2000))
    until_carried(told.kafka, range(2000))
    assert process.leave(within_s=LEAVE_S) == 0
    assert has_session(told, 0)
    publish(told.mqtt, topic, range(2000, 2100))
    process = start("--workers", "0")
    until(lambda: process.code() is not None)
    assert process.code() == 0
    assert json.loads(note.read_text()) == []
    assert not has_session(told, 0)
    assert set(carried(told.kafka)) == set(range(2100))


def test_a_setting_that_no_worker_can_run_with_ends_all(told: Settings, start: Start) -> None:
    kafka = told.kafka.model_copy(update={"options": {"no.such.option": 1}})
    process = start("--workers", "2", told=told.model_copy(update={"kafka": kafka}))
    until(lambda: process.code() is not None)
    assert process.code() == 2
    said = [line for line in process.logged().splitlines() if line.startswith("haltere: ")]
    assert any("no.such.option" in line for line in said)
    assert "exit code 2" in said[-1]
    assert "Traceback" not in process.logged()


@pytest.mark.parametrize("workers", [1, 2])
def test_each_worker_keeps_the_order_of_what_it_is_given(
    told: Settings, unique: str, start: Start, workers: int
) -> None:
    kafka = told.kafka.model_copy(update={"partitions": 1})
    one = told.model_copy(update={"kafka": kafka})
    process = start("--workers", str(workers), told=one)
    ready(process, workers)
    publish(told.mqtt, f"{unique}/pump/p1/telemetry", range(4000))
    until(lambda: count(kafka) >= 4000)
    numbers = [int(reading.values[0]) for reading in readings(kafka)]
    assert sorted(numbers) == list(range(4000))
    assert process.leave(within_s=LEAVE_S) == 0
    assert runs_in(numbers) <= workers


def runs_in(numbers: list[int]) -> int:
    """The fewest rising sequences that these can be dealt into, in their order."""
    tops: list[int] = []
    for number in numbers:
        below = [n for n, top in enumerate(tops) if top < number]
        if below:
            tops[max(below, key=tops.__getitem__)] = number
        else:
            tops.append(number)
    return len(tops)
