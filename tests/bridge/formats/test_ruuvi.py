"""Ruuvi: the test vectors of the published data formats, and what gateways make of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.formats.ruuvi import MAX_TAGS, advertisement
from bridge.normalise import Ignored, Normaliser
from tests import laws
from tests.bridge.formats.told import T, outcome, told

TAG, AIR = "CB:B8:33:4C:88:4F", "CB:B8:33:4C:88:50"


def heard(data: str, flags: str = "020106") -> str:
    """An advertisement: what stands behind Ruuvi's code, as a gateway hears it."""
    return f"{flags}{len(data) // 2 + 3:02X}FF9904{data}"


VALID = heard("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")
LARGEST = heard("057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F")
INVALID = heard("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF")
CUT = heard("C512FC5394C37CAC364200CDCBB8334C884F")
RAW_1 = heard("03291A1ECE1EFC18F94202CA0B53")
VALID_6 = heard("06170C5668C79E007000C90501D9FFCD004C884F", "020106030398FC")
INVALID_6 = heard("068000FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF")
VALID_E1 = heard(
    "E1170C5668C79E0065007004BD11CA00C90A0213E0ACFFFFFFDECDEE10FFFFFFFFFFCBB8334C884F", ""
)
INVALID_E1 = heard("E18000" + "FF" * 37, "")
READ = {"temperature": 24.3, "pressure": 100_044, "humidity": 53.49, "battery_voltage": 2.977}
READ |= {"tx_power": 4, "movement_counter": 66, "measurement_sequence": 205}
TILTED = {"acceleration_x": 0.004, "acceleration_y": -0.004, "acceleration_z": 1.036}
CLIMATE = {"temperature": 29.5, "pressure": 101_102, "humidity": 55.3}

VECTORS: list[tuple[str, dict[str, float], str]] = [
    (VALID, READ | TILTED, TAG),
    (CUT, READ, TAG),
    (INVALID, {}, ""),
    (
        LARGEST,
        {"temperature": 163.835, "humidity": 163.835, "pressure": 115_534}
        | {"acceleration_x": 32.767, "acceleration_y": 32.767, "acceleration_z": 32.767}
        | {"battery_voltage": 3.646, "tx_power": 20, "movement_counter": 254}
        | {"measurement_sequence": 65534},
        TAG,
    ),
    (
        RAW_1,
        {"humidity": 20.5, "temperature": 26.3, "pressure": 102_766, "battery_voltage": 2.899}
        | {"acceleration_x": -1, "acceleration_y": -1.726, "acceleration_z": 0.714},
        "",
    ),
    (heard("0301A11EB0500000000000000B53"), {"temperature": -33.3, "humidity": 0.5}, ""),
    (
        VALID_6,
        CLIMATE
        | {"pm2_5": 11.2, "co2": 201, "voc": 10, "nox": 2, "illuminance": 13026.67}
        # the last byte of the counter of E1
        | {"measurement_sequence": 205},
        "",
    ),
    (INVALID_6, {"measurement_sequence": 255}, ""),
    (
        VALID_E1,
        CLIMATE
        | {"pm1": 10.1, "pm2_5": 11.2, "pm4": 121.3, "pm10": 455.4, "co2": 201}
        | {"voc": 20, "nox": 4, "illuminance": 13027, "measurement_sequence": 14_601_710},
        TAG,
    ),
    (INVALID_E1, {}, ""),
]

HEARD = {"gw_mac": "AA:AA:AA:AA:AA:AA", "rssi": -50, "aoa": [], "gwts": 1700000001}
HEARD |= {"ts": 1700000000, "data": VALID, "coords": "1,2"}
DECODED = {"gw_mac": "AA:AA:AA:AA:AA:AA", "rssi": -50, "ts": "1700000000", "dataFormat": 5}
DECODED |= {"temperature": 24.3, "accelZ": 1.036, "voltage": 2.977, "humidity": None, "id": TAG}
SEVERAL = {"gw_mac": "AA:AA:AA:AA:AA:AA", "timestamp": 1700000001, "coordinates": "1,2"}
SEVERAL |= {"tags": {TAG: {"rssi": -50, "timestamp": 1700000000, "data": VALID}}}


def sent(tree: object) -> bytes:
    return json.dumps(tree).encode()


EXAMPLES: list[tuple[str, bytes, str]] = [
    (f"ruuvi/AA:AA:AA:AA:AA:AA/{TAG}", sent(HEARD), "ruuvi"),
    ("ruuvi/gw/data", sent({"data": SEVERAL}), "ruuvi"),
    ("elsewhere", sent(HEARD), "ruuvi"),
    ("elsewhere", sent(DECODED), "ruuvi"),
    ("elsewhere", sent({"data": SEVERAL}), "ruuvi"),
    ("elsewhere", sent(SEVERAL), "ruuvi"),
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


OTHERS: list[tuple[str, object]] = [
    ("ruuvi/attic/temperature", 21.5),
    ("ruuvi/attic/state", {"temperature": 21.5, "data": "ok"}),
    ("x", {"data": {"temperature": 21.5}}),
    ("x", {"gw_mac": "AA:AA:AA:AA:AA:AA", "temperature": 21.5}),
    ("x", {"data": VALID}),
]


@pytest.mark.parametrize(("topic", "tree"), OTHERS)
def test_what_other_people_say_is_not_taken(topic: str, tree: object) -> None:
    assert recognise(topic, sent(tree)).name in ("json", "plain")


@pytest.mark.parametrize(("data", "values", "address"), VECTORS, ids=lambda v: str(v)[:24])
def test_the_published_vectors_are_read(data: str, values: dict[str, float], address: str) -> None:
    found, mac = advertisement(data)
    assert mac == address
    assert {name: found[name] for name in values} == pytest.approx(values)
    if len(values) != 2:  # noqa: PLR2004  all of them
        assert set(found) == set(values)


@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_the_device_is_the_tag_at_its_own_time(topic: str, payload: bytes, _name: str) -> None:
    (reading,) = laws.readings(topic, payload)
    assert (reading.device, reading.time, reading.position) == (TAG, T, None)
    channels = dict(zip(reading.channels, reading.values, strict=True))
    assert channels["temperature"] == pytest.approx(24.3)
    assert channels["acceleration_z"] == pytest.approx(1.036 * 9.80665)
    assert channels["rssi"] == -50


def test_a_tag_without_a_time_has_none() -> None:
    ((device, time, _),) = told(f"ruuvi/gw/{TAG}", {"gw_mac": "a", "cnt": "338", "data": VALID})
    assert (device, time) == (TAG, None)


def test_what_is_decoded_already_counts_once() -> None:
    tag = {"data": VALID, "temperature": 24.3, "accelX": 0.004, "timestamp": 1700000000}
    ((_, _, channels),) = told("ruuvi/gw/data", {"gw_mac": "x", "tags": {TAG: tag}})
    assert len(channels) == len(READ | TILTED)
    ((_, _, channels),) = told("ruuvi/gw/data", {"data": {"tags": {TAG: {"temperature": 20.5}}}})
    assert channels == {"temperature": 20.5}


def test_an_air_sensor_is_read_from_its_json_as_from_its_bytes() -> None:
    tag = {"dataFormat": 225, "temperature": 29.5, "humidity": 55.3, "pressure": 101_102}
    tag |= {"PM1.0": 10.1, "PM2.5": 11.2, "PM4.0": 121.3, "PM10.0": 455.4, "CO2": 201, "VOC": 20}
    tag |= {"NOx": 4, "luminosity": 13027, "measurementSequenceNumber": 14_601_710}
    tags = {TAG: {"data": VALID_E1}, AIR: tag}
    one, two = told("ruuvi/gw/data", {"data": {"gw_mac": "x", "tags": tags}})
    assert (one[0], two[0]) == (TAG, AIR)
    assert one[2] == pytest.approx(two[2])


def test_each_field_that_is_dropped_is_told() -> None:
    message = laws.message("ruuvi/gw/tag", sent(HEARD | {"luminosity": None}))
    notes = {e.path: e.note for e in Normaliser(()).explain(message).fields if not e.name}
    assert set(notes) == {"gw_mac", "aoa", "gwts", "coords", "luminosity"}
    assert notes["coords"] == "the position of the gateway"


@pytest.mark.parametrize("data", ["", "zz", "0201", VALID[:30], "FF9904", "FF990405", 5, None, []])
def test_other_advertisements_are_ignored(data: object) -> None:
    found = outcome("ruuvi/gw/tag", {"gw_mac": "a", "data": data, "rssi": -50})
    assert found == Ignored("ruuvi", "no advertisement of a Ruuvi tag")


def test_the_state_of_a_gateway_is_ignored() -> None:
    found = outcome("ruuvi/AA:AA:AA:AA:AA:AA/gw_status", {"state": "offline"})
    assert found == Ignored("ruuvi", "the state of the gateway")


def test_many_tags_are_cheap_and_too_many_are_refused() -> None:
    tags = {f"CB:B8:33:4C:{n // 256:02X}:{n % 256:02X}": {"data": VALID} for n in range(MAX_TAGS)}
    payload = sent({"data": {"gw_mac": "x", "tags": tags}})
    laws.is_cheap("ruuvi/gw/data", payload)
    assert len(laws.readings("ruuvi/gw/data", payload)) == MAX_TAGS
    letter = outcome("ruuvi/gw/data", {"tags": tags | {"x": {}}})
    assert isinstance(letter, DeadLetter)
    assert letter.path == "tags"


@given(st.binary(max_size=45), st.sampled_from(["05", "03", "06", "E1", "C5", ""]))
def test_any_advertisement_ends_well(body: bytes, kind: str) -> None:
    for data in (heard(kind + body.hex()), kind + body.hex()):
        laws.ends_well("ruuvi/gw/tag", sent({"gw_mac": "a", "data": data}))


@given(st.sampled_from(EXAMPLES), st.integers(0, 300), st.binary(min_size=1, max_size=3))
def test_changed_bytes_end_well(example: tuple[str, bytes, str], at: int, more: bytes) -> None:
    topic, payload, _ = example
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])
