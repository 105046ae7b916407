"""``haltere dlq`` on a real Kafka: what it lists, shows and replays, over kills and outages."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

import haltere
from bridge import command, dlq, kafka, wire
from bridge.child import free_endpoint
from bridge.contracts import MICROS, DeadLetter, Reading, Topics
from bridge.errors import Misconfigured, Unavailable
from bridge.ingest import Ingest
from bridge.kafka import Consumer, Producer, Record
from bridge.metrics import Telemetry
from bridge.settings import Kafka, Settings
from tests.fakes import RECEIVED, FakeConnection
from tests.poll import until

pytestmark = pytest.mark.broker
OLD = 1_600_000_000 * MICROS
GARBAGE = b"\xff\xfe"


class Desk:
    """A cluster with a topic of dead letters, and the command."""

    def __init__(self, told: Settings, folder: Path) -> None:
        self.told = told
        self.names = Topics(told.kafka.prefix)
        self.config = folder / "haltere.toml"
        self.route("nothing/{device}")
        kafka.ensure_topics(told.kafka)

    def route(self, topic: str) -> None:
        """What the settings of today say."""
        self.config.write_text(
            f"""
[kafka]
bootstrap_servers = "{self.told.kafka.bootstrap_servers}"
prefix = "{self.told.kafka.prefix}"
partitions = {self.told.kafka.partitions}
[[route]]
topic = "{topic}"
""",
            "utf-8",
        )

    def write(self, *letters: DeadLetter | bytes, partition: int = -1) -> None:
        """Dead letters, or foreign bytes, into the topic."""
        encode = wire.Encoder().encode
        with Producer(self.told.kafka.model_copy(update={"options": LARGE}), "test") as producer:
            for one in letters:
                value = one if isinstance(one, bytes) else encode(one)
                key = b"" if isinstance(one, bytes) else one.topic.encode()
                record = Record(self.names.deadletters, key, value, partition)
                while not producer.produce(record):
                    producer.poll(0.1)
            until(lambda: [*producer.poll(0.1), not producer.in_flight()][-1])

    def ask(self, *words: str) -> Result:
        return CliRunner().invoke(
            haltere.app, ["dlq", *words, "--config", str(self.config)], catch_exceptions=False
        )

    def rows(self, *words: str) -> list[dict[str, Any]]:
        result = self.ask("list", "--json", *words)
        assert result.exit_code == 0
        return [json.loads(line) for line in result.stdout.splitlines()]

    def account(self, *words: str, code: int = 0) -> dict[str, Any]:
        result = self.ask("replay", "--json", *words)
        assert result.exit_code == code, result.output
        account: dict[str, Any] = json.loads(result.stdout)
        return account

    def readings(self) -> list[Reading]:
        with Consumer(self.told.kafka) as consumer:
            records = consumer.read_all(self.names.readings, range(self.told.kafka.partitions))
        return [wire.decode(Reading, record.value or b"") for record in records]

    def stored(self) -> int:
        with Consumer(self.told.kafka) as consumer:
            return sum(end - start for start, end in consumer.ends(self.names.readings).values())


LARGE = {"queue.buffering.max.kbytes": 1_000_000}


@pytest.fixture
def desk(settings: Settings, tmp_path: Path) -> Desk:
    return Desk(settings, tmp_path)


def letter(number: int = 0, **more: Any) -> DeadLetter:
    data = orjson.dumps({"time": 1_700_000_000 + number, "temp_C": number})
    one = DeadLetter(f"plant/{number % 5}/t", data, "decode", "payload", "JSON", "x", RECEIVED)
    return replace(one, **more)


# List and show.


def test_the_list_has_a_line_for_each_and_a_summary(desk: Desk) -> None:
    desk.write(letter(1), letter(2, stage="poison", expected="life"), letter(3), GARBAGE)
    lines = desk.ask("list").stdout.splitlines()
    assert len(lines) == 8
    assert sum(re.match(r"\d:\d+ 2023-11-14T22:13:20Z plant/", line) is not None for line in lines)
    assert lines[4:7] == [
        "dead letters: 3",
        "  2 decode: payload: expected JSON",
        "  1 poison: payload: expected life",
    ]
    assert lines[7] == "records that are no dead letter: 1"
    assert sum("unreadable" in row for row in desk.rows()) == 1


def test_the_list_is_in_the_order_of_partition_and_offset_and_ends(desk: Desk) -> None:
    desk.write(*map(letter, range(1200)))
    places = [(row["partition"], row["offset"]) for row in desk.rows()]
    assert places == sorted(places)
    assert len(places) == 1200
    assert {partition for partition, _ in places} == {0, 1}


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ((), {0, 1, 2, 3}),
        (("--topic", "plant/1/#"), {1}),
        (("--topic", "plant/+/t"), {0, 1, 2, 3}),
        (("--topic", "other/#"), set()),
        (("--stage", "normalise"), {2}),
        (("--since", "2021-01-01T00:00:00Z"), {0, 1, 2}),
        (("--since", "2100-01-01T00:00:00Z"), set()),
        (("--since", "9999999m"), {0, 1, 2, 3}),
        (("--since", "2021-01-01T00:00:00Z", "--stage", "decode", "--topic", "plant/0/t"), {0}),
    ],
)
def test_time_stage_and_topic_choose(desk: Desk, words: tuple[str, ...], numbers: set[int]) -> None:
    desk.write(letter(0), letter(1), letter(2, stage="normalise"), letter(3, time=OLD))
    rows = desk.rows(*words)
    assert {int(row["topic"].split("/")[1]) for row in rows} == numbers


def test_the_reading_begins_where_the_time_does(desk: Desk) -> None:
    place = (desk.names.deadletters, 1)
    desk.write(letter(0), partition=1)
    with Consumer(desk.told.kafka) as consumer:
        (first,) = consumer.read_all(desk.names.deadletters, [1])
        until(lambda: time.time() * 1000 > first.timestamp + 10)
        desk.write(letter(1), partition=1)
        _, second = consumer.read_all(desk.names.deadletters, [1])
        offsets = [consumer.since([place], ms)[place] for ms in (0, second.timestamp)]
        assert offsets == [0, 1]
        assert consumer.since([place], second.timestamp + 1)[place] < 0


def test_an_option_that_is_wrong_is_refused_with_what_was_expected(desk: Desk) -> None:
    for words, said in (
        (("list", "--since", "yesterday"), "--since"),
        (("replay", "--topic", "a#"), "--topic"),
        (("show", "17"), "PARTITION:OFFSET"),
        (("show", "0:17"), "a record"),
        (("show", "99:0"), "a record"),
    ):
        with pytest.raises(Misconfigured, match=said):
            desk.ask(*words)
    assert desk.ask("list", "--stage", "other").exit_code == 2


def test_what_is_shown_is_all_of_it_and_what_would_become_of_it(desk: Desk) -> None:
    desk.write(letter(0), letter(1, payload=GARBAGE), GARBAGE, partition=1)
    text = desk.ask("show", "1:0").stdout
    assert "reading of device plant/0" in text.partition("today:")[2]
    assert desk.ask("show", "1:1", "--raw").stdout_bytes == GARBAGE
    whole = json.loads(desk.ask("show", "1:1", "--json").stdout)
    assert (whole["offset"], whole["today"]["outcome"]) == (1, "dead letter")
    assert desk.ask("show", "1:2").exit_code == 1
    with pytest.raises(Misconfigured, match="1:0 to 1:2"):
        desk.ask("show", "1:3")


def test_marks_of_transactions_at_the_end_are_no_letters_and_no_wait(desk: Desk) -> None:
    with (
        Producer(desk.told.kafka, "t", desk.names.prefix) as producer,
        Consumer(desk.told.kafka) as consumer,
    ):
        for number in range(3):
            producer.begin()
            value = wire.Encoder().encode(letter(number))
            producer.produce(Record(desk.names.deadletters, b"", value, 0))
            if number == 1:
                until(lambda: producer.poll(0.1))  # it is in the topic
                producer.abort()
            else:
                producer.commit(consumer, {})
    assert [row["offset"] for row in desk.rows()] == [0, 4]
    with pytest.raises(Misconfigured, match="none"):
        desk.ask("show", "0:1")


def test_a_kafka_that_is_away_is_said_soon(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq, "CONNECT_S", 0.5)
    desk.told = desk.told.model_copy(
        update={"kafka": Kafka(bootstrap_servers=str(free_endpoint()))}
    )
    desk.route("a/{device}")
    for words in (("list",), ("show", "0:0"), ("replay",), ("replay", "--dry-run")):
        with pytest.raises(Unavailable):
            desk.ask(*words)


# Replay.


def test_after_the_settings_are_right_the_letters_become_readings(desk: Desk) -> None:
    place = orjson.dumps({"temp_C": 1, "lat": 48.1, "lon": 11.5})
    desk.write(
        letter(1),
        letter(2, payload=place),
        letter(3, payload=GARBAGE),
        letter(4, topic="haltere/p/alert"),
        letter(5, stage="produce", received="MSG_SIZE_TOO_LARGE (9999 bytes)"),
        letter(6, stage="poison"),
        GARBAGE,
    )
    desk.route("plant/{device}/t")
    dry = desk.account("--dry-run", code=1)
    assert desk.stored() == 0
    wet = desk.account(code=1)
    assert wet == dry | {"dry_run": False}
    numbers = ("replayed", "readings", "positions", "cut", "foreign")
    assert [wet[name] for name in numbers] == [2, 2, 1, 1, 1]
    assert sorted(wet["ignored"].values()) == [1]
    assert sorted(wet["failed"].values()) == [1]
    assert sorted(wet["kept"].values()) == [1, 1]
    readings = desk.readings()
    assert sorted(r.device for r in readings) == ["1", "2"]
    assert {r.received for r in readings} == {RECEIVED}
    assert len(desk.rows()) == 7  # all are still there
    assert desk.account("--stage", "poison")["replayed"] == 1
    assert desk.account("--topic", "plant/1/#", "--stage", "decode")["replayed"] == 1


def test_a_second_replay_gives_the_same_ids(desk: Desk) -> None:
    timeless = [letter(n, payload=b'{"temp_C": %d}' % n) for n in range(20, 40)]
    desk.write(*map(letter, range(20)), *timeless)
    for times in (1, 2, 3):
        assert desk.account()["replayed"] == 40
        readings = desk.readings()
        assert len(readings) == 40 * times
        assert len({r.id for r in readings}) == 40


def test_the_readings_are_those_that_ingest_would_have_made(desk: Desk) -> None:
    desk.write(*map(letter, range(10)))
    desk.route("plant/{device}/t")
    desk.account()
    replayed = {r.id: r for r in desk.readings()}
    told = command.settings(desk.config)
    with Producer(told.kafka, "test") as producer:
        loop, line = Ingest(told, producer, Telemetry("ingest")), FakeConnection()
        for n in range(10):
            loop.take(line.delivery(n, letter(n).topic, letter(n).payload))

        def acknowledged() -> bool:
            loop.settle(0.1)
            return len(line.acked) == 10

        until(acknowledged)
    assert {r.id: r for r in desk.readings()} == replayed
    assert len(desk.readings()) == 20


def test_large_letters_are_read_and_replayed(desk: Desk) -> None:
    big = letter(1, payload=b"\xff" * 15_000_000)
    desk.write(big, letter(2), big, big, letter(3), partition=0)
    assert [row["size"] > 1000 for row in desk.rows()] == [True, False, True, True, False]
    assert len(desk.ask("show", "0:0", "--raw").stdout_bytes) == 15_000_000
    assert desk.account(code=1)["replayed"] == 2


def test_killed_in_the_middle_and_begun_anew_it_loses_nothing(desk: Desk, tmp_path: Path) -> None:
    count = 40_000
    desk.write(*map(letter, range(count)))
    words = [sys.executable, "-m", "haltere", "dlq", "replay", "--json", "-c", str(desk.config)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        until(lambda: desk.stored() > 0)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert 0 < desk.stored() < count
    assert desk.account()["replayed"] == count
    assert {r.values[0] for r in desk.readings()} == set(map(float, range(count)))
    assert len({r.id for r in desk.readings()}) == count
