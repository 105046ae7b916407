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
    ("WIXDR,C,23.5,C,0,H,27.4,P,0,P,1010.1,H,0", None, {"temperature_0": 23.5, "humidity_0": 27.4, "pressure_0": 101_010}),  # noqa: E501
    ("IIRPM,E,1,2400.5,10.5,A", None, {"engine_1.rotational_speed": 2400.5, "engine_1.propeller_pitch": 10.5}),  # noqa: E501
    ("WIMDA,29.92,I,,B,23.4,C,,,40.2,,12.1,C,,T,20.1,M,13.1,N,,M", None, {"pressure": 101_321, "air_temperature": 23.4, "humidity": 40.2, "dew_point": 12.1, "wind_speed": 6.739}),  # noqa: E501
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


def test_sentences_without_a_time_belong_to_the_one_that_states_it() -> None:
    lines = sentence("SDDPT,3.6,0.5") + sentence(RMC) + sentence("IIMTW,18.0,C")
    later = sentence(RMC.replace("221320.50", "221321.50")) + sentence("IIMTW,19.0,C")
    (_, first, one), (_, second, two) = told("boat", lines + later)
    assert (first, second) == (AT, AT + 1_000_000)
    assert (one["depth"], one["water_temperature"], two["water_temperature"]) == (3.6, 18, 19)
    assert "speed" in one


def test_times_are_the_same_however_many_zeros_they_have() -> None:
    assert len(told("boat", sentence(RMC) + sentence(GGA.replace("21.00", "20.500")))) == 1


def test_each_engine_is_a_channel() -> None:
    lines = sentence("IIRPM,E,1,2400,,A") + sentence("IIRPM,E,2,1800,,A")
    ((_, _, found),) = told("boat", lines)
    assert found == {"engine_1.rotational_speed": 2400, "engine_2.rotational_speed": 1800}


def test_without_a_date_the_last_time_of_day_counts() -> None:
    later = GGA.replace("221321", "221322").replace("519.4", "529.4")
    ((_, time, found),) = told("boat", sentence(GGA) + sentence(later))
    assert (time, found["altitude"]) == (None, 529.4)


def test_a_clock_that_is_not_set_is_no_time() -> None:
    ((_, time, _),) = told("x", sentence(RMC.replace("141123", "060180")))
    assert time is None


@pytest.mark.parametrize("end", range(len(RMC) + 1))
def test_a_sentence_that_is_cut_has_no_wrong_position_and_no_wrong_number(end: int) -> None:
    whole = laws.readings("x", sentence(RMC))[0]
    cut = laws.ends_well("x", f"${RMC[:end]}".encode())
    for reading in getattr(cut, "readings", ()):
        assert reading.position is None or reading.position[:2] == whole.position[:2]  # type: ignore[index]
        assert set(reading.values) <= set(whole.values)


def test_two_sentences_may_share_a_line() -> None:
    ((_, _, found),) = told("x", sentence(RMC).strip() + sentence("IIMTW,18.0,C"))
    assert found["water_temperature"] == 18


def test_letters_beyond_ascii_count_in_the_checksum() -> None:
    body = "GPTXT,01,01,02,caf\xe9".encode("latin-1")
    text = b"$" + body + f"*{reduce(xor, body):02X}\r\n".encode()
    assert len(told("x", text + sentence("IIMTW,18.0,C"))) == 1


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
    "GPGGA,221320,4808.232,N,01134.536,E,,00,,,M,,M,,",
    "GPVTG,0.00,T,,M,0.00,N,0.00,K,N",
    "HETHS,123.4,V",
    "GPGLL,4808.232,,01134.536,,221320,A",
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


def test_hostile_sentences_are_cheap() -> None:
    for payload in (
        b"$IIMTW,18.0,C\r\n" * 6_000,
        b"$IIXDR" + b",C,1,C,a" * 11_000,
        b"\n".join([b"$IIXDR" + b"".join(b",C,1,C,a%d" % n for n in range(90))] * 11),
        b"$GP" + b"$" * 90_000,
        b"\\" * 90_000,
        b"$GPRMC," + b"9" * 90_000,
    ):
        laws.ends_well("x", payload)
        laws.is_cheap("x", payload)
