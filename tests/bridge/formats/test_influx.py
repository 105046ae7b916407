"""InfluxDB line protocol: escapes, types, tags; what is malformed by its specification."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from tests import laws
from tests.bridge.formats.told import T, outcome, told

EXAMPLES: list[tuple[str, bytes, str]] = [
    ("x", b"weather,station=roof temperature=21.5,wet=t 1700000000000000000", "influx_line"),
    ("x", b"cpu,host=pi1,cpu=cpu0 usage_idle=98.1,n=3i,s=\"a b\" 1700000000000000000\n", "influx_line"),  # noqa: E501
    ("x", b'# a comment\nm,t\\ a=b\\,c f\\=1=2u,text="line\nbreak"\nm v=1\n', "influx_line"),
]  # fmt: skip


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_lines_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_lines_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


OTHERS = [b"hello world", b"temp=21.5", b"t=21.5 h=40", b"a,b=c", b"21.5", b"on fire=yes", b"a b"]


@pytest.mark.parametrize("text", [*OTHERS, b'{"a": 1}', b"temp=1,hum=2", b"key value=abc"])
def test_other_texts_are_not_taken(text: bytes) -> None:
    assert recognise("x", text).name != "influx_line"


READ: list[tuple[bytes, list[tuple[str, int | None, dict[str, float]]]]] = [
    (b"cpu value=45 1700000000000000000", [("x", T, {"cpu.value": 45})]),
    (b"cpu value=45 0", [("x", None, {"cpu.value": 45})]),
    (b"cpu,host=pi1 a=1i,b=2u,c=-3.5e1,d=T", [("pi1", None, {"cpu.a": 1, "cpu.b": 2, "cpu.c": -35, "cpu.d": 1})]),  # noqa: E501
    (b"cpu,cpu=cpu0,host=pi1 idle=98", [("pi1", None, {"cpu.cpu0.idle": 98})]),
    (b"m\\ x,host=a\\ b\\,c f\\=1=2", [("a b,c", None, {"m_x.f_1": 2})]),
    (b"weather temperature=21.5", [("x", None, {"weather.temperature": 21.5})]),
    (b"a,host=h v=1 1700000000000000000\na,host=h w=2 1700000000000000000", [("h", T, {"a.v": 1, "a.w": 2})]),  # noqa: E501
    (b"a v=1 1700000000000000000\na v=2 1700000000000000000", [("x", T, {"a.v": 2})]),
    (b"disk,device=sda1,host=pi1 used=12.5", [("pi1", None, {"disk.sda1.used": 12.5})]),
    (b"disk,device=plug7,host=pi1 used=12.5", [("plug7", None, {"disk.used": 12.5})]),
    (b"c,host=a\\\\ b v=1", [("a\\ b", None, {"c.v": 1})]),
    (b"t,host=h,unit=F value=70", [("h", None, {"t.value": 21.1111})]),
    (b"t,host=h,scale=Fahrenheit temp=70,rpm=5", [("h", None, {"t.temperature": 21.1111, "t.rpm": 5})]),  # noqa: E501
    (b"t,host=h,unit=widgets value=70", [("h", None, {"t.value": 70})]),
    (b"home,room=Bath temp=25\nhome,room=Hall temp=21", [("x", None, {"home.bath.temperature": 25, "home.hall.temperature": 21})]),  # noqa: E501
    (b'pipe,host=h,size=5" flow=1 1700000000000000000\npipe,host=h,size=6" depth=2 1700000000000000000', [("h", T, {"pipe.flow": 1, "pipe.depth": 2})]),  # noqa: E501
    (b"a v=1 1700000000000000000\na v=2 1700000001000000000", [("x", T, {"a.v": 1}), ("x", T + 1_000_000, {"a.v": 2})]),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("payload", "expected"), READ)
def test_a_line_is_read_with_its_device_and_time(
    payload: bytes, expected: list[tuple[str, int | None, dict[str, float]]]
) -> None:
    found = told("x", payload)
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    for (_, _, channels), (_, _, wanted) in zip(found, expected, strict=True):
        assert channels == pytest.approx(wanted, rel=1e-4)


def test_latitude_and_longitude_are_the_position() -> None:
    (reading,) = laws.readings("x", b"gps,device=van1 lat=48.1,lon=11.5,speed=3,alt=500")
    assert reading.position
    assert reading.position[:4] == (48.1, 11.5, 500, 3)
    assert reading.channels == ("gps.altitude", "gps.speed")
    (nowhere,) = laws.readings("x", b"gps,device=van1 latitude=0,longitude=0,sats=0i")
    assert (nowhere.position, nowhere.channels) == (None, ("gps.sats",))


def test_two_series_of_one_time_are_both_kept() -> None:
    lines = b"disk,host=h,label=a free=1 1700000000000000000\ndisk,host=h,label=b free=2 1700000000000000000"  # noqa: E501
    ((_, _, channels),) = told("x", lines)
    assert sorted(channels.values()) == [1, 2]


def test_tags_are_context() -> None:
    (reading,) = laws.readings("x", b"cpu,host=h,os=linux v=1")
    assert dict(zip(reading.states, reading.state_values, strict=True)) == {"cpu.os": "linux"}


MALFORMED = [
    b"cpu value=9223372036854775808i",
    b"cpu value=18446744073709551616u",
    b"cpu value=1 tomorrow",
    b"cpu,host value=1",
    b"cpu value=1,",
    b'cpu value="open',
    b"cpu value=1.2.3",
    b"ok v=1\ncpu value=1x",
    b"cpu v=1,=2",
    b"cpu,host=a value=invalid",
    b"cpu,host=a value=NaN",
    b"cpu,host=a value=1\ncpu",
]


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_line_is_a_dead_letter_that_says_where(line: bytes) -> None:
    letter = outcome("x", line)
    assert isinstance(letter, DeadLetter)
    assert letter.path.startswith("line ") or letter.path == "payload"


@given(st.text(st.sampled_from('ab1.i,= \\"\n#-tTu'), max_size=50))
def test_any_text_of_such_letters_ends_well(text: str) -> None:
    laws.ends_well("x", f"m,a=b {text}".encode())
    laws.ends_well("x", f"cpu v=1,{text}".encode())


def test_hostile_lines_are_cheap() -> None:
    for payload in (
        b"m " + b"a=1," * 20_000,
        b"m" + b",a=b" * 20_000 + b" v=1",
        b"m v=1\n" * 15_000,
        b"m v=1\n" + b"# x\n" * 20_000,
        b'm v="' + b'\\"' * 40_000 + b'"',
        b"m,a\\,a=b" + b"\\,a=b" * 15_000,
        b"m\\" + b"\\ " * 30_000 + b"v=1",
        b"m v=1 " + b" " * 90_000 + b"1",
        b"".join(b"m v%d=1\n" % n for n in range(190)),
        b"#\n" * 40_000,
    ):
        laws.ends_well("x", payload)
        laws.is_cheap("x", payload)
