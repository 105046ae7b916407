"""Shelly: states of components in their units, bare values by their topic, and no events."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.formats import recognise
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import T, outcome, told

SWITCH = {
    "id": 0,
    "source": "init",
    "output": True,
    "apower": 12.5,
    "voltage": 231,
    "current": 0.25,
    "pf": 0.5,
    "freq": 50,
    "aenergy": {"total": 5, "by_minute": [1, 2, 3], "minute_ts": 1700000000},
    "ret_aenergy": {"total": 1},
    "temperature": {"tC": 40.5, "tF": 104.9},
}


def notified(components: dict[str, Any], method: str = "NotifyStatus") -> bytes:
    params = {"ts": 1700000000.0} | components
    frame = {"src": "shellyplus1pm-a8032abe54dc", "dst": "x/events", "method": method}
    return json.dumps(frame | {"params": params}).encode()


INFO = {
    "wifi_sta": {"connected": True, "ssid": "home", "ip": "192.0.2.7", "rssi": -62},
    "unixtime": 1700000000,
    "time": "23:13",
    "mac": "A4CF12F454A3",
    "relays": [{"ison": True, "has_timer": False}],
    "meters": [{"power": 5.5, "is_valid": True, "timestamp": 1700003600, "total": 600}],
    "emeters": [{"power": 7, "voltage": 230, "is_valid": True, "total": 2, "total_returned": 1}],
    "tmp": {"value": 38.5, "units": "C", "tC": 38.5, "tF": 101.3, "is_valid": True},
    "hum": {"value": 999, "is_valid": False},
    "bat": {"value": 99, "voltage": 2.9},
}
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("shellyplus1pm-a8032abe54dc/events/rpc", notified({"switch:0": SWITCH}), "shelly_gen2"),
    ("bridged", notified({"temperature:0": {"id": 0, "tC": 21.5, "tF": 70.7}}), "shelly_gen2"),
    ("home/desk/status/switch:0", json.dumps(SWITCH).encode(), "shelly_gen2"),
    ("shellyplus1-a8032abe54dc/online", b"true", "shelly_gen2"),
    ("shellies/shelly1pm-84CCA8/relay/0/power", b"12.5", "shelly_gen1"),
    ("shellies/shelly1pm-84CCA8/relay/0", b"on", "shelly_gen1"),
    ("shellies/shelly1pm-84CCA8/info", json.dumps(INFO).encode(), "shelly_gen1"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_shellies_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_shellies_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


READ: list[tuple[dict[str, Any], dict[str, float]]] = [
    (
        {"switch:0": SWITCH},
        {
            "switch_0.output": 1,
            "switch_0.power": 12.5,
            "switch_0.voltage": 231,
            "switch_0.current": 0.25,
            "switch_0.power_factor": 0.5,
            "switch_0.frequency": 50,
            "switch_0.energy": 5 * 3600,
            "switch_0.returned_energy": 3600,
            "switch_0.temperature": 40.5,
        },
    ),
    (
        {
            "devicepower:0": {"id": 0, "battery": {"V": 2.9, "percent": 80}},
            "humidity:0": {"id": 0, "rh": 45.5},
            "illuminance:0": {"id": 0, "lux": 120, "illumination": "bright"},
        },
        {
            "devicepower_0.battery_voltage": 2.9,
            "devicepower_0.battery": 80,
            "humidity_0.humidity": 45.5,
            "illuminance_0.illuminance": 120,
        },
    ),
    (
        {
            "em:0": {"id": 0, "a_voltage": 230, "a_act_power": 200, "a_pf": 0.9, "n_current": None},
            "emdata:0": {"id": 0, "a_total_act_energy": 2, "total_act": 3},
            "em1:1": {"id": 1, "act_power": 5, "aprt_power": 6},
        },
        {
            "em_0.a_voltage": 230,
            "em_0.a_act_power": 200,
            "em_0.a_power_factor": 0.9,
            "emdata_0.a_total_act_energy": 7200,
            "emdata_0.total_act": 10800,
            "em1_1.power": 5,
            "em1_1.apparent_power": 6,
        },
    ),
    (
        {
            "sys": {"mac": "A8032ABE54DC", "unixtime": 1700000001, "time": "23:13", "uptime": 9},
            "wifi": {"sta_ip": "192.0.2.7", "ssid": "home", "rssi": -60},
        },
        {"sys.uptime": 9, "wifi.rssi": -60},
    ),
    (
        {
            "cover:0": {"id": 0, "state": "open", "current_pos": 70},
            "number:200": {"value": 21.5, "source": "rpc", "last_update_ts": 1700000000},
            "input:1": {"id": 1, "state": False},
        },
        {"cover_0.position": 70, "number_200": 21.5, "input_1.state": 0},
    ),
]


@pytest.mark.parametrize(("components", "expected"), READ, ids=[next(iter(r[0])) for r in READ])
@pytest.mark.parametrize("method", ["NotifyStatus", "NotifyFullStatus"])
def test_a_notification_is_the_state_of_components(
    method: str, components: dict[str, Any], expected: dict[str, float]
) -> None:
    ((device, time, channels),) = told("x/events/rpc", notified(components, method))
    assert (device, time) == ("shellyplus1pm-a8032abe54dc", T)
    assert channels == pytest.approx(expected)


def test_the_topic_names_a_component_that_speaks_alone() -> None:
    ((device, time, channels),) = told(*EXAMPLES[2][:2])
    assert (device, time) == ("home/desk", None)
    assert channels["switch_0.energy"] == 5 * 3600


def test_an_answer_is_a_state_too() -> None:
    answer = {"id": 1, "src": "shellypro2-0", "dst": "me", "result": {"switch:0": {"apower": 3}}}
    assert told("me/rpc", answer) == [("shellypro2-0", None, {"switch_0.power": 3})]


BARE = [
    ("relay/0/energy", b"120", {"relay.0.energy": 7200}),
    ("emeter/1/total", b"2.5", {"emeter.1.total": 9000}),
    ("emeter/1/reactive_power", b"-3.5", {"emeter.1.reactive_power": -3.5}),
    ("temperature", b"38.5", {"temperature": 38.5}),
    ("sensor/battery", b"88", {"sensor.battery": 88}),
    ("ext_temperature/0", b"-4.25", {"ext_temperature.0": -4.25}),
    ("ext_temperatures", b'{"0":{"hwID":"28ff","tC":22.5,"tF":72.5}}', {"ext_temperatures.0.temperature": 22.5}),  # noqa: E501
    ("sensor/motion", b"true", {"sensor.motion": 1}),
    ("roller/0/pos", b"70", {"roller.0.pos": 70}),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "payload", "expected"), BARE)
def test_the_first_generation_names_values_by_topics(
    topic: str, payload: bytes, expected: dict[str, float]
) -> None:
    assert told(f"shellies/shelly1pm-84CCA8/{topic}", payload) == [
        ("shelly1pm-84CCA8", None, expected)
    ]


def test_the_whole_state_leaves_out_what_is_not_valid() -> None:
    ((device, time, channels),) = told(*EXAMPLES[-1][:2])
    assert (device, time) == ("shelly1pm-84CCA8", T)
    assert channels == {
        "battery": 99,
        "battery_voltage": 2.9,
        "emeters.0.power": 7,
        "emeters.0.total": 7200,
        "emeters.0.total_returned": 3600,
        "emeters.0.voltage": 230,
        "meters.0.power": 5.5,
        "meters.0.total": 36000,
        "relays.0.ison": 1,
        "rssi": -62,
        "temperature": 38.5,
        "wifi_sta.connected": 1,
    }


EVENT = {"events": [{"component": "input:0", "event": "single_push", "ts": 1700000000}]}
NOTHING = [
    ("shellyplusi4-0/events/rpc", notified(EVENT, "NotifyEvent")),
    ("shellyplus1-0/rpc", b'{"id":1,"src":"me","method":"Switch.Set","params":{"on":true}}'),
    ("shellyplus1-0/online", b"false"),
    ("shellies/announce", b'{"id":"shelly1-0","mac":"A4CF12F454A3"}'),
    ("shellies/command", b"announce"),
    ("shellies/shelly1-0/online", b"true"),
    ("shellies/shelly1-0/relay/0/command", b"off"),
    ("shellies/shelly1-0/temperature_f", b"101.3"),
    ("shellies/shelly1-0/input_event/0", b'{"event":"S","event_cnt":2}'),
    ("shellies/shelly1-0/sensor/act_reasons", b'["sensor"]'),
    ("home/desk/status/switch:0", b""),
]


@pytest.mark.parametrize(("topic", "payload"), NOTHING)
def test_what_measures_nothing_is_ignored(topic: str, payload: bytes) -> None:
    assert isinstance(outcome(topic, payload), Ignored)


OTHERS = [
    ("pump/status/main", b'{"id": "p1", "status": "on", "temp": 3}', {"temperature": 3}),
    ("pump/online", b"true", {"online": 1}),
    ("x", b'{"src": "a", "method": "NotifyStatus", "temp": 3}', {"temperature": 3}),
    ("x", b'{"src": "a", "dst": "b", "result": {"temp": 3}}', {"result.temperature": 3}),
]


@pytest.mark.parametrize(("topic", "payload", "expected"), OTHERS)
def test_messages_of_others_are_read_as_they_are(
    topic: str, payload: bytes, expected: dict[str, float]
) -> None:
    assert told(topic, payload)[0][2] == expected
