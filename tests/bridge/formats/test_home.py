"""Zigbee2MQTT, Homie and Home Assistant: values in their units; no commands, no discovery."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import T, outcome, told

CLIMATE = b'{"battery":90,"voltage":2995,"temperature":21.5,"humidity":40.25,"pressure":995,"linkquality":120,"last_seen":"2023-11-14T22:13:20.000Z"}'  # noqa: E501
SENSOR = b'{"name":"Attic","state_topic":"attic/t","unique_id":"attic_t","unit_of_measurement":"C","qos":1}'  # noqa: E501
SHORT = b'{"name":"Attic","stat_t":"attic/t","uniq_id":"attic_t","exp_aft":60}'
DEVICE = b'{"dev":{"ids":"a1"},"o":{"name":"bridge"},"cmps":{"t":{"p":"sensor"}},"qos":1}'
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("zigbee2mqtt/living room/window", CLIMATE, "zigbee2mqtt"),
    ("z2m/attic", b'{"energy":1.5,"power":40,"voltage":230,"linkquality":80}', "zigbee2mqtt"),
    ("zigbee2mqtt/attic/pressure", b"995", "zigbee2mqtt"),
    ("zigbee2mqtt/bridge/state", b'{"state":"online"}', "zigbee2mqtt"),
    ("homie/attic/climate/temperature", b"21.5", "homie"),
    ("homie/5/attic/climate/mode", b"heat", "homie"),
    ("homie/5/attic/climate/set-point", b'{"day":21,"night":17}', "homie"),
    ("homeassistant/sensor/attic_temperature/state", b"21.5", "homeassistant"),
    ("homeassistant/sensor/attic_temperature/config", SENSOR, "homeassistant"),
    ("discovery/sensor/attic/config", SHORT, "homeassistant"),
    ("discovery/device/attic/config", DEVICE, "homeassistant"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_homes_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_homes_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


def test_zigbee2mqtt_says_when_a_device_was_seen_and_names_it_by_the_topic() -> None:
    assert told("zigbee2mqtt/living room/window", CLIMATE) == [
        (
            "zigbee2mqtt/living room/window",
            T,
            {
                "battery": 90,
                "battery_voltage": 2.995,
                "humidity": 40.25,
                "linkquality": 120,
                "pressure": 99500,
                "temperature": 21.5,
            },
        )
    ]


EXPOSED: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"voltage": 3000}, {"battery_voltage": 3}),
    ({"voltage": 231.5, "current": 0.5, "power": 115}, {"voltage": 231.5, "current": 0.5, "power": 115}),  # noqa: E501
    ({"voltage": 3.1, "battery": 90}, {"voltage": 3.1, "battery": 90}),
    ({"energy": 2, "produced_energy": 1, "energy_l2": 3}, {"energy": 7.2e6, "produced_energy": 3.6e6, "energy_l2": 10.8e6}),  # noqa: E501
    ({"illuminance": 12000, "illuminance_lux": 16}, {"illuminance": 16}),
    ({"illuminance": 16}, {"illuminance": 16}),
    ({"pm25": 7, "voc": 150, "formaldehyd": 0.05, "co2": 600}, {"pm2_5": 7, "voc": 0.15, "formaldehyde": 50, "co2": 600}),  # noqa: E501
    ({"local_temperature": 20.5, "occupied_heating_setpoint": 21, "pi_heating_demand": 30}, {"local_temperature": 20.5, "occupied_heating_setpoint": 21, "pi_heating_demand": 30}),  # noqa: E501
    ({"position": 70, "angle_x": 4, "soil_moisture": 33}, {"position": 70, "angle_x": 4, "moisture": 33}),  # noqa: E501
    ({"color_temp": 250, "color": {"x": 0.3, "y": 0.4}}, {"color_mired": 250, "color.x": 0.3, "color.y": 0.4}),  # noqa: E501
    ({"contact": True, "update_available": False, "update": {"state": "idle", "installed_version": 3}}, {"contact": 1}),  # noqa: E501
    ({"temperature": 3, "device": {"ieeeAddr": "0x1", "networkAddress": 7}}, {"temperature": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("state", "expected"), EXPOSED, ids=[next(iter(e[0])) for e in EXPOSED])
def test_units_are_those_that_zigbee2mqtt_exposes(
    state: dict[str, Any], expected: dict[str, float]
) -> None:
    ((device, _, channels),) = told("zigbee2mqtt/a", state)
    assert device == "zigbee2mqtt/a"
    assert channels == pytest.approx(expected)


def test_an_attribute_may_have_a_topic_of_its_own() -> None:
    assert told("zigbee2mqtt/attic/pressure", b"995") == [
        ("zigbee2mqtt/attic", None, {"pressure": 99500})
    ]


PROPERTIES = [
    ("homie/attic/climate/temperature", b"21.5", {"climate.temperature": 21.5}),
    ("homie/5/attic/climate/temperature", b"21.5", {"climate.temperature": 21.5}),
    ("homie/attic/lamp/on", b"true", {"lamp.on": 1}),
    ("homie/attic/climate/set-points", b'{"day":21}', {"climate.set_points.day": 21}),
]


@pytest.mark.parametrize(("topic", "payload", "expected"), PROPERTIES)
def test_the_topic_names_a_property_of_homie(
    topic: str, payload: bytes, expected: dict[str, float]
) -> None:
    assert told(topic, payload) == [("homie/attic", None, expected)]


@pytest.mark.parametrize(("payload", "word"), [(b"heat", "heat"), (b"255,128,0", "255,128,0")])
def test_enumerations_and_colors_are_states(payload: bytes, word: str) -> None:
    (reading,) = laws.readings("homie/attic/lamp/look", payload)
    assert (reading.channels, reading.states, reading.state_values) == ((), ("lamp.look",), (word,))


def test_a_state_of_home_assistant_is_its_entity() -> None:
    assert told("homeassistant/sensor/attic_temperature/state", b"21.5") == [
        ("homeassistant/sensor/attic_temperature", None, {"attic_temperature": 21.5})
    ]
    both = {"temperature": 21.5, "humidity": 40}
    assert told("homeassistant/sensor/attic/state", both)[0][2] == both


NOTHING = [
    ("zigbee2mqtt/bridge/devices", b"[]"),
    ("zigbee2mqtt/bridge/logging", b'{"level":"info","message":"x","n":5}'),
    ("zigbee2mqtt/living room/window/availability", b'{"state":"online"}'),
    ("zigbee2mqtt/lamp/set", b'{"brightness":200}'),
    ("zigbee2mqtt/lamp/set/brightness", b"200"),
    ("zigbee2mqtt/lamp/get", b'{"state":""}'),
    ("zigbee2mqtt/lamp", b""),
    ("homie/attic/$state", b"ready"),
    ("homie/attic/climate/temperature/$unit", "°C".encode()),
    ("homie/$broadcast/alert", b"5"),
    ("homie/5/attic/$description", b'{"version":1}'),
    ("homie/5/attic/lamp/brightness/$target", b"70"),
    ("homie/attic/lamp/brightness/set", b"70"),
    ("homie/5/attic/lamp/brightness/set", b"70"),
    ("homie/attic/lamp/since", b"2023-11-14T22:13:20Z"),
    ("homie/attic/lamp/for", b"PT1H30M"),
    ("homie/attic/lamp/look", b"\0"),
    ("homeassistant/status", b"online"),
    ("homeassistant/switch/lamp/one/config", b""),
    ("homeassistant/sensor/attic_temperature/unit_of_measurement", b'"C"'),
    ("homeassistant/sensor/attic_temperature/last_changed", b"2023-11-14T22:13:20Z"),
    ("homeassistant/sensor/attic_temperature/state", b"unavailable"),
]


@pytest.mark.parametrize(("topic", "payload"), NOTHING)
def test_what_measures_nothing_is_ignored(topic: str, payload: bytes) -> None:
    assert isinstance(outcome(topic, payload), Ignored)


OTHERS = [
    ("x", {"device": "a", "origin": "b", "components": 3, "temp": 4}, {"components": 3}),
    ("x", {"state_topic": "a", "unique_id": 5, "temp": 4}, {"unique_id": 5}),
    ("homeassistant/sensor/attic/power", 5, {"power": 5}),
]


@pytest.mark.parametrize(("topic", "sent", "expected"), OTHERS)
def test_messages_of_others_are_read_as_they_are(
    topic: str, sent: object, expected: dict[str, float]
) -> None:
    channels = told(topic, sent)[0][2]
    assert {key: channels[key] for key in expected} == expected


def test_a_list_is_no_state_of_a_zigbee_device() -> None:
    assert isinstance(outcome("zigbee2mqtt/a", json.dumps([1]).encode()), DeadLetter)
