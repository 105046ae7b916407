"""Routes: which topics, which format, which device, and what the fields mean."""

import json
from typing import Any

import pytest

from bridge.contracts import DeadLetter, Reading
from bridge.errors import Misconfigured
from bridge.normalise import Accepted, Ignored, Normaliser, Outcome
from bridge.route_settings import Route
from tests import laws


def outcome(route: dict[str, Any], topic: str, sent: object) -> Outcome:
    payload = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return Normaliser((Route.model_validate(route),))(laws.message(topic, payload))


def reading(route: dict[str, Any], topic: str, sent: object) -> Reading:
    found = outcome(route, topic, sent)
    assert isinstance(found, Accepted), found
    (one,) = found.readings
    return one


def channels(one: Reading) -> dict[str, float]:
    return dict(zip(one.channels, one.values, strict=True))


def test_levels_of_the_topic_make_the_name_of_the_device() -> None:
    route = {"topic": "plant/{line}/{cell}/#", "device": "{line}-{cell}"}
    assert reading(route, "plant/a/7/up", {"x": 1, "id": "other"}).device == "a-7"
    route |= {"topic": "{site}/{line}/{cell}/#"}
    assert reading(route, "munich/a/7/up", {"x": 1}).device == "munich/a-7"


def test_a_field_gets_name_unit_scale_and_offset() -> None:
    t1 = {"name": "bearing.temperature", "unit": "F", "scale": 0.1, "offset": 2}
    route = {"topic": "plant/#", "channels": {"t1": t1, "raw.p": {"unit": "kPa"}}}
    found = reading(route, "plant/7", {"t1": 2100, "raw": {"p": 101}, "t2": 5})
    assert channels(found) == pytest.approx({"bearing.temperature": 100, "raw.p": 101_000, "t2": 5})
    assert dict(zip(found.channels, found.units, strict=True)) == {
        "bearing.temperature": "F",
        "raw.p": "kPa",
        "t2": "",
    }


def test_a_field_is_found_by_its_name_below_too_and_by_the_topic() -> None:
    route = {"topic": "plant/#", "channels": {k: {"unit": "mV"} for k in ("raw", "vib")}}
    assert channels(reading(route, "plant/7", {"a": {"raw": 5}})) == {"a.raw": 0.005}
    assert channels(reading(route, "plant/7/vib", b"5")) == {"vib": 0.005}


def test_a_field_and_a_word_are_found_by_what_they_would_be_called() -> None:
    table = {"temperature": {"offset": -1.5}, "sleep_mode": {"name": "mode"}}
    found = reading({"topic": "#", "channels": table}, "plant/7", {"temp": 21, "SleepMode": "eco"})
    assert (found.channels, found.values, found.states) == (("temperature",), (19.5,), ("mode",))


def test_what_is_selected_is_read_as_json_whatever_the_message_looks_like() -> None:
    route = {"topic": "tele/#", "select": "ENERGY"}
    found = reading(
        route, "tele/plug/SENSOR", {"Time": "x", "ENERGY": {"Power": 5}, "TempUnit": "C"}
    )
    assert channels(found) == {"power": 5}


def test_a_field_may_be_no_measurement_and_a_word_may_be_called_otherwise() -> None:
    table = {"boot": {"ignore": True}, "m": {"name": "mode"}, "fw": {"ignore": True}}
    route = {"topic": "plant/#", "channels": table}
    found = reading(route, "plant/7", {"x": 1, "boot": 17, "m": "eco", "fw": "1.2b"})
    assert found.channels == ("x",)
    assert (found.states, found.state_values) == (("mode",), ("eco",))


def test_a_format_that_is_named_is_not_recognised() -> None:
    sent = b'{"_type": "location", "lat": 48.1, "lon": 11.5, "tst": 1700000000, "vel": 36}'
    assert reading({"topic": "#", "format": "owntracks"}, "x", sent).channels == ("speed",)
    assert reading({"topic": "#", "format": "json"}, "x", sent).values == (36.0,)
    found = Normaliser((Route(topic="a/#", format="json"),)).explain(laws.message("a", sent))
    assert (found.format, found.why) == ("json", "the route a/# says so")
    broken = outcome({"topic": "#", "format": "json"}, "x", b"21.5 C")
    assert isinstance(broken, DeadLetter)


def test_an_expression_says_what_is_read_of_awkward_json() -> None:
    sent = {"d": {"r": [["T", 21.5], ["H", 40]]}, "h": {"dev": "p7", "at": 1_700_000_000}}
    picked = "{device: h.dev, ts: h.at, temperature: d.r[?[0]=='T'] | [0][1]}"
    found = reading({"topic": "plant/#", "select": picked}, "plant/7", sent)
    assert (found.device, found.time) == ("p7", 1_700_000_000_000_000)
    assert channels(found) == {"temperature": 21.5}


def test_what_an_expression_does_not_find_is_ignored_and_what_it_cannot_read_a_dead_letter() -> (
    None
):
    route = {"topic": "plant/#", "select": "abs(x)"}
    assert isinstance(outcome(route, "plant/7", {"y": 1}), DeadLetter)
    route = {"topic": "plant/#", "select": "x"}
    assert outcome(route, "plant/7", {"y": 1}) == Ignored(
        "json", "route.select finds nothing in it"
    )
    broken = outcome(route, "plant/7", b"{")
    assert isinstance(broken, DeadLetter)
    assert broken.expected == "JSON"


REFUSED = [
    ({"topic": "a/{line}/#"}, "route.topic"),
    ({"topic": "a/{device}", "device": "{devce}"}, "route.device.*did you mean device"),
    ({"topic": "a/{line}", "device": "{line-{line}"}, "route.device"),
    ({"topic": "a", "channels": {"x": {"scale": 0}}}, "scale"),
    ({"topic": "a", "format": "JSON"}, "did you mean json"),
    ({"topic": "a", "format": "jsno"}, "did you mean json"),
    ({"topic": "a", "select": "a[", "format": "json"}, "route.select"),
    ({"topic": "a", "select": "a", "format": "plain"}, "route.select"),
]


@pytest.mark.parametrize(("route", "said"), REFUSED, ids=str)
def test_a_route_that_cannot_be_is_refused(route: dict[str, Any], said: str) -> None:
    with pytest.raises((Misconfigured, ValueError), match=said):
        Normaliser((Route.model_validate(route),))


def test_the_first_route_that_takes_the_topic_counts_and_others_are_as_without() -> None:
    routes = (Route(topic="a/#", channels={"x": {"name": "y"}}), Route(topic="#"))  # type: ignore[dict-item]
    normaliser = Normaliser(routes)
    for topic, name in (("a/1", "y"), ("b/1", "x")):
        found = normaliser(laws.message(topic, b'{"x": 1}'))
        assert isinstance(found, Accepted)
        assert found.readings[0].channels == (name,)
