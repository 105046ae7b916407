"""Ruuvi: the test vectors of the published data formats, and what gateways make of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.formats import recognise
from bridge.formats.ruuvi import advertisement
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import T, outcome, told

VALID = "0201061BFF9904" + "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"
LARGEST = "0201061BFF9904" + "057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F"
INVALID = "0201061BFF9904" + "058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF"
RAW_1 = "020106" + "11FF9904" + "03291A1ECE1EFC18F94202CA0B53"
TAG = "CB:B8:33:4C:88:4F"
READ = {"temperature": 24.3, "pressure": 100_044, "humidity": 53.49, "battery_voltage": 2.977}
READ |= {"acceleration_x": 0.004, "acceleration_y": -0.004, "acceleration_z": 1.036}
READ |= {"tx_power": 4, "movement_counter": 66, "measurement_sequence": 205}
HEARD = {
    "gw_mac": "AA:AA:AA:AA:AA:AA",
    "rssi": -50,
    "ts": 1700000000,
    "data": VALID,
    "coords": "1,2",
}
SEVERAL = {"gw_mac": "AA:AA:AA:AA:AA:AA", "timestamp": 1700000001, "coordinates": "1,2"}
SEVERAL |= {"tags": {TAG: {"rssi": -50, "timestamp": 1700000000, "data": VALID}}}


def sent(tree: object) -> bytes:
    return json.dumps(tree).encode()


EXAMPLES: list[tuple[str, bytes, str]] = [
    (f"ruuvi/AA:AA:AA:AA:AA:AA/{TAG}", sent(HEARD), "ruuvi"),
    ("ruuvi/gw/data", sent({"data": SEVERAL}), "ruuvi"),
    ("elsewhere", sent(HEARD), "ruuvi"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_what_gateways_hear_passes_the_laws(
    law: Any, topic: str, payload: bytes, _name: str
) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_what_gateways_hear_is_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


def test_the_published_vectors_are_read() -> None:
    valid, tag = advertisement(VALID)
    assert valid == pytest.approx(READ)
    assert tag == TAG
    found, _ = advertisement(LARGEST)
    assert found["temperature"] == pytest.approx(163.835)
    assert found["humidity"] == pytest.approx(163.8350)
    assert found["pressure"] == 115_534
    assert (found["battery_voltage"], found["tx_power"]) == (3.646, 20)
    assert advertisement(RAW_1)[0] == pytest.approx(
        {
            "humidity": 20.5,
            "temperature": 26.3,
            "pressure": 102_766,
            "acceleration_x": -1,
            "acceleration_y": -1.726,
            "acceleration_z": 0.714,
            "battery_voltage": 2.899,
        }
    )


def test_invalid_codes_are_no_measurement() -> None:
    assert advertisement(INVALID) == ({}, "FF:FF:FF:FF:FF:FF")
    assert isinstance(outcome("ruuvi/gw/tag", {"gw_mac": "a", "data": INVALID}), Ignored)


@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_the_device_is_the_tag_at_its_own_time(topic: str, payload: bytes, _name: str) -> None:
    (reading,) = laws.readings(topic, payload)
    assert (reading.device, reading.time, reading.position) == (TAG, T, None)
    channels = dict(zip(reading.channels, reading.values, strict=True))
    assert channels["temperature"] == pytest.approx(24.3)
    assert channels["acceleration_z"] == pytest.approx(1.036 * 9.80665)
    assert channels["rssi"] == -50


def test_what_is_decoded_already_counts_once() -> None:
    tag = {"data": VALID, "temperature": 24.3, "accelX": 0.004, "timestamp": 1700000000}
    ((_, _, channels),) = told("ruuvi/gw/data", {"gw_mac": "x", "tags": {TAG: tag}})
    assert len(channels) == len(READ)
    ((_, _, channels),) = told("ruuvi/gw/data", {"data": {"tags": {TAG: {"temperature": 20.5}}}})
    assert channels == {"temperature": 20.5}


@pytest.mark.parametrize("data", ["", "zz", "0201", VALID[:30], "FF9904", "FF990405", 5, None, []])
def test_other_advertisements_are_ignored(data: object) -> None:
    assert isinstance(outcome("ruuvi/gw/tag", {"gw_mac": "a", "data": data}), Ignored)


@given(st.binary(max_size=30))
def test_any_advertisement_ends_well(body: bytes) -> None:
    for head in ("FF990405", "FF990403", ""):
        laws.ends_well("ruuvi/gw/tag", sent({"gw_mac": "a", "data": head + body.hex()}))
