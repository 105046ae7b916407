"""CBOR and MessagePack: JSON in bytes, and what bytes can be beside."""

import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import cbor2
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.formats.binary import HEADS
from bridge.formats.sample import MAX_BYTES, MAX_ITEMS
from tests import laws
from tests.bridge.formats.told import T, outcome, told

TREE = {"device": "p7", "ts": 1_700_000_000, "oil": {"temp_F": 212, "level": 0.5}, "on": True}
ENDLESS = bytes.fromhex("bf6674656d705f46 1818 63686f74 5f4101ff 6161 9f0102ff ff".replace(" ", ""))
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("x", cbor2.dumps(TREE), "cbor"),
    ("x", b"\xd9\xd9\xf7" + cbor2.dumps(TREE), "cbor"),
    ("x", cbor2.dumps([TREE, TREE | {"device": "p8"}]), "cbor"),
    ("x", ENDLESS, "cbor"),
    ("x", msgpack.packb(TREE), "msgpack"),
    ("x", msgpack.packb([TREE]), "msgpack"),
    ("x", msgpack.packb({f"k{n}": n for n in range(20)}), "msgpack"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_both_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_both_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@pytest.mark.parametrize(
    "payload", [cbor2.dumps(TREE), msgpack.packb(TREE)], ids=["cbor", "msgpack"]
)
def test_both_are_read_as_json_is(payload: bytes) -> None:
    assert told("x", payload) == told("x", TREE)
    assert told("x", payload)[0][2] == pytest.approx(
        {"oil.level": 0.5, "oil.temperature": 100, "on": 1}
    )


OTHERS = [
    b"\x80",
    b"\xa0",
    b"\x01\x02",
    b"\xa1\x01\x02",
    b"\xff\xd8\xff\xe0",
    b"\x89PNG",
    b"text",
    "é".encode(),
    "ݑ text".encode(),
    b"\x81\x01",
    b"\x93\x01\x02\x03",
    b"\xa1\x61\x01\x02",
    cbor2.dumps(TREE) + b"\0",
    msgpack.packb(TREE) + b"\0",
    cbor2.dumps(TREE)[:-1],
]


@pytest.mark.parametrize("payload", OTHERS, ids=repr)
def test_other_bytes_are_neither(payload: bytes) -> None:
    assert recognise("x", payload).name not in ("cbor", "msgpack")


SPECIAL: list[tuple[object, dict[str, float]]] = [
    (Decimal("21.5"), {"v": 21.5}),
    (Decimal("-1e-7"), {"v": -1e-7}),
    (Fraction(1, 4), {"v": 0.25}),
    (cbor2.CBORTag(5, [-1, 3]), {"v": 1.5}),
    (2**70, {"v": float(2**70)}),
    (-(2**70), {"v": -float(2**70)}),
    (2**2000, {}),
    (cbor2.CBORTag(4, [10**9, 1]), {}),
    (cbor2.CBORTag(5, [10**9, 1]), {}),
    (cbor2.CBORTag(4, "x"), {}),
    (cbor2.CBORTag(30, [1, 0]), {}),
    (cbor2.CBORTag(12345, 7), {"v": 7}),
    (cbor2.CBORTag(28, [1, 2]), {"v.0": 1, "v.1": 2}),
    (cbor2.CBORTag(29, 0), {}),
    (cbor2.CBORTag(258, [3]), {"v.0": 3}),
    (float("nan"), {}),
    (float("inf"), {}),
    (None, {}),
    (b"\1\2" * 40, {}),
    (cbor2.undefined, {}),
    (cbor2.CBORSimpleValue(99), {}),
    (21.5, {"v": 21.5}),
    ({1: 2, -1: 3}, {"v.1": 2, "v.-1": 3}),
]


@pytest.mark.parametrize(("value", "channels"), SPECIAL, ids=str)
def test_what_json_does_not_have_is_a_number_or_missing(
    value: object, channels: dict[str, float]
) -> None:
    ((_, _, found),) = told("x", cbor2.dumps({"v": value, "x": 1}))
    assert sorted(found.values()) == sorted([*channels.values(), 1])


def test_a_half_precision_float_is_a_number() -> None:
    assert told("x", b"\xa2\x61v\xf9" + struct.pack(">e", 1.5) + b"\x61x\x01")[0][2]["v"] == 1.5


def test_a_few_bytes_are_hex() -> None:
    (reading,) = laws.readings("x", cbor2.dumps({"device": b"\xaa\x01", "x": 1}))
    assert reading.device == "0xaa01"


MOMENTS = [
    cbor2.CBORTag(0, "2023-11-14T22:13:20.000001Z"),
    cbor2.CBORTag(0, "2023-11-14T23:13:20.000001+01:00"),
    cbor2.CBORTag(1, 1_700_000_000.000001),
    cbor2.CBORTag(1001, {1: 1_700_000_000, -9: 1_999}),
    cbor2.CBORTag(1001, {1: 1_700_000_000, -6: 1}),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_times_are_absolute_to_the_microsecond(moment: object) -> None:
    assert told("x", cbor2.dumps({"time": moment, "v": 1}))[0][1] == T + 1


@pytest.mark.parametrize(("nanos", "micros"), [(0, T), (1_999, T + 1), (999_999_999, T + 999_999)])
def test_timestamps_of_msgpack_are_absolute(nanos: int, micros: int) -> None:
    stamp = msgpack.packb({"time": msgpack.Timestamp(1_700_000_000, nanos), "v": 1})
    assert told("x", stamp)[0][1] == micros
    assert told("x", msgpack.packb({"boot": msgpack.Timestamp(1_700_000_000, nanos), "v": 1})) == [
        ("x", None, {"v": 1})
    ]


def test_too_many_items_are_a_dead_letter() -> None:
    for dumps in (cbor2.dumps, msgpack.packb):
        letter = outcome("x", dumps([{"a": 1}] * (MAX_ITEMS // 4)))
        assert isinstance(letter, DeadLetter)
        assert letter.expected == f"at most {MAX_ITEMS} items"


BOMBS = [
    b"\x9b" + b"\xff" * 8,
    b"\xbb" + b"\x7f" * 8,
    b"\x5b" + b"\xff" * 8,
    b"\x9f" * 50_000,
    b"\x81" * 50_000 + b"\1",
    b"\xa1aa" * 20_000 + b"\1",
    b"\xd8\x1c" * 20_000 + b"\x80",
    b"\xa1av\xc4\x82\x1b" + b"\x7f" * 8 + b"\1",
    b"\xa1av\xc4\x82\1\xc2\x59\xff\xff" + b"\xff" * 65_535,
    b"\xa1av\xc2\x59\xff\xff" + b"\xff" * 65_535,
    b"\x82\xa1aa\1\xa1\xc2\x59\x20\0" + b"\xff" * 0x2000 + b"\1",
    b"\xa1av\xd8\x23c(a+)+$",
    b"\xa1av\xd8\x1c\x81\xd8\x1d\0",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\x91" * 50_000 + b"\1",
    b"\x81\xa1a" * 30_000 + b"\1",
    b"\xc7\xff\x01" + b"x" * 255,
    b"\x9a\x00\x01\x00\x00" + b"\x01" * 65_536,
    struct.pack(">BI", 0xDD, 60_000) + b"\x81\xa1a\x01" * 20_000,
    b"\x92\x81\xa1a\x01" + b"\xdc\x03\xe8" * 900,
    b"\x92\x81\xa1a\x01" + msgpack.packb([[1] * 990 for _ in range(24)]),
    cbor2.dumps([{"a": 1}] * (HEADS // 3)),
    cbor2.dumps({"a": [1] * (HEADS - 10)}),
    cbor2.dumps({"a": "x" * (MAX_BYTES - 20)}),
    msgpack.packb({"a": b"x" * (MAX_BYTES - 20)}),
    b"\xb9\x01\x00" + b"".join(b"\x81" * 12 + bytes([0x18, n, 1]) for n in range(256)),
]


@pytest.mark.parametrize("payload", BOMBS, ids=lambda p: p[:8].hex())
def test_bombs_end_well_and_cheaply(payload: bytes) -> None:
    laws.ends_well("x", payload)
    laws.is_cheap("x", payload)


keys = st.text(max_size=4) | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=3)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
trees = st.recursive(
    leaves | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
)
tagged = st.recursive(
    leaves | st.text(max_size=5) | st.binary(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.builds(cbor2.CBORTag, st.sampled_from([*range(6), 28, 29, 30, 37, 1001]), inner)
    ),
)


@given(trees)
def test_any_tree_ends_well_in_both(tree: object) -> None:
    for sent in (cbor2.dumps(tree), msgpack.packb(tree), cbor2.dumps({"v": tree})):
        laws.ends_well("x", sent)
        laws.explains_what_it_does("x", sent)


@given(tagged)
def test_any_tag_ends_well(tree: object) -> None:
    laws.ends_well("x", cbor2.dumps({"v": tree, "time": tree}))


@given(st.sampled_from(EXAMPLES), st.integers(0, 60), st.binary(min_size=1, max_size=3))
def test_changed_bytes_end_well(example: tuple[str, bytes, str], at: int, more: bytes) -> None:
    _, payload, _ = example
    laws.ends_well("x", payload[:at] + more + payload[at + len(more) :])


@given(st.binary(max_size=60))
def test_any_bytes_that_begin_so_end_well(rest: bytes) -> None:
    for head in (b"\xa2", b"\x82", b"\xbf", b"\x9f", b"\xde\x00", b"\xc4"):
        laws.ends_well("x", head + rest)
