"""The payload of Sparkplug B: values of every type, and hostile bytes."""

import gzip
import math
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Malformed
from bridge.formats.sample import MAX_BYTES, MAX_ITEMS
from bridge.formats.sparkplug_payload import GOOD, NESTED, Part, parse, parts, rebirth
from tests import sparkplug as sp
from tests.sparkplug import Float32, metric, payload, pb

TENTH = struct.unpack("<f", struct.pack("<f", 0.1))[0]
SCALARS: list[tuple[int, tuple[int, Any], Any]] = [
    (sp.INT8, (sp.INT, -1), -1),  # as ten bytes, cut to 32 bits by protobuf
    (sp.INT8, (sp.INT, 2**32 - 1), -1),
    (sp.INT8, (sp.INT, 0xFF), -1),
    (sp.INT8, (sp.INT, 127), 127),
    (sp.INT8, (sp.LONG, -128), -128),
    (sp.INT16, (sp.INT, 0xFFFE), -2),
    (sp.INT16, (sp.INT, 2**32 - 2), -2),
    (sp.INT32, (sp.INT, 2**31), -(2**31)),
    (sp.INT32, (sp.INT, -7), -7),
    (sp.INT32, (sp.LONG, 2**32 - 7), -7),
    (sp.INT32, (sp.LONG, -7), -7),
    (sp.INT64, (sp.LONG, -7), -7),
    (sp.INT64, (sp.LONG, 2**63 - 1), 2**63 - 1),
    (sp.INT64, (sp.LONG, 2**32 - 1), 2**32 - 1),
    (sp.INT64, (sp.INT, -7), -7),
    (sp.UINT8, (sp.INT, 200), 200),
    (sp.UINT16, (sp.INT, 65535), 65535),
    (sp.UINT32, (sp.INT, 2**32 - 1), 2**32 - 1),
    (sp.UINT64, (sp.LONG, 2**64 - 1), 2**64 - 1),
    (sp.FLOAT, (sp.FLOAT_, Float32(0.1)), TENTH),
    (sp.DOUBLE, (sp.DOUBLE_, 0.1), 0.1),
    (sp.DOUBLE, (sp.FLOAT_, Float32(0.5)), 0.5),
    (sp.BOOLEAN, (sp.BOOL, True), 1),
    (sp.BOOLEAN, (sp.BOOL, False), 0),
    (sp.BOOLEAN, (sp.INT, 1), 1),
    (sp.STRING, (sp.TEXT_, "eco"), "eco"),
    (sp.TEXT, (sp.TEXT_, " eco "), "eco"),
    (sp.UUID, (sp.TEXT_, "0b0f7c4e"), "0b0f7c4e"),
    (sp.STRING, (sp.TEXT_, b"20 \xb0C"), "20 \ufffdC"),
    (0, (sp.INT, 7), 7),
    (0, (sp.LONG, 2**63), 2**63),
    (0, (sp.DOUBLE_, 1.5), 1.5),
    (0, (sp.BOOL, True), 1),
    (99, (sp.INT, 7), 7),
]


def said(datatype: int, value: Any) -> list[Part]:
    (one,) = parse(payload(metric("x", value, datatype))).metrics
    return list(parts(one, one.datatype))


@pytest.mark.parametrize(("datatype", "sent", "expected"), SCALARS, ids=str)
def test_a_scalar_is_what_its_type_says(
    datatype: int, sent: tuple[int, Any], expected: Any
) -> None:
    assert said(datatype, sent) == [Part("", expected)]


@given(st.sampled_from([8, 16, 32, 64]), st.data())
def test_signed_numbers_come_back_whatever_field_and_extension(bits: int, data: Any) -> None:
    number = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    datatype = {8: sp.INT8, 16: sp.INT16, 32: sp.INT32, 64: sp.INT64}[bits]
    for sent in ((sp.LONG, number), (sp.LONG, number % 2**bits)):
        assert said(datatype, sent) == [Part("", number)]
    if bits < 64:
        assert said(datatype, (sp.INT, number)) == [Part("", number)]
        assert said(datatype, (sp.INT, number % 2**bits)) == [Part("", number)]


NO_NUMBERS: list[tuple[int, Any, str]] = [
    (sp.DOUBLE, (sp.DOUBLE_, math.nan), "no finite number"),
    (sp.FLOAT, (sp.FLOAT_, Float32(math.inf)), "no finite number"),
    (sp.DATETIME, (sp.LONG, sp.AT), "a time that is not the message's"),
    (sp.BYTES, (sp.RAW, b"\x01\x02"), "2 bytes: no channel"),
    (sp.FILE, (sp.RAW, b""), "0 bytes: no channel"),
    (sp.STRING, (sp.TEXT_, ""), "no text"),
    (sp.STRING, (sp.TEXT_, "x" * 129), "a text of more than 128 characters is no state"),
    (sp.DOUBLE, None, "null: the channel is missing"),
    (sp.DOUBLE, (3, 0), "no value: the channel is missing"),
    (sp.TEMPLATE, (sp.MEMBERS, pb((5, True))), "the definition of a template"),
    (24, (sp.RAW, b"\x01\x02\x03"), "3 bytes: no channel"),
    (22, (sp.RAW, bytes(101)), "an array of 101 items: too long for channels"),
    (32, (sp.RAW, b"\xff\xff\xff\xff\x01"), "5 bytes: no channel"),
    (32, (sp.RAW, b"\x01"), "1 bytes: no channel"),
    (34, (sp.RAW, bytes(8)), "times that are not the message's"),
]


@pytest.mark.parametrize(("datatype", "sent", "note"), NO_NUMBERS, ids=str)
def test_what_is_no_number_says_why(datatype: int, sent: Any, note: str) -> None:
    assert said(datatype, sent) == [Part("", None, note)]


ARRAYS: list[tuple[int, bytes, list[Any]]] = [
    (22, struct.pack("<2b", -23, 123), [-23, 123]),
    (23, struct.pack("<2h", -30000, 30000), [-30000, 30000]),
    (24, struct.pack("<2i", -1, 315338746), [-1, 315338746]),
    (25, struct.pack("<2q", -(2**62), 1), [-(2**62), 1]),
    (26, struct.pack("<2B", 23, 250), [23, 250]),
    (27, struct.pack("<2H", 30, 52360), [30, 52360]),
    (28, struct.pack("<2I", 52, 3293969225), [52, 3293969225]),
    (29, struct.pack("<2Q", 52, 16444743074749521625), [52, 16444743074749521625]),
    (30, struct.pack("<2f", 0.5, 89.25), [0.5, 89.25]),
    (31, struct.pack("<2d", 0.1, -1e300), [0.1, -1e300]),
    (32, b"\x0c\x00\x00\x00\x34\xd0", [0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1]),
    (33, b"ABC\0hello\0", ["ABC", "hello"]),
    (33, b"ABC\0hello", ["ABC", "hello"]),
    (33, b"", []),
    (22, b"", []),
]


@pytest.mark.parametrize(("datatype", "sent", "items"), ARRAYS, ids=str)
def test_an_array_is_its_items(datatype: int, sent: bytes, items: list[Any]) -> None:
    expected = [Part(str(i), item) for i, item in enumerate(items)]
    assert said(datatype, (sp.RAW, sent)) == expected


def row(*values: tuple[int, Any]) -> bytes:
    return pb(*((1, pb(value)) for value in values))


def test_a_data_set_of_one_row_is_its_columns() -> None:
    columns = [(2, "Temp C"), (2, "offset"), (2, ""), (2, "mode")]
    types = [(3, sp.DOUBLE), (3, sp.INT16), (3, sp.FLOAT), (3, sp.STRING)]
    cells = row((4, 21.5), (1, 0xFFFF), (3, Float32(math.nan)), (6, "eco"))
    found = said(sp.DATASET, (sp.ROWS, pb((1, 4), *columns, *types, (4, cells))))
    assert found == [
        Part("Temp C", 21.5),
        Part("offset", -1),
        Part("2", None, "no finite number"),
        Part("mode", "eco"),
    ]
    two = said(sp.DATASET, (sp.ROWS, pb((2, "a"), (4, row((1, 1))), (4, row((1, 2))))))
    assert two == [Part("", None, "a data set of 2 rows and 1 columns: no channels")]
    short = said(sp.DATASET, (sp.ROWS, pb((2, "a"), (2, "b"), (4, row((1, 1))))))
    assert short == [Part("a", 1)]


def test_a_template_has_its_metrics_within() -> None:
    inner = pb((1, "1.0"), (2, metric("rpm", 5.0)), (2, metric("on", True)), (4, "Motor"))
    (one,) = parse(payload(metric("Motor 1", (sp.MEMBERS, inner), sp.TEMPLATE))).metrics
    assert [(m.where, m.name, m.value) for m in one.value] == [
        ("metrics.0.metrics.0", "rpm", 5.0),
        ("metrics.0.metrics.1", "on", True),
    ]


def test_properties_tell_unit_and_quality() -> None:
    sent = payload(metric("a", 1.0, unit="°C"), metric("b", 1.0, quality=500), metric("c", 1.0))
    assert [(m.unit, m.quality) for m in parse(sent).metrics] == [
        ("°C", GOOD),
        ("", 500),
        ("", GOOD),
    ]
    for key in ("Engineering Units", "unit"):
        properties = pb((1, "low"), (1, key), (2, pb((4, 0))), (2, pb((8, " kPa "))))
        (one,) = parse(payload(pb((1, "x"), (9, properties), (13, 1.0)))).metrics
        assert one.unit == "kPa"
    for useless in (pb((1, "engUnit")), pb((1, "engUnit"), (2, pb((2, True), (8, "C"))))):
        assert parse(payload(pb((1, "x"), (9, useless)))).metrics[0].unit == ""


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress])
def test_a_payload_in_the_body_of_another_is_read(compress: Any) -> None:
    inner = payload(metric("x", 1.0), seq=7)
    outer = pb((2, metric("algorithm", "GZIP")), (4, "SPBV1.0_COMPRESSED"), (5, compress(inner)))
    assert parse(outer) == parse(inner)
    unnumbered = compress(payload(metric("x", 1.0), time=None))
    assert parse(pb((1, sp.AT), (3, 7), (4, "SPBV1.0_COMPRESSED"), (5, unnumbered))) == parse(inner)


def nested(depth: int) -> bytes:
    inner = metric("x", 1.0)
    for _ in range(depth):
        inner = metric("t", (sp.MEMBERS, pb((2, inner))), sp.TEMPLATE)
    return payload(inner)


WRONG: list[tuple[bytes, str]] = [
    (b'{"metrics": []}', "payload"),
    (b"\x0a", "payload"),
    (b"\xff" * 20, "payload"),
    (pb((4, "some schema")), "payload"),
    (bytes(MAX_BYTES + 1), "payload"),
    (pb((4, "SPBV1.0_COMPRESSED"), (5, b"nothing")), "body"),
    (pb((4, "SPBV1.0_COMPRESSED"), (5, zlib.compress(bytes(1000))[:-6])), "body"),
    (pb((4, "SPBV1.0_COMPRESSED"), (5, zlib.compress(bytes(10**7)))), "body"),
    (payload(*[metric("x", 1)] * (MAX_ITEMS + 1)), "metrics"),
    (nested(NESTED + 1), ".".join(["metrics.0"] * (NESTED + 1))),
    (nested(60), "payload"),
]


@pytest.mark.parametrize(("sent", "where"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_what_cannot_be_read_says_where(sent: bytes, where: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(sent)
    assert caught.value.where == where
    assert caught.value.expected
    assert caught.value.received


def test_the_limit_of_metrics_counts_those_in_templates() -> None:
    inner = metric("t", (sp.MEMBERS, pb(*[(2, b"")] * 500)), sp.TEMPLATE)
    assert len(parse(payload(inner)).metrics) == 1
    with pytest.raises(Malformed, match="at most 1000 metrics"):
        parse(payload(inner, inner))


def test_templates_nest_as_deep_as_they_may() -> None:
    assert len(parse(nested(NESTED)).metrics) == 1


def test_a_request_for_a_rebirth_is_as_the_specification_says() -> None:
    expected = payload(metric("Node Control/Rebirth", True, time=sp.AT))
    assert rebirth(sp.AT) == expected


many_properties = pb(*[(1, "k")] * 15_000, *[(2, b"")] * 15_000)
HOSTILE = [
    payload(*[b""] * 48_000),
    payload(*[metric(f"metric number {i}", float(i), time=sp.AT) for i in range(MAX_ITEMS)]),
    payload(pb((1, "x"), (9, many_properties), (13, 1.0))),
    payload(metric("x", (sp.RAW, bytes(95_000)), 22)),
    payload(metric("x", (sp.RAW, bytes(95_000)), 33)),
    payload(metric("x", (sp.RAW, struct.pack("<I", 8 * 94_000) + bytes(94_000)), 32)),
    payload(metric("x", (sp.ROWS, pb((2, "a"), *[(4, b"")] * 47_000)), sp.DATASET)),
    payload(metric("x", (sp.ROWS, pb(*[(2, b"")] * 40_000, (4, b""))), sp.DATASET)),
]


@pytest.mark.parametrize("sent", HOSTILE, ids=[str(i) for i in range(len(HOSTILE))])
def test_no_payload_costs_more_than_ten_milliseconds(sent: bytes) -> None:
    assert len(sent) <= MAX_BYTES
    spent = []
    for _ in range(3):
        start = time.process_time()
        try:
            for one in parse(sent).metrics:
                list(parts(one, one.datatype))
        except Malformed:
            pass
        spent.append(time.process_time() - start)
    assert min(spent) < 0.010
