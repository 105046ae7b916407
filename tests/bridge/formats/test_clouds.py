"""Clouds: what a device reports is read, what is desired of it or said about it is not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeadLetter, Quality
from bridge.formats import recognise
from bridge.normalise import Ignored, Normaliser
from tests import laws

T = 1_704_067_200_000_000  # us, 2024-01-01T00:00:00Z
S = 1_000_000  # us
SHADOW = "$aws/things/pump-3/shadow"
HUB = "devices/pump-3/messages/events/"
CREATED = "%24.ct=application%2Fjson&iothub-creation-time-utc=2024-01-01T00%3A00%3A00.000Z"
REPORTED = {
    "state": {"desired": {"level": 9}, "reported": {"temperature": 21.5, "rgb": [1, 2]}},
    "metadata": {"reported": {"temperature": {"timestamp": 5}}},
    "version": 3,
    "timestamp": 1704067200,
}
CENTRAL: dict[str, Any] = {
    "applicationId": "5782ed70",
    "messageSource": "telemetry",
    "deviceId": "pump-3",
    "schema": "default@v1",
    "enqueuedTime": "2024-01-01T00:00:09Z",
    "telemetry": {"temperature": 21.5, "flow": {"now": 3}, "mode": "eco"},
    "messageProperties": {"iothub-creation-time-utc": "2024-01-01T00:00:00Z"},
    "enrichments": {"floor": 5},
}
CHANGED = {
    "topic": "org.acme/pump-3/things/twin/events/modified",
    "headers": {"correlation-id": "a"},
    "path": "/features/tank/properties",
    "value": {"temperature": 21.5, "level": {"now": 3}},
    "revision": 5,
    "timestamp": "2024-01-01T00:00:00Z",
}


def sent(tree: object) -> bytes:
    return json.dumps(tree).encode()


EXAMPLES: list[tuple[str, bytes, str]] = [
    (f"{SHADOW}/update/accepted", sent(REPORTED), "aws_shadow"),
    ("bridged/pump-3", sent(REPORTED), "aws_shadow"),
    ("iotc/export", sent(CENTRAL), "azure_iot_central"),
    (HUB + CREATED, b'{"temperature": 21.5}', "azure_iot_hub"),
    ("v1/devices/me/telemetry", b'{"ts": 1704067200000, "values": {"a": 1}}', "thingsboard"),
    ("v1/gateway/telemetry", b'{"A": [{"ts": 1704067200000, "values": {"a": 1}}]}', "thingsboard"),
    ("ditto/events", sent(CHANGED), "ditto"),
]
NUMBERED = [f"{name}-{i}" for i, (*_, name) in enumerate(EXAMPLES)]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES, ids=NUMBERED)
def test_the_clouds_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES, ids=NUMBERED)
def test_the_clouds_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


def told(topic: str, payload: object) -> list[tuple[str, int | None, dict[str, float]]]:
    """Device, stated time, and channels of each reading."""
    return [
        (
            r.device,
            None if r.quality & Quality.TIME_ESTIMATED else r.time,
            dict(zip(r.channels, r.values, strict=True)),
        )
        for r in laws.readings(topic, payload)
    ]


def ignored(topic: str, payload: object) -> str:
    whole = payload if isinstance(payload, bytes) else sent(payload)
    outcome = Normaliser(())(laws.message(topic, whole))
    assert isinstance(outcome, Ignored), outcome
    return outcome.reason


def refused(topic: str, payload: bytes) -> DeadLetter:
    outcome = Normaliser(())(laws.message(topic, payload))
    assert isinstance(outcome, DeadLetter), outcome
    return outcome


SHADOWS = {"rgb.0": 1.0, "rgb.1": 2.0, "temperature": 21.5}


@pytest.mark.parametrize(
    "call", ["get/accepted", "update/accepted", "name/config/update/accepted", "update"]
)
def test_a_shadow_is_what_the_thing_reports(call: str) -> None:
    assert told(f"{SHADOW}/{call}", REPORTED) == [("pump-3", T, SHADOWS)]


def test_of_two_documents_the_current_one_counts() -> None:
    documents = {
        "previous": {"state": {"reported": {"temperature": 1}}},
        "current": {"state": {"reported": {"temperature": 2}}, "metadata": {}, "version": 4},
        "timestamp": 1704067200,
    }
    assert told(f"{SHADOW}/update/documents", documents) == [("pump-3", T, {"temperature": 2})]


def test_an_update_that_states_no_time_has_that_of_its_reception() -> None:
    update = {"state": {"reported": {"temperature": 2}}, "clientToken": "4"}
    assert told(f"{SHADOW}/update", update) == [("pump-3", None, {"temperature": 2})]


@pytest.mark.parametrize(
    ("call", "document"),
    [
        ("update", {"state": {"desired": {"temperature": 2}}}),
        ("update/delta", {"state": {"temperature": 2}, "timestamp": 1704067200}),
        ("update/rejected", {"code": 409, "message": "Version conflict"}),
        ("name/config/get/rejected", {"code": 404, "message": "No shadow"}),
        ("get", {}),
        ("delete/accepted", {"version": 1, "timestamp": 1704067200}),
    ],
)
def test_what_is_desired_asked_and_refused_is_no_measurement(call: str, document: object) -> None:
    assert ignored(f"{SHADOW}/{call}", document)


def test_jobs_and_presence_are_no_measurement() -> None:
    assert ignored("$aws/things/pump-3/jobs/notify", {"timestamp": 1, "jobs": {}})
    assert ignored("$aws/events/presence/connected/pump-3", {"timestamp": 1704067200000})


def test_a_state_that_is_a_word_is_no_shadow() -> None:
    plain = {"state": "on", "metadata": 1, "version": 2, "timestamp": 1704067200}
    assert recognise("x", sent(plain)).name == "json"


def test_the_telemetry_of_central_has_the_time_of_its_creation() -> None:
    assert told("x", CENTRAL) == [("pump-3", T, {"flow.now": 3, "temperature": 21.5})]
    assert told("x", CENTRAL | {"messageProperties": {}})[0][1] == T + 9 * S


def test_a_component_names_its_channels() -> None:
    (found,) = told("x", CENTRAL | {"component": "thermostat1"})
    assert found[2] == {"thermostat1.flow.now": 3, "thermostat1.temperature": 21.5}


@pytest.mark.parametrize(
    "source", ["properties", "deviceConnectivity", "deviceLifecycle", "deviceTemplateLifecycle"]
)
def test_what_else_central_exports_is_no_measurement(source: str) -> None:
    other = {"messageSource": source, "properties": [{"name": "floor", "value": 5}]}
    message = {key: value for key, value in CENTRAL.items() if key != "telemetry"} | other
    assert ignored("x", message) == "nothing stands at telemetry"


def test_the_topic_of_the_hub_names_device_module_and_time() -> None:
    body = {"temperature": 21.5, "deviceId": "other"}
    assert told(HUB + CREATED, body) == [("pump-3", T, {"temperature": 21.5})]
    assert told(HUB, body) == [("pump-3", None, {"temperature": 21.5})]
    inside = "devices/pump-3/modules/camera/messages/events/"
    assert told(inside, body) == [("pump-3/camera", None, {"temperature": 21.5})]
    assert told(HUB, body | {"ts": 1704067205})[0][1] == T + 5 * S


def test_messages_to_a_device_are_no_measurement() -> None:
    assert ignored("devices/pump-3/messages/devicebound/%24.mid=1", {"temperature": 1})
    assert ignored("$iothub/twin/PATCH/properties/desired/?$version=3", {"interval": 5})


BOARDS: list[tuple[str, object, list[tuple[str, int | None, dict[str, float]]]]] = [
    ("v1/devices/me/telemetry", {"a": 1}, [("v1/devices/me", None, {"a": 1})]),
    (
        "v1/devices/me/telemetry",
        [{"ts": 1704067200000, "values": {"a": 1}}, {"ts": 1704067201000, "values": {"a": 2}}],
        [("v1/devices/me", T, {"a": 1}), ("v1/devices/me", T + S, {"a": 2})],
    ),
    (
        "v1/gateway/telemetry",
        {"A.1": [{"ts": 1704067200000, "values": {"a": 1}}], "B": [{"a": 2}]},
        [("A.1", T, {"a": 1}), ("B", None, {"a": 2})],
    ),
    ("v2/t", {"a": 1, "values": {"b": 2}}, [("v2/t", None, {"a": 1, "values.b": 2})]),
]


@pytest.mark.parametrize(("topic", "tree", "expected"), BOARDS)
def test_thingsboard_has_times_beside_values_and_gateways_have_devices(
    topic: str, tree: object, expected: object
) -> None:
    assert told(topic, tree) == expected


def test_attributes_and_calls_of_thingsboard_are_no_measurement() -> None:
    for topic in (
        "v1/devices/me/attributes",
        "v1/devices/me/rpc/request/5",
        "v1/gateway/attributes",
        "v1/gateway/connect",
    ):
        assert ignored(topic, {"a": 1}).startswith("attributes, calls")


def test_a_board_takes_objects() -> None:
    assert refused("v1/devices/me/telemetry", b"5").path == "payload"
    assert refused("v1/devices/me/telemetry", b"[5]").path == "item 1"
    assert refused("v1/gateway/telemetry", b"[]").path == "payload"


DITTO: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({}, {"tank.level.now": 3, "tank.temperature": 21.5}),
    ({"path": "/features/tank/properties/level/now", "value": 3}, {"tank.level.now": 3}),
    ({"path": "/features/tank", "value": {"properties": {"a": 1}}}, {"tank.a": 1}),
    (
        {
            "path": "/",
            "value": {
                "attributes": {"floor": 5},
                "features": {"tank": {"properties": {"a": 1}, "desiredProperties": {"a": 2}}},
            },
        },
        {"tank.a": 1},
    ),
]


@pytest.mark.parametrize(("change", "expected"), DITTO)
def test_the_properties_of_features_are_measured(
    change: dict[str, Any], expected: dict[str, float]
) -> None:
    assert told("x", CHANGED | change) == [("org.acme:pump-3", T, expected)]


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/attributes/floor", "value": 5},
        {"path": "/features/tank/desiredProperties", "value": {"a": 1}},
        {"topic": "org.acme/pump-3/things/twin/commands/retrieve"},
        {"topic": "org.acme/pump-3/things/twin/errors", "value": {"status": 404}},
        {"topic": "org.acme/pump-3/things/live/messages/ask", "path": "/inbox/messages/ask"},
    ],
)
def test_what_else_ditto_says_is_no_measurement(change: dict[str, Any]) -> None:
    assert ignored("x", CHANGED | change)


def test_a_path_of_ditto_has_an_end() -> None:
    assert refused("x", sent(CHANGED | {"path": "/a" * 50})).path == "path"


def test_plain_json_of_others_stays_plain() -> None:
    for tree in (
        {"topic": "a/things/b", "path": "/x", "value": 5},
        {"deviceId": "a", "telemetry": {"t": 5}},
    ):
        assert recognise("home/attic", sent(tree)).name == "json"


HUGE = [
    ("v1/gateway/telemetry", b"{%s}" % b",".join(b'"d%d":[{"a":1}]' % i for i in range(5000))),
    ("v1/gateway/telemetry", b"{%s}" % b",".join(b'"d%d":[{"a":1}]' % i for i in range(120))),
    (HUB + "&".join("a=b" for _ in range(200)), b'{"a": 1}'),
]


@pytest.mark.parametrize(("topic", "payload"), HUGE, ids=range(len(HUGE)))
def test_huge_messages_end_well_and_cheaply(topic: str, payload: bytes) -> None:
    laws.ends_well(topic, payload)
    laws.is_cheap(topic, payload)
