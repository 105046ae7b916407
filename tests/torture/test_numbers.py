"""Every message can be found again by its number, whatever ingest makes of it."""

from collections import Counter
from itertools import pairwise

import pytest

from bridge.contracts import DeadLetter, Message
from bridge.normalise import Accepted, Ignored, Normaliser
from bridge.settings import Settings
from torture.numbers import LARGE, POISON, Numbers, ranges

COUNT = 1000
START_MS = 1_700_000_000_000
GOOD = Numbers("torture/kill-ingest/1", COUNT, START_MS)
BAD = Numbers("torture/poison/1", COUNT, START_MS, large=200_000)
ROUTES = Settings().route
# What ingest makes of each kind, by its rules.
OUTCOMES = {
    "": Accepted,
    "wrong types": Accepted,  # the note is a state
    "zeros": Accepted,  # the mark is a word
    "null": Ignored,
    "empty": Ignored,
}


def found_again(numbers: Numbers, number: int) -> tuple[type, int | None]:
    message = Message(numbers.topic(number), numbers.payload(number), START_MS * 1000)
    outcome = Normaliser(ROUTES)(message)
    match outcome:
        case Accepted(readings=(reading,)):
            return Accepted, numbers.of_reading(reading)
        case DeadLetter():
            return DeadLetter, numbers.of_letter(outcome)
    return type(outcome), None


def test_every_good_message_is_a_reading_with_its_number() -> None:
    assert all(found_again(GOOD, n) == (Accepted, n) for n in range(COUNT))
    assert {GOOD.poison(n) for n in range(COUNT)} == {""}
    assert len({GOOD.payload(n) for n in range(COUNT)}) == COUNT


@pytest.mark.parametrize("kind", ["", LARGE, *POISON])
def test_every_poison_comes_out_as_its_rule_says(kind: str) -> None:
    of_kind = [n for n in range(COUNT) if BAD.poison(n) == kind]
    assert len(of_kind) >= 5
    expected = OUTCOMES.get(kind, DeadLetter)
    for n in of_kind[:5]:
        again = None if expected is Ignored else n
        assert found_again(BAD, n) == (expected, again)


def test_one_in_four_is_poison_and_few_are_large() -> None:
    kinds = Counter(BAD.poison(n) for n in range(COUNT))
    assert kinds[""] == COUNT * 3 // 4
    large = [len(BAD.payload(n)) for n in range(COUNT) if BAD.poison(n) == LARGE]
    assert sorted(large) == [20_000] * 4 + [200_000]


def test_ignored_are_those_that_nothing_stands_for() -> None:
    ignored = BAD.ignored(ROUTES)
    assert {BAD.poison(n) for n in range(COUNT) if ignored[n]} == {"null", "empty"}
    assert not any(GOOD.ignored(ROUTES))


def test_the_same_seed_gives_the_same_messages_and_another_others() -> None:
    again, other = (Numbers(BAD.root, COUNT, START_MS, seed, BAD.large) for seed in (1, 2))
    assert [again.payload(n) for n in range(99)] == [BAD.payload(n) for n in range(99)]
    assert [other.payload(n) for n in range(99)] != [BAD.payload(n) for n in range(99)]


def test_what_another_run_left_is_nobody_s() -> None:
    message = Message("torture/kill-ingest/0/device-1/telemetry", GOOD.payload(7), START_MS * 1000)
    outcome = Normaliser(ROUTES)(message)
    assert isinstance(outcome, Accepted)
    assert GOOD.of_reading(outcome.readings[0]) is None
    letter = DeadLetter("elsewhere", b"torture-7-end", "decode", "", "", "", 0)
    assert GOOD.of_letter(letter) is None


@pytest.mark.parametrize("number", [COUNT, COUNT + 1, 2**53])
def test_a_number_that_was_never_sent_is_nobody_s(number: int) -> None:
    letter = DeadLetter(BAD.topic(0), b"torture-%d-end" % number, "decode", "", "", "", 0)
    assert BAD.of_letter(letter) is None


def test_event_times_ascend() -> None:
    times = [int(GOOD.payload(n)[6:19]) for n in range(10)]
    assert all(b - a == 1 for a, b in pairwise(times))


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([1], "1"), ([1, 2], "1-2"), ([0, 2, 3, 4, 9], "0, 2-4, 9")]
)
def test_runs_are_joined(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text
