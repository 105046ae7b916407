"""Milesight: triplets as their payload definitions have them, and what models mean by them."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.formats.milesight import _MODELS, _table
from bridge.normalise import Ignored, Normaliser
from tests import laws
from tests.bridge.formats.told import T, outcome, told

TIME = struct.pack("<I", T // 1_000_000).hex()
WATER = struct.pack("<f", 12.5).hex()
HALF = struct.pack("<e", 4.25).hex()

READ: list[tuple[str, str, dict[str, float]]] = [
    ("em300-th", "01755C 03670101 046871", {"battery": 92, "humidity": 56.5, "temperature": 25.7}),
    ("em300-th", "0367ECFF", {"temperature": -2}),
    ("x", "0367FFFF", {"temperature": -0.1}),
    ("am107", "077DE704 0973F927 087D0700", {"co2": 1255, "pressure": 102_330, "tvoc": 0.007}),
    ("am308l", "087D2500 050001 06CB02", {"tvoc": 0.37, "pir": 1, "light_level": 2}),
    ("am319-hcho", "0A7D0700 0B7D2000", {"hcho": 70, "pm2_5": 32}),
    (
        "am107",
        "0665 1C00 7900 1400",
        {"illuminance": 28, "infrared_and_visible": 121, "infrared": 20},
    ),
    ("em500-udl", "0382C400", {"distance": 0.196}),
    ("em500-smtc", "04CA180A 057FF000", {"conductivity": 240, "moisture": 25.84}),
    ("em500-pp", "037B0A00", {"pressure": 10_000}),
    ("em500-lgt", "039450000000", {"illuminance": 80}),
    ("em500-swl", "03770200", {"depth": 0.02}),
    ("ws523", "03746907 0480E7030000 0581 2C", {"power": 999, "voltage": 189.7}),
    ("ws523", "0683E8030000 07C9DC05 087001", {"energy": 3.6e6, "current": 1.5, "socket": 1}),
    ("ws502", "082931", {"switch_1": 1, "switch_2": 0, "switch_3": 0}),
    ("em320-tilt", "03D4204E 0000 E0B1", {"angle_x": 100, "angle_y": 0, "angle_z": -100}),
    ("em310-tilt", "03CF0000F0D8282300", {"angle_x": 0, "angle_y": -100, "angle_z": 90}),
    ("em300-mcs", "060001", {"magnet": 1}),
    ("em300-zld", "050001", {"leakage": 1}),
    ("em400-mud", "0482E803 050001", {"distance": 1, "tilted": 1}),
    ("em300-di", "05C800010000", {"pulse": 256}),
    ("em300-di-hall", f"06E10A00A000{WATER}", {"water_conv": 1, "pulse_conv": 16, "water": 12.5}),
    ("ct101", "039710270000 0498B80B", {"total_current": 360_000, "current": 30}),
    ("ct303", "0699B80B 8899 E803 0A00 F401 01", {"current_2": 300, "current_3": 50}),
    ("uc300", "0BE20044" + HALF * 3, {"adc_1": 0.004, "adc_1_avg": 0.00425}),
    ("uc300", "0967F6FF", {"pt100_1": -1}),
    ("uc300", "FF19 02 02 82 FEFF FF19 03 04 07 0000A041", {"modbus_3": -2, "modbus_4": 20}),
    ("uc502", "FF0E0926 10270000 0502 10270000E8030000", {"modbus_3": 10_000, "adc_1": 10}),
    ("vs133", "03D248000000 0ECC05000700", {"line_1_total_in": 72, "line_4_period_out": 7}),
    (
        "vs133",
        "10E4 01 0A00 1400 10E4 02 1E00 2800",
        {"region_1_dwell_max": 20, "region_2_dwell_avg": 30},
    ),
    ("vs121", "04C9030800A1 06CD05", {"people_count": 3, "people_count_max": 5}),
    ("wt101", "04672C01 03670A01 059264", {"target_temperature": 30, "valve_opening": 100}),
    ("gs301", "02671C01 036864 047D0500", {"temperature": 28.4, "humidity": 50, "nh3": 0.05}),
    ("gs524n", "221764001C47", {"battery": 100, "concentration": 0, "temperature": 28}),
    ("vs350", "04CC12001600 05CC13001400", {"total_in": 18, "total_out": 22, "period_in": 19}),
    ("ts302", "03670A00 04671400", {"temperature_1": 1, "temperature_2": 2}),
]
STORED: list[tuple[str, str, dict[str, float]]] = [
    ("em300-th", f"20CE{TIME}10015D00", {"temperature": 27.2, "humidity": 46.5}),
    ("em330-th", f"20CE{TIME}10015D", {"temperature": 27.2, "humidity": 46.5}),
    ("em300-di", f"20CE{TIME}10015D020000010000", {"temperature": 27.2, "pulse": 256}),
    ("em500-co2", f"20CE{TIME}E803682710015D", {"co2": 1000, "pressure": 100_880}),
    ("am103l", f"20CE{TIME}10015DE803", {"humidity": 46.5, "co2": 1000}),
    ("vs351", f"20CE{TIME}00 0B000400", {"period_in": 11, "period_out": 4}),
    ("vs351", f"20CE{TIME}01 07000200 1D000800", {"period_in": 7, "total_out": 8}),
    ("ws203", f"20CE{TIME}0400240165", {"temperature": 29.2, "occupancy": 0}),
]
EXAMPLES: list[tuple[str, bytes, str]] = [
    (f"milesight/{model}/up", bytes.fromhex(data), "milesight") for model, data, _ in READ + STORED
]
EXAMPLES += [("farm/milesight/em300-th/up", b"01755C03670101046871", "milesight")]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_triplets_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_triplets_are_recognised_by_the_topic(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name
    assert recognise("elsewhere", payload).name != name


@pytest.mark.parametrize("payload", [b'{"temperature": 25.7}', b"[1, 2]", b"21.5", b"online", b""])
def test_text_on_such_a_topic_is_read_as_text(payload: bytes) -> None:
    assert recognise("milesight/em300-th/up", payload).name != "milesight"


@pytest.mark.parametrize(("model", "data", "channels"), READ)
def test_a_triplet_says_what_its_channel_and_type_measure(
    model: str, data: str, channels: dict[str, float]
) -> None:
    (one,) = told(f"milesight/{model.upper()}/up", bytes.fromhex(data))
    assert {name: one[2][name] for name in channels} == pytest.approx(channels)
    if model != "gs524n":  # whose digits are no triplet
        assert told(f"milesight/{model}/up", data.encode())[0][2] == one[2]


@pytest.mark.parametrize(("model", "data", "channels"), STORED)
def test_what_was_stored_has_its_own_time(
    model: str, data: str, channels: dict[str, float]
) -> None:
    now, stored = told(f"milesight/{model}/up", bytes.fromhex("017564" + data))
    assert (now[1], now[2]) == (None, {"battery": 100})
    assert stored[1] == T
    assert {name: stored[2][name] for name in channels} == pytest.approx(channels)


def test_stored_values_without_a_time_are_not_of_now() -> None:
    data = bytes.fromhex("017564 20CE0000000010015D00")
    ((_, _, channels),) = told("milesight/em300-th/up", data)
    assert channels == {"battery": 100}


def test_a_tracker_has_a_position_and_latitude_comes_first() -> None:
    place = struct.pack("<ii", 48_137_200, 11_575_600)
    (reading,) = laws.readings("milesight/at101/up", b"\x04\x88" + place + b"\2")
    assert reading.position
    assert (reading.position.lat, reading.position.lon) == (48.1372, 11.5756)
    none = b"\x01\x75\x64\x04\x88" + b"\xff" * 8 + b"\x33"
    (reading,) = laws.readings("milesight/at101/up", none)
    assert reading.position is None
    stored = bytes.fromhex(f"20CE{TIME}") + place[4:] + place[:4] + bytes(6)
    (reading,) = laws.readings("milesight/at101/up", stored)
    assert reading.position
    assert (reading.time, reading.position.lat) == (T, 48.1372)


def test_codes_of_errors_are_no_measurement() -> None:
    data = bytes.fromhex("017564 077DFFFF 0967FDFF 0498FEFF")
    assert told("milesight/ct101/up", data)[0][2] == {"battery": 100}


def test_a_liquid_is_called_by_a_word() -> None:
    (reading,) = laws.readings("milesight/em300-cl/up", bytes.fromhex("03ED02"))
    assert (reading.states, reading.state_values) == (("liquid",), ("critical",))


def test_behind_an_unknown_triplet_nothing_is_read_and_that_is_said() -> None:
    data = bytes.fromhex("017564 EEEE01 03670101")
    assert told("milesight/x/up", data)[0][2] == {"battery": 100}
    explained = Normaliser(()).explain(laws.message("milesight/x/up", data))
    assert ("byte 3", "not known: from here on nothing is read") in [
        (e.path, e.note) for e in explained.fields
    ]
    letter = outcome("milesight/x/up", data[3:])
    assert isinstance(letter, DeadLetter)
    assert letter.path == "byte 0"


def test_the_sum_of_a_smoke_sensor_must_hold() -> None:
    assert isinstance(outcome("milesight/gs524n/up", bytes.fromhex("221764001C48")), DeadLetter)


def test_what_a_device_says_of_itself_is_no_measurement() -> None:
    data = bytes.fromhex("FF0BFF FF0101 FF166136A12345670001 FF090110 FF0A0101 FF0F00")
    assert outcome("milesight/x/up", data) == Ignored(
        "milesight", "nothing in these bytes is a measurement"
    )


@pytest.mark.parametrize("model", [model for model, _ in _MODELS])
def test_every_line_of_the_table_is_read(model: str) -> None:
    for key in _table((model,)):
        for value in (bytes(64), b"\x55" * 64, b"\xff" * 64):
            laws.ends_well(f"milesight/{model}/up", key + value)


@given(st.binary(min_size=3, max_size=60), st.sampled_from(READ + STORED))
def test_any_bytes_end_well(data: bytes, row: tuple[str, str, dict[str, float]]) -> None:
    laws.ends_well(f"milesight/{row[0]}/up", data)
    laws.ends_well(f"milesight/{row[0]}/up", bytes.fromhex(row[1]) + data)
