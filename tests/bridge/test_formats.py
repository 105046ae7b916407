"""Formats: tables of messages, the laws, and hostile bytes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.formats.format import matches
from bridge.formats.sample import MAX_BYTES, MAX_DEPTH, MAX_ITEMS
from bridge.formats.scalars import instant, place
from bridge.normalise import Ignored, Normaliser
from tests import laws

PHONE = {"_type": "location", "lat": 48.1, "lon": 11.5, "tst": 1700000000, "vel": 36, "batt": 80}
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("home/attic", b'{"temperature": 21.5, "humidity": 40, "mode": "eco"}', "json"),
    ("x", b'{"device": "d", "ts": 1700000000, "loc": {"lat": 1.5, "lon": 2.5}}', "json"),
    ("x", b'[{"name": "temp", "value": 3, "unit": "F"}, {"name": "hum", "value": 4}]', "json"),
    ("x", b'{"a": {"b": [1, 2, {"c": true}]}, "n": null, "s": "12.5"}', "json"),
    ("home/attic/temperature", b"21.5", "plain"),
    ("home/attic/door", b"true", "plain"),
    ("home/attic/door", b"OPEN", "plain"),
    ("owntracks/jane/phone", json.dumps(PHONE).encode(), "owntracks"),
    ("elsewhere/jane", json.dumps(PHONE).encode(), "owntracks"),
    ("owntracks/jane/phone", b'{"_type": "lwt", "tst": 1700000000}', "owntracks"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_every_format_passes_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_a_message_is_recognised_and_the_format_says_why(
    topic: str, payload: bytes, name: str
) -> None:
    found = recognise(topic, payload)
    assert found.name == name
    assert found.why


def values(topic: str, payload: object) -> dict[str, float]:
    (reading,) = laws.readings(topic, payload)
    return dict(zip(reading.channels, reading.values, strict=True))


PLAIN = [
    ({"temp-C": 21.5, "hum-percent": 40}, {"temperature": 21.5, "humidity": 40}),
    ({"computed": {"heat_index": 22}}, {"computed.heat_index": 22}),
    ({"tempF": 212}, {"temperature": 100}),
    ({"acc": [1, 2, 3]}, {"acc.0": 1, "acc.1": 2, "acc.2": 3}),
    ({"door": True, "window": False}, {"door": 1, "window": 0}),
    ({"t1": "12.5", "t2": None, "t3": "nan"}, {"t1": 12.5}),
    ({"temperature": "21.5 °C", "level": "40%"}, {"temperature": 21.5, "level": 40}),
    ({"temperature": {"value": 68, "unit": "F"}}, {"temperature": 20}),
    ({"data": [{"name": "light", "value": 7, "units": "lux"}]}, {"illuminance": 7}),
    ({"sensors": [{"id": "a", "temp": 1}]}, {"sensors.a.temperature": 1}),
    ({"temp": 1, "temperature": 2}, {"temp": 1, "temperature": 2}),
    ({"temp-c": 1, "temp_c": 2}, {"temp_c": 1, "temp_c_2": 2}),
    ({"n": 12345678901234567890123}, {"n": 1.2345678901234568e22}),
    ([1, 2], {"value.0": 1, "value.1": 2}),
    (
        [{"name": "temp", "value": 1}, {"name": "hum", "value": 2}],
        {"temperature": 1, "humidity": 2},
    ),
]


@pytest.mark.parametrize(("payload", "expected"), PLAIN, ids=str)
def test_plain_json_becomes_channels(payload: object, expected: dict[str, float]) -> None:
    assert values("plant/7", payload) == pytest.approx(expected)


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    assert values("a", b'{"x": 1, "x": 2}') == {"x": 2}


def test_items_with_their_own_time_or_device_are_readings_of_their_own() -> None:
    at = [{"ts": 1700000000 + i, "temp": i} for i in range(3)]
    found = laws.readings("x", {"device": "d", "log": at})
    assert [(r.device, r.time, r.channels) for r in found] == [
        ("d", (1700000000 + i) * 1_000_000, ("temperature",)) for i in range(3)
    ]
    found = laws.readings("x", [{"device": "a", "temp": 1}, {"device": "b", "temp": 2}])
    assert [(r.device, r.values) for r in found] == [("a", (1.0,)), ("b", (2.0,))]


TIMES = [
    (1700000000, 1700000000_000000),
    (1700000000.25, 1700000000_250000),
    (1700000000.123457, 1700000000_123457),
    (1700000000123, 1700000000_123000),
    (1700000000123456, 1700000000_123456),
    (1700000000123456789, 1700000000_123456),
    ("1700000000.123456789", 1700000000_123456),
    ("2023-11-14T22:13:20Z", 1700000000_000000),
    ("2023-11-14T23:13:20.5+01:00", 1700000000_500000),
    ("2023-11-14 22:13:20 UTC", 1700000000_000000),
    ("2023-11-14T22:13:20", None),
    ("0001-01-01T00:00:00Z", None),
    ("9999-12-31T23:59:59-14:00", None),
    (20240101120000, None),
    ("20240101120000", None),
    (638400000000000000, None),
    ("12:30", None),
    (12, None),
    (2**28, None),
    (10**30, None),
    (float("inf"), None),
    (True, None),
    (None, None),
    ("9" * 40, None),
]


@pytest.mark.parametrize(("sent", "micros"), TIMES, ids=str)
def test_a_time_is_read_without_losing_a_microsecond(sent: object, micros: int | None) -> None:
    assert instant(sent) == micros


@given(st.integers(662_688_000_000_000_000, 4_000_000_000_000_000_000))
def test_no_nanosecond_goes_through_a_float(nanos: int) -> None:
    assert instant(nanos) == nanos // 1000


PLACES: list[tuple[object, tuple[float, float] | None]] = [
    ({"lat": 48.1, "lon": 11.5}, (48.1, 11.5)),
    ({"latitude": "48.1", "lng": "11.5"}, (48.1, 11.5)),
    ({"gps": {"Latitude": 48.1, "Longitude": 11.5}, "temp": 1}, (48.1, 11.5)),
    ({"location": {"type": "Point", "coordinates": [11.5, 48.1, 500]}}, (48.1, 11.5)),
    ({"lat": 0, "lon": 0, "temp": 1}, None),
    ({"lat": 91, "lon": 0, "temp": 1}, None),
    ({"lat": 48.1, "temp": 1}, None),
    ({"gateway": {"lat": 48.1, "lon": 11.5}, "temp": 1}, None),
]


@pytest.mark.parametrize(("payload", "expected"), PLACES, ids=str)
def test_a_position_is_where_the_device_is(
    payload: object, expected: tuple[float, float] | None
) -> None:
    (reading,) = laws.readings("x", payload)
    found = reading.position
    assert (found and (found.lat, found.lon)) == expected
    assert not {"lat", "lon", "latitude", "longitude"} & set(reading.channels)


def test_owntracks_says_where_and_how_fast_and_minus_one_is_unknown() -> None:
    (reading,) = laws.readings("owntracks/jane/phone", PHONE | {"cog": -1, "p": 100.5})
    assert reading.device == "jane/phone"
    assert reading.channels == ("battery", "pressure", "speed")
    assert reading.values == pytest.approx((80.0, 100500.0, 10.0))
    assert reading.position is not None
    assert (reading.position.lat, reading.position.speed) == pytest.approx((48.1, 10.0))
    assert place(0, 0) is None


@pytest.mark.parametrize("kind", ["lwt", "cmd", "card", "waypoint", "waypoints", "encrypted"])
def test_owntracks_messages_that_measure_nothing_are_ignored(kind: str) -> None:
    payload = json.dumps({"_type": kind, "lat": 1, "lon": 2, "tst": 1700000000}).encode()
    outcome = Normaliser(())(laws.message("owntracks/jane/phone", payload))
    assert outcome == Ignored("owntracks", f"_type {kind} is no measurement")


def _nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


HOSTILE = [
    b"",
    b"\0",
    b"{",
    b"NaN",
    b"Infinity",
    b"1e999",
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": "\xff"}',
    b"\xff\xfe\x00\x01",
    b'{"\\ud800": 1}',
    b"null",
    b"{}",
    b"[]",
    b'""',
    b'{"a": {}}',
    b'{"": 1}',
    b'{"!": 1, "?": 2}',
    b'{"a.b": 1, "a": {"b": 2}}',
    b'{"value": "x", "name": {}, "unit": []}',
    b'{"coordinates": 5, "p": {"type": "Point", "coordinates": "x"}}',
    b'{"_type": "location"}',
    b'{"_type": "location", "lat": {}, "lon": []}',
    b"1" * 400,
    b"[" * 5000,
    _nested(MAX_DEPTH - 1),
    _nested(500),
    b'{"' + b"k" * 5000 + b'": 1}',
    b'{"x": "' + b"a b " * 20000 + b'"}',
    b"[" + b"1," * 20000 + b"1]",
    b"[" + b'{"a":1},' * 5000 + b"1]",
    json.dumps({f"k{i}_temp_c_{i}F": i for i in range(MAX_ITEMS - 2)}).encode(),
    json.dumps({"a_" * 40 + str(i): i for i in range(1000)}).encode(),
    json.dumps({"aB" * 55 + str(i): i for i in range(190)}).encode(),
    json.dumps([{"device": f"d{i}", f"tempA{i}": 1} for i in range(120)]).encode(),
    json.dumps([{f"K{i}": 1} for i in range(450)]).encode(),
    b" " * (MAX_BYTES + 1),
    b"9" * (MAX_BYTES + 1),
    b"[" * MAX_BYTES,
]


@pytest.mark.parametrize("topic", ["x", "a/b/temperature", "owntracks/a/b", "/", "a//b", "é/☃"])
@pytest.mark.parametrize("payload", HOSTILE, ids=lambda p: repr(p[:24]))
def test_hostile_payloads_end_well_and_cheaply(topic: str, payload: bytes) -> None:
    laws.ends_well(topic, payload)
    laws.explains_what_it_does(topic, payload)
    laws.is_cheap(topic, payload)


topics = st.text(min_size=1, max_size=40) | st.sampled_from(["x", "a/temperature", "owntracks/a/b"])
WORDS = "ts time id device lat lon name value unit temp tempF x gps type"
keys = st.sampled_from(WORDS.split())
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
trees = st.recursive(
    scalars | st.sampled_from(["21.5 C", "1700000000", "on", 1700000000, 48.5]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(topics, st.binary(max_size=200))
def test_any_bytes_end_well(topic: str, payload: bytes) -> None:
    laws.ends_well(topic, payload)


@settings(max_examples=300)
@given(topics, trees)
def test_any_json_ends_well_and_is_explained(topic: str, tree: object) -> None:
    payload = json.dumps(tree).encode()
    laws.ends_well(topic, payload)
    laws.explains_what_it_does(topic, payload)
    laws.same_in_same_out(topic, payload)


@settings(max_examples=200)
@given(trees)
def test_the_order_of_fields_is_irrelevant_in_any_json(tree: object) -> None:
    laws.order_is_irrelevant("a/b", json.dumps(tree).encode())


def test_what_is_wrong_is_said_with_where_expected_and_received() -> None:
    outcome = Normaliser(())(laws.message("a/b", b'{"temp": NaN}'))
    assert isinstance(outcome, DeadLetter)
    assert (outcome.stage, outcome.path, outcome.expected) == (
        "decode",
        "payload at line 1 column 10",
        "JSON",
    )
    assert "NaN" in outcome.received


MATCHES = [
    ("#", "a/b", True),
    ("a/#", "a", True),
    ("a/#", "a/b/c", True),
    ("a/#", "b", False),
    ("+/b", "a/b", True),
    ("+", "a/b", False),
    ("a/+/#", "a", False),
]


@pytest.mark.parametrize(("pattern", "topic", "expected"), MATCHES)
def test_filters_match_as_in_mqtt(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected
