"""A replay between fakes: what each letter becomes, and that nothing is said before it is so."""

import orjson
import pytest

from bridge import dlq, wire
from bridge.contracts import DeadLetter, Reading, Stage, Topics
from bridge.dlq import UNDER_WAY, Replay
from bridge.errors import Malformed, Misconfigured, Unavailable
from bridge.kafka import Record
from bridge.letters import Choice, Found
from bridge.records import Report
from bridge.settings import Settings
from tests.fakes import RECEIVED, FakeProducer

TOPICS = Topics("iot")
AWAY = Unavailable("kafka", "an answer", "_MSG_TIMED_OUT")
TOO_LARGE = Malformed("kafka", "a record that Kafka accepts", "MSG_SIZE_TOO_LARGE")
GOOD = orjson.dumps({"time": 1_700_000_000, "temp_C": 1, "lat": 48.1, "lon": 11.5})


class Kind(FakeProducer):
    """Delivers whatever it is given as soon as it is asked, unless it is told otherwise."""

    def poll(self, timeout_s: float) -> list[Report]:
        if timeout_s > 0:
            self.deliver_all()
        return super().poll(timeout_s)


class Unkind(FakeProducer):
    """Fails whatever it is given."""

    def __init__(self, error: Unavailable | Misconfigured | Malformed) -> None:
        super().__init__()
        self._error = error

    def poll(self, timeout_s: float) -> list[Report]:
        while self.under_way:
            self.fail(self._error)
        return super().poll(timeout_s)


def found(
    payload: bytes = GOOD,
    topic: str = "fleet/pump/p1/telemetry",
    stage: str = "decode",
    received: str = "",
) -> Found:
    said = (stage, "payload", "JSON", received, RECEIVED)
    return Found(0, 7, DeadLetter(topic, payload, *said))


def test_what_becomes_readings_is_produced_as_ingest_would() -> None:
    producer = Kind()
    work = Replay(Settings(), producer, Choice())
    work.take(found())
    assert work.account.replayed == 0  # not before Kafka has it
    work.confirm()
    assert [record.topic for record in producer.delivered] == [TOPICS.readings, TOPICS.positions]
    assert {record.key for record in producer.delivered} == {b"p1"}
    reading = wire.decode(Reading, producer.delivered[0].value or b"")
    assert (reading.received, reading.device, reading.values) == (RECEIVED, "p1", (1.0,))
    account = work.account
    assert (account.replayed, account.readings, account.positions) == (1, 1, 1)
    assert account.good()


def test_each_letter_is_counted_once_by_what_became_of_it() -> None:
    producer = Kind()
    work = Replay(Settings(), producer, Choice())
    for one in (
        found(),
        found(b"{}", "haltere/p1/alert"),
        found(b'{"_type": "lwt"}', "owntracks/jane/phone"),
        found(b"\xff\xfe"),
        found(b"[1,", received="b'[1,'"),
        found(b"21.5", stage="produce", received="too large (4 bytes)"),
        found(b"21.5", stage="produce", received="too large (99 bytes)"),
        found(stage="poison"),
        Found(0, 9, None, "no letter"),
    ):
        work.take(one)
    work.confirm()
    account = work.account.as_json()
    assert account["ignored"] == {
        "topic: haltere/# is what haltere says, not what it hears": 1,
        "owntracks: _type lwt is no measurement": 1,
    }
    assert sum(account["failed"].values()) == 2
    assert all(reason.startswith("decode: payload") for reason in account["failed"])
    assert list(account["kept"].values()) == [1, 1]
    numbers = ("replayed", "readings", "positions", "cut", "foreign")
    assert [account[name] for name in numbers] == [2, 2, 1, 1, 1]
    assert not work.account.good()
    assert "failed again, and stay where they are: 2" in work.account.as_text()
    assert len(producer.delivered) == 3


@pytest.mark.parametrize(
    ("one", "good"),
    [
        (found(), True),
        (found(b"{}", "haltere/p1/alert"), True),
        (found(stage="poison"), True),  # not among those that are replayed
        (Found(0, 9, None, "no letter"), True),
        (found(b"\xff"), False),
        (found(stage="produce", received="(99 bytes)"), False),
    ],
)
def test_good_is_that_all_became_readings_or_are_ignored(one: Found, good: bool) -> None:
    work = Replay(Settings(), Kind(), Choice())
    work.take(one)
    work.confirm()
    assert work.account.good() == good


def test_poison_is_tried_only_where_it_is_asked_for() -> None:
    work = Replay(Settings(), Kind(), Choice(stage=Stage.POISON))
    work.take(found(stage="poison"))
    work.confirm()
    assert work.account.replayed == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_a_reading_that_kafka_refuses_has_failed_again(at_once: bool) -> None:
    producer = Kind() if at_once else Unkind(TOO_LARGE)
    if at_once:
        producer.refuses = lambda record: TOO_LARGE
    work = Replay(Settings(), producer, Choice())
    work.take(found())
    work.confirm()
    assert work.account.replayed == 0
    ((reason, count),) = work.account.failed.counts.items()
    assert (count, "MSG_SIZE_TOO_LARGE" in reason) == (1, True)


def test_a_kafka_that_goes_away_ends_it_and_nothing_is_said_to_be_replayed() -> None:
    work = Replay(Settings(), Unkind(AWAY), Choice())
    work.take(found())
    with pytest.raises(Unavailable):
        work.confirm()
    assert work.account.replayed == 0


def test_a_full_queue_is_waited_for() -> None:
    producer = Kind(room=1)
    work = Replay(Settings(), producer, Choice())
    for _ in range(10):
        work.take(found())
    work.confirm()
    assert len(producer.delivered) == 20
    assert work.account.replayed == 10


def test_what_is_under_way_is_bounded_in_bytes() -> None:
    most = 0

    class Watched(Kind):
        def produce(self, record: Record, token: object = None) -> bool:
            nonlocal most
            taken = super().produce(record, token)
            most = max(most, sum(len(r.value or b"") for r, _ in self.under_way))
            return taken

    work = Replay(Settings(), Watched(), Choice())
    wide = orjson.dumps([{"time": 1_700_000_000 + n, "temp_C": n} for n in range(100)])
    for _ in range(140):
        work.take(found(wide, "fleet/pump/" + "p" * 900 + "/telemetry"))
    work.confirm()
    assert UNDER_WAY // 2 < most < UNDER_WAY + 1024 * 1024
    assert work.account.readings == 14_000


def test_a_dry_run_produces_nothing_and_says_the_same() -> None:
    both = [Replay(Settings(), producer, Choice()) for producer in (Kind(), None)]
    for work in both:
        for one in (found(), found(b"\xff"), found(b"21.5", "a/temp"), found(stage="poison")):
            work.take(one)
        work.confirm()
    wet, dry = [work.account.as_json() for work in both]
    assert wet == dry


def test_about_a_letter_everything_is_told_and_last_what_would_become_of_it() -> None:
    lines = list(dlq.told(Settings(), found(b'{"temp_C": 21.5}\x1b', received="\x1b[2J")))
    assert lines[0] == "dead letter 0:7"
    assert all(line.isprintable() for line in lines)
    assert "payload:  17 bytes" in lines
    assert lines.index("today:") < next(n for n, x in enumerate(lines) if "dead letter: " in x)
    whole = dlq.structured(Settings(), found())
    assert whole["today"]["outcome"] == "readings"
    assert whole["payload_b64"]


@pytest.mark.parametrize("one", [found(stage="poison"), found(stage="produce")])
def test_what_must_not_be_tried_is_not_tried_when_it_is_shown(one: Found) -> None:
    assert "not tried" in list(dlq.told(Settings(), one))[-1]
    assert dlq.structured(Settings(), one)["today"]["outcome"] == "not tried"
