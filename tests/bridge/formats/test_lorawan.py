"""LoRaWAN network servers: decoded payloads, and everything that is a gateway's."""

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
GATEWAY = {"gateway_id": "roof", "rssi": -57, "snr": 9.5}
IDS = {"device_id": "meter-7", "application_ids": {"application_id": "farm"}, "dev_eui": "A1"}
UP = "v3/farm@ttn/devices/meter-7/up"


def stack(**uplink: Any) -> dict[str, Any]:
    """An uplink of The Things Stack."""
    radio = {
        "f_port": 2,
        "frm_payload": "AQI=",
        "rx_metadata": [GATEWAY | {"location": {"latitude": 1.0, "longitude": 2.0}}],
        "settings": {"frequency": "868100000", "data_rate": {"lora": {"spreading_factor": 7}}},
        "received_at": "2024-01-01T00:00:00.000000001Z",
    }
    return {
        "end_device_ids": IDS,
        "received_at": "2024-01-01T00:00:05Z",
        "uplink_message": radio | uplink,
    }


INFO = {"applicationId": "17c8", "deviceName": "probe", "devEui": "A8404101020304FF"}
EVENT = {"deduplicationId": "3ac7", "time": "2024-01-01T00:00:00+00:00", "deviceInfo": INFO}
HEARD = {"rxInfo": [{"gatewayId": "0016", "rssi": -36, "location": {"latitude": 1}}], "fPort": 1}
CHIRP = "application/17c8/device/a8404101020304ff/event/"
CHIRP3 = {
    "applicationID": "5",
    "deviceName": "probe",
    "devEUI": "a8404101020304ff",
    "rxInfo": [{"gatewayID": "0016", "time": "2024-01-01T00:00:00Z", "loRaSNR": 9}],
    "data": "AQI=",
}
TTN2 = {
    "app_id": "farm",
    "dev_id": "meter-7",
    "hardware_serial": "A8404101020304FF",
    "payload_raw": "AQI=",
    "payload_fields": {"temperature": 21.5},
    "metadata": {
        "time": "2024-01-01T00:00:00Z",
        "gateways": [{"gtw_id": "roof", "latitude": 1, "longitude": 2}],
        "latitude": 48.1,
        "longitude": 11.5,
        "altitude": 500,
    },
}
HELIUM = {
    "dev_eui": "A8404101020304FF",
    "decoded": {"payload": {"temperature": 21.5}, "status": "success"},
    "hotspots": [{"id": "h", "lat": 1, "long": 2, "rssi": -50}],
    "reported_at": 1704067200000,
    "payload": "AQI=",
}
SENT: list[tuple[str, dict[str, Any], str]] = [
    (UP, stack(decoded_payload={"temperature": 21.5, "leaf": [1, {"wet": 0.5}]}), "ttn_v3"),
    ("lora/up", stack(decoded_payload={"temperature": 21.5}), "ttn_v3"),
    ("lora/up", stack(normalized_payload=[{"air": {"pressure": 1013}}]), "ttn_v3"),
    (CHIRP + "up", EVENT | HEARD | {"object": {"temperature": 21.5}}, "chirpstack_v4"),
    ("lora/up", EVENT | HEARD | {"object": {"barometer": {"1": 1013}}}, "chirpstack_v4"),
    (CHIRP + "status", EVENT | {"margin": 10, "batteryLevel": 88.3}, "chirpstack_v4"),
    (CHIRP + "up", CHIRP3 | {"objectJSON": '{"temperature": 21.5}'}, "chirpstack_v3"),
    ("farm/devices/meter-7/up", TTN2, "ttn_v2"),
    ("helium/probe/rx", HELIUM, "helium"),
]
EXAMPLES = [(topic, json.dumps(sent).encode(), name) for topic, sent, name in SENT]
NUMBERED = [f"{name}-{i}" for i, (*_, name) in enumerate(EXAMPLES)]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES, ids=NUMBERED)
def test_the_servers_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES, ids=NUMBERED)
def test_the_servers_are_recognised_by_topic_or_payload(
    topic: str, payload: bytes, name: str
) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=150, deadline=None)
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


def ignored(topic: str, payload: object) -> Ignored:
    outcome = Normaliser(())(laws.message(topic, json.dumps(payload).encode()))
    assert isinstance(outcome, Ignored), outcome
    return outcome


READ: list[tuple[str, object, str, dict[str, float]]] = [
    (*SENT[0][:2], "farm/meter-7", {"leaf.0": 1, "leaf.2.wet": 0.5, "temperature": 21.5}),
    (*SENT[1][:2], "farm/meter-7", {"temperature": 21.5}),
    (*SENT[2][:2], "farm/meter-7", {"air.pressure": 101300}),
    (*SENT[3][:2], "a8404101020304ff", {"temperature": 21.5}),
    (*SENT[4][:2], "a8404101020304ff", {"barometer.1": 101300}),
    (*SENT[5][:2], "a8404101020304ff", {"battery": 88.3, "margin": 10}),
    (*SENT[6][:2], "a8404101020304ff", {"temperature": 21.5}),
    (*SENT[7][:2], "farm/meter-7", {"altitude": 500, "temperature": 21.5}),
    (*SENT[8][:2], "a8404101020304ff", {"temperature": 21.5}),
]


@pytest.mark.parametrize(("topic", "sent", "device", "expected"), READ)
def test_what_the_server_decoded_is_measured(
    topic: str, sent: object, device: str, expected: dict[str, float]
) -> None:
    reading = one(topic, sent)
    expected = {name.replace("leaf.2", "leaf.1"): value for name, value in expected.items()}
    assert values(reading) == pytest.approx(expected)
    assert (reading.device, reading.time) == (device, T)


def test_the_time_of_the_whole_message_counts_where_the_uplink_has_none() -> None:
    sent = stack(decoded_payload={"temperature": 1}, received_at="0001-01-01T00:00:00Z")
    assert one(UP, sent).time == T + 5_000_000


def test_a_time_that_a_decoder_gives_is_not_that_of_the_uplink_but_a_listed_one_is() -> None:
    history = [{"time": "2023-12-31T23:00:00Z", "level": 1}]
    sent = stack(decoded_payload={"time": "2023-12-31T00:00:00Z", "level": 2, "log": history})
    found = laws.readings(UP, sent)
    assert [(reading.time, reading.values) for reading in found] == [
        (T, (2.0,)),
        (T - 3_600_000_000, (1.0,)),
    ]


def test_gateways_have_no_say_in_position_and_signal() -> None:
    for topic, sent, name in SENT:
        for reading in laws.readings(topic, sent):
            assert name == "ttn_v2" or reading.position is None
            assert not any("rssi" in channel or "snr" in channel for channel in reading.channels)


PLACES = {
    "user": {"latitude": 48.2, "longitude": 11.6, "source": "SOURCE_REGISTRY"},
    "frm-payload": {"latitude": 48.1, "longitude": 11.5, "altitude": 500, "accuracy": 3},
}


def test_of_the_positions_that_the_stack_knows_that_of_the_payload_comes_first() -> None:
    reading = one(UP, stack(decoded_payload={"temperature": 1}, locations=PLACES))
    spot = reading.position
    assert spot is not None
    assert (spot.lat, spot.lon, spot.altitude, spot.accuracy) == (48.1, 11.5, 500.0, 3.0)
    only = one(UP, stack(locations={"user": PLACES["user"]}))
    assert only.position is not None
    assert (only.position.lat, only.channels) == (48.2, ())


def test_an_altitude_is_not_said_twice() -> None:
    decoded = {"latitude": 48.1, "longitude": 11.5, "altitude": 500}
    reading = one(UP, stack(decoded_payload=decoded, locations=PLACES))
    assert values(reading) == {"altitude": 500}


def test_a_position_that_the_network_worked_out_is_the_devices() -> None:
    place = {"latitude": 48.1, "longitude": 11.5, "altitude": 500, "source": "SOURCE_LORA_TDOA"}
    solved = {"end_device_ids": IDS, "received_at": "2024-01-01T00:00:00Z"}
    solved |= {"location_solved": {"service": "lbs", "location": place}}
    for topic, sent in (
        ("v3/farm@ttn/devices/meter-7/location/solved", solved),
        (CHIRP + "location", EVENT | {"location": place}),
        (CHIRP + "location", CHIRP3 | {"location": place}),
    ):
        reading = one(topic, sent)
        assert reading.position is not None
        assert (reading.position.lat, reading.position.altitude) == (48.1, 500.0)


STATUS: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"batteryLevel": 88.3, "margin": -5}, {"battery": 88.3, "margin": -5}),
    ({"batteryLevel": -1, "margin": 10}, {"margin": 10}),
    ({"batteryLevel": 0, "batteryLevelUnavailable": True, "margin": 1}, {"margin": 1}),
    ({"batteryLevel": 0, "externalPowerSource": True}, {"externally_powered": 1}),
    ({"battery": 127, "margin": 10}, {"battery": 50, "margin": 10}),
    ({"battery": 255, "margin": 10}, {"margin": 10}),
]


@pytest.mark.parametrize(("sent", "expected"), STATUS, ids=str)
def test_a_battery_is_told_in_percent_where_the_device_knows_it(
    sent: dict[str, Any], expected: dict[str, float]
) -> None:
    assert values(one(CHIRP + "status", EVENT | sent)) == pytest.approx(expected)
    assert values(one("x", CHIRP3 | sent)) == pytest.approx(expected)


def test_the_last_battery_that_the_stack_knows_is_a_channel_of_its_own() -> None:
    last = {"f_cnt": 14, "value": 90.1, "received_at": "2023-12-31T00:00:00Z"}
    sent = stack(decoded_payload={"battery": 88}, last_battery_percentage=last)
    assert values(one(UP, sent)) == {"battery": 88, "last_battery": 90.1}


CAYENNE: list[tuple[str, str, object, tuple[float, str]]] = [
    (CHIRP + "up", "temperatureSensor", {"1": 21.5}, (21.5, "Cel")),
    (CHIRP + "up", "accelerometer", {"1": {"x": 1}}, (9.80665, "g_n")),
    (UP, "barometric_pressure_2", 1013.2, (101320, "hPa")),
    (UP, "luminosity_4", 80, (80, "lx")),
    (UP, "temperature_4", 80, (80, "")),
]


@pytest.mark.parametrize(("topic", "key", "sent", "expected"), CAYENNE)
def test_the_units_of_cayenne_are_known(
    topic: str, key: str, sent: object, expected: tuple[float, str]
) -> None:
    whole = EVENT | {"object": {key: sent}} if topic != UP else stack(decoded_payload={key: sent})
    reading = one(topic, whole)
    assert (*reading.values, *reading.units) == (pytest.approx(expected[0]), expected[1])


def test_the_normalized_payload_counts_only_where_there_is_no_other() -> None:
    normal = [{"air": {"temperature": 20}, "battery": 3.1}]
    both = stack(decoded_payload={"t": 1}, normalized_payload=normal)
    assert values(one(UP, both)) == {"t": 1}
    alone = {"end_device_ids": IDS, "uplink_normalized": {"normalized_payload": normal}}
    for sent in (stack(normalized_payload=normal), alone):
        assert values(one(UP, sent)) == {"air.temperature": 20, "battery_voltage": 3.1}


EMPTY: list[tuple[str, object]] = [
    ("v3/farm@ttn/devices/meter-7/join", {"end_device_ids": IDS, "join_accept": {"n": 1}}),
    ("v3/farm@ttn/devices/meter-7/down/push", {"downlinks": [{"f_port": 1}]}),
    ("v3/farm@ttn/devices/meter-7/down/ack", {"end_device_ids": IDS, "downlink_ack": {"a": 1}}),
    ("v3/farm@ttn/devices/meter-7/service/data", {"end_device_ids": IDS, "service_data": {"a": 1}}),
    ("elsewhere", {"end_device_ids": IDS, "downlink_sent": {"f_port": 1}}),
    ("application/17c8/device/a84041/command/down", {"devEui": "a84041", "object": {"valve": 1}}),
    ("eu868/application/17c8/device/a84041/event/join", EVENT | {"devAddr": "00189440"}),
    (CHIRP + "ack", EVENT | {"queueItemId": "5", "acknowledged": True, "fCntDown": 12}),
    (CHIRP + "txack", EVENT | {"downlinkId": 5, "fCntDown": 12, "gatewayId": "0016"}),
    (CHIRP + "log", EVENT | {"level": "INFO", "code": "UPLINK_CODEC", "description": "x"}),
    (CHIRP + "integration", EVENT | {"integrationName": "geo", "object": {"a": 1}}),
]


@pytest.mark.parametrize(("topic", "sent"), EMPTY, ids=[topic for topic, _ in EMPTY])
def test_joins_downlinks_and_events_measure_nothing(topic: str, sent: object) -> None:
    reason = "a join, a downlink or an event of the server measures nothing"
    assert ignored(topic, sent).reason == reason


@pytest.mark.parametrize(
    ("topic", "sent"),
    [
        (UP, stack()),
        (CHIRP + "up", EVENT | HEARD | {"data": "qg=="}),
        ("x", CHIRP3),
        ("x", TTN2 | {"payload_fields": None, "metadata": {}}),
        ("x", HELIUM | {"decoded": {"status": "error"}}),
    ],
)
def test_bytes_that_nobody_decoded_measure_nothing(topic: str, sent: object) -> None:
    assert ignored(topic, sent).reason.startswith("the payload is not decoded")


def test_an_identity_in_base64_is_the_same_device() -> None:
    sent = CHIRP3 | {"devEUI": "qEBBAQIDBP8=", "object": {"t": 1}}
    assert one("x", sent).device == "a8404101020304ff"
    assert one("x", CHIRP3 | {"devEUI": "no base64=", "object": {"t": 1}}).device == "no base64="


def test_the_topic_names_the_device_where_the_message_does_not() -> None:
    assert one(UP, {"uplink_message": {"decoded_payload": {"t": 1}}}).device == "farm/meter-7"
    assert one(CHIRP + "up", {"object": {"t": 1}}).device == "a8404101020304ff"


def test_without_a_time_the_reading_has_that_of_its_reception() -> None:
    sent = EVENT | {"time": None, "object": {"t": 1}}
    assert one(CHIRP + "up", sent).quality & Quality.TIME_ESTIMATED


def test_gateways_topics_are_not_the_servers() -> None:
    for topic in ("gateway/0016c001f153a14c/event/up", "eu868/gateway/0016c001f153a14c/event/up"):
        assert recognise(topic, b'{"rxInfo": {}}').name == "json"


def test_a_list_is_no_message_of_a_server() -> None:
    outcome = Normaliser(())(laws.message(UP, b"[1]"))
    assert isinstance(outcome, DeadLetter)
    assert outcome.expected == "a JSON object of a LoRaWAN server"


def test_the_explanation_tells_of_what_is_left_out() -> None:
    sent = json.dumps(stack(decoded_payload={"t": 1})).encode()
    told = {e.path: e.note for e in Normaliser(()).explain(laws.message(UP, sent)).fields}
    assert told["uplink_message.rx_metadata"] == "of the gateways"
    assert told["uplink_message.frm_payload"] == "the bytes before decoding"
    assert told["end_device_ids"] == "the device"


HUGE = [
    b'{"end_device_ids":{},"uplink_message":{"locations":{%s}}}'
    % b",".join(b'"a%d":{"latitude":0}' % i for i in range(3500)),
    b'{"applicationID":"","devEUI":"","rxInfo":[' + b"null," * 18000 + b"null]}",
    b'{"deviceInfo":{"devEui":"a"},%s}' % b",".join(b'"k%d":1' % i for i in range(900)),
    b'{"end_device_ids":{},%s}' % b",".join(b'"k%d":1' % i for i in range(5000)),
]


@pytest.mark.parametrize("payload", HUGE, ids=range(len(HUGE)))
def test_huge_messages_end_well_and_cheaply(payload: bytes) -> None:
    laws.ends_well("x", payload)
    laws.is_cheap("x", payload)
