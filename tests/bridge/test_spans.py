"""Spans: what people write of topics, partitions and bounds, and what they are told of slips."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Misconfigured
from bridge.spans import WORDS, Bound, Span, bound, milliseconds, spans

WANTED = "an offset of 0 or more, a datetime, or one of earliest, latest, committed"

A_NAME = "a name of letters, digits, '.', '_' and '-'"
A_START = "a number or one of earliest, latest, committed"

GOOD = {
    "cars": Span("cars"),
    "plant.7_cars-x": Span("plant.7_cars-x"),
    "a" * 249: Span("a" * 249),
    "cars:0": Span("cars", 0),
    "cars:17": Span("cars", 17),
    "cars:007": Span("cars", 7),
    "cars:2:100": Span("cars", 2, 100),
    "cars:2:100:200": Span("cars", 2, 100, 200),
    "cars:2::200": Span("cars", 2, None, 200),
    "cars::100": Span("cars", None, 100),
    "cars:::200": Span("cars", None, None, 200),
    "cars:2:earliest:latest": Span("cars", 2, "earliest", "latest"),
    "cars:2:committed:committed": Span("cars", 2, "committed", "committed"),
    "cars:0:0:-1": Span("cars", 0, 0, None),  # tensorflow-io's way to say: to the end
    "cars:": Span("cars"),
    "cars:::": Span("cars"),
    "^car-.*": Span("^car-.*"),
    "^car:0:1": Span("^car:0:1"),  # a pattern has no partitions: all of it is the pattern
    "^": Span("^"),
}

BAD = {
    "": ("topics ''", A_NAME, "''"),
    ":0": ("topics ':0'", A_NAME, "''"),
    "two cars": ("topics 'two cars'", A_NAME, "'two cars'"),
    "cars,buses": ("topics 'cars,buses'", A_NAME, "'cars,buses'"),
    "cars\n": ("topics 'cars\\n'", A_NAME, "'cars\\n'"),
    "plant/7": ("topics 'plant/7'", A_NAME, "'plant/7'"),
    "autos-ü": ("topics 'autos-ü'", A_NAME, "'autos-ü'"),
    "a" * 250: (f"topics {'a' * 250!r}", A_NAME, repr("a" * 250)),
    "cars:1:2:3:4": ("topics 'cars:1:2:3:4'", "topic:partition:start:stop", "5 parts"),
    "cars:one": ("topics 'cars:one' partition", "a number", "'one'"),
    "cars:-1": ("topics 'cars:-1' partition", "a number", "'-1'"),
    "cars:+1": ("topics 'cars:+1' partition", "a number", "'+1'"),
    "cars:²": ("topics 'cars:²' partition", "a number", "'²'"),
    "cars:1.0": ("topics 'cars:1.0' partition", "a number", "'1.0'"),
    "cars: 1": ("topics 'cars: 1' partition", "a number", "' 1'"),
    "cars:latest": ("topics 'cars:latest' partition", "a number", "'latest'"),
    "cars:1:soon": ("topics 'cars:1:soon' start", A_START, "'soon'"),
    "cars:1:-1": ("topics 'cars:1:-1' start", A_START, "'-1'"),
    "cars:1:Latest": ("topics 'cars:1:Latest' start", A_START, "'Latest'"),
    "cars:1:0:-2": ("topics 'cars:1:0:-2' stop", A_START, "'-2'"),
    "cars:1:0:1e3": ("topics 'cars:1:0:1e3' stop", A_START, "'1e3'"),
}


def told(error: Misconfigured) -> tuple[str, str, str]:
    return error.where, error.expected, error.received


@pytest.mark.parametrize("text", GOOD)
def test_a_text_is_a_span(text: str) -> None:
    assert Span.parse(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_text_is_told_what_part_of_it_is_wrong(text: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        Span.parse(text)
    assert told(raised.value) == BAD[text]


@pytest.mark.parametrize("text", ["^car(", "^[a-", "^*", "^a{2,1}"])
def test_a_pattern_that_does_not_compile_is_told_why(text: str) -> None:
    with pytest.raises(Misconfigured, match="expected a regular expression") as raised:
        Span.parse(text)
    assert raised.value.where == f"topics {text!r}"
    assert raised.value.received


names = st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True).filter(lambda s: s.strip("."))
bounds = st.none() | st.integers(0, 2**62) | st.sampled_from(WORDS)


@given(names, st.none() | st.integers(0, 99), bounds, bounds)
def test_what_is_written_of_a_span_is_read_as_it(
    name: str, partition: int | None, start: Bound, stop: Bound
) -> None:
    parts = (name, partition, start, stop)
    text = ":".join("" if part is None else str(part) for part in parts)
    assert Span.parse(text) == Span(name, partition, start, stop)


@given(st.text(max_size=30) | st.from_regex(r"[a-z]{1,3}(:[-0-9a-z]{0,8}){0,4}", fullmatch=True))
def test_any_text_is_a_span_or_is_refused_by_name(text: str) -> None:
    try:
        span = Span.parse(text)
    except Misconfigured as error:
        assert repr(text) in error.where
    else:
        assert text.startswith(span.topic)


MATCHES = [
    ("cars", "cars", True),
    ("cars", "cars2", False),
    ("c.rs", "cars", False),  # a name is no pattern
    ("^car", "cars", True),
    ("^car$", "cars", False),
    ("^car", "oldcars", False),
    ("^(car|bus)-[0-9]+$", "bus-12", True),
    ("^", "anything", True),
]


@pytest.mark.parametrize(("text", "topic", "expected"), MATCHES)
def test_a_name_matches_itself_and_a_pattern_what_it_says(
    text: str, topic: str, expected: bool
) -> None:
    span = Span.parse(text)
    assert span.matches(topic) is expected
    assert span.is_pattern is text.startswith("^")


def test_one_text_or_several_are_spans_in_their_order() -> None:
    assert spans("cars") == (Span("cars"),)
    assert spans(["b", "a"]) == (Span("b"), Span("a"))
    assert spans(("^car", "bus")) == (Span("^car"), Span("bus"))
    assert spans(["cars:1", "cars:0"]) == (Span("cars", 1), Span("cars", 0))


TOGETHER = {
    "no topic": ([], "at least one topic", "none"),
    "a partition beside none": (
        ["cars:1", "bus"],
        "a partition in each or in none of them",
        "['cars:1', 'bus']",
    ),
    "a partition beside a pattern": (
        ["cars:1", "^bus"],
        "a partition in each or in none of them",
        "['cars:1', '^bus']",
    ),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_spans_that_do_not_go_together_are_refused(case: str) -> None:
    topics, expected, received = TOGETHER[case]
    with pytest.raises(Misconfigured) as raised:
        spans(topics)
    assert told(raised.value) == ("topics", expected, received)


def test_one_wrong_text_among_several_is_named() -> None:
    with pytest.raises(Misconfigured, match="topics 'bus:x' partition: expected a number"):
        spans(["cars:1", "bus:x"])


@pytest.mark.parametrize("value", [None, 0, 1, 2**62, *WORDS, datetime(2026, 1, 2, tzinfo=UTC)])
def test_a_bound_is_an_offset_a_word_or_a_time_with_a_zone(value: Bound) -> None:
    assert bound("start", value) == value


NO_BOUNDS: dict[str, tuple[Bound, str, str]] = {
    "below 0": (-1, WANTED, "-1"),
    "a truth": (True, WANTED, "True"),
    "an untruth": (False, WANTED, "False"),
    "a time without a zone": (
        datetime(2026, 1, 2),  # noqa: DTZ001
        "a datetime with a time zone, for instance datetime(2026, 1, 2, tzinfo=UTC)",
        "datetime.datetime(2026, 1, 2, 0, 0)",
    ),
}


@pytest.mark.parametrize("case", NO_BOUNDS)
def test_what_is_no_bound_is_refused_by_its_name(case: str) -> None:
    value, expected, received = NO_BOUNDS[case]
    with pytest.raises(Misconfigured) as raised:
        bound("stop", value)
    assert told(raised.value) == ("stop", expected, received)


@pytest.mark.parametrize("word", ["soon", "", "5", "LATEST", "end"])
def test_an_unknown_word_is_told_the_known_ones(word: str) -> None:
    with pytest.raises(Misconfigured, match="one of earliest, latest, committed") as raised:
        bound("start", word)
    assert raised.value.where == "start"
    assert word in raised.value.received


@given(st.integers(1_000_000_000, 4_000_000_000))
def test_a_time_is_the_same_milliseconds_in_every_zone(second: int) -> None:
    time = datetime.fromtimestamp(second, UTC)
    assert milliseconds(time) == 1000 * second
    assert milliseconds(time.astimezone(timezone(timedelta(hours=-7)))) == 1000 * second
