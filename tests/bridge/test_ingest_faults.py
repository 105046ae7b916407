"""MQTT -> Kafka when things go wrong: faults of ours, poison, lost connections, no room."""

import logging
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import ingest, wire
from bridge.breaker import Breaker
from bridge.contracts import Contract, DeadLetter, Message, Reading, Stage
from bridge.inbox import Batch
from bridge.ingest import AGAIN_S, SAID_S, Ingest
from bridge.settings import Settings
from tests.bridge.test_ingest import AWAY, TOO_LARGE, TOPIC, TOPICS, Bench, payload
from tests.fakes import RECEIVED

CRASHES = b'{"temp_C": 666}'


@pytest.fixture
def bench() -> Bench:
    return Bench()


def batch_of(bench: Bench, *payloads: bytes, first: int = 1, dup: bool = False) -> Batch:
    """Messages that came in together."""
    messages = [Message(TOPIC, data, RECEIVED, dup=dup) for data in payloads]
    mids = list(range(first, first + len(messages)))
    inbox = bench.connection._inbox
    return Batch(messages, mids, 0, inbox.epoch, inbox)


def under_way(bench: Bench) -> list[str]:
    return [record.topic for record, _ in bench.producer.under_way]


def values(bench: Bench) -> list[float]:
    """Of the readings under way, in order."""
    found = [r.value or b"" for r, _ in bench.producer.under_way if r.topic == TOPICS.readings]
    return [wire.decode(Reading, value).values[0] for value in found]


def letters(bench: Bench) -> list[DeadLetter]:
    return [
        wire.decode(DeadLetter, record.value or b"")
        for record in [record for record, _ in bench.producer.under_way] + bench.producer.delivered
        if record.topic == TOPICS.deadletters
    ]


# What we cannot write.


def unwritable(bench: Bench, number: float) -> None:
    """A fault of ours: readings of this value cannot be encoded."""
    sound = bench.ingest._encode

    def encode(value: Contract) -> bytes:
        if isinstance(value, Reading) and value.values[0] == number:
            raise OverflowError("too much")
        return sound(value)

    bench.ingest._encode = encode


@pytest.mark.parametrize("broken", [1.0, 2.0, 3.0])
def test_what_cannot_be_written_is_a_dead_letter_and_leaves_no_half_of_its_message(
    bench: Bench, broken: float
) -> None:
    unwritable(bench, broken)
    three = [{"time": 1_700_000_000 + n, "temp_C": n, "lat": 48.1, "lon": 11.5} for n in (1, 2, 3)]
    bench.ingest.take(batch_of(bench, payload(7), orjson.dumps(three), payload(8)))
    assert values(bench) == [7.0, 8.0]
    assert TOPICS.positions not in under_way(bench)
    (letter,) = letters(bench)
    assert (letter.stage, letter.payload) == (Stage.ENCODE, orjson.dumps(three))
    assert "OverflowError" in letter.received
    assert bench.telemetry.value("messages", outcome="dead_letter") == 1
    assert bench.telemetry.value("messages", outcome="accepted") == 2
    assert bench.settle() == []
    bench.producer.deliver_all()
    assert bench.settle() == [1, 2, 3]


def test_each_stage_that_a_letter_names_can_be_chosen() -> None:
    """`haltere dlq --stage` takes no other."""
    assert {stage.value for stage in Stage} == {
        "decode",
        "normalise",
        "encode",
        "produce",
        "poison",
    }


# Poison.


class Died(Exception):
    """The process ends here, as far as the breaker can see."""


class Life(Bench):
    """A process over a breaker's file, which dies of one payload."""

    def __init__(self, file: Path, limit: int = 3) -> None:
        super().__init__()
        self.breaker = Breaker(file, limit)
        settings = Settings()
        self.ingest = Ingest(
            settings, self.producer, self.telemetry, self.breaker, lambda: self.time
        )
        self.sound = self.ingest._normalise
        unsound: Any = self.ingest
        unsound._normalise = self._normalise
        self.handled: list[bytes] = []

    def _normalise(self, message: Message) -> Any:
        self.handled.append(message.payload)
        if message.payload == CRASHES:
            raise Died
        return self.sound(message)


def lives(file: Path, count: int, limit: int = 3) -> None:
    """So many processes take the message in hand and die."""
    for _ in range(count):
        life = Life(file, limit)
        with life.breaker, pytest.raises(Died):
            life.ingest.take(batch_of(life, payload(1), CRASHES, dup=True))


@pytest.mark.parametrize("limit", [2, 3, 4])
def test_a_message_that_ended_the_process_again_and_again_becomes_a_dead_letter_unread(
    tmp_path: Path, limit: int
) -> None:
    file = tmp_path / "one.breaker"
    lives(file, limit - 1, limit)
    life = Life(file, limit)
    life.ingest.take(batch_of(life, payload(1), CRASHES, payload(2), dup=True))
    assert life.handled == [payload(1), payload(2)]
    (letter,) = letters(life)
    assert (letter.stage, letter.payload) == (Stage.POISON, CRASHES)
    assert f"{limit - 1} times" in letter.received
    poison = Message(TOPIC, CRASHES, RECEIVED)
    life.producer.deliver()
    assert life.settle() == []
    assert life.breaker.attempts(poison) == limit - 1  # until its letter is safe
    life.producer.deliver_all()
    assert life.settle() == [1, 2, 3]
    assert life.breaker.attempts(poison) == 0
    life.breaker.close()


def test_poison_is_remembered_where_its_acknowledgment_came_too_late(tmp_path: Path) -> None:
    """The broker sends it again: it must not end the process again."""
    file = tmp_path / "one.breaker"
    lives(file, 2)
    life = Life(file)
    life.ingest.take(batch_of(life, CRASHES, dup=True))
    life.producer.deliver_all()
    life.connection.reconnect()
    assert life.settle() == []
    life.ingest.take(batch_of(life, CRASHES, dup=True))
    assert life.handled == []
    life.producer.deliver_all()
    assert life.settle() == [1]
    assert life.breaker.attempts(Message(TOPIC, CRASHES, RECEIVED)) == 0
    life.breaker.close()


# A connection is lost.


def test_a_reconnect_empties_the_line_and_late_reports_change_nothing(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.take(payload(number))
    bench.connection.reconnect()
    assert bench.settle() == []
    assert len(bench.ingest.line) == 0
    bench.take(payload(4))
    bench.producer.fail(AWAY, which=1)
    bench.producer.fail(TOO_LARGE, which=1)
    bench.producer.deliver()
    assert bench.settle() == []
    assert under_way(bench) == [TOPICS.readings, TOPICS.deadletters]  # of 4; of 3, one too many
    bench.producer.deliver_all()
    assert bench.settle() == [4]
    assert bench.telemetry.value("acknowledged") == 1


def test_messages_of_a_new_connection_are_acknowledged_although_old_ones_stood_before_them(
    bench: Bench,
) -> None:
    """Between two looks at the line a connection may be lost, come back and bring a batch."""
    bench.take(payload(1))
    bench.take(payload(2))
    bench.connection.reconnect()
    bench.take(payload(3))
    bench.take(payload(4))
    assert bench.settle() == []
    bench.producer.deliver_all()
    bench.settle()
    assert bench.settle() == [3, 4]
    assert len(bench.ingest.line) == 0


def test_records_of_an_old_connection_that_failed_are_not_produced_again(bench: Bench) -> None:
    bench.take(payload(1))
    bench.producer.fail(AWAY)
    bench.connection.reconnect()
    bench.take(payload(2))
    bench.producer.fail(AWAY)
    bench.settle()
    assert values(bench) == [2.0]
    bench.producer.deliver_all()
    assert bench.settle() == [2]


@given(
    st.lists(st.sampled_from(["take", "deliver", "last", "fail", "lost", "settle"]), max_size=60)
)
def test_whatever_happens_what_is_acknowledged_is_in_kafka_and_of_this_connection(
    steps: list[str],
) -> None:
    bench, current = Bench(), 1  # the first message of this connection
    for step in [*steps, "settle"]:
        if step == "take":
            bench.take(payload(bench._number + 1))
        elif step == "lost":
            bench.connection.reconnect()
            bench.connection.acked.clear()
            current = bench._number + 1
        elif step == "settle":
            bench.settle()
        elif bench.producer.under_way:
            which = -1 if step == "last" else 0
            _ = bench.producer.fail(AWAY) if step == "fail" else bench.producer.deliver(which)
        acked = bench.connection.acked
        assert acked == list(range(current, current + len(acked)))
        assert set(acked) <= _delivered(bench)
    for _ in range(3):
        bench.settle()
        bench.producer.deliver_all()
    assert bench.settle() == list(range(current, bench._number + 1))  # none is forgotten
    assert len(bench.ingest.line) == 0


def _delivered(bench: Bench) -> set[int]:
    rows = [wire.decode(Reading, record.value or b"") for record in bench.producer.delivered]
    return {int(reading.values[0]) for reading in rows}


# There is no room.


def test_a_batch_for_which_there_is_no_room_goes_in_parts_and_in_order() -> None:
    bench = Bench(room=3)
    bench.ingest.take(batch_of(bench, *[payload(n) for n in range(10)]))
    seen = list[float]()
    for part in ([0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0], [9.0]):
        assert values(bench) == part
        assert bench.ingest.blocked() == (part != [9.0])
        assert bench.connection.acked == []
        seen += part
        bench.producer.deliver_all()
        bench.settle()
    assert seen == [float(n) for n in range(10)]
    assert bench.connection.acked == list(range(1, 11))


def test_what_waits_for_room_does_not_overtake() -> None:
    bench = Bench(room=1)
    bench.ingest.take(batch_of(bench, payload(1), b"\xff", payload(2)))
    bench.ingest.take(batch_of(bench, payload(3), first=4))
    order = list[str]()
    for _ in range(4):
        order += under_way(bench)
        bench.producer.deliver()
        bench.settle()
    readings, deadletters = TOPICS.readings, TOPICS.deadletters
    assert order == [readings, readings, deadletters, readings]
    assert bench.connection.acked == [1, 2, 3, 4]


def test_what_failed_is_not_tried_again_at_once(bench: Bench) -> None:
    bench.take(payload(1))
    bench.producer.fail(AWAY)
    bench.settle()
    bench.producer.fail(AWAY)
    for _ in range(9):
        bench.ingest.settle(0)
        bench.time += AGAIN_S / 10
        assert under_way(bench) == []
    bench.time += AGAIN_S / 5
    bench.ingest.settle(0)
    assert under_way(bench) == [TOPICS.readings]


# What the log says.


def test_dead_letters_are_told_once_a_second_with_how_many_more(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, ingest.log.name):
        bench.ingest.take(batch_of(bench, *[b"\xff"] * 5))
        bench.time += SAID_S / 2
        bench.ingest.take(batch_of(bench, b"\xff"))
        bench.time += SAID_S / 2
        bench.ingest.take(batch_of(bench, b"\xff", b"\xff"))
        bench.time += SAID_S
        bench.ingest.take(batch_of(bench, b"\xff"))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert all(f"dead letter: topic {TOPIC}: decode payload: expected" in line for line in told)
    assert "more since" not in told[0]
    assert told[1].endswith("(5 more since the last line)")
    assert told[2].endswith("(1 more since the last line)")
    assert len(letters(bench)) == 9
