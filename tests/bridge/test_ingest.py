"""MQTT -> Kafka: nothing is acknowledged before Kafka has it, and nothing disappears."""

import orjson
import pytest

from bridge import ingest, wire
from bridge.contracts import DeadLetter, Reading, Topics
from bridge.errors import Malformed, Misconfigured, Unavailable
from bridge.ingest import BATCH, HEAD, Ingest
from bridge.metrics import Telemetry
from bridge.settings import Settings
from tests.fakes import FakeConnection, FakeProducer

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
        self.time = 0.0
        self.ingest = Ingest(Settings(), self.producer, self.telemetry, clock=lambda: self.time)
        self._number = 0

    def take(self, data: bytes, topic: str = TOPIC) -> None:
        self._number += 1
        self.ingest.take(self.connection.delivery(self._number, topic, data))

    def settle(self) -> list[int]:
        """The numbers of the messages that are acknowledged by now; a minute passes."""
        self.time += 60.0
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
    assert topics == [TOPICS.readings] * 2 + [TOPICS.positions] * 2
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
    assert bench.settle() == []
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
            if not at_once:
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
    assert bench.telemetry.value(
        "ignored", format="owntracks", reason="_type lwt is no measurement"
    )


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
    assert bench.connection.acked == []  # the batch is acknowledged whole
    ingest._step(bench.ingest, bench.connection, bench.telemetry)
    assert bench.connection.waiting() == 0
    bench.producer.deliver_all()
    assert bench.settle() == [1, 2, 3, 4]
    assert len(bench.producer.delivered) == 4


def test_after_a_reconnect_only_what_came_before_it_leaves_the_line(bench: Bench) -> None:
    bench.take(payload(1))
    bench.connection.reconnect()
    bench.take(payload(1))  # redelivered
    bench.take(payload(2))
    assert bench.settle() == []
    assert len(bench.ingest.line) == 2
    bench.producer.deliver_all()
    assert bench.settle() == [2, 3]


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
