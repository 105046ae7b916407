"""SenML: resolution as RFC 8428 says, in JSON and in CBOR."""

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.normalise import Ignored
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
]


def cbor(pack: list[dict[str, Any]]) -> bytes:
    return cbor2.dumps([{LABELS[key]: value for key, value in record.items()} for record in pack])


EXAMPLES: list[tuple[str, bytes, str]] = [
    ("x", json.dumps(PACK).encode(), "senml_json"),
    ("x", b'[{"n":"urn:dev:ow:10e2","u":"Cel","v":23.1}]', "senml_json"),
    ("x", cbor(PACK), "senml_cbor"),
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
    [{"v": 3, "q": 1}],
    [{"ts": 1700000000, "v": 1}],
    [],
    [1, 2],
]


@pytest.mark.parametrize("payload", OTHERS, ids=str)
def test_other_lists_are_not_taken(payload: object) -> None:
    assert recognise("x", json.dumps(payload).encode()).name == "json"


@pytest.mark.parametrize("encode", [lambda pack: pack, cbor], ids=["json", "cbor"])
def test_base_fields_hold_for_the_records_behind_them(encode: Any) -> None:
    found = told("x", encode(PACK))
    assert sorted(found, key=lambda one: one[1] or 0) == [
        ("urn:dev:ow:10e2", T - 5_000_000, {"current": 1.2}),
        ("urn:dev:ow:10e2", T - 4_000_000, {"current": 1.3}),
        ("urn:dev:ow:10e2", T, {"open": 1, "voltage": 120.1}),
    ]


def test_small_times_are_relative_and_no_microsecond_goes_through_a_float() -> None:
    ((_, time, _),) = told("x", [{"bn": "a", "n": "b", "t": -5, "v": 1}])
    assert time is None
    ((_, time, _),) = told("x", b'[{"bn":"a","bt":1700000000.000001,"n":"b","v":1}]')
    assert time == T + 1


def test_base_values_and_sums_add_up() -> None:
    pack = [{"bn": "d/", "bv": 20, "n": "t", "u": "Cel", "v": 1.5}, {"n": "e", "u": "J", "s": 7}]
    (_, _, channels), *_ = told("x", pack[:1])
    assert channels == {"t": 21.5}
    assert told("x", [{"bn": "d/", "n": "e", "u": "J", "s": 7}])[0][2] == {"e.sum": 7}


def test_lat_and_lon_of_one_time_are_a_position() -> None:
    pack = [
        {"bn": "urn:dev:1", "bt": 1700000000, "u": "lat", "v": 48.1372},
        {"u": "lon", "v": 11.5756},
        {"n": ":temp", "u": "Cel", "v": 21},
        {"u": "lat", "t": 60, "v": 48.2},
    ]
    found = laws.readings("x", pack)
    spots = {r.time: r.position and (r.position.lat, r.position.lon) for r in found}
    assert spots == {T: (48.1372, 11.5756)}


@pytest.mark.parametrize(
    ("unit", "value", "expected", "canonical"),
    [("%RH", 40, 40, "%"), ("/", 0.4, 40, "%"), ("mV", 5, 0.005, "V"), ("C", 3, 3, "C")],
)
def test_units_are_those_of_the_registry(
    unit: str, value: float, expected: float, canonical: str
) -> None:
    (reading,) = laws.readings("x", [{"n": "d/x", "u": unit, "v": value}])
    assert reading.values == pytest.approx((expected,))


BROKEN = [
    ([{"bn": "a", "n": "b", "v": "1"}], "0.v"),
    ([{"bn": 5, "n": "b", "v": 1}], "0.bn"),
    ([{"bn": "a", "bt": "now", "v": 1}], "0.bt"),
    ([{"bn": "a", "n": "b", "v": 1}, {"n": "c", "must_": 1, "v": 2}], "1.must_"),
    ([{"bn": "a", "v": 1}, 5], "1"),
]


@pytest.mark.parametrize(("pack", "path"), BROKEN, ids=str)
def test_a_broken_record_is_a_dead_letter_that_says_where(pack: object, path: str) -> None:
    letter = outcome("x", pack)
    assert isinstance(letter, DeadLetter)
    assert letter.path == path


def test_a_pack_without_values_is_ignored() -> None:
    assert isinstance(outcome("x", [{"bn": "a", "bt": 1700000000}]), Ignored)


fields = st.fixed_dictionaries(
    {"n": st.text(max_size=5)},
    optional={
        "bn": st.text(max_size=5) | st.integers(),
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
    laws.ends_well("x", json.dumps(pack).encode())
    laws.explains_what_it_does("x", json.dumps(pack).encode())


@given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_changed_bytes_of_cbor_end_well(at: int, more: bytes) -> None:
    sent = cbor(PACK)
    laws.ends_well("x", sent[:at] + more + sent[at + len(more) :])
