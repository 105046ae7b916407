"""FIWARE: pairs between bars, objects of an agent, and entities."""

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
ROOM = {
    "id": "Room1",
    "type": "Room",
    "temperature": {
        "type": "Number",
        "value": 50,
        "metadata": {"unitCode": {"type": "Text", "value": "FAH"}},
    },
    "TimeInstant": {"type": "DateTime", "value": "2024-01-01T00:00:00Z"},
    "location": {"type": "geo:point", "value": "48.1, 11.5"},
}
AT = {"observedAt": "2024-01-01T00:00:00Z"}
VEHICLE = {
    "id": "urn:ngsi-ld:Vehicle:7",
    "type": "Vehicle",
    "speed": {"type": "Property", "value": 36, "unitCode": "KMH"} | AT,
    "owner": {"type": "Relationship", "object": "urn:ngsi-ld:Person:1"},
    "location": {
        "type": "GeoProperty",
        "value": {"type": "Point", "coordinates": [11.5, 48.1]},
    }
    | AT,
}
UL = "/ul/4jggokgpepnvsb2uv4s40d59ov/tank7/attrs"
JSON = "/json/4jggokgpepnvsb2uv4s40d59ov/tank7/attrs"


def sent(tree: object) -> bytes:
    return json.dumps(tree).encode()


EXAMPLES: list[tuple[str, bytes, str]] = [
    (UL, b"2024-01-01T00:00:00Z|t|21.5|mode|eco#t|22", "fiware_ul20"),
    ("x", b"t|21.5|mode|eco", "fiware_ul20"),
    (JSON, b'{"t": "21.5", "TimeInstant": "2024-01-01T00:00:00Z"}', "fiware_json"),
    ("/key/tank7/attrs", b'[{"t": 21.5}, {"t": 22}]', "fiware_json"),
    ("orion", sent({"subscriptionId": "5a", "data": [ROOM]}), "ngsi"),
    ("orion", sent(VEHICLE), "ngsi"),
]
NUMBERED = [f"{name}-{i}" for i, (*_, name) in enumerate(EXAMPLES)]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES, ids=NUMBERED)
def test_measures_of_fiware_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES, ids=NUMBERED)
def test_measures_of_fiware_are_recognised(topic: str, payload: bytes, name: str) -> None:
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


def one(topic: str, payload: object) -> Reading:
    (reading,) = laws.readings(topic, payload)
    return reading


def ignored(topic: str, payload: object) -> str:
    whole = payload if isinstance(payload, bytes) else sent(payload)
    outcome = Normaliser(())(laws.message(topic, whole))
    assert isinstance(outcome, Ignored), outcome
    return outcome.reason


def refused(topic: str, payload: bytes) -> DeadLetter:
    outcome = Normaliser(())(laws.message(topic, payload))
    assert isinstance(outcome, DeadLetter), outcome
    return outcome


KEY = "4jggokgpepnvsb2uv4s40d59ov/tank7"
ULTRALIGHT: list[tuple[bytes, list[tuple[int | None, dict[str, float]]]]] = [
    (b"t|21.5|mode|eco", [(None, {"t": 21.5})]),
    (b"|t|21.5", [(None, {"t": 21.5})]),
    (b"t|21.5|on|true", [(None, {"on": 1, "t": 21.5})]),
    (b"2024-01-01T00:00:00Z|t|21.5", [(T, {"t": 21.5})]),
    (b"TimeInstant|2024-01-01T00:00:00Z|t|21.5", [(T, {"t": 21.5})]),
    (b"2024-01-01T00:00:00Z|t|21.5#t|22", [(T, {"t": 21.5}), (None, {"t": 22})]),
    (b"2024-01-01T00:00:00|t|21.5", [(None, {"t": 21.5})]),
]


@pytest.mark.parametrize(("payload", "expected"), ULTRALIGHT)
def test_pairs_in_groups_are_measures(payload: bytes, expected: object) -> None:
    for topic in (UL, UL.removeprefix("/"), UL.removeprefix("/ul")):
        found = told(topic, payload)
        assert {device for device, *_ in found} == {KEY}
        assert [(time, channels) for _, time, channels in found] == expected


def test_a_place_may_have_a_slash_between_its_parts() -> None:
    for text in (b"gps|48.1/11.5", b"location|48.1,11.5"):
        reading = one(UL, text)
        assert reading.position is not None
        assert (reading.position.lat, reading.position.lon) == (48.1, 11.5)


def test_a_single_value_is_named_by_the_topic() -> None:
    assert told(f"{UL}/t", b"21.5") == [(KEY, None, {"t": 21.5})]
    assert told(f"{JSON}/t", b'"21.5"') == [(KEY, None, {"t": 21.5})]
    assert told(f"{JSON}/t", b'{"in": 1}') == [(KEY, None, {"t.in": 1})]
    assert one(f"{UL}/mode", b"eco").state_values == ("eco",)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("/ul/key/tank7/cmd", b"tank7@turn|left"),
        ("/ul/key/tank7/cmdexe", b"tank7@ping|Ping ok"),
        ("/key/tank7/attrs", b"tank7@ping|param1=1|param2=2"),
        ("/key/tank7/cmd", b'{"ping": {"a": 1}}'),
        ("/json/key/tank7/cmdexe", b'{"ping": "5"}'),
        ("/key/tank7/configuration/commands", b'{"type": "configuration", "fields": ["a"]}'),
        ("/json/key/tank7/configuration/values", b'{"type": "configuration", "a": 5}'),
    ],
)
def test_commands_and_configurations_are_no_measurement(topic: str, payload: bytes) -> None:
    assert ignored(topic, payload) == "a command, its result or a configuration is no measurement"


def test_pairs_that_do_not_pair_are_refused() -> None:
    assert refused(UL, b"t|21.5#t").path == "group 2"
    assert refused(UL, b"\xff|1").expected == "UTF-8"
    assert refused(JSON, b"[5]").path == "payload"
    assert ignored(UL, b" ") == ignored(JSON, b"")


def test_pairs_are_recognised_anywhere_but_other_bars_are_not() -> None:
    for text in (b"t|21.5", b"2024-01-01T00:00:00Z|t|21.5", b"a.b|on|t|21.5#t|22"):
        assert recognise("x", text).name == "fiware_ul20"
    for text in (b"21.5|40", b"hello|world", b"t|21.5|", b"a|1\nb|2"):
        assert recognise("x", text).name != "fiware_ul20"


def test_each_object_has_its_own_time() -> None:
    tree = [{"t": "21.5", "TimeInstant": "2024-01-01T00:00:00Z"}, {"t": 22}]
    assert told(JSON, tree) == [(KEY, T, {"t": 21.5}), (KEY, None, {"t": 22})]
    assert told(UL, tree) == told(JSON, tree)


def test_an_entity_has_units_a_time_and_a_place() -> None:
    reading = one("x", {"subscriptionId": "5a", "data": [ROOM]})
    assert (reading.device, reading.time, reading.channels) == ("Room1", T, ("temperature",))
    assert reading.values == pytest.approx((10.0,))
    assert reading.position is not None
    assert reading.position.lat == 48.1


def test_properties_of_linked_data_have_their_own_times() -> None:
    late = {"type": "Property", "value": 5, "unitCode": "CEL", "observedAt": "2024-01-01T00:00:05Z"}
    found = told("x", VEHICLE | {"temperature": late})
    assert found == [
        ("urn:ngsi-ld:Vehicle:7", T, {"speed": pytest.approx(10)}),
        ("urn:ngsi-ld:Vehicle:7", T + 5 * S, {"temperature": 5}),
    ]
    (first, _) = laws.readings("x", VEHICLE | {"temperature": late})
    assert first.position is not None
    assert first.position.lon == 11.5


def test_values_of_properties_may_have_parts_and_areas_are_no_position() -> None:
    area = {"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5, 6], [1, 2]]]}
    more = {
        "power": {"type": "Property", "value": {"l1": 5, "l2": 6}},
        "levels": [{"type": "Property", "value": 3}, {"type": "Property", "value": 4}],
        "hum": 7,
        "zone": {"type": "GeoProperty", "value": area},
    }
    ((_, _, found),) = told("x", {"id": "a", "type": "b"} | more)
    parts = {"humidity": 7, "power.l1": 5, "power.l2": 6}
    assert found == parts | {"levels.0": 3, "levels.1": 4}


def test_simplified_entities_are_read_as_any_json() -> None:
    simple = {"subscriptionId": "5a", "data": [{"id": "Room1", "type": "Room", "temperature": 21}]}
    assert told("x", simple) == [("Room1", None, {"temperature": 21})]
    assert refused("x", b'{"subscriptionId": "5a", "data": [5]}').path == "data"


def test_plain_json_of_others_stays_plain() -> None:
    for tree in ({"id": "a", "type": "b", "value": 5}, {"subscriptionId": "a", "data": {"t": 5}}):
        assert recognise("home/attic", sent(tree)).name == "json"


HUGE = [
    (UL, b"#".join([b"a|1"] * 20000)),
    (UL, b"|".join([b"a|1"] * 20000)),
    ("x", b"|".join([b"a|1"] * 20000)),
    ("x", b"a|" + b"1" * 90000),
    (JSON, b"[" + b'{"a":1},' * 10000 + b'{"a":1}]'),
    (
        "x",
        b'{"subscriptionId":1,"data":['
        + b'{"id":"a","t":{"type":"x","value":1}},' * 2000
        + b"{}]}",
    ),
    (
        "x",
        b'{"subscriptionId":1,"data":[' + b'{"id":"a","t":{"type":"x","value":1}},' * 65 + b"{}]}",
    ),
]


@pytest.mark.parametrize(("topic", "payload"), HUGE, ids=range(len(HUGE)))
def test_huge_messages_end_well_and_cheaply(topic: str, payload: bytes) -> None:
    laws.ends_well(topic, payload)
    laws.is_cheap(topic, payload)
