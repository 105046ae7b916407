"""Theengs, thin-edge.io and rtl_433: what is measured is the device's behind the gateway."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.formats import recognise
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import T, outcome, told

TAG = {
    "brand": "Xiaomi",
    "model": "Mi Jia",
    "model_id": "LYWSDCGQ",
    "type": "THB",
    "tempc": 21.5,
    "tempf": 70.7,
    "hum": 45.5,
    "batt": 62,
    "rssi": -71,
    "id": "a4:c1:38:8f:c8:a7",
}
RADIO = {
    "time": "2024-05-01 12:00:00",
    "model": "Acurite-Tower",
    "id": 11524,
    "channel": "A",
    "battery_ok": 1,
    "temperature_C": -3.25,
    "wind_avg_km_h": 36,
    "rain_mm": 5,
    "mic": "CHECKSUM",
}
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("home/gate/BTtoMQTT/A4C1388FC8A7", json.dumps(TAG).encode(), "theengs"),
    ("elsewhere", json.dumps(TAG | {"name": "ATC"}).encode(), "theengs"),
    ("te/device/main///m/environment", b'{"time":"2023-11-14T22:13:20Z","temperature":21.5}', "thin_edge"),  # noqa: E501
    ("te/device/pump/service/app/m/", b'{"time":1700000000,"flow":{"in":1,"out":2}}', "thin_edge"),
    ("te/device/main///a/hot", b'{"text":"hot","severity":"major"}', "thin_edge"),
    ("tedge/measurements/pump", b'{"temperature":21.5}', "thin_edge"),
    ("rtl_433/attic/events", json.dumps(RADIO).encode(), "rtl_433"),
]  # fmt: skip


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_gateways_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_gateways_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


@pytest.mark.parametrize(
    ("topic", "sent", "device"),
    [
        ("home/gate/BTtoMQTT/X", {"id": "a4:c1:38:8f:c8:a7"}, "A4:C1:38:8F:C8:A7"),
        ("home/gate/BTtoMQTT/X", {"mac": "A4:C1:38:8F:C8:A7"}, "A4:C1:38:8F:C8:A7"),
        ("home/gate/BTtoMQTT/A4C1388FC8A7", {}, "A4:C1:38:8F:C8:A7"),
        ("home/gate/BTtoMQTT/X", {}, "home/gate/BTtoMQTT/X"),
    ],
)
def test_a_tag_is_known_by_its_address(topic: str, sent: dict[str, Any], device: str) -> None:
    assert told(topic, sent | {"batt": 60}) == [(device, None, {"battery": 60})]


TAGS: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"tempc": 20, "tempf": 68, "hum": 45}, {"temperature": 20, "humidity": 45}),
    ({"tempf": 68}, {"temperature": 20}),
    ({"tempc2": 20, "tempf2": 68, "tempc2_dp": 9}, {"temperature_2": 20, "dew_point": 9}),
    ({"pres": 1013, "volt": 3, "lux": 70, "moi": 30, "fer": 200}, {"pressure": 101300, "voltage": 3, "illuminance": 70, "moisture": 30, "fertility": 200}),  # noqa: E501
    ({"type": "TIRE", "pres": 2.5, "count": 1}, {"pressure": 250000}),
    ({"accx": -0.5, "accz": 9.75}, {"acceleration_x": -0.5, "acceleration_z": 9.75}),
    ({"lvl_cm": 11, "lvl_in": 4.33}, {"water_level": 0.11}),
    ({"weight": 100, "unit": "lb"}, {"weight": 45.359237}),
    ({"avg": 2.5, "avgu": "kW", "sum": 2, "sumu": "kWh"}, {"avg": 2500, "sum": 7.2e6}),
    ({"for": 0.08, "co2": 800, "pm25": 5}, {"formaldehyde": 80, "co2": 800, "pm2_5": 5}),
    ({"batt": 60, "time": 7525616, "packet": 3, "major": 1, "acts": True}, {"battery": 60}),
    ({"open": False, "lowbatt": True}, {"open": 0, "lowbatt": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "expected"), TAGS, ids=[next(iter(t[0])) for t in TAGS])
def test_a_tag_is_read_in_the_units_of_its_decoder(
    sent: dict[str, Any], expected: dict[str, float]
) -> None:
    ((_, _, channels),) = told("home/gate/BTtoMQTT/X", sent)
    assert channels == pytest.approx(expected)


def test_thin_edge_names_a_measurement_by_its_type() -> None:
    assert told(*EXAMPLES[2][:2]) == [("te/device/main", T, {"environment.temperature": 21.5})]
    assert told(*EXAMPLES[3][:2]) == [
        ("te/device/pump/service/app", T, {"flow.in": 1, "flow.out": 2})
    ]
    assert told(*EXAMPLES[5][:2]) == [("te/device/pump", None, {"temperature": 21.5})]
    assert told("tedge/measurements", b'{"a":1}') == [("te/device/main", None, {"a": 1})]


def test_the_id_of_a_radio_sensor_is_one_of_its_model() -> None:
    ((device, time, channels),) = told(*EXAMPLES[6][:2])
    assert (device, time) == ("Acurite-Tower/A/11524", None)
    assert channels == pytest.approx(
        {"battery_ok": 1, "rain": 0.005, "temperature": -3.25, "wind_speed": 10}
    )


NOTHING = [
    ("home/gate/BTtoMQTT/A4C1388FC8A7", b""),
    ("home/gate/BTtoMQTT/A4C1388FC8A7", b'{"brand":"Apple","model_id":"AIRPODS","track":true}'),
    ("te/device/main//", b'{"@type":"device"}'),
    ("te/device/main///e/login", b'{"text":"in","n":1}'),
    ("te/device/main///cmd/restart/1", b'{"status":"init","n":1}'),
    ("te/device/main///m/environment/meta", b'{"temperature":{"unit":"C","max":5}}'),
    ("te/device/main///twin/os", b'{"version":12}'),
    ("te/device/main/service/app/status/health", b'{"status":"up","time":1700000000}'),
    ("te/device/main///m/environment", b""),
    ("tedge/alarms/major/hot", b'{"text":"hot","n":1}'),
    ("te/errors", b"Invalid JSON"),
    ("tedge/health/app", b'{"pid":5}'),
]


@pytest.mark.parametrize(("topic", "payload"), NOTHING)
def test_what_measures_nothing_is_ignored(topic: str, payload: bytes) -> None:
    assert isinstance(outcome(topic, payload), Ignored)
