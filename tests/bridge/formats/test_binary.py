"""CBOR and MessagePack: JSON in bytes, and what bytes can be beside."""

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import cbor2
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.formats import recognise
from tests import laws
from tests.bridge.formats.told import T, told

TREE = {"device": "p7", "ts": 1_700_000_000, "oil": {"temp_F": 212, "level": 0.5}, "on": True}
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("x", cbor2.dumps(TREE), "cbor"),
    ("x", b"\xd9\xd9\xf7" + cbor2.dumps(TREE), "cbor"),
    ("x", cbor2.dumps([TREE, TREE | {"device": "p8"}]), "cbor"),
    ("x", msgpack.packb(TREE), "msgpack"),
    ("x", msgpack.packb([TREE]), "msgpack"),
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
    b"\xff\xd8\xff\xe0",
    b"\x89PNG",
    b"text",
    "é".encode(),
    b"\x81\x01",
]


@pytest.mark.parametrize("payload", OTHERS)
def test_other_bytes_are_neither(payload: bytes) -> None:
    assert recognise("x", payload).name not in ("cbor", "msgpack")


SPECIAL: list[tuple[object, dict[str, float]]] = [
    (Decimal("21.5"), {"v": 21.5}),
    (2**70, {"v": float(2**70)}),
    (float("nan"), {}),
    (float("inf"), {}),
    (None, {}),
    (b"\1\2", {}),
    (cbor2.undefined, {}),
    (21.5, {"v": 21.5}),
]


@pytest.mark.parametrize(("value", "channels"), SPECIAL, ids=str)
def test_what_json_does_not_have_is_a_number_or_missing(
    value: object, channels: dict[str, float]
) -> None:
    assert told("x", cbor2.dumps({"v": value, "x": 1}))[0][2] == channels | {"x": 1}


def test_times_of_both_are_absolute() -> None:
    moment = datetime.fromtimestamp(T // 1_000_000, UTC)
    assert told("x", cbor2.dumps({"time": moment, "v": 1}))[0][1] == T
    stamp = msgpack.packb({"time": msgpack.Timestamp.from_datetime(moment), "v": 1})
    assert told("x", stamp)[0][1] == T


BOMBS = [
    b"\x9b" + b"\xff" * 8,
    b"\xbb" + b"\x7f" * 8,
    b"\x5b" + b"\xff" * 8,
    b"\x9f" * 50_000,
    b"\x81" * 50_000 + b"\1",
    b"\xa1aa" * 20_000 + b"\1",
    b"\xd8\x1c" * 20_000 + b"\x80",
    b"\xa1av\xc4\x82\x1b" + b"\x7f" * 8 + b"\1",
    b"\xa1av\xc2\x59\xff\xff" + b"\xff" * 65_535,
    b"\xa1av\xd8\x23c(a+)+$",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\x91" * 50_000 + b"\1",
    b"\x81\xa1a" * 30_000 + b"\1",
    b"\xc7\xff\x01" + b"x" * 255,
    b"\x9a\x00\x01\x00\x00" + b"\x01" * 65_536,
    struct.pack(">BI", 0xDD, 60_000) + b"\x81\xa1a\x01" * 20_000,
]


@pytest.mark.parametrize("payload", BOMBS, ids=lambda p: p[:8].hex())
def test_bombs_end_well_and_cheaply(payload: bytes) -> None:
    laws.ends_well("x", payload)
    laws.is_cheap("x", payload)


keys = st.text(max_size=4) | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=3)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
)  # noqa: E501
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)


@given(trees)
def test_any_tree_ends_well_in_both(tree: object) -> None:
    laws.ends_well("x", cbor2.dumps(tree))
    laws.ends_well("x", msgpack.packb(tree))


@given(st.sampled_from(EXAMPLES), st.integers(0, 60), st.binary(min_size=1, max_size=3))
def test_changed_bytes_end_well(example: tuple[str, bytes, str], at: int, more: bytes) -> None:
    _, payload, _ = example
    laws.ends_well("x", payload[:at] + more + payload[at + len(more) :])


@given(st.binary(max_size=60))
def test_any_bytes_that_begin_so_end_well(rest: bytes) -> None:
    for head in (b"\xa2", b"\x82", b"\xbf", b"\x9f", b"\xde\x00", b"\xc4"):
        laws.ends_well("x", head + rest)
