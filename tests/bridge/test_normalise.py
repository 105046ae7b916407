"""Normalising: identity, class, time, quality, id, routes, explanations, the offline command."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import DeadLetter, Message, Position, Quality, Reading
from bridge.errors import Malformed, Misconfigured
from bridge.normalise import Accepted, Ignored, Normaliser
from bridge.offline import normalise_line
from bridge.settings import Route
from tests import laws

SHARED = Path(__file__).parents[3] / "shared"


def routed(pattern: str, topic: str, payload: bytes, **more: Any) -> Reading:
    outcome = Normaliser((Route(topic=pattern),))(laws.message(topic, payload, **more))
    assert isinstance(outcome, Accepted), outcome
    (reading,) = outcome.readings
    return reading


DEVICES = [
    # route, topic, payload, device, first channel
    ("none", "plant/7/telemetry", b'{"x": 1}', "plant/7", "x"),
    ("none", "plant/7/tele/STATE", b'{"x": 1}', "plant/7", "x"),
    ("none", "telemetry", b'{"x": 1}', "telemetry", "x"),
    ("none", "/", b'{"x": 1}', "/", "x"),
    ("none", "plant/7", b'{"deviceId": "press", "x": 1}', "press", "x"),
    ("none", "plant/7", b'{"node-id": "press", "id": "row-9", "x": 1}', "press", "x"),
    ("none", "plant/7", b'{"device": {"id": "press"}, "x": 1}', "press", "x"),
    ("none", "plant/7", b'{"sensor": {"id": "press"}, "x": 1}', "plant/7", "x"),
    ("none", "plant/7", b'{"gatewayId": "gw", "x": 1}', "plant/7", "x"),
    ("none", "plant/7", b'{"gateway": {"device_id": "gw"}, "x": 1}', "plant/7", "x"),
    ("none", "plant/7", b'{"meta": {"device_id": "press"}, "x": 1}', "press", "x"),
    ("none", "plant/7", b'{"id": 5, "x": 1}', "5", "x"),
    ("none", "home/attic/temperature", b"21.5", "home/attic", "temperature"),
    ("none", "home/attic/temperature/state", b"21.5", "home/attic", "temperature"),
    ("none", "home/attic/value", b"21.5", "home/attic", "value"),
    ("none", "home/attic/temperature", b'{"value": 21.5}', "home/attic", "temperature"),
    ("none", "IoT", b"21.5", "IoT", "value"),
    ("none", "temperature", b"21.5", "temperature", "temperature"),
    ("plant/{site}/{device}/+", "plant/a/7/up", b'{"id": "no", "x": 1}', "a/7", "x"),
    ("plant/{site}/#", "plant/a/7/up", b'{"id": "p", "x": 1}', "a/p", "x"),
    ("plant/{site}/{device}", "plant/a/7", b"21.5", "a/7", "value"),
    ("{site}/{device}/+", "a/7/temperature", b"21.5", "a/7", "temperature"),
]


@pytest.mark.parametrize(("pattern", "topic", "payload", "device", "channel"), DEVICES)
def test_a_device_is_named_by_route_then_payload_then_topic(
    pattern: str, topic: str, payload: bytes, device: str, channel: str
) -> None:
    reading = routed(pattern, topic, payload)
    assert (reading.device, reading.channels[0]) == (device, channel)
    assert reading.source == topic


def test_the_class_is_the_routes_or_that_of_the_set_of_channels() -> None:
    assert routed("{class}/{device}", "press/7", b'{"x": 1}').device_class == "press"
    one = routed("none", "a", b'{"temp": 1, "hum": 2}').device_class
    other = routed("none", "b", b'{"humidity": 5, "temperature": 3}').device_class
    assert one == other
    assert one.startswith("set-")
    assert one != routed("none", "a", b'{"temp": 1}').device_class


@pytest.mark.parametrize(
    "pattern", ["a/{devcie}", "a/{device}/{device}", "a/#/b", "a/{device", "#/{device}"]
)
def test_a_route_that_cannot_be_is_refused(pattern: str) -> None:
    with pytest.raises(Misconfigured, match="route.topic"):
        Normaliser((Route(topic=pattern),))


MATCHES = [  # payload, path of the device, as received
    (b'{"deviceId": "7", "x": 1}', "", ""),
    (b'{"id": 7, "x": 1}', "", ""),
    (b'{"x": 1}', "", ""),
    (b"21.5", "", ""),
    (b'{"_type": "location", "lat": 1, "lon": 2, "tst": 1700000000}', "", ""),
    (b'{"x": 1, "sensor": {"id": "8", "v": 2}}', "", ""),  # which names a sensor
    (b'{"deviceId": "8", "x": 1}', "deviceId", "8"),
    (b'{"meta": {"device_id": "a/7"}, "x": 1}', "meta.device_id", "a/7"),
    (b'[{"id": "7", "x": 1}, {"id": "8", "x": 1}]', "1.id", "8"),
]


@pytest.mark.parametrize(("payload", "path", "received"), MATCHES)
@pytest.mark.parametrize("must_match", [True, False])
def test_a_route_may_demand_that_the_payload_names_the_device_of_the_topic(
    payload: bytes, path: str, received: str, must_match: bool
) -> None:
    route = Route(topic="{site}/{class}/{device}/up", device_must_match=must_match)
    outcome = Normaliser((route, Route(topic="#"))).explain(laws.message("a/p/7/up", payload))
    if path and must_match:
        assert isinstance(outcome.outcome, DeadLetter)
        said = outcome.outcome
        assert (said.stage, said.path, said.received) == ("normalise", path, received)
        assert said.expected == "the topic's device 7"
    else:
        assert isinstance(outcome.outcome, Accepted), outcome
        devices = {reading.device for reading in outcome.outcome.readings}
        assert {device.removesuffix("/8") for device in devices} == {"a/7"}


def test_a_demand_holds_on_its_own_route_only() -> None:
    routes = (Route(topic="a/{device}", device_must_match=True), Route(topic="b/{device}"))
    normalise = Normaliser(routes)
    assert isinstance(normalise(laws.message("b/7", b'{"id": "8", "x": 1}')), Accepted)
    assert isinstance(normalise(laws.message("a/7", b'{"id": "8", "x": 1}')), DeadLetter)


def test_a_demand_on_a_route_that_names_no_device_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"route.topic: expected \{device\} in it"):
        Route(topic="{site}/{class}/up", device_must_match=True)


@pytest.mark.parametrize("topic", ["haltere/7/alert", "haltere", "$SYS/broker/load", "$share"])
def test_what_the_broker_or_haltere_says_is_ignored(topic: str) -> None:
    outcome = Normaliser(())(laws.message(topic, b"21.5"))
    assert isinstance(outcome, Ignored)


NOW_S = laws.RECEIVED // 1_000_000
QUALITIES: list[tuple[bytes, dict[str, bool], int]] = [
    (b'{"temp": 20, "ts": %d}' % NOW_S, {}, Quality.GOOD),
    (b'{"temp": 20}', {}, Quality.TIME_ESTIMATED),
    (b'{"temp": 20, "ts": %d}' % NOW_S, {"dup": True}, Quality.DUP),
    (b'{"temp": 20, "ts": %d}' % NOW_S, {"retain": True}, Quality.RETAINED),
    (b'{"temp": 20, "ts": %d}' % (NOW_S - 86_401), {}, Quality.CLOCK_SKEW),
    (b'{"temp": 20, "ts": %d}' % (NOW_S + 86_401), {}, Quality.CLOCK_SKEW),
    (b'{"temp": -300, "ts": %d}' % NOW_S, {}, Quality.OUT_OF_RANGE),
    (b'{"hum": 101}', {"dup": True}, Quality.OUT_OF_RANGE | Quality.DUP | Quality.TIME_ESTIMATED),
]


@pytest.mark.parametrize(("payload", "flags", "expected"), QUALITIES)
def test_quality_says_what_is_wrong(payload: bytes, flags: dict[str, bool], expected: int) -> None:
    assert routed("none", "a", payload, **flags).quality == expected


def test_an_id_is_stable_where_a_time_is_stated_and_counts_receptions_otherwise() -> None:
    def ids(payload: bytes) -> set[str]:
        found = [Normaliser(())(m) for m in (laws.message("a", payload), later(payload))]
        return {o.readings[0].id for o in found if isinstance(o, Accepted)}

    def later(payload: bytes) -> Any:
        return Message("a", payload, received=laws.RECEIVED + 1, dup=True)

    assert len(ids(b'{"temp": 20, "ts": 1700000000}')) == 1
    assert len(ids(b'{"temp": 20}')) == 2


def test_a_vehicle_has_a_position_that_moves_and_a_speed_channel() -> None:
    payload = b'{"ts": 1700000000123, "lat": 48.1, "lon": 11.5, "speed": 13.9, "heading": 90}'
    reading = routed("fleet/{device}", "fleet/v1", payload)
    assert reading.channels == ("course", "speed")
    assert reading.position == Position(48.1, 11.5, speed=13.9, course=90.0)
    assert reading.time == 1700000000_123000


def test_a_number_that_overflows_its_unit_is_left_out() -> None:
    reading = routed("none", "a", b'{"pressure_kPa": 1e308, "temp": 20}')
    assert reading.channels == ("temperature",)
    assert isinstance(Normaliser(())(laws.message("a", b'{"p_kPa": 1e308}')), Ignored)


def test_units_are_kept_as_sent_and_states_are_sorted() -> None:
    reading = routed("none", "a", b'{"tempF": 50, "x": 1, "mode": "eco", "Alarm": "off"}')
    assert dict(zip(reading.channels, reading.units, strict=True)) == {"temperature": "F", "x": ""}
    assert (reading.states, reading.state_values) == (("alarm", "mode"), ("off", "eco"))


def test_a_message_without_measurement_is_ignored_with_the_reason() -> None:
    sent = laws.message("a", b'{"temp": null, "ts": 1700000000}')
    told = Normaliser(()).explain(sent)
    assert told.outcome == Ignored("json", "no number, no state and no position")
    assert [(f.path, f.note) for f in told.fields] == [
        ("temp", "null: the channel is missing"),
        ("ts", "the time"),
    ]


def test_an_explanation_tells_each_field() -> None:
    payload = b'{"node-id": "n1", "tempF": 50, "mode": "eco", "rh": null, "ts": 1700000000}'
    explanation = Normaliser(()).explain(laws.message("a", payload))
    told = {e.path: (e.name, e.unit, e.value, e.note) for e in explanation.fields}
    assert explanation.format == "json"
    assert told["tempF"] == ("temperature", "Cel", 10.0, "")
    assert told["mode"] == ("mode", "", "eco", "a state")
    assert told["ts"] == ("", "", None, "the time")
    assert told["node-id"] == ("", "", None, "the device")
    assert told["rh"] == ("", "", None, "null: the channel is missing")
    assert {e.device for e in explanation.fields} == {"n1"}


def test_a_dead_letter_is_explained() -> None:
    explanation = Normaliser(()).explain(laws.message("a", b"{"))
    assert isinstance(explanation.outcome, DeadLetter)
    assert explanation.fields == ()
    assert explanation.why


def test_a_fault_of_ours_is_a_dead_letter_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(topic: str, payload: bytes) -> None:
        raise KeyError("x")

    monkeypatch.setattr("bridge.normalise.recognise", broken)
    outcome = Normaliser(())(laws.message("a", b"1"))
    assert isinstance(outcome, DeadLetter)
    assert "our fault: KeyError('x')" in outcome.received


def line(**changes: object) -> str:
    payload = base64.b64encode(b'{"temp": 20}').decode()
    item = {"id": "m1", "topic": "a", "payload_b64": payload} | changes
    return json.dumps({key: value for key, value in item.items() if value is not None})


def test_a_line_becomes_rows() -> None:
    row = {"name": "temperature", "value": 20.0, "unit": "Cel", "time": None}
    row |= {"lat": None, "lon": None, "device": "a", "quality": 1}
    assert normalise_line(line(), "line 1", Normaliser(())) == {"id": "m1", "readings": [row]}


def test_a_line_may_be_ignored_dead_or_a_mere_position() -> None:
    def answer(payload: bytes) -> dict[str, Any]:
        sent = line(payload_b64=base64.b64encode(payload).decode())
        return normalise_line(sent, "line 1", Normaliser(()))

    assert "ignored" in answer(b"{}")
    assert set(answer(b"{")["dead_letter"]) == {"stage", "path", "expected", "received"}
    (row,) = answer(b'{"lat": 1.5, "lon": 2.5, "ts": 1700000000}')["readings"]
    assert (row["value"], row["lat"], row["lon"]) == (None, 1.5, 2.5)
    assert row["time"] == "2023-11-14T22:13:20Z"


BAD_LINES = [
    ("{", "line 7: expected a JSON object"),
    ("[]", "line 7: expected a JSON object"),
    (line(topic=None), "line 7: topic: expected a text, received nothing"),
    (line(id=5.5), "line 7: id: expected a text, received 5.5"),
    (line(payload_b64=None), "line 7: expected payload (text) or payload_b64, received neither"),
    (line(payload_b64="a"), "line 7: payload_b64: expected base64"),
    (line(payload_b64="é"), "line 7: payload_b64: expected base64"),
]


@pytest.mark.parametrize(("text", "says"), BAD_LINES)
def test_a_bad_line_is_named(text: str, says: str) -> None:
    with pytest.raises(Malformed) as raised:
        normalise_line(text, "line 7", Normaliser(()))
    assert str(raised.value).startswith(says)


BARS = {"values": 0.98, "units": 0.98, "times": 0.98, "locations": 0.99}
BARS |= {"empty": 1, "no_loc": 1, "exact": 0.95}


@pytest.mark.skipif(not (SHARED / "eval").is_dir(), reason="../shared is not here")
def test_real_messages_are_read_as_their_documentation_says(tmp_path: Path) -> None:
    corpus = sorted((SHARED / "data" / "payloads").glob("*.jsonl"))
    answers = []
    for file in corpus:
        normaliser = Normaliser(())
        for number, text in enumerate(file.read_text("utf-8").splitlines(), 1):
            answers.append(json.dumps(normalise_line(text, f"{file}:{number}", normaliser)))
    (tmp_path / "pred.jsonl").write_text("\n".join(answers), "utf-8")
    score = [sys.executable, str(SHARED / "eval" / "payload_score.py"), "--json"]
    score += ["--pred", str(tmp_path / "pred.jsonl"), "--corpus", *map(str, corpus)]
    found = json.loads(subprocess.run(score, check=True, capture_output=True).stdout)
    assert {k: v for k, v in found["ALL"].items() if v[0] < BARS[k] * v[1]} == {}
    for name in ("generic_json", "plain_number", "owntracks"):
        assert {k: v for k, v in found[name].items() if v[0] < v[1]} == {}
