"""Avro, any schema and any bytes: side by side gives what one by one gives."""

import io
from itertools import count
from typing import Any

import fastavro
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import Misconfigured
from ml.decoders import Framing
from ml.decoders.avro import AvroDecoder
from ml.decoders.frames import Group
from tests.ml.decoders import ways
from tests.ml.decoders.ways import same

NAMES = count()  # of types: no two alike


def named(kind: str, **rest: Any) -> dict[str, Any]:
    return {"type": kind, "name": f"T{next(NAMES)}", **rest}


def record(types: list[Any]) -> dict[str, Any]:
    return named("record", fields=[{"name": f"f{n}", "type": t} for n, t in enumerate(types)])


WORDS = st.sampled_from(["int", "long", "float", "double", "boolean", "string", "bytes"])
NAMED = st.one_of(
    st.builds(lambda n: named("fixed", size=n), st.integers(1, 9)),
    st.builds(lambda n: named("enum", symbols=list("ABC"[:n])), st.integers(1, 3)),
)


def larger(inner: Any) -> Any:
    return st.one_of(
        inner.map(lambda t: {"type": "array", "items": t}),
        inner.map(lambda t: {"type": "map", "values": t}),
        inner.filter(lambda t: not isinstance(t, list)).map(lambda t: ["null", t]),
        st.just(["string", "null", "double"]),
        st.lists(inner, min_size=1, max_size=4).map(record),
    )


TYPES = st.recursive(WORDS | NAMED, larger, max_leaves=8)
ROOTS = st.lists(TYPES, min_size=1, max_size=6).map(record)
PRIMITIVES: dict[str, Any] = {
    "null": st.none(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1) | st.integers(-100, 100),
    "float": st.floats(width=32),
    "double": st.floats(),
    "boolean": st.booleans(),
    "string": st.text(max_size=5),
    "bytes": st.binary(max_size=5),
}


def data(type_: Any) -> Any:
    if isinstance(type_, str):
        return PRIMITIVES[type_]
    return st.one_of(*map(data, type_)) if isinstance(type_, list) else complex_data(type_)


def complex_data(type_: Any) -> Any:
    match type_["type"]:
        case "array":
            return st.lists(data(type_["items"]), max_size=3)
        case "map":
            return st.dictionaries(st.text(max_size=2), data(type_["values"]), max_size=2)
        case "fixed":
            return st.binary(min_size=type_["size"], max_size=type_["size"])
        case "enum":
            return st.sampled_from(type_["symbols"])
    return st.fixed_dictionaries({f["name"]: data(f["type"]) for f in type_["fields"]})


@st.composite
def batches(draw: st.DrawFn) -> tuple[Any, list[bytes]]:
    schema = draw(ROOTS)
    parsed = fastavro.parse_schema(schema)
    values = []
    for row in draw(st.lists(data(schema), min_size=1, max_size=6)):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, row)
        values.append(out.getvalue())
    return schema, values


@st.composite
def broken(draw: st.DrawFn) -> tuple[Any, list[bytes]]:
    schema, values = draw(batches())
    place = draw(st.integers(0, len(values) - 1))
    value = bytearray(values[place])
    start = draw(st.integers(0, len(value)))
    value[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    values[place] = bytes(value)
    return schema, values


def check(schema: Any, values: list[bytes]) -> list[int]:
    """Both ways on every field that there can be; which records do not fit."""
    try:
        decoder = AvroDecoder(None, schema, Framing("bare"))
    except Misconfigured:  # no field that makes a column
        return []
    two = decoder.ways(Group(b"", np.arange(len(values)), values))
    found = ways.fast(two, values)
    same(found, ways.slow(two, values))
    return [n for n, _ in found.misfits]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches())
def test_both_ways_give_the_same(batch: tuple[Any, list[bytes]]) -> None:
    check(*batch)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(broken())
def test_both_ways_give_the_same_of_broken_bytes(batch: tuple[Any, list[bytes]]) -> None:
    check(*batch)
