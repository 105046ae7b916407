"""The ledger, as tables: what is lost, what is double, when a run is good."""

import json
from collections.abc import Iterable

import pytest

from bridge.contracts import DeadLetter, Reading
from bridge.wire import Encoder
from torture.ledger import Account, Report, Stall, Tally
from torture.numbers import Numbers

NUMBERS = Numbers("t/f/1", 10, 1_700_000_000_000)
ENCODERS = [Encoder("avro"), Encoder("json")]
ALL = bytes([1] * 10)


def reading(number: float, source: str = "t/f/1/device-000/telemetry") -> Reading:
    channels, values = ("number", "temperature"), (float(number), 21.5)
    return Reading("d", "c", 1, 1, channels, values, ("", "C"), source, f"id-{number}")


def letter(payload: bytes, topic: str = "t/f/1/device-000/telemetry") -> DeadLetter:
    return DeadLetter(topic, payload, "decode", "payload", "JSON", "not", 1)


def tally(
    readings: Iterable[float] = (), letters: Iterable[bytes] = (), ignored: bytes = b""
) -> Tally:
    told = Tally(NUMBERS, ignored)
    for encoder in ENCODERS[:1]:
        for number in readings:
            told.reading(encoder.encode(reading(number)))
        for payload in letters:
            told.letter(encoder.encode(letter(payload)))
    return told


# readings, dead letters, acknowledged, ignored -> lost, duplicated, dead lettered
TABLE = [
    (range(10), [], ALL, b"", [], 0, 0),
    ([], [], ALL, b"", list(range(10)), 0, 0),
    ([], [], bytes(10), b"", [], 0, 0),  # nothing was promised
    ([0, 1, 2, 4, 5, 6, 7, 8, 9], [], ALL, b"", [3], 0, 0),
    ([0, 1, 2, 4, 5, 6, 7, 8, 9], [b"torture-3-end"], ALL, b"", [], 0, 1),
    ([0, 1, 2, 4, 5, 6, 7, 8, 9], [], ALL, bytes([0, 0, 0, 1] + [0] * 6), [], 0, 0),
    ([0, 1, 2, 4, 5, 6, 7, 8, 9], [], bytes([1, 1, 1, 0] + [1] * 6), b"", [], 0, 0),
    ([*range(10), 3, 3, 7], [], ALL, b"", [], 3, 0),  # the first of each is none
    (range(10), [b"torture-3-end"] * 2, ALL, b"", [], 0, 1),
    ([*range(9), 10, 99], [b"nothing"], ALL, b"", [9], 0, 0),  # nobody's
]


@pytest.mark.parametrize(
    ("readings", "letters", "acknowledged", "ignored", "lost", "duplicated", "dead"), TABLE
)
def test_the_tally(  # noqa: PLR0913, PLR0917  a row of the table
    readings: Iterable[int],
    letters: list[bytes],
    acknowledged: bytes,
    ignored: bytes,
    lost: list[int],
    duplicated: int,
    dead: int,
) -> None:
    told = tally(readings, letters, ignored)
    assert told.lost(acknowledged) == lost
    assert told.pending(acknowledged) == len(lost)
    assert (told.duplicated, told.dead_lettered) == (duplicated, dead)
    assert told.in_kafka == len({n for n in readings if n < 10})


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_form_of_a_record_is_read(encoder: Encoder) -> None:
    told = Tally(NUMBERS)
    told.reading(encoder.encode(reading(4)))
    told.letter(encoder.encode(letter(b"\xff torture-5-end \xff")))
    told.reading(encoder.encode(reading(6, source="another/run")))
    assert (told.in_kafka, told.dead_lettered, told.strangers) == (1, 1, 1)
    assert told.lost(ALL) == [0, 1, 2, 3, 6, 7, 8, 9]


def test_more_than_255_readings_of_one_number_are_still_counted() -> None:
    assert tally([1] * 300).duplicated == 299


# looks (now, grown, pending) -> longest stall
STALLS = [
    ([], 0.0),
    ([(5.0, False, False)], 0.0),
    ([(5.0, False, True)], 5.0),
    ([(5.0, True, True), (7.0, False, True), (8.0, True, True)], 5.0),
    ([(1.0, True, True), (4.0, False, True), (6.0, True, False), (9.0, False, True)], 3.0),
    ([(9.0, True, False), (10.0, False, True)], 1.0),
]


@pytest.mark.parametrize(("looks", "longest"), STALLS)
def test_a_stall_is_time_without_growth_while_something_is_to_come(
    looks: list[tuple[float, bool, bool]], longest: float
) -> None:
    stall = Stall(0.0)
    for now, grown, pending in looks:
        stall.look(now, grown, pending)
    assert stall.longest == longest


def account(**figures: object) -> Account:
    told = Account("kill-ingest", sent=10, puback=10, in_kafka=10, seconds=2.0, logs="there")
    for name, value in figures.items():
        setattr(told, name, value)
    return told


@pytest.mark.parametrize(
    ("report", "good"),
    [
        (Report(), False),  # nothing was done
        (Report([account()]), True),
        (Report([account(duplicated=5)]), True),
        (Report([account(), account(missing=[3, 4])]), False),
        (Report([account(problems=["nothing became a dead letter"])]), False),
        (Report([account()], problems=["stopped before the end"]), False),
        (Report([account()], left_out={"takeover": "amqtt"}), True),
    ],
)
def test_a_run_is_good_when_nothing_is_lost_and_every_fault_was_one(
    report: Report, good: bool
) -> None:
    assert report.good() is good
    assert json.loads(json.dumps(report.as_json()))["good"] is good
    assert ("NOT GOOD" in report.as_text()) is not good


def test_a_loss_says_which_and_where_to_look() -> None:
    told = Report([account(missing=[3, 4, 5, 9], done=[(1.5, "ingest killed")])])
    text = told.as_text()
    for words in ("LOST: 3-5, 9", "logs: there", "1.5 s  ingest killed", "4 lost"):
        assert words in text
    (fault,) = told.as_json()["faults"].values()
    assert (fault["lost"], fault["missing"], fault["msgs_per_s"]) == (4, "3-5, 9", 5)
    assert fault["done"] == [{"at_s": 1.5, "what": "ingest killed"}]
