"""Readers that are killed, and that come and go: nothing is missing, nothing doubled where said."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.brokers import KafkaBroker
from bridge.kafka import ensure_topic
from bridge.settings import Kafka
from bridge.spans import Span
from tests.ml.topic import fill, numbered, read, topic, values
from tests.poll import until

pytestmark = pytest.mark.broker

Start = Callable[[Kafka, str, str, str], subprocess.Popen[bytes]]
AWAY_S = 5.0
PATIENCE_S = 90.0  # the dead are missed after 6 s; TensorFlow starts in 5 s on a busy machine


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a member: cluster, topic and group, name, how."""
    running: list[subprocess.Popen[bytes]] = []

    def start(kafka: Kafka, name: str, who: str, how: str) -> subprocess.Popen[bytes]:
        where = (kafka.bootstrap_servers, name, name, str(tmp_path / who), how)
        with (tmp_path / f"{who}.log").open("ab") as log:
            command = (sys.executable, "-m", "tests.ml.member", *where)
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def done(*files: Path) -> list[tuple[int, int]]:
    """Partitions and offsets, as members wrote them; a last line may be cut."""
    wholes = [file.read_text("ascii").rpartition("\n")[0] for file in files if file.exists()]
    pairs = [line.split(" ") for whole in wholes for line in whole.splitlines()]
    return [(int(partition), int(offset)) for partition, offset in pairs]


def test_kill_9_in_the_middle_loses_no_record(
    kafka_settings: Kafka, tmp_path: Path, start: Start
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(2000))
    first = start(kafka_settings, name, "first", "loop")
    until(lambda: len(done(tmp_path / "first")) > 300, PATIENCE_S)
    first.kill()
    first.wait()
    start(kafka_settings, name, "second", "loop")

    both = (tmp_path / "first", tmp_path / "second")
    until(lambda: len(set(done(*both))) >= 2000, PATIENCE_S)
    assert set(done(*both)) == {(0, n) for n in range(2000)}
    assert len(done(*both)) - 2000 <= 20  # the batch that was in hand


def test_a_reader_that_was_frozen_goes_on(
    kafka_settings: Kafka, tmp_path: Path, start: Start
) -> None:
    name = topic(kafka_settings, 2)
    for partition in range(2):
        fill(kafka_settings, name, numbered(1500), partition)
    frozen = start(kafka_settings, name, "frozen", "loop")
    until(lambda: len(done(tmp_path / "frozen")) > 300, PATIENCE_S)
    frozen.send_signal(signal.SIGSTOP)
    thawed = time.monotonic() + 8  # it is missed after 6 s
    until(lambda: time.monotonic() > thawed)
    frozen.send_signal(signal.SIGCONT)
    until(lambda: len(set(done(tmp_path / "frozen"))) >= 3000, PATIENCE_S)
    assert set(done(tmp_path / "frozen")) == {(p, n) for p in range(2) for n in range(1500)}


def test_a_rebalance_between_two_readers_loses_and_doubles_no_record(
    kafka_settings: Kafka, tmp_path: Path, start: Start
) -> None:
    name = topic(kafka_settings, 4)
    for partition in range(4):
        fill(kafka_settings, name, numbered(4000), partition)
    start(kafka_settings, name, "first", "loop")
    until(lambda: len(done(tmp_path / "first")) > 300, PATIENCE_S)
    start(kafka_settings, name, "second", "loop")

    both = (tmp_path / "first", tmp_path / "second")
    until(lambda: len(set(done(*both))) >= 16_000, PATIENCE_S)
    assert sorted(done(*both)) == [(p, n) for p in range(4) for n in range(4000)]
    assert done(tmp_path / "second")


def test_predictions_are_exactly_once_whoever_is_killed(
    kafka_settings: Kafka, tmp_path: Path, start: Start
) -> None:
    name = topic(kafka_settings, 4)
    for partition in range(4):
        fill(kafka_settings, name, numbered(2000, 2000 * partition), partition)
    ensure_topic(kafka_settings, Span(f"{name}-out"))
    first = start(kafka_settings, name, "first", "sink")

    def predicted() -> list[bytes]:
        return values(read(f"{name}-out", kafka_settings))

    until(lambda: len(predicted()) > 300, PATIENCE_S)
    start(kafka_settings, name, "second", "sink")
    until(lambda: len(predicted()) > 4000, PATIENCE_S)
    first.kill()
    first.wait()
    start(kafka_settings, name, "first", "sink")
    until(lambda: len(predicted()) >= 8000, PATIENCE_S)
    assert sorted(predicted()) == sorted(b"[%d.0]" % n for n in range(8000))


@pytest.mark.parametrize("how", ["loop", "sink"])
def test_a_kafka_that_was_killed_and_came_back_has_all_of_it(
    tmp_path: Path, start: Start, how: str
) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
        name = topic(kafka, 2)
        for partition in range(2):
            fill(kafka, name, numbered(2000, 2000 * partition), partition)
        ensure_topic(kafka, Span(f"{name}-out"))

        def there() -> list[bytes]:
            if how == "sink":
                return values(read(f"{name}-out", kafka))
            return [b"[%d.0]" % (2000 * p + o) for p, o in done(tmp_path / "one")]

        one = start(kafka, name, "one", how)
        until(lambda: len(there()) > 300, PATIENCE_S)
        broker.kill()
        back = time.monotonic() + AWAY_S
        until(lambda: time.monotonic() > back)
        broker.start()

        def all_there() -> bool:
            nonlocal one
            if one.poll() is not None:
                one = start(kafka, name, "one", how)
            return len(set(there())) >= 4000

        until(all_there, PATIENCE_S)
        assert set(there()) == {b"[%d.0]" % n for n in range(4000)}
        assert len(there()) - 4000 <= (200 if how == "loop" else 0)  # done, and could not be said
