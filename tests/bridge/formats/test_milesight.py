"""Milesight: triplets as their user guides show them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import outcome, told

READ: list[tuple[str, str, dict[str, float]]] = [
    ("em300-th", "01755C 03670101 046871", {"battery": 92, "humidity": 56.5, "temperature": 25.7}),
    ("am107", "046871 077DE704 0973F927", {"co2": 1255, "humidity": 56.5, "pressure": 102_330}),
    ("em300-th", "0367ECFF", {"temperature": -2}),
    ("em500-udl", "0382C400", {"distance": 0.196}),
    ("em500-smtc", "04CA180A 057FF000", {"conductivity": 240, "moisture": 25.84}),
    ("ws523", "03746907 0480E7030000", {"power": 999, "voltage": 189.7}),
    ("em320-tilt", "03D4204E 0000 E0B1", {"angle_x": 100, "angle_y": 0, "angle_z": -100}),
]
EXAMPLES: list[tuple[str, bytes, str]] = [
    (f"milesight/{model}/up", bytes.fromhex(data), "milesight") for model, data, _ in READ
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


def test_json_on_such_a_topic_is_read_as_json() -> None:
    assert recognise("milesight/em300-th/up", b'{"temperature": 25.7}').name == "json"


@pytest.mark.parametrize(("model", "data", "channels"), READ)
def test_a_triplet_says_what_its_channel_and_type_measure(
    model: str, data: str, channels: dict[str, float]
) -> None:
    for payload in (bytes.fromhex(data), data.replace(" ", "").encode()):
        assert told(f"milesight/{model}/up", payload)[0][2] == pytest.approx(channels)


def test_a_tracker_has_a_position() -> None:
    (reading,) = laws.readings(
        "milesight/at101/up", bytes.fromhex("017564 0488 6F3AB100 5889DE02 01")
    )
    assert reading.position is None or -90 <= reading.position.lat <= 90
    place = (11_575_600).to_bytes(4, "little") + (48_137_200).to_bytes(4, "little")
    (reading,) = laws.readings("milesight/at101/up", b"\x04\x88" + place + b"\1")
    assert reading.position
    assert (reading.position.lat, reading.position.lon) == (48.1372, 11.5756)


def test_behind_an_unknown_triplet_nothing_is_read_and_that_is_said() -> None:
    data = bytes.fromhex("017564 EEEE01 03670101")
    assert told("milesight/x/up", data)[0][2] == {"battery": 100}
    letter = outcome("milesight/x/up", data[3:])
    assert isinstance(letter, DeadLetter)
    assert letter.path == "byte 0"


def test_what_a_device_says_of_itself_is_no_measurement() -> None:
    data = bytes.fromhex(
        "FF0BFF FF0101 FF166136A1234567 0001 FF090110 FF0A0101 FF0F00".replace(" ", "")
    )
    assert isinstance(outcome("milesight/x/up", data), Ignored)


@given(st.binary(min_size=3, max_size=60), st.sampled_from(READ))
def test_any_bytes_end_well(data: bytes, row: tuple[str, str, dict[str, float]]) -> None:
    laws.ends_well(f"milesight/{row[0]}/up", data)
    laws.ends_well(f"milesight/{row[0]}/up", bytes.fromhex(row[1]) + data)
