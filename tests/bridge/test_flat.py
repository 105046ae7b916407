"""The fast way reads what the general way reads: the one law of `bridge.flat`."""

import base64
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge import normalise
from bridge.contracts import Message, Reading
from bridge.flat import FLAT_BYTES, flat_object
from bridge.formats.sample import MAX_TEXT
from bridge.normalise import Accepted, Normaliser
from bridge.settings import Route
from tests import laws
from tests.bridge import test_formats, test_normalise
from tests.fuzz.seeds import seeds

CORPUS = Path(__file__).parents[3] / "shared" / "data" / "payloads"
ROUTES: list[tuple[Route, ...]] = [
    (),
    (Route(topic="{site}/{class}/{device}/#"),),
    (Route(topic="plant/{device}", device_must_match=True), Route(topic="{class}/+/{device}")),
    (Route(topic="{site}/+/{device}/#", device_must_match=True),),
]
NORMALISERS = [Normaliser(routes) for routes in ROUTES]  # they remember; that changes nothing


def both_ways_agree(message: Message) -> None:
    for normaliser in NORMALISERS:
        general = normaliser._examine(message)[0]
        found = normaliser(message)
        assert found == general
        assert repr(found) == repr(general)  # an integer is no float here, nor 0.0 -0.0


class Taken:
    """Counts the readings of the fast way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        fast = normalise._flat_reading

        def watched(message: Message, facts: Any) -> Reading | None:
            reading = fast(message, facts)
            self.count += reading is not None
            return reading

        monkeypatch.setattr(normalise, "_flat_reading", watched)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    return Taken(monkeypatch)


# The law is not empty.

FAST: list[tuple[str, bytes]] = [
    ("plant/7", b'{"temp": 20, "hum": 40.5}'),
    ("plant/7/telemetry", b'{"ts": 1700000000, "tempF": 50}'),
    ("x", b'{"deviceId": " p1 ", "timestamp": "2023-11-14T22:13:20Z", "rpm": 1500}'),
    ("x", b'{"time": 1700000000123, "lat": 48.1, "lon": 11.5, "speed": 13.9, "heading": 90}'),
    ("x", b'{"latitude": "48.1", "lng": "11.5", "altitude": 500}'),
    ("x", b'{"a": -0.0, "b": 18446744073709551615, "c": 1e300, "d": 12345678901234567890123}'),
    ("x", b'{"x": 1, "x": 2}'),
    ("x", b'{"unit": 5, "name": 3}'),
    ("plant/7", b'{"temp": 20, "door": true}'),
    ("x", b'{"!": 1, "\\u00b0": 2}'),
]
SLOW: list[tuple[str, bytes]] = [
    ("plant/7", b'{"temp": 20, "mode": "eco"}'),
    ("plant/7", b'{"temp": null, "hum": 40}'),
    ("plant/7", b'{"temp": "20", "hum": 40}'),
    ("plant/7", b'{"temp": -300}'),
    ("plant/7", b'{"a": {"b": 1}}'),
    ("plant/7", b'{"a": [1, 2]}'),
    ("plant/7", b'{"a.b": 1}'),
    ("plant/7", b'{"": 1, "x": 2}'),
    ("plant/7", b'{"value": 21.5, "unit": "F"}'),
    ("plant/7", b'{"name": "temp", "value": 21.5}'),
    ("plant/7", b'{"id": 5, "x": 1}'),
    ("plant/7", b'{"id": "a", "uuid": "b", "x": 1}'),
    ("plant/7", b'{"id": "  ", "x": 1}'),
    ("plant/7", b'{"ts": 1700000000, "time": 1600000000, "x": 1}'),
    ("plant/7", b'{"ts": 12, "x": 1}'),
    ("plant/7", b'{"lat": 48.1, "x": 1}'),
    ("plant/7", b'{"lat": 0, "lon": 0, "x": 1}'),
    ("plant/7", b'{"lat": 48.1, "lon": 11.5, "ts": 1700000000}'),
    ("plant/7", b'{"_type": "location", "lat": 48.1, "lon": 11.5, "x": 1}'),
    ("owntracks/jane/phone", b'{"x": 1}'),
    ("haltere/7/alert", b'{"x": 1}'),
    ("$SYS/load", b'{"x": 1}'),
    ("plant/7", b'[{"x": 1}]'),
    ("plant/7", b' {"x": 1}'),
    ("plant/7", b'{"x": 1}\0'),
    ("plant/7", b'{"x": NaN}'),
    ("plant/7", b"{}"),
    ("plant/7", b'{"x": 1' + b" " * FLAT_BYTES + b"}"),
    ("plant/7", json.dumps({f"x{n}": n for n in range(65)}).encode()),
    ("plant/7", json.dumps({"x" * (MAX_TEXT + 1): 1}).encode()),
    ("plant/7", json.dumps({"id": "x" * (MAX_TEXT + 1), "x": 1}).encode()),
]


@pytest.mark.parametrize(("topic", "payload"), FAST)
def test_the_common_shapes_take_the_fast_way(taken: Taken, topic: str, payload: bytes) -> None:
    outcome = Normaliser(())(laws.message(topic, payload))
    assert isinstance(outcome, Accepted)
    assert (outcome.format, taken.count) == ("json", 1)
    both_ways_agree(laws.message(topic, payload))


@pytest.mark.parametrize(("topic", "payload"), SLOW)
def test_what_takes_more_than_reading_numbers_goes_the_general_way(
    taken: Taken, topic: str, payload: bytes
) -> None:
    Normaliser(())(laws.message(topic, payload))
    assert taken.count == 0
    both_ways_agree(laws.message(topic, payload))


def test_a_payload_that_names_another_device_than_its_route_demands_is_not_read_fast(
    taken: Taken,
) -> None:
    demand = Normaliser((Route(topic="plant/{device}", device_must_match=True),))
    for payload, fast in [
        (b'{"id": "7", "x": 1}', 1),
        (b'{"x": 1}', 1),
        (b'{"id": "8", "x": 1}', 0),
    ]:
        taken.count = 0
        message = laws.message("plant/7", payload)
        assert demand(message) == demand._examine(message)[0]
        assert taken.count == fast


def test_keys_are_worked_out_once() -> None:
    keys = ("temp", "hum")
    assert flat_object(keys) is flat_object(keys)
    assert flat_object(tuple(f"x{n}" for n in range(65))) is None


# The law.

TOPICS = (
    "x plant/7 plant/7/telemetry a/p/7/up home/attic/temperature temperature / owntracks/a/b"
    " haltere/x $SYS/x plant/7/tele/STATE"
)
topics = st.sampled_from(TOPICS.split()) | st.text(min_size=1, max_size=12)
ROLES = (
    "ts time timestamp Time event_time timestampMs utc date device deviceId device_id dev-eui id"
    " uuid imei node lat latitude LAT lon lng longitude name n type sensor value v val reading unit"
    " units u _type tst"
)
CHANNELS = (
    "temp temperature Temperature tempF temp_C temp-c hum humidity_% pressure_kPa p_hPa speed_kmh"
    " speed course heading altitude accuracy acc battery rpm x y X a.b a a-b . ! ° \u2603 \u0130"
)
keys = st.sampled_from([*ROLES.split(), *CHANNELS.split(), ""]) | st.text(max_size=5)
numbers = (
    st.integers(-(2**70), 2**70)
    | st.integers(-5, 105)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -0.0, 1e308, -1e308, 2**63, 2**64 - 1, 2**64, 5e-324])
)
times = st.sampled_from(
    [1700000000, 1700000000.25, 1700000000123, "2023-11-14T22:13:20Z", "1700000000", 12, "12:30"]
)
texts = st.sampled_from(["7", " 7 ", "p1", "", "  ", "on", "nan", "NaN", "21.5 C", "-", "x" * 200])
leaves = numbers | times | texts | st.none() | st.booleans() | st.text(max_size=5)
nested = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


def written(pairs: list[tuple[str, object]]) -> bytes:
    """A JSON object whose keys may stand twice."""
    inner = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs)
    return ("{" + ", ".join(inner) + "}").encode()


# Mostly what the fast way takes: numbers, and now and then a time, an identity, a place.
usual = st.integers(0, 50) | st.floats(0, 50)
pairs_of_numbers = st.lists(
    st.tuples(st.sampled_from(CHANNELS.split()), usual | usual | numbers), min_size=1, max_size=5
)
roles = st.tuples(
    st.lists(st.tuples(st.sampled_from(["ts", "time", "timestamp"]), times), max_size=1),
    st.lists(st.tuples(st.sampled_from(["id", "deviceId", "uuid"]), texts), max_size=1),
    st.lists(st.tuples(st.just("lat"), st.floats(-91, 91) | st.just("48.1")), max_size=1),
    st.lists(st.tuples(st.sampled_from(["lon", "lng"]), st.floats(-181, 181)), max_size=1),
)
common = (
    st.tuples(pairs_of_numbers, roles)
    .map(lambda both: [*both[0], *chain(*both[1])])
    .flatmap(st.permutations)
)
flags = st.fixed_dictionaries({"dup": st.booleans(), "retain": st.booleans()})


@settings(max_examples=300)
@given(topics, common, flags)
@example("x", [("temp", 20), ("ts", 1700000000), ("lat", 48.1), ("lon", 11.5)], {})
def test_flat_objects_are_read_alike_both_ways(
    topic: str, pairs: list[tuple[str, object]], more: Mapping[str, Any]
) -> None:
    both_ways_agree(laws.message(topic, written(pairs), **more))


@settings(max_examples=300)
@given(topics, st.lists(st.tuples(keys, nested), max_size=6))
def test_any_objects_are_read_alike_both_ways(topic: str, pairs: list[tuple[str, object]]) -> None:
    both_ways_agree(laws.message(topic, written(pairs)))


@settings(max_examples=200)
@given(topics, st.binary(max_size=60))
def test_what_only_begins_like_an_object_is_read_alike(topic: str, rest: bytes) -> None:
    both_ways_agree(laws.message(topic, b"{" + rest))


# The same over what people send.


def _examples() -> Iterator[tuple[str, bytes]]:
    yield from ((topic, payload) for topic, payload, _ in test_formats.EXAMPLES)
    yield from (("plant/7", json.dumps(sent).encode()) for sent, _ in test_formats.PLAIN)
    yield from (("plant/7", json.dumps(sent).encode()) for sent, _ in test_formats.PLACES)
    yield from ((t, p) for p in test_formats.HOSTILE for t in ("x", "a/b/temperature"))
    yield from ((topic, payload) for _, topic, payload, *_ in test_normalise.DEVICES)
    yield from (("a/p/7/up", payload) for payload, *_ in test_normalise.MATCHES)
    yield from (("a", payload) for payload, *_ in test_normalise.QUALITIES)
    yield from seeds()


def test_the_examples_of_the_other_tests_are_read_alike(taken: Taken) -> None:
    for topic, payload in _examples():
        both_ways_agree(laws.message(topic, payload))
    assert taken.count > 20


@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared is not here")
def test_the_corpus_is_read_alike() -> None:
    for file in sorted(CORPUS.glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            item = json.loads(line)
            payload = base64.b64decode(item["payload_b64"])
            both_ways_agree(laws.message(item["topic"], payload))
