"""Dead letters as values: which are chosen, which are cut, and lines that no terminal obeys."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import letters, wire
from bridge.contracts import MICROS, DeadLetter, Reading, Stage
from bridge.errors import Malformed, Misconfigured
from bridge.ingest import HEAD, Ingest
from bridge.letters import LONG, OTHERS, REASONS, Choice, Found, Tally
from bridge.metrics import Telemetry
from bridge.normalise import Accepted, Normaliser
from bridge.records import Fetched
from bridge.settings import Settings
from tests.fakes import RECEIVED, FakeConnection, FakeProducer
from tests.laws import message

NOW = 1_700_000_000 * MICROS
TOO_LARGE = Malformed("kafka", "a record that Kafka accepts", "MSG_SIZE_TOO_LARGE")
texts = st.text(max_size=300)


def letter(
    topic: str = "plant/7/telemetry",
    payload: bytes = b"\xff",
    stage: str = "decode",
    received: str = "bytes",
    time: int = NOW,
) -> DeadLetter:
    return DeadLetter(topic, payload, stage, "payload", "JSON", received, time)


# Which.


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("90s", NOW - 90 * MICROS),
        ("15m", NOW - 900 * MICROS),
        ("2h", NOW - 7200 * MICROS),
        ("7d", NOW - 7 * 86_400 * MICROS),
        ("1w", NOW - 7 * 86_400 * MICROS),
        ("0s", NOW),
        ("999999999w", 0),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20.5+01:00", NOW + MICROS // 2),
    ],
)
def test_since_is_so_long_ago_or_a_moment_with_a_zone(text: str, micros: int) -> None:
    assert letters.since(text, NOW) == micros


@pytest.mark.parametrize("text", ["", "15", "m", "-2h", "2 h", "2y", "2023-11-14T22:13:20", "now"])
def test_since_that_says_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="--since: expected a time ago such as 15m"):
        letters.since(text, NOW)


@pytest.mark.parametrize("text", ["", "3", "3:", ":3", "3:4:5", "-1:2", "a:b", "1:" + "9" * 30])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="PARTITION:OFFSET"):
        letters.spot(text)


@given(st.integers(0, 999), st.integers(0, 2**53))
def test_a_place_is_read_as_it_is_written(partition: int, offset: int) -> None:
    assert letters.spot(Found(partition, offset, None).where) == (partition, offset)


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Choice(), True),
        (Choice(since=NOW), True),
        (Choice(since=NOW + 1), False),
        (Choice(stage=Stage.DECODE), True),
        (Choice(stage=Stage.POISON), False),
        (Choice(topic="plant/#"), True),
        (Choice(topic="plant/+/telemetry"), True),
        (Choice(topic="plant/+"), False),
        (Choice(NOW, Stage.DECODE, "fleet/#"), False),
    ],
)
def test_time_stage_and_topic_choose_together(choice: Choice, taken: bool) -> None:
    assert choice.takes(letter()) == taken


@pytest.mark.parametrize("topic", ["", "a#", "#/a", "a+/b"])
def test_a_topic_that_is_no_filter_is_refused(topic: str) -> None:
    with pytest.raises(Misconfigured, match="--topic: expected an MQTT topic filter"):
        Choice(topic=topic)


# What of it is there.


def buried(data: bytes, refusals: int) -> DeadLetter:
    """As ingest writes it where Kafka refuses the record, and its dead letter as well."""
    producer = FakeProducer()
    loop = Ingest(Settings(), producer, Telemetry("ingest"))
    loop.take(FakeConnection().delivery(1, "plant/7/temp", data))
    for _ in range(refusals):
        producer.fail(TOO_LARGE)
        loop.settle(0)
    return wire.decode(DeadLetter, producer.deliver().value or b"")


@pytest.mark.parametrize(
    ("data", "refusals", "cut"),
    [
        (b"\xff" * 10, 0, False),  # decode
        (b"21.5", 1, False),  # produce, whole
        (b"\xff" * 10, 1, False),  # its dead letter was refused, the second was not
        (b"\xff" * HEAD, 1, False),
        (b"\xff" * (HEAD + 1), 1, True),
        (b"\xff" * 3 * HEAD, 1, True),
    ],
)
def test_a_letter_of_ingest_that_holds_only_a_head_is_known(
    data: bytes, refusals: int, cut: bool
) -> None:
    one = buried(data, refusals)
    assert letters.is_cut(one) == cut
    assert (one.payload == data) == (not cut)


@pytest.mark.parametrize(
    ("stage", "received", "cut"),
    [
        ("produce", "MSG_SIZE_TOO_LARGE (1 bytes)", False),
        ("produce", "(1 bytes) (9 bytes)", True),
        ("produce", "(1 bytes), then", True),  # it does not say
        ("produce", "", True),
        ("produce", "(1 bytes)\n", True),
        ("decode", "b'x' (9 bytes)", False),
        ("poison", "", False),
    ],
)
def test_of_a_letter_of_produce_that_does_not_say_so_the_whole_is_not_known_to_be_there(
    stage: str, received: str, cut: bool
) -> None:
    assert letters.is_cut(letter(stage=stage, received=received)) == cut


def test_the_readings_of_a_letter_have_the_ids_they_would_have_had() -> None:
    for sent in (b"21.5", orjson.dumps({"time": 1_700_000_000, "temp_C": 1})):
        first = message("plant/7/temp", sent, retain=True)
        outcome = Normaliser(())(first)
        dead = DeadLetter(first.topic, sent, "decode", "", "", "", first.received, 1, True)
        again = Normaliser(())(letters.message(dead))
        assert isinstance(outcome, Accepted)
        assert again == outcome
        assert first.received == RECEIVED


# What is said.


@given(texts, st.binary(max_size=50), texts, texts, st.integers(-(2**63), 2**63 - 1))
def test_whatever_is_in_a_letter_its_line_is_one_and_its_row_is_json(
    topic: str, payload: bytes, stage: str, received: str, time: int
) -> None:
    one = Found(1, 2, letter(topic, payload, stage, received, time))
    assert letters.line(one).isprintable()
    assert letters.line(one).startswith("1:2 ")
    row = json.loads(json.dumps(letters.row(one)))
    assert (row["topic"], row["stage"], row["size"]) == (topic, stage, len(payload))


@given(st.binary(max_size=2 * LONG))
def test_a_payload_is_shown_so_that_no_terminal_obeys(payload: bytes) -> None:
    assert letters.shown(payload).replace("\n", "").replace("\t", "").isprintable()


def test_a_long_payload_is_cut_and_says_how_to_see_the_rest() -> None:
    assert letters.shown(b"a" * LONG) == "a" * LONG
    for long in (b"a" * 1_000_000, b"\xff" * 1_000_000):
        assert len(letters.shown(long)) < LONG + 100
        assert "--raw" in letters.shown(long)


@pytest.mark.parametrize("form", ["avro", "json"])
def test_a_letter_is_read_in_each_form_that_is_written(form: str) -> None:
    for encoder in (wire.Encoder(form), wire.Encoder(form, {DeadLetter: 7})):
        record = Fetched("t", 1, 2, 0, b"", encoder.encode(letter()))
        assert letters.found(record) == Found(1, 2, letter())


READING = wire.Encoder().encode(Reading("d", "c", 1, 1, (), (), (), "t", "id"))


@pytest.mark.parametrize("value", [None, b"", b"\0", b"{}", b"{", b"\xc3\x01garbage", READING])
def test_foreign_bytes_are_no_letter_and_no_crash(value: bytes | None) -> None:
    one = letters.found(Fetched("t", 1, 2, 0, b"", value))
    assert one.letter is None
    assert one.fault
    assert letters.line(one).isprintable()
    assert letters.row(one) == {"partition": 1, "offset": 2, "unreadable": one.fault}


@given(st.binary(max_size=100))
def test_no_bytes_are_a_crash(value: bytes) -> None:
    for head in (b"", b"\0\0\0\0\7", wire.SINGLE_OBJECT[DeadLetter], b"{"):
        one = letters.found(Fetched("t", 1, 2, 0, b"", head + value))
        assert letters.line(one).isprintable()


def test_reasons_are_counted_the_most_frequent_first_and_never_without_bound() -> None:
    tally = Tally()
    for name in ("b", "a", "c", "c"):
        tally.add(name)
    assert (tally.total(), tally.lines()) == (4, ["  2 c", "  1 a", "  1 b"])
    for n in range(2 * REASONS):
        tally.add(str(n))
    tally.add("c")
    assert len(tally.counts) == REASONS + 1
    assert tally.counts[OTHERS] == 2 * REASONS - (REASONS - 3)
    assert tally.counts["c"] == 3
