"""SenML: resolution as RFC 8428 says, in JSON and in CBOR."""

import json
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.formats.senml import MAX_RECORDS
from bridge.normalise import Ignored, Normaliser
from tests import laws
from tests.bridge.formats.told import T, outcome, told

LABELS = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6}
LABELS |= {"n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8}
PACK: list[dict[str, Any]] = [
    {"bn": "urn:dev:ow:10e2:", "bt": 1700000000, "bu": "A", "n": "voltage", "u": "V", "v": 120.1},
    {"n": "current", "t": -5, "v": 1.2},
    {"n": "current", "t": -4, "v": 1.3},
    {"n": "open", "vb": True},
    {"n": "mode", "vs": "eco"},
    {"n": "tag", "vd": "aGkgCg"},
]
DRAFT: dict[str, Any] = {"bn": "urn:dev:mac:1/", "bt": 1700000000, "ver": 1}
DRAFT["e"] = [{"n": "temp", "u": "Cel", "v": 1}, {"n": "on", "bv": True}, {"n": "is", "sv": "up"}]


def cbor(pack: list[dict[str, Any]]) -> bytes:
    return cbor2.dumps([{LABELS.get(key, key): r[key] for key in r} for r in pack])


EXAMPLES: list[tuple[str, bytes, str]] = [
    ("x", json.dumps(PACK).encode(), "senml_json"),
    ("x", b' [ {"n":"urn:dev:ow:10e2","u":"Cel","v":23.1}]', "senml_json"),
    ("x", json.dumps(DRAFT).encode(), "senml_json"),
    ("x", cbor(PACK), "senml_cbor"),
    ("x", cbor2.dumps(PACK), "senml_cbor"),
    ("x", b"\x9f\xbf\x00\x61a\x02\xf9\x3e\x00\xff\xff", "senml_cbor"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_packs_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_packs_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


OTHERS = [
    [{"name": "temp", "value": 3}],
    [{"n": "temp", "value": 3}],
    [{"n": "temp", "v": 3, "q": 1}],
    [{"v": 3, "q": 1}],
    [{"ts": 1700000000, "v": 1}],
    [{"n": "temp"}],
    [{"v": "x"}],
    [],
    [1, 2],
    {"n": "temp", "v": 3},
    {"bn": "a", "e": []},
    {"e": [{"n": "a", "v": 1}]},
]


@pytest.mark.parametrize("payload", OTHERS, ids=str)
def test_what_other_people_send_is_not_taken(payload: object) -> None:
    assert recognise("x", json.dumps(payload).encode()).name == "json"


OTHER_BYTES = [
    b"\x80",
    cbor2.dumps([{"a": 1}]),
    cbor2.dumps([{1: "V", 99: 2}]),
    cbor2.dumps([{1: "V"}]),
    cbor2.dumps({-2: "a"}),
    cbor(PACK) + b"\0",
    cbor(PACK)[:-1],
]


@pytest.mark.parametrize("payload", OTHER_BYTES, ids=repr)
def test_other_bytes_are_not_taken(payload: bytes) -> None:
    assert recognise("x", payload).name != "senml_cbor"


@pytest.mark.parametrize("encode", [lambda pack: pack, cbor], ids=["json", "cbor"])
def test_base_fields_hold_for_the_records_behind_them(encode: Any) -> None:
    found = told("x", encode(PACK))
    assert sorted(found, key=lambda one: one[1] or 0) == [
        ("urn:dev:ow:10e2", T - 5_000_000, {"current": 1.2}),
        ("urn:dev:ow:10e2", T - 4_000_000, {"current": 1.3}),
        ("urn:dev:ow:10e2", T, {"open": 1, "voltage": 120.1}),
    ]


def test_each_base_field_is_replaced_alone() -> None:
    pack = [
        {"bn": "a/", "bt": 1700000000, "bu": "Cel", "n": "t", "v": 1},
        {"bn": "b/", "n": "t", "v": 2},
        {"bt": 1700000060, "n": "t", "u": "V", "v": 3},
    ]
    found = [(r.device, r.time, r.values, r.units) for r in laws.readings("x", pack)]
    assert found == [
        ("a", T, (1.0,), ("Cel",)),
        ("b", T, (2.0,), ("Cel",)),
        ("b", T + 60_000_000, (3.0,), ("V",)),
    ]


NAMES: list[tuple[dict[str, Any], str, str]] = [
    ({"bn": "urn:dev:ow:10e2:", "n": "voltage"}, "urn:dev:ow:10e2", "voltage"),
    ({"n": "urn:dev:ow:10e2:voltage"}, "urn:dev:ow:10e2", "voltage"),
    ({"bn": "urn:dev:mac:", "n": "0024be/pump/flow"}, "urn:dev:mac:0024be", "pump.flow"),
    ({"n": "urn:dev:org:32473-foo_battery"}, "urn:dev:org:32473-foo", "battery"),
    ({"bn": "urn:dev:ow:10e2", "u": "Cel"}, "urn:dev:ow:10e2", "temperature.10e2"),
    ({"n": "urn:dev:ow:10e2", "u": "%RH"}, "urn:dev:ow:10e2", "humidity.10e2"),
    ({"bn": "2001:db8::1/", "n": "temperature"}, "2001:db8::1", "temperature"),
    ({"bn": "ESP32-7", "n": "temp"}, "ESP32-7", "temperature"),
    ({"bn": "kitchen/temp"}, "kitchen", "temperature"),
    ({"bn": "kitchen"}, "kitchen", "kitchen"),
    ({"n": "kitchen/stove"}, "kitchen", "stove"),
    ({"n": "AA:BB:CC:DD:EE:0F", "u": "V"}, "AA:BB:CC:DD:EE:0F", "voltage.0_f"),
    ({"n": "temperature"}, "topic", "temperature"),
    ({"u": "Cel"}, "topic", "temperature"),
    ({"bn": "/3303/0/", "n": "5700"}, "topic", "3303.0.5700"),
    ({}, "topic", "value"),
]


@pytest.mark.parametrize(("record", "device", "channel"), NAMES, ids=str)
def test_a_full_name_is_a_device_and_a_channel(
    record: dict[str, Any], device: str, channel: str
) -> None:
    ((found, _, channels),) = told("topic", [record | {"v": 7}])
    assert (found, channels) == (device, {channel: 7})


def test_one_name_may_have_several_units() -> None:
    pack = [{"bn": "urn:dev:ow:10e2", "u": "%RH", "v": 20}, {"u": "%EL", "v": 98}]
    assert told("x", pack)[0][2] == {"humidity.10e2": 20, "battery.10e2": 98}
    assert sorted(told("x", [{"n": "a", "v": 1}, {"n": "a", "v": 2}])[0][2].values()) == [1, 2]


def test_small_times_are_relative_and_no_microsecond_goes_through_a_float() -> None:
    for record in ({"t": -5}, {"bt": 100, "t": 2**28 - 101}, {"t": 0}, {}):
        ((_, time, _),) = told("x", [{"bn": "a", "n": "b", "v": 1} | record])
        assert time is None
    ((_, time, _),) = told("x", b'[{"bn":"a","bt":1700000000.000001,"n":"b","v":1}]')
    assert time == T + 1
    ((_, time, _),) = told("x", [{"bn": "a", "bt": 1700000000.5, "n": "b", "t": -0.499999, "v": 1}])
    assert time == T + 1
    ((_, time, _),) = told("x", cbor([{"n": "b", "t": Decimal("1700000000.000001"), "v": 1}]))
    assert time == T + 1


def test_base_values_and_sums_add_up() -> None:
    assert told("x", [{"bn": "d/", "bv": 20, "n": "t", "u": "Cel", "v": 1.5}])[0][2] == {"t": 21.5}
    (reading,) = laws.readings("x", [{"bn": "d/", "bs": 3, "n": "e", "u": "W", "s": 4, "v": 2}])
    assert (reading.channels, reading.values) == (("e", "e.sum"), (2.0, 7.0))
    assert reading.units == ("W", "J")
    assert isinstance(outcome("x", [{"bn": "d", "bv": 20}]), Ignored)


VALUES: list[tuple[object, float]] = [
    (5, 5),
    (2**70, float(2**70)),
    (Decimal("273.15"), 273.15),
    (cbor2.CBORTag(5, [-1, 3]), 1.5),
    (-6.5, -6.5),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=str)
def test_a_value_may_be_any_number_of_cbor(value: object, expected: float) -> None:
    assert told("x", cbor([{"n": "d/x", "v": value}]))[0][2] == {"x": expected}


def test_lat_and_lon_of_one_time_are_a_position() -> None:
    pack = [
        {"bn": "urn:dev:ow:1", "bt": 1700000000, "u": "lat", "v": 48.1372},
        {"u": "lon", "v": 11.5756},
        {"n": ":temp", "u": "Cel", "v": 21},
        {"n": ":alt", "u": "m", "v": 500},
        {"u": "lat", "t": 60, "v": 48.2},
    ]
    (reading,) = laws.readings("x", pack)
    assert reading.time == T
    assert reading.position
    assert (reading.position.lat, reading.position.lon) == (48.1372, 11.5756)
    assert reading.position.altitude == 500


@pytest.mark.parametrize(
    ("unit", "value", "expected", "canonical"),
    [("%RH", 40, 40, "%"), ("/", 0.4, 40, "%"), ("mV", 5, 0.005, "V"), ("C", 3, 3, "C")],
)
def test_units_are_those_of_the_registry(
    unit: str, value: float, expected: float, canonical: str
) -> None:
    (reading,) = laws.readings("x", [{"n": "d/x", "u": unit, "v": value}])
    assert reading.values == pytest.approx((expected,))


def test_a_pack_of_the_drafts_is_read() -> None:
    (reading,) = laws.readings("x", DRAFT)
    assert (reading.device, reading.time) == ("urn:dev:mac:1", T)
    assert (reading.channels, reading.values) == (("on", "temperature"), (1.0, 1.0))
    assert (reading.states, reading.state_values) == (("is",), ("up",))


BROKEN = [
    ([{"bn": "a", "n": "b", "v": "n/a"}], "0.v"),
    ([{"bn": "a", "n": "b", "v": [1]}], "0.v"),
    ([{"bn": "a", "bv": "x", "n": "b", "v": 1}], "0.bv"),
    ([{"bn": "a", "n": "b", "vb": 1}], "0.vb"),
    ([{"bn": "a", "n": "b", "vs": 1}], "0.vs"),
    ([{"bn": 5, "n": "b", "v": 1}], "0.bn"),
    ([{"bn": "a", "u": 5, "v": 1}], "0.u"),
    ([{"bn": "a", "bt": "now", "v": 1}], "0.bt"),
    ([{"bn": "a", "bver": 64, "v": 1}], "0.bver"),
    ([{"bn": "a", "n": "b", "v": 1}, {"n": "c", "must_": 1, "v": 2}], "1.must_"),
    ([{"bn": "a", "v": 1}, 5], "1"),
    ([{"bn": "a" * 200, "v": 1}], "0.n"),
    ([{"bn": "a", "v": 1}] * (MAX_RECORDS + 1), "payload"),
    ({"bn": "a", "e": [{"n": 1}, 2]}, "e"),
]


@pytest.mark.parametrize(("pack", "path"), BROKEN, ids=lambda v: str(v)[:60])
def test_a_broken_record_is_a_dead_letter_that_says_where(pack: object, path: str) -> None:
    letter = outcome("x", pack)
    assert isinstance(letter, DeadLetter)
    assert letter.path == path


def test_a_pack_without_values_is_ignored() -> None:
    for pack in ([{"bn": "a", "bt": 1700000000}], [{"bn": "a", "v": None}, {"n": "b", "vd": "aa"}]):
        assert outcome("x", pack) == Ignored("senml_json", "a pack without a value")


def test_what_is_left_out_is_told() -> None:
    pack = [{"bn": "a/", "n": "b", "v": None, "foo": 1}, {"n": "c", "vd": "aa"}, {"n": "d", "v": 1}]
    message = laws.message("x", json.dumps(pack).encode())
    notes = [(e.path, e.note) for e in Normaliser(()).explain(message).fields if not e.name]
    assert notes == [
        ("0.foo", "a field of others"),
        ("0.b", "null: the channel is missing"),
        ("1.c", "bytes are no measurement"),
    ]


HOSTILE: list[list[dict[str, Any]]] = [
    [{"bn": "urn:dev:mac:1:", "bt": 1700000000}]
    + [{"n": "t", "t": t, "v": 1.5} for t in range(MAX_RECORDS - 1)],
    [{"n": "::/" * 30 + str(n), "v": 1} for n in range(190)],
    [{"bn": "a", "t": "9" * 30 + "e99", "v": 1}] * MAX_RECORDS,
    [{"bn": "a", "v": 1} | {f"k{n}": 1 for n in range(30)}] * MAX_RECORDS,
    [{"bn": "a", "bv": 1e308, "v": 1e308}],
]


@pytest.mark.parametrize("pack", HOSTILE, ids=lambda p: str(p)[:40])
def test_hostile_packs_end_well_and_cheaply(pack: list[dict[str, Any]]) -> None:
    payload = json.dumps(pack).encode()
    laws.ends_well("x", payload)
    laws.explains_what_it_does("x", payload)
    laws.is_cheap("x", payload)


fields = st.fixed_dictionaries(
    {"n": st.text(max_size=5) | st.sampled_from(["urn:dev:ow:1:t", "a/b", "/1/2", "urn:dev:"])},
    optional={
        "bn": st.text(max_size=5) | st.integers() | st.sampled_from(["urn:dev:mac:", "a/"]),
        "bt": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        "t": st.integers(-(2**70), 2**70) | st.none(),
        "v": st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
        "vs": st.text(max_size=5),
        "vb": st.booleans() | st.integers(),
        "u": st.sampled_from(["lat", "lon", "Cel", "C", ""]) | st.integers(),
        "s": st.integers(),
    },
)


@given(st.lists(fields, min_size=1, max_size=4))
def test_any_pack_ends_well(pack: list[dict[str, Any]]) -> None:
    for sent in (json.dumps(pack).encode(), cbor(pack)):
        laws.ends_well("x", sent)
        laws.explains_what_it_does("x", sent)


@given(st.sampled_from(EXAMPLES), st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_changed_bytes_end_well(example: tuple[str, bytes, str], at: int, more: bytes) -> None:
    _, sent, _ = example
    laws.ends_well("x", sent[:at] + more + sent[at + len(more) :])
