"""Numbers in lines of text: pairs and cells, with and without names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter, Quality
from bridge.formats import recognise
from tests import laws

T = 1_700_000_000_000_000
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("x", b"temp=21.5,hum=40", "pairs"),
    ("x", b"T:21.5;H:40;id:p7", "pairs"),
    ("x", b"temp=21.5&hum=40&ts=1700000000", "pairs"),
    ("x", b"temp: 21.5 C, hum: 40 %, mode: eco", "pairs"),
    ("x", b"temp=21.5 hum=40", "pairs"),
    ("x", b"temp=21.5\nhum=40\n", "pairs"),
    ("x", b"21.5,40", "csv"),
    ("x", b"1700000000;21.5;on", "csv"),
    ("x", b"21.5\t40\t3", "csv"),
    ("x", b"time,temp,hum\n1700000000,21.5,40\n1700000060,21.6,41\n", "csv"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_delimited_text_passes_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_delimited_text_is_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


READ: list[tuple[bytes, list[tuple[int | None, dict[str, float]]]]] = [
    (b"temp=21.5,hum=40", [(None, {"temperature": 21.5, "humidity": 40})]),
    (b"temp: 70 F; rpm: 1500", [(None, {"temperature": 21.111, "rpm": 1500})]),
    (b"temp=21.5&ts=1700000000", [(T, {"temperature": 21.5})]),
    (b"21.5,40", [(None, {"value.0": 21.5, "value.1": 40})]),
    (b"1700000000;21.5;on", [(T, {"value.0": 21.5})]),
    (b"2023-11-14 22:13:20,21.5", [(None, {"value.0": 21.5})]),
    (b"2023-11-14T22:13:20Z,21.5", [(T, {"value.0": 21.5})]),
    (
        b'time;"temp F";hum\n1700000000;70;40\n1700000060;70;41',
        [
            (T, {"temperature": 21.111, "humidity": 40}),
            (T + 60_000_000, {"temperature": 21.111, "humidity": 41}),
        ],
    ),
]


@pytest.mark.parametrize(("payload", "expected"), READ)
def test_names_times_and_units_are_read_as_in_json(
    payload: bytes, expected: list[tuple[int | None, dict[str, float]]]
) -> None:
    found = laws.readings("x", payload)
    times = [None if r.quality & Quality.TIME_ESTIMATED else r.time for r in found]
    assert times == [time for time, _ in expected]
    for reading, (_, wanted) in zip(found, expected, strict=True):
        channels = dict(zip(reading.channels, reading.values, strict=True))
        assert channels == pytest.approx(wanted, rel=1e-4)


OTHERS = [b"21.5", b"on", b"12:30", b"http://a.b/c?d=1", b"error: 5", b"192.168.1.1", b"a,b,c"]


@pytest.mark.parametrize("payload", [*OTHERS, b"OK, 5 done", b"2023-11-14T22:13:20Z", b"1.2.3"])
def test_other_texts_are_not_taken_for_pairs_or_cells(payload: bytes) -> None:
    assert recognise("x", payload).name == "plain"


BROKEN = [
    (b"temp=21.5,hum=40,x", "pair 3"),
    (b"21.5,40\n21.5", "line 2"),
    (b"21.5,\xff,3", "payload"),
    (b"21.5," + b"x" * 200, "line 1"),
]


@pytest.mark.parametrize(("payload", "path"), BROKEN)
def test_what_is_broken_is_a_dead_letter_that_says_where(payload: bytes, path: str) -> None:
    outcome = laws.ends_well("x", payload)
    assert isinstance(outcome, DeadLetter)
    assert outcome.path == path


HOSTILE = [
    b"a=1," * 20_000,
    b"1," * 40_000,
    b"1;2\n" * 20_000,
    b"a" * 90_000 + b"=1,b=2",
    b"a=" + b"=" * 90_000,
    b"t=1" + b" " * 90_000 + b"x=2",
    b'"1,' + b"2," * 30_000,
    b"," * 90_000 + b"1",
]


@pytest.mark.parametrize("payload", HOSTILE, ids=lambda p: repr(p[:12]))
def test_hostile_text_is_cheap(payload: bytes) -> None:
    laws.ends_well("x", payload)
    laws.is_cheap("x", payload)


@given(st.text(st.sampled_from('ab1.5,;=: \n\t"|&-eE°'), max_size=60))
def test_any_text_of_such_letters_ends_well(text: str) -> None:
    laws.ends_well("x", text.encode())
    laws.explains_what_it_does("x", text.encode())


BLANKS = [
    b"a=1,b=2,c" + b" " * 90_000 + b"x",
    b"a=1 b=2" + b" " * 90_000 + b"x",
    b"a=1,b=2," * 9000,
]


@pytest.mark.parametrize("payload", BLANKS, ids=range(len(BLANKS)))
def test_long_blanks_cost_nothing(payload: bytes) -> None:
    laws.ends_well("x", payload)
    laws.is_cheap("x", payload)
