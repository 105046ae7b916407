"""Contracts <-> bytes: there and back in every form; version 1 reads for ever."""

import io
from collections.abc import Callable
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import wire
from bridge.contracts import (
    Alert,
    Birth,
    Command,
    Contract,
    DeadLetter,
    DeviceState,
    ModelCard,
    Position,
    Reading,
    Score,
)
from bridge.errors import Malformed
from bridge.wire import SCHEMAS, Encoder, decode

# Text that UTF-8 can carry, integers of 64 bits, numbers that are numbers.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
long = st.integers(-(2**63), 2**63 - 1)
small = st.integers(-(2**31), 2**31 - 1)
number = st.floats(allow_nan=False, allow_infinity=False)
words = st.lists(text, max_size=4).map(tuple)
optional = st.none() | number
positions = st.builds(Position, number, number, optional, optional, optional, optional)

BY_TYPE: dict[object, st.SearchStrategy[Any]] = {
    str: text,
    int: long,
    float: number,
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    float | None: optional,
    tuple[str, ...]: words,
    tuple[float, ...]: st.lists(number, max_size=4).map(tuple),
    tuple[int, ...]: st.lists(long, max_size=4).map(tuple),
    Position | None: st.none() | positions,
}


def contracts(kind: type[Contract]) -> st.SearchStrategy[Contract]:
    """Any value of a contract."""
    narrow = {f["name"] for f in SCHEMAS[kind]["fields"] if f["type"] == "int"}
    types = kind.__annotations__
    return st.builds(
        kind, **{name: small if name in narrow else BY_TYPE[t] for name, t in types.items()}
    )


KINDS = list(SCHEMAS)
FRAMES: dict[str, Callable[[], Encoder]] = {
    "single-object": Encoder,
    "registry": lambda: Encoder("avro", dict.fromkeys(KINDS, 7)),
    "json": lambda: Encoder("json"),
}

# One value of each contract, and its bytes as the first release wrote them. Never change a line:
# add the next version below, and let `decode` read both.
SAMPLES: dict[type[Contract], Contract] = {
    Reading: Reading(
        device="site/p1",
        device_class="pump",
        time=1_700_000_000_000_001,
        received=1_700_000_000_500_000,
        channels=("pressure", "temperature"),
        values=(101325.0, -0.5),
        units=("bar", ""),
        source="fleet/pump/p1/telemetry",
        id="0123456789abcdef",
        states=("mode",),
        state_values=("Käse",),
        position=Position(48.1, 11.5, altitude=519.0, course=0.0),
        quality=3,
    ),
    Score: Score("p1", 1, 2, "0123456789abcdef", 1.25, "temperature", True, 7, 3, 2**40),
    Alert: Alert("a1", "p1", 1, 2, 3, "temperature", "spike", None, 4.5, 7),
    Command: Command("c1", "p1", "stop", '{"now": true}', 2**62),
    ModelCard: ModelCard(7, "pump", 1, ("a", "b"), 2000, 0.125, (5, -1), b"\x00\xff{"),
    DeadLetter: DeadLetter("t/ä", b"\xff\x00", "decode", "payload", "JSON", "x", 1, 0, True),
    Birth: Birth("spBv1.0/g/NBIRTH/n", b"\x08\x01", 1_700_000_000_000_001),
    DeviceState: DeviceState("p1", "pump", -1, b"\x01\x02"),
}
VERSION_1: dict[type[Contract], str] = {
    Reading: (
        "c301f1e4b7d1ec994c130e736974652f70310870756d702e666c6565742f70756d702f70312f74656c65"
        "6d65747279041070726573737572651674656d7065726174757265000406626172000002086d6f646500"
        "b6f79de11e8280f28183898506c084af8283898506203031323334353637383961626364656604000000"
        "00d0bcf840000000000000e0bf00020a4bc3a473650002cdcccccccc0c48400000000000002740020000"
        "000000388040000200000000000000000006"
    ),
    Score: (
        "c30168e022037774c76504703102042030313233343536373839616263646566000000000000f43f1674"
        "656d7065726174757265010e06808080808040"
    ),
    Alert: (
        "c3018ca389580787f6840461310470310204061674656d70657261747572650a7370696b650000000000"
        "000012400e"
    ),
    Command: (
        "c30117bc5af4254c38000463310470310873746f701a7b226e6f77223a20747275657d80808080808080808001"
    ),
    ModelCard: (
        "c30184c08fae42049ff70e0870756d7002040261026200a01f000000000000c03f040a01000600ff7b"
    ),
    DeadLetter: (
        "c301017ff6caae56b78e08742fc3a404ff000c6465636f64650e7061796c6f6164084a534f4e0278020001"
    ),
    Birth: ("c3012c0853db1753b3192473704276312e302f672f4e42495254482f6e0408018280f28183898506"),
    DeviceState: ("c3013c181fcc940d0d200470310870756d7001040102"),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_version_1_reads_for_ever(kind: type[Contract]) -> None:
    assert decode(kind, bytes.fromhex(VERSION_1[kind])) == SAMPLES[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_version_1_is_what_is_written(kind: type[Contract]) -> None:
    assert Encoder().encode(SAMPLES[kind]).hex() == VERSION_1[kind]


def test_every_contract_has_a_schema_a_sample_and_the_same_fields() -> None:
    assert set(SCHEMAS) == set(Contract.__args__) == set(SAMPLES) == set(VERSION_1)
    for kind, schema in SCHEMAS.items():
        named = {column["name"] for column in schema["fields"]} - {"layout"}
        assert named == set(kind.__annotations__)


@pytest.mark.parametrize("form", FRAMES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_contract_goes_there_and_back_in_every_form(
    kind: type[Contract], form: str, data: st.DataObject
) -> None:
    value = data.draw(contracts(kind))
    assert decode(kind, FRAMES[form]().encode(value)) == value


@given(contracts(Reading))
def test_the_encoder_of_readings_writes_what_fastavro_writes(value: Contract) -> None:
    assert isinstance(value, Reading)
    encoded = Encoder().encode(value)
    out = io.BytesIO()
    row = wire.as_row(value) | {"layout": wire.layout(value.channels)}
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(SCHEMAS[Reading])), row)
    assert encoded == wire.SINGLE_OBJECT[Reading] + out.getvalue()


@given(st.lists(contracts(Reading), max_size=6))
def test_what_an_encoder_wrote_before_changes_nothing(values: list[Contract]) -> None:
    one = Encoder()
    assert [one.encode(value) for value in values] == [Encoder().encode(v) for v in values]


@given(long)
def test_zigzag_is_that_of_avro(n: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {"type": "long"}, n)
    assert wire.zigzag(n) == out.getvalue()


garbage = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda b: b"\0\0\0\0\7" + b),
    st.binary(max_size=60).map(lambda b: b"{" + b),
    st.recursive(
        st.none() | st.booleans() | small | text,
        lambda inner: st.lists(inner) | st.dictionaries(text, inner),
        max_leaves=5,
    ).map(orjson.dumps),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_bytes_of_any_kind_are_a_value_or_malformed(
    kind: type[Contract], data: st.DataObject
) -> None:
    raw = data.draw(garbage | garbage.map(lambda b: wire.SINGLE_OBJECT[kind] + b))
    try:
        value = decode(kind, raw)
    except Malformed as error:
        assert kind.__name__ in str(error)
        return
    holds(kind, value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_damaged_bytes_are_a_value_or_malformed(kind: type[Contract], data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(sorted(FRAMES)))
    raw = bytearray(FRAMES[form]().encode(SAMPLES[kind]))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        holds(kind, decode(kind, bytes(raw)))
    except Malformed:
        return


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_beginning_of_a_value_is_malformed(kind: type[Contract]) -> None:
    for form in FRAMES.values():
        whole = form().encode(SAMPLES[kind])
        for end in range(len(whole)):
            with pytest.raises(Malformed):
                decode(kind, whole[:end])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_json_with_a_field_of_another_type_or_without_it_is_malformed(
    kind: type[Contract],
) -> None:
    row = orjson.loads(Encoder("json").encode(SAMPLES[kind]))
    for name in row:
        for other in ({**row, name: {"a": 1}}, {k: v for k, v in row.items() if k != name}):
            if name == "position" and other.get(name) is None:
                continue
            with pytest.raises(Malformed):
                decode(kind, orjson.dumps(other))


def test_the_fingerprint_of_another_contract_is_malformed_and_both_are_named() -> None:
    with pytest.raises(Malformed, match="frame 00 or c301.*received c301"):
        decode(Alert, Encoder().encode(SAMPLES[Command]))


def test_the_prefixes_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CACHED", 2)
    encoder, sample = Encoder(), SAMPLES[Reading]
    assert isinstance(sample, Reading)
    for n in range(5):
        one = sample._replace(device=f"p{n}")
        assert decode(Reading, encoder.encode(one)).device == f"p{n}"
    assert len(encoder._prefixes) <= 2


def holds(kind: type[Contract], value: Contract) -> None:
    """What was read can be written."""
    assert isinstance(value, kind)
    assert isinstance(Encoder().encode(value), bytes)
