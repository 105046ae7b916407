"""NMEA 0183: sentences as receivers and instruments send them; void fixes and wrong checksums."""

from functools import reduce
from operator import xor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import outcome, told


def sentence(body: str) -> bytes:
    """A sentence with its checksum."""
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


RMC = "GPRMC,221320.50,A,4808.232,N,01134.536,E,022.4,084.4,141123,003.1,W"
GGA = "GPGGA,221321.00,4808.232,N,01134.536,E,1,08,0.9,519.4,M,46.9,M,,"
AT = 1_700_000_000_500_000  # us: 22:13:20.5 of 2023-11-14
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("boat/gps", sentence(RMC), "nmea0183"),
    ("boat/gps", sentence(GGA), "nmea0183"),
    ("boat/gps", sentence(RMC) + sentence(GGA), "nmea0183"),
    ("boat/wind", sentence("WIMWV,214.8,R,10.1,M,A"), "nmea0183"),
    ("boat/x", sentence("IIXDR,C,19.52,C,TempAir,P,1.02481,B,Barometer"), "nmea0183"),
    ("boat/x", b"\\s:rx1,c:1700000000*00\\" + sentence("SDDPT,3.6,0.5"), "nmea0183"),
    ("boat/ais", b"!AIVDM,1,1,,A,13aG?P0P00PD;88MD5MTDww@2<0L,0*23", "nmea0183"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_sentences_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_sentences_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@pytest.mark.parametrize("text", [b"$5.00", b"$GPS fix lost", b"$HOME,1", b"!important, really"])
def test_other_texts_with_such_a_mark_are_not_taken(text: bytes) -> None:
    assert recognise("x", text).name != "nmea0183"


READ: list[tuple[str, int | None, dict[str, float]]] = [
    (RMC, AT, {"speed": 11.5236, "course": 84.4, "magnetic_variation": -3.1}),
    (GGA, None, {"altitude": 519.4, "hdop": 0.9, "satellites": 8}),
    ("GPVTG,054.7,T,034.4,M,005.5,N,010.2,K,A", None, {"course": 54.7, "magnetic_course": 34.4, "speed": 2.8333}),  # noqa: E501
    ("SDDBT,12.3,f,3.75,M,2.05,F", None, {"depth": 3.75}),
    ("SDDBT,12.3,f,,M,,F", None, {"depth": 3.749}),
    ("SDDPT,3.6,0.5", None, {"depth": 3.6, "depth_offset": 0.5}),
    ("IIMTW,18.0,C", None, {"water_temperature": 18}),
    ("HCHDM,093.8,M", None, {"magnetic_heading": 93.8}),
    ("HEHDT,274.07,T", None, {"true_heading": 274.07}),
    ("HEROT,-11.2,A", None, {"rate_of_turn": -11.2}),
    ("WIMWV,214.8,R,10.1,K,A", None, {"apparent_wind_angle": 214.8, "apparent_wind_speed": 2.8056}),
    ("WIMWV,214.8,T,10.0,N,A", None, {"true_wind_angle": 214.8, "true_wind_speed": 5.14444}),
    ("IIVHW,230.1,T,228.0,M,05.1,N,09.4,K", None, {"true_heading": 230.1, "magnetic_heading": 228, "water_speed": 2.6111}),  # noqa: E501
    ("IIXDR,C,19.5,C,TempAir,P,1.02,B,Baro", None, {"temp_air": 19.5, "baro": 102_000}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "time", "channels"), READ)
def test_a_sentence_says_what_its_fields_measure(
    body: str, time: int | None, channels: dict[str, float]
) -> None:
    ((_, found_time, found),) = told("boat/nmea", sentence(body))
    assert found_time == time
    assert found == pytest.approx(channels, rel=1e-3)


def test_a_fix_is_a_position_with_its_circumstances() -> None:
    (reading,) = laws.readings("boat/gps", sentence(RMC))
    spot = reading.position
    assert spot
    assert (spot.lat, spot.lon) == pytest.approx((48.1372, 11.5756))
    assert (spot.speed, spot.course) == pytest.approx((11.5236, 84.4), rel=1e-4)


def test_south_and_west_are_negative() -> None:
    (reading,) = laws.readings("x", sentence("GPGLL,3356.465,S,15112.346,W,225444,A"))
    assert reading.position
    assert (reading.position.lat, reading.position.lon) == pytest.approx((-33.94108, -151.20577))


def test_the_date_of_one_sentence_is_that_of_the_others() -> None:
    found = told("boat/gps", sentence(RMC) + sentence(GGA))
    assert [time for _, time, _ in found] == [AT, AT + 500_000]


def test_midnight_between_two_sentences_is_no_day() -> None:
    before = sentence("GPRMC,235959.00,A,4808.232,N,01134.536,E,0,0,141123,,")
    after = sentence("GPGGA,000001.00,4808.232,N,01134.536,E,1,08,0.9,519.4,M,46.9,M,,")
    (_, first, _), (_, second, _) = told("x", before + after)
    assert first is not None
    assert second == first + 2_000_000


VOID = [
    "GPRMC,221320,V,4808.232,N,01134.536,E,022.4,084.4,141123,,",
    "GPRMC,221320,A,4808.232,N,01134.536,E,022.4,084.4,141123,,,N",
    "GPGGA,221320,4808.232,N,01134.536,E,0,00,,,M,,M,,",
    "GPGLL,4808.232,N,01134.536,E,221320,V",
    "GPBWC,220516,5130.02,N,00046.34,W,213.8,T,218.0,M,0004.6,N,EGLM",
    "PGRME,15.0,M,45.0,M,25.0,M",
]


@pytest.mark.parametrize("body", VOID)
def test_a_void_fix_and_a_waypoint_are_no_position(body: str) -> None:
    assert isinstance(outcome("boat/gps", sentence(body)), Ignored)


def test_a_wrong_checksum_is_a_dead_letter_that_says_the_right_one() -> None:
    letter = outcome("boat/gps", sentence(RMC)[:-4] + b"00\r\n")
    assert isinstance(letter, DeadLetter)
    assert letter.path == "sentence 1"
    assert letter.expected.startswith("the checksum")


def test_a_sentence_without_checksum_is_taken() -> None:
    assert told("x", b"$IIMTW,18.0,C")[0][2] == {"water_temperature": 18}


@given(st.sampled_from(EXAMPLES), st.integers(0, 300), st.binary(max_size=4))
def test_changed_bytes_end_well(example: tuple[str, bytes, str], at: int, more: bytes) -> None:
    topic, payload, _ = example
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


@given(st.text(st.sampled_from("0123456789.,ANSEWKMRTV"), max_size=60), st.sampled_from(READ))
def test_any_fields_end_well(fields: str, row: tuple[str, int | None, dict[str, float]]) -> None:
    laws.ends_well("x", sentence(f"{row[0].split(',')[0]},{fields}"))
