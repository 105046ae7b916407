"""Trackers that speak JSON: where they are, and in whose units they say how fast."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeadLetter, Quality, Reading
from bridge.formats import recognise
from bridge.normalise import Ignored, Normaliser
from tests import laws

T = 1_704_067_200_000_000  # us, 2024-01-01T00:00:00Z
S = 1_000_000  # us
FIX = {
    "id": 5,
    "deviceId": 7,
    "protocol": "osmand",
    "serverTime": "2024-01-01T00:00:09.000+00:00",
    "deviceTime": "2024-01-01T00:00:02.000+00:00",
    "fixTime": "2024-01-01T00:00:00.000+00:00",
    "outdated": False,
    "valid": True,
    "latitude": 48.1,
    "longitude": 11.5,
    "altitude": 500.0,
    "speed": 10.0,
    "course": 90.0,
    "address": "Marienplatz 1",
    "accuracy": 4.0,
    "network": {"cellTowers": [{"cellId": 1}]},
    "attributes": {
        "battery": 3.9,
        "batteryLevel": 80,
        "hours": 3_600_000,
        "ignition": True,
        "power": 12.5,
        "rssi": 22,
        "temp1": 4.5,
        "totalDistance": 5000,
    },
}
FORWARDED = {"position": FIX, "device": {"id": 7, "name": "Van", "uniqueId": "352093081429150"}}
AVL = {
    "ts": 1704067200000,
    "latlng": "48.1,11.5",
    "alt": 500,
    "ang": 90,
    "sp": 36,
    "sat": 9,
    "evt": 0,
    "pr": 0,
    "16": 81720,
    "66": 12117,
    "72": 215,
    "73": 3000,
    "239": 1,
    "999": 5,
}
REPORTED = {"state": {"reported": AVL}}
PLACED = {
    "type": "position",
    "from": 2130636288,
    "to": 4294967295,
    "sender": "!a1b2c3d4",
    "id": 5,
    "channel": 0,
    "timestamp": 1704067203,
    "rssi": -50,
    "snr": 6.5,
    "payload": {
        "latitude_i": 481000000,
        "longitude_i": 115000000,
        "altitude": 500,
        "ground_speed": 36,
        "ground_track": 9000000,
        "PDOP": 182,
        "sats_in_view": 9,
        "precision_bits": 32,
        "time": 1704067200,
    },
}
MESH = "msh/EU_868/2/json/LongFast/!a1b2c3d4"
PUI = {
    "id": "015262001044000",
    "ts": "2024-01-01T00:00:00.000Z",
    "rpt": "hf",
    "location": {"lat": 48.1, "lon": 11.5},
    "bear": 90,
    "spd": 1000,
    "ign": "on",
}
WALK = {
    "type": "Feature",
    "geometry": {"type": "Point", "coordinates": [11.5, 48.1]},
    "properties": {
        "timestamp": "2024-01-01T00:00:00Z",
        "device_id": "phone",
        "speed": 10,
        "course": -1,
        "altitude": -5,
        "horizontal_accuracy": 4,
        "vertical_accuracy": -1,
        "battery_level": 0.8,
        "motion": ["driving"],
    },
}
APP = {
    "device_id": "123456",
    "location": {
        "timestamp": "2024-01-01T00:00:00.000Z",
        "coords": {"latitude": 48.1, "longitude": 11.5, "speed": 10, "heading": 90, "accuracy": 4},
        "is_moving": True,
        "odometer": 1234.5,
        "battery": {"level": 0.8, "is_charging": False},
        "activity": {"type": "walking", "confidence": 100},
    },
}
FLESPI = {
    "ident": "352093081429150",
    "timestamp": 1704067200.0,
    "server.timestamp": 1704067209.5,
    "device.id": 5,
    "position.latitude": 48.1,
    "position.longitude": 11.5,
    "position.altitude": 500,
    "position.speed": 36,
    "position.direction": 90,
    "position.valid": True,
    "battery.level": 80,
    "external.powersource.voltage": 12.5,
}
SENT: list[tuple[str, dict[str, Any], str]] = [
    ("traccar/positions", FORWARDED, "traccar_json"),
    ("traccar/positions", FIX, "traccar_json"),
    ("352093081429150/data", REPORTED, "teltonika_json"),
    ("$aws/things/van-7/shadow/update", REPORTED, "teltonika_json"),
    (MESH, PLACED, "meshtastic"),
    ("mesh/json", PLACED, "meshtastic"),
    ("pui/device", PUI, "pui"),
    ("phones/jane", {"locations": [WALK]}, "overland"),
    ("phones/jane", APP, "traccar_client"),
    ("flespi/message/gw/devices/5", FLESPI, "flespi"),
]
EXAMPLES = [(topic, json.dumps(tree).encode(), name) for topic, tree, name in SENT]
NUMBERED = [f"{name}-{i}" for i, (*_, name) in enumerate(EXAMPLES)]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES, ids=NUMBERED)
def test_the_trackers_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES, ids=NUMBERED)
def test_the_trackers_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


def one(topic: str, payload: object) -> Reading:
    (reading,) = laws.readings(topic, payload)
    return reading


def values(reading: Reading) -> dict[str, float]:
    return dict(zip(reading.channels, reading.values, strict=True))


def ignored(topic: str, payload: object) -> str:
    whole = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    outcome = Normaliser(())(laws.message(topic, whole))
    assert isinstance(outcome, Ignored), outcome
    return outcome.reason


MOVING = {"speed": 10, "course": 90}
DEVICES = ["352093081429150", "7", "352093081429150", "van-7", "!7efeee00", "!7efeee00"]
DEVICES += ["015262001044000", "phone", "123456", "352093081429150"]


@pytest.mark.parametrize(
    ("topic", "tree", "device"),
    [(topic, tree, device) for (topic, tree, _), device in zip(SENT, DEVICES, strict=True)],
    ids=NUMBERED,
)
def test_each_says_who_where_when_and_how_fast(topic: str, tree: object, device: str) -> None:
    reading = one(topic, tree)
    assert (reading.device, reading.time) == (device, T)
    spot = reading.position
    assert spot is not None
    assert (spot.lat, spot.lon) == (48.1, 11.5)
    assert spot.speed == pytest.approx(5.144444 if "traccar/" in topic else 10)
    assert spot.course == (None if tree == {"locations": [WALK]} else 90)


def test_the_attributes_of_traccar_have_its_units() -> None:
    assert values(one("x", FORWARDED)) == pytest.approx(
        {
            "accuracy": 4,
            "altitude": 500,
            "battery": 80,
            "battery_voltage": 3.9,
            "course": 90,
            "external_voltage": 12.5,
            "hours": 3600,
            "ignition": 1,
            "signal": 22,
            "speed": 5.144444,
            "temperature_1": 4.5,
            "total_distance": 5000,
        }
    )


@pytest.mark.parametrize("void", [{"valid": False}, {"outdated": True}])
def test_a_void_fix_is_no_position(void: dict[str, bool]) -> None:
    reading = one("x", FORWARDED | {"position": FIX | void})
    assert reading.position is None
    assert (reading.time, reading.device) == (T + 2 * S, "352093081429150")
    assert {"speed", "course", "altitude", "accuracy"}.isdisjoint(reading.channels)
    assert values(reading)["battery"] == 80
    assert ignored("x", FORWARDED | {"position": FIX | void | {"attributes": {}}})


def test_an_accuracy_of_zero_is_none() -> None:
    assert "accuracy" not in one("x", FORWARDED | {"position": FIX | {"accuracy": 0.0}}).channels


def test_an_event_of_traccar_is_measured_where_it_has_a_position() -> None:
    event = {"event": {"type": "deviceOnline", "eventTime": "2024-01-01T00:00:00Z"}}
    device = {"device": FORWARDED["device"]}
    assert ignored("x", event | device) == "only positions are measurements"
    assert one("x", event | FORWARDED).position is not None


def test_the_elements_of_teltonika_are_known_by_their_numbers() -> None:
    assert values(one("352093081429150/data", REPORTED)) == pytest.approx(
        {
            "altitude": 500,
            "avl_999": 5,
            "course": 90,
            "external_voltage": 12.117,
            "ignition": 1,
            "odometer": 81720,
            "satellites": 9,
            "speed": 10,
            "temperature_1": 21.5,
        }
    )


def test_without_a_fix_teltonika_says_no_speed() -> None:
    void = {"state": {"reported": AVL | {"latlng": "0.000000,0.000000"}}}
    reading = one("fleet/352093081429150/data", void)
    assert (reading.position, reading.device) == (None, "352093081429150")
    assert {"altitude", "course", "speed"}.isdisjoint(reading.channels)
    assert ignored("x", {"state": {"desired": {"latlng": "1,1"}, "reported": {}}})


def test_of_the_documents_of_a_shadow_the_current_one_counts() -> None:
    documents = {"previous": {}, "current": REPORTED, "timestamp": 1704067209}
    assert one("$aws/things/van-7/shadow/update/documents", documents).time == T


def test_meshtastic_scales_course_and_precision() -> None:
    assert values(one(MESH, PLACED)) == pytest.approx(
        MOVING | {"altitude": 500, "pdop": 1.82, "rssi": -50, "satellites": 9, "snr": 6.5}
    )


TELEMETRY: list[tuple[dict[str, float], dict[str, float]]] = [
    (
        {"battery_level": 80, "voltage": 4.1, "air_util_tx": 0.5, "uptime_seconds": 60},
        {"battery": 80, "voltage": 4.1, "air_util_tx": 0.5, "uptime": 60},
    ),
    ({"battery_level": 101}, {"externally_powered": 1}),
    (
        {"temperature": 21.5, "relative_humidity": 40, "barometric_pressure": 1013},
        {"temperature": 21.5, "humidity": 40, "pressure": 101300},
    ),
    ({"lux": 80, "wind_speed": 3, "wind_direction": 90, "iaq": 5}, {}),
    ({"pm10": 1, "pm25": 2, "pm100": 3}, {"pm1": 1, "pm2_5": 2, "pm10": 3}),
    ({"voltage_ch1": 5, "current_ch1": 20}, {"voltage_ch1": 5, "current_ch1": 0.02}),
]


@pytest.mark.parametrize(("sent", "expected"), TELEMETRY)
def test_telemetry_of_the_mesh_has_units(
    sent: dict[str, float], expected: dict[str, float]
) -> None:
    packet = {"type": "telemetry", "from": -2164331008, "timestamp": 1704067200, "payload": sent}
    reading = one(MESH, packet)
    assert (reading.device, reading.time) == ("!7efeee00", T)
    lit = {"illuminance": 80, "wind_speed": 3, "wind_direction": 90, "iaq": 5}
    assert values(reading) == pytest.approx(expected or lit)


@pytest.mark.parametrize("times", [{"time": 5}, {}])
def test_a_node_without_a_clock_has_the_time_of_the_gateway_or_none(times: dict[str, int]) -> None:
    inner = {"latitude_i": 481000000, "longitude_i": 115000000} | times
    assert one(MESH, PLACED | {"payload": inner}).time == T + 3 * S
    assert one(MESH, PLACED | {"payload": inner, "timestamp": 0}).quality & Quality.TIME_ESTIMATED


def test_zero_is_no_position_of_a_node() -> None:
    assert ignored(MESH, PLACED | {"payload": {"latitude_i": 0, "longitude_i": 0}})


@pytest.mark.parametrize("kind", ["text", "nodeinfo", "neighborinfo", "traceroute", "waypoint", ""])
def test_what_else_nodes_say_is_no_measurement(kind: str) -> None:
    reason = "only positions and telemetry are measurements"
    assert ignored(MESH, PLACED | {"type": kind}) == reason


@pytest.mark.parametrize(
    "topic",
    [
        "msh/2/c/LongFast/!a1b2c3d4",
        "msh/US/bay/area/2/e/LongFast/!a1b2c3d4",
        "msh/2/stat/!a1b2c3d4",
        "msh/US/2/map/",
    ],
)
def test_what_is_encrypted_or_protobuf_is_not_read(topic: str) -> None:
    assert ignored(topic, b"\n\x10\x0d\x00\xff") == "encrypted, protobuf or the state of a gateway"


def test_a_packet_is_an_object() -> None:
    outcome = Normaliser(())(laws.message(MESH, b"[1]"))
    assert isinstance(outcome, DeadLetter)
    assert outcome.expected == "a JSON object"


def test_speed_in_centimetres_and_words_of_a_tracker() -> None:
    reading = one("x", PUI)
    assert values(reading) == pytest.approx(MOVING)
    assert (reading.states, reading.state_values) == (("ignition",), ("on",))


def test_phones_say_minus_one_for_what_they_do_not_know() -> None:
    expected = {"accuracy": 4, "altitude": -5, "battery": 80, "speed": 10}
    assert values(one("x", {"locations": [WALK]})) == pytest.approx(expected)
    later = json.loads(json.dumps(WALK))
    later["properties"]["timestamp"] = "2024-01-01T00:00:05Z"
    found = laws.readings("x", {"locations": [WALK, later]})
    assert [(reading.device, reading.time) for reading in found] == [
        ("phone", T),
        ("phone", T + 5 * S),
    ]


def test_the_battery_of_an_app_is_a_ratio() -> None:
    more = {"charging": 0, "is_moving": 1, "odometer": 1234.5}
    expected = MOVING | {"accuracy": 4, "activity.confidence": 100, "battery": 80} | more
    assert values(one("x", APP)) == pytest.approx(expected)


def test_the_parameters_of_flespi_have_its_units() -> None:
    expected = MOVING | {"altitude": 500, "battery": 80, "external_voltage": 12.5}
    found = values(one("x", FLESPI))
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert one("x", FLESPI | {"position.valid": False}).position is None


def test_plain_json_of_others_stays_plain() -> None:
    for tree in (
        {"from": "a", "sender": "b", "payload": {"t": 5}},
        {"device": "a", "position": {"lat": 48.1, "lon": 11.5}},
        {"event": "door", "device": "a"},
        {"location": {"lat": 48.1, "lon": 11.5}, "device_id": "a"},
        {"locations": [{"lat": 48.1, "lon": 11.5}]},
        {"state": {"reported": {"t": 5}}},
    ):
        assert recognise("home/attic", json.dumps(tree).encode()).name == "json"


HUGE = [
    (MESH, PLACED | {"payload": {f"k{i}": i for i in range(5000)}}),
    ("x", REPORTED | {"state": {"reported": AVL | {str(i): i for i in range(5000)}}}),
    ("x", FORWARDED | {"position": FIX | {f"k{i}": i for i in range(5000)}}),
    ("x", {"locations": [WALK] * 200}),
]


@pytest.mark.parametrize(("topic", "tree"), HUGE, ids=range(len(HUGE)))
def test_huge_messages_end_well_and_cheaply(topic: str, tree: object) -> None:
    payload = json.dumps(tree).encode()
    laws.ends_well(topic, payload)
    laws.is_cheap(topic, payload)
