"""The payload of Sparkplug B: its protobuf, and what the values of its metrics are.

Sparkplug 3.0, 6.4. The message is defined here, with what is read of it and nothing else; texts
are bytes to protobuf, so that one in another encoding costs no more than itself. Values only: no
I/O, no clock.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from bridge.errors import Malformed
from bridge.formats.sample import MAX_BYTES, MAX_ITEMS, MAX_TEXT
from bridge.formats.scalars import describe

LONGEST = 100  # items of an array or columns of a row that are channels
NESTED = 8  # templates in each other
PROPERTIES = 64  # of a metric that are looked at
GOOD = 192  # 6.4.9: the value of the property Quality
INT8, INT16, INT32, INT64, BOOLEAN, DATETIME = 1, 2, 3, 4, 11, 13  # 6.4.16
BOOLEANS, STRINGS, DATETIMES = 32, 33, 34
_BITS = {INT8: 8, INT16: 16, INT32: 32, INT64: 64}
_ITEMS = dict(zip(range(22, 32), "bhiqBHIQfd", strict=True))  # 6.4.17: struct's code of an array
_FIELD_BITS = {"int_value": 32, "long_value": 64}
_UNIT_KEYS = (
    "engUnit EngUnit engUnits EngUnits Engineering_Units Engineering_Unit EngineeringUnits"
    " EngineeringUnit engineeringUnits engineeringUnit unit Unit units Units uom"
)
_PROPERTY = {key.replace("_", " ").encode(): "unit" for key in _UNIT_KEYS.split()}
_PROPERTY |= {b"Quality": "quality", b"quality": "quality"}
_FIELDS = {  # of each message: number, name, type, * where it is repeated
    "Payload": "1 timestamp uint64, 2 metrics Metric*, 3 seq uint64, 4 uuid bytes, 5 body bytes",
    "Metric": "1 name bytes, 2 alias uint64, 3 timestamp uint64, 4 datatype uint32,"
    " 7 is_null bool, 9 properties PropertySet",
    "PropertySet": "1 keys bytes*, 2 values PropertyValue*",
    "PropertyValue": "2 is_null bool",
    "DataSet": "2 columns bytes*, 3 types uint32*, 4 rows Row*",
    "Row": "1 elements DataSetValue*",
    "DataSetValue": "",
    "Template": "2 metrics Metric*, 5 is_definition bool",
}
_VALUES = {  # the same of the fields of which a message has one
    "Metric": "10 int_value uint32, 11 long_value uint64, 12 float_value float,"
    " 13 double_value double, 14 boolean_value bool, 15 string_value bytes, 16 bytes_value bytes,"
    " 17 dataset_value DataSet, 18 template_value Template",
    "PropertyValue": "3 int_value uint32, 4 long_value uint64, 8 string_value bytes",
    "DataSetValue": "1 int_value uint32, 2 long_value uint64, 3 float_value float,"
    " 4 double_value double, 5 boolean_value bool, 6 string_value bytes",
}


class Metric(NamedTuple):
    """One metric, as it was sent."""

    where: str  # in the payload
    name: str  # "": only the alias says it
    alias: int | None
    time: int  # ms; 0: not said
    datatype: int  # 0: not said
    kind: str  # the field that holds the value; "" none, "definition" of a template
    value: Any  # of a template its metrics
    unit: str
    quality: int


class Payload(NamedTuple):
    """One message."""

    time: int  # ms; 0: not said
    seq: int | None
    metrics: tuple[Metric, ...]


class Part(NamedTuple):
    """What a metric says, or one item of an array, one column of a row."""

    key: str  # "": the metric itself
    value: float | str | None  # a number, a word, or none and why
    note: str = ""


def parse(payload: bytes) -> Payload:
    """The metrics of a payload, and those of the templates in them.

    Raises:
        Malformed: no Sparkplug B payload, or too much of one.
    """
    message = _message(payload, "payload")
    inner = message
    if message.uuid == b"SPBV1.0_COMPRESSED":
        inner = _message(_inflated(message.body), "body")
    outer = inner if inner.HasField("seq") else message
    seq = outer.seq if outer.HasField("seq") else None
    metrics = _Walk().metrics(inner.metrics, "metrics", NESTED)
    time = inner.timestamp or message.timestamp
    if not metrics and not time and seq is None:
        raise Malformed("payload", "a payload of Sparkplug B", describe(payload))
    return Payload(time, seq, metrics)


def rebirth(time: int) -> bytes:
    """The payload of an NCMD that asks a node for its births; `time` in ms (3.0, 6.4.23)."""
    asked = _METRIC(
        name=b"Node Control/Rebirth", timestamp=time, datatype=BOOLEAN, boolean_value=True
    )
    sent: bytes = _PAYLOAD(timestamp=time, metrics=[asked]).SerializeToString()
    return sent


def parts(metric: Metric, datatype: int) -> Iterable[Part]:
    """What a metric says. `datatype` is its own, or that of its birth; 0: its field tells.

    >>> parts(Metric("metrics.0", "x", None, 0, 0, "int_value", 2**32 - 2, "", GOOD), INT8)
    (Part(key='', value=-2, note=''),)
    """
    kind, value = metric.kind, metric.value
    if kind == "dataset_value":
        return _row(value)
    if kind == "bytes_value":
        return _array(value, datatype)
    return (Part("", *scalar(kind, value, datatype)),)


def scalar(kind: str, value: Any, datatype: int) -> tuple[float | str | None, str]:
    """A number or a word, or why it is none."""
    if kind == "string_value":
        return _word(text(value).strip())
    if datatype == DATETIME:
        return None, "a time that is not the message's"
    if not isinstance(value, (int, float)):
        return None, _NO_NUMBER.get(kind, "no value: the channel is missing")
    if not math.isfinite(value):
        return None, "no finite number"
    if datatype in _BITS and kind in _FIELD_BITS and isinstance(value, int):
        return _signed(value, _FIELD_BITS[kind], _BITS[datatype]), ""
    boolean = datatype == BOOLEAN or kind == "boolean_value"
    return int(value != 0) if boolean else value, ""


def text(sent: bytes) -> str:
    """A text, whatever its encoding."""
    return sent.decode("utf-8", "replace")


class _Walk:
    """One pass over the metrics of a payload; there is a limit to it."""

    def __init__(self) -> None:
        self._left = MAX_ITEMS

    def metrics(self, sent: Any, where: str, depth: int) -> tuple[Metric, ...]:
        self._left -= len(sent)
        if self._left < 0:
            raise Malformed(where, f"at most {MAX_ITEMS} metrics", "more")
        return tuple([self._metric(m, f"{where}.{i}", depth) for i, m in enumerate(sent)])

    def _metric(self, sent: Any, where: str, depth: int) -> Metric:
        kind = sent.WhichOneof("value") or ""
        value = getattr(sent, kind) if kind else None
        unit, quality = "", GOOD
        if sent.HasField("properties"):
            unit, quality = _properties(sent.properties)
        if sent.is_null:
            kind, value = "null", None
        elif kind == "template_value":
            kind, value = self._template(value, where, depth)
        alias = sent.alias if sent.HasField("alias") else None
        said = (sent.timestamp, sent.datatype)
        return Metric(where, text(sent.name), alias, *said, kind, value, unit, quality)

    def _template(self, sent: Any, where: str, depth: int) -> tuple[str, tuple[Metric, ...]]:
        if sent.is_definition:
            return "definition", ()
        if not depth:
            raise Malformed(where, f"at most {NESTED} templates in each other", "more")
        return "template_value", self.metrics(sent.metrics, f"{where}.metrics", depth - 1)


def _word(said: str) -> tuple[str | None, str]:
    if 0 < len(said) <= MAX_TEXT:
        return said, ""
    return None, f"a text of more than {MAX_TEXT} characters is no state" if said else "no text"


def _properties(sent: Any) -> tuple[str, int]:
    """The unit and the quality (6.4.8 and 6.4.9)."""
    unit, quality = "", GOOD
    values = sent.values
    for key, value in zip(sent.keys[:PROPERTIES], values[:PROPERTIES], strict=False):
        role = _PROPERTY.get(key)
        if role is None or value.is_null:
            continue
        kind = value.WhichOneof("value")
        if role == "unit" and kind == "string_value":
            said = text(value.string_value).strip()
            unit = unit or (said if len(said) <= MAX_TEXT else "")
        elif role == "quality" and kind in _FIELD_BITS:
            quality = getattr(value, kind)
    return unit, quality


def _signed(value: int, bits: int, width: int) -> int:
    """Two's complement (6.4.17), whether or not the sender extended the sign to the field."""
    if value >> (bits - 1):
        value -= 1 << bits
    if 1 << (width - 1) <= value < 1 << width:
        value -= 1 << width
    return value


def _row(sent: Any) -> Iterator[Part]:
    """The columns of a data set that is one row (6.4.11)."""
    rows, columns = len(sent.rows), len(sent.columns)
    if rows != 1 or columns > LONGEST:
        yield Part("", None, f"a data set of {rows} rows and {columns} columns: no channels")
        return
    types = sent.types
    for i, (column, element) in enumerate(zip(sent.columns, sent.rows[0].elements, strict=False)):
        kind = element.WhichOneof("value") or ""
        value = getattr(element, kind) if kind else None
        found = scalar(kind, value, types[i] if i < len(types) else 0)
        yield Part(text(column).strip() or str(i), *found)


def _array(sent: bytes, datatype: int) -> Iterable[Part]:
    """The items of an array (6.4.17); other bytes are no channels."""
    count = _count(sent, datatype)
    if datatype == DATETIMES:
        return [Part("", None, "times that are not the message's")]
    if count is None:
        return [Part("", None, f"{len(sent)} bytes: no channel")]
    if count > LONGEST:
        return [Part("", None, f"an array of {count} items: too long for channels")]
    items = enumerate(_items(sent, datatype, count))
    return [Part(str(i), *scalar(kind, item, 0)) for i, (kind, item) in items]


def _items(sent: bytes, datatype: int, count: int) -> list[tuple[str, Any]]:
    """Each item, and the field that would hold it."""
    if datatype == STRINGS:
        return [("string_value", item) for item in sent.split(b"\0")[:count]]
    if datatype == BOOLEANS:
        of = range(count)
        return [("boolean_value", sent[4 + i // 8] >> (7 - i % 8) & 1) for i in of]
    unpacked = struct.unpack(f"<{count}{_ITEMS[datatype]}", sent)
    return [("double_value", item) for item in unpacked]


def _count(sent: bytes, datatype: int) -> int | None:
    """How many items an array has; None where the bytes are none."""
    if datatype == STRINGS:
        return sent.count(b"\0") + (sent[-1:] not in (b"", b"\0"))
    if datatype == BOOLEANS:
        count = int.from_bytes(sent[:4], "little")
        return count if count <= 8 * (len(sent) - 4) else None
    size = struct.calcsize(f"<{_ITEMS[datatype]}") if datatype in _ITEMS else 0
    return len(sent) // size if size and len(sent) % size == 0 else None


def _inflated(body: bytes) -> bytes:
    """The payload that Eclipse Tahu puts compressed into the body of another."""
    inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, as its head says
    try:
        payload = inflate.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise Malformed("body", "a payload compressed with DEFLATE or GZIP", str(error)) from None
    if not inflate.eof and len(payload) <= MAX_BYTES:
        raise Malformed("body", "a compressed payload", "the beginning of one")
    return payload


def _message(payload: bytes, where: str) -> Any:
    if len(payload) > MAX_BYTES:
        raise Malformed(where, f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    try:
        return _PAYLOAD.FromString(payload)
    except DecodeError:
        raise Malformed(where, "a payload of Sparkplug B", describe(payload)) from None


def _defined() -> tuple[Any, Any]:
    """The classes of payload and metric, from the tables above."""
    file = FileDescriptorProto(name="sparkplug", package="sparkplug", syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        message.field.extend(map(_field, filter(None, fields.split(", "))))
        for said in filter(None, _VALUES.get(name, "").split(", ")):
            message.field.append(_field(said))
            message.field[-1].oneof_index = 0
        if name in _VALUES:
            message.oneof_decl.add(name="value")
    pool = DescriptorPool()
    pool.Add(file)
    names = ("sparkplug.Payload", "sparkplug.Metric")
    payload, metric = (GetMessageClass(pool.FindMessageTypeByName(name)) for name in names)
    return payload, metric


def _field(said: str) -> FieldDescriptorProto:
    number, name, kind = said.split()
    field = FieldDescriptorProto(name=name, number=int(number))
    field.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    if kind in _FIELDS:
        field.type, field.type_name = field.TYPE_MESSAGE, f".sparkplug.{kind}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    return field


_NO_NUMBER = {
    "null": "null: the channel is missing",
    "definition": "the definition of a template",
}
_PAYLOAD, _METRIC = _defined()
