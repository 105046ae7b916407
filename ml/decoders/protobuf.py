"""Protobuf values -> columns. No I/O.

protobuf's compiled parser reads each value; a column is one accessor mapped over the messages, with
no loop in Python. A message's index in its file, which a registry's frame carries, is stepped over
and not compared, as Confluent's own reader for Python does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter, methodcaller
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from bridge.errors import Malformed, Misconfigured
from ml.decoders import column as columns
from ml.decoders.cells import Cells, Lists, column_of, either
from ml.decoders.column import Column, shown
from ml.decoders.decoder import Array, Decoded, Framing
from ml.decoders.fields import MISSING, Field, Fields, normalised
from ml.decoders.frames import Frames, Group
from ml.decoders.pieces import Pieces, Table, Ways, read

FEW = 16  # records: below, the columns' accessors are not worth their making
Messages = list[Any]
_INT32, _INT64, _UINT32, _UINT64, _DOUBLE, _FLOAT, _BOOL, _ENUM, _STRING, _MESSAGE = range(1, 11)
_DTYPES = {  # by a field's `cpp_type`
    _INT32: "int32",
    _INT64: "int64",
    _UINT32: "uint32",
    _UINT64: "uint64",
    _DOUBLE: "float64",
    _FLOAT: "float32",
    _BOOL: "bool",
    _ENUM: "int32",
    _STRING: "string",
}
_READ = {"int": np.int64, "uint64": np.uint64, "float": np.float64, "bool": np.bool_}


class Place(NamedTuple):
    """Where messages hold a column's values."""

    path: tuple[str, ...]
    present: tuple[bool, ...]  # at each step: whether it can be unset, which is null
    repeated: bool
    dtype: str


class ProtobufDecoder:
    """One message in each value."""

    def __init__(self, fields: Fields | None, schema: object, framing: Framing) -> None:
        if framing.kind == "single":
            asked = "auto, registry or bare for Protobuf"
            raise Misconfigured("framing", asked, "single", "single-object framing is Avro's")
        kind = message_class(schema)
        self._parse: Callable[[bytes], Any] = kind.FromString
        given = dict(_fields(kind.DESCRIPTOR, "", ())) if fields is None else fields
        self.fields = normalised(given)
        plain = columns.all_of(self.fields)
        places = [_place(kind.DESCRIPTOR, some) for some in plain]
        self._columns = plain
        self._takes = [_taker(place) for place in places]
        self._frames = Frames(framing)
        self.ways = Ways(self._columns, self.fast, self.slow, FEW)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Columns of the records that fit."""
        pieces = Pieces(self._columns)
        groups, pieces.misfits = self._frames.groups(values)
        for group in groups:
            read(self.ways, _bodies(group), group.rows, pieces)
        return pieces.whole(len(values))

    def fast(self, values: Sequence[bytes]) -> Table | None:
        """All of them at once; None if one of them cannot be parsed."""
        try:
            messages = list(map(self._parse, values))
        except DecodeError:
            return None
        return self._table(messages)

    def slow(self, value: bytes) -> list[object]:
        """The cells of one.

        Raises:
            Malformed: it does not fit.
        """
        try:
            message = self._parse(value)
        except DecodeError:
            raise Malformed("Kafka value", "a Protobuf message", shown(value)) from None
        return [
            some.take(_one(take([message])))
            for some, take in zip(self._columns, self._takes, strict=True)
        ]

    def _table(self, messages: Messages) -> Table:
        made = [
            column_of(some, take(messages))
            for some, take in zip(self._columns, self._takes, strict=True)
        ]
        return Table([array for array, _ in made], either(doubt for _, doubt in made))


def _one(read: Cells | Lists) -> object:
    """The Python value of one message's field."""
    if read.null is not None and read.null[0]:
        return None
    if isinstance(read, Lists):
        return read.items.values.tolist()
    value: object = read.values.tolist()[0]
    return value


# Fields to what takes them from messages.


def _taker(place: Place) -> Callable[[Messages], Cells | Lists]:
    *above, last = zip(place.path, place.present, strict=True)
    get: Callable[[Any], Any] = attrgetter(last[0])
    scalars = _SCALARS.get(place.dtype, _scalars(place.dtype))

    def take(messages: Messages) -> Cells | Lists:
        null = np.zeros(len(messages), np.bool_)
        for name, unset in above:
            if unset:
                null |= _unset(name, messages)
            messages = list(map(attrgetter(name), messages))
        if place.repeated:
            arrays = list(map(get, messages))
            lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
            items = scalars(chain.from_iterable(arrays), int(lengths.sum()))
            return Lists(Cells(items), lengths, null if null.any() else None)
        if last[1]:
            null |= _unset(last[0], messages)
        return Cells(scalars(map(get, messages), len(messages)), null if null.any() else None)

    return take


def _unset(name: str, messages: Messages) -> Array:
    has = map(methodcaller("HasField", name), messages)
    return ~np.fromiter(has, np.bool_, len(messages))


def _scalars(dtype: str) -> Callable[[Iterable[Any], int], Array]:
    kind = dtype if dtype in _READ else dtype.rstrip("0123456789").removeprefix("u")
    return lambda values, count: np.fromiter(values, _READ[kind], count)


def _texts(values: Iterable[Any], count: int) -> Array:
    out = np.empty(count, object)
    out[:] = list(map(methodcaller("encode"), values))
    return out


def _byte_strings(values: Iterable[Any], count: int) -> Array:
    out = np.empty(count, object)
    out[:] = list(values)
    return out


_SCALARS = {"string": _texts, "bytes": _byte_strings}


def _place(descriptor: Any, some: Column) -> Place:
    """Where the messages of a descriptor hold a column.

    Raises:
        Misconfigured: nowhere, or as what is no such column.
    """
    present: list[bool] = []
    here = None
    for n, name in enumerate(some.path):
        here = descriptor.fields_by_name.get(name) if descriptor else None
        if here is None:
            known = ", ".join(descriptor.fields_by_name.keys()) if descriptor else "no fields"
            asked = f"a field of the message, which has {known}"
            raise Misconfigured(f"fields.{some.name}", asked, ".".join(some.path[: n + 1]))
        present.append(bool(here.has_presence))
        descriptor = None if _repeated(here) else here.message_type
    return _checked(some, here, tuple(present))


def _checked(some: Column, here: Any, present: tuple[bool, ...]) -> Place:
    dtype = _DTYPES.get(here.cpp_type)
    if dtype is None:
        asked = "a scalar, or an array of scalars"
        raise Misconfigured(f"fields.{some.name}", asked, f"the message {here.message_type.name}")
    kind = columns.of(some.name, normalised({some.name: dtype})[some.name]).kind
    if some.kind != kind and (some.kind, kind) != ("float", "int"):
        raise Misconfigured(f"fields.{some.name}", f"a type of column for {dtype}", some.dtype.name)
    repeated = _repeated(here)
    if repeated != (some.size is not None):
        asked = "a shape (n,) or (None,)" if repeated else "the shape ()"
        raise Misconfigured(f"fields.{some.name}", asked, "the other one")
    if dtype == "string" and here.type == here.TYPE_BYTES:
        dtype = "bytes"
    return Place(some.path, present, repeated, dtype)


def _repeated(field: Any) -> bool:
    said = getattr(field, "is_repeated", None)  # protobuf 6.30 and later
    return bool(field.label == field.LABEL_REPEATED if said is None else said)


def _fields(descriptor: Any, above: str, inside: tuple[str, ...]) -> Iterator[tuple[str, Field]]:
    """Every scalar and every array of them; those of inner messages by their path."""
    for field in descriptor.fields:
        path, repeated = f"{above}{field.name}", _repeated(field)
        if field.cpp_type != _MESSAGE:
            default = (
                field.default_value if field.has_presence and field.has_default_value else MISSING
            )
            yield path, Field(_DTYPES[field.cpp_type], path, (None,) if repeated else (), default)
        elif not repeated and field.message_type.full_name not in inside:
            within = (*inside, field.message_type.full_name)
            yield from _fields(field.message_type, f"{path}.", within)


# What a user gives.


def message_class(schema: object) -> type[Message]:
    """The class of the messages.

    Raises:
        Misconfigured: neither a class nor a set of files with a message of the name.
    """
    if isinstance(schema, type) and issubclass(schema, Message):
        return schema
    if isinstance(schema, tuple) and len(schema) == 2 and isinstance(schema[0], bytes):  # noqa: PLR2004
        return _from_files(schema[0], str(schema[1]))
    asked = "a message class, or (FileDescriptorSet as bytes, name of the message)"
    raise Misconfigured("schema", asked, shown(schema), "protoc --include_imports -o writes one")


def _from_files(data: bytes, name: str) -> type[Message]:
    pool = descriptor_pool.DescriptorPool()
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(data).file
        waiting = {file.name: file for file in files}
        while waiting:
            _add_one(pool, waiting)
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    except (DecodeError, KeyError, TypeError) as error:
        asked = f"files that are whole and have the message {name}"
        remedy = "protoc --include_imports -o writes them"
        raise Misconfigured("schema", asked, str(error), remedy) from None


def _add_one(pool: Any, waiting: dict[str, Any]) -> None:
    """Adds a file whose imports are there; one that waits for itself goes as it is, and fails."""
    ready = [f for f in waiting.values() if not waiting.keys() & set(f.dependency)]
    file = ready[0] if ready else next(iter(waiting.values()))
    for imported in file.dependency:
        if imported.startswith("google/protobuf/") and not _known(pool, imported):
            found = descriptor_pool.Default().FindFileByName(imported)
            pool.AddSerializedFile(found.serialized_pb)
    pool.AddSerializedFile(waiting.pop(file.name).SerializeToString())


def _known(pool: Any, name: str) -> bool:
    try:
        pool.FindFileByName(name)
    except KeyError:
        return False
    return True


# A registry's frame: behind it, which message of its file it is.


def _bodies(group: Group) -> list[bytes]:
    if not group.frame:
        return group.values
    return [body[1:] if body[:1] == b"\0" else _unindexed(body) for body in group.bodies()]


def _unindexed(body: bytes) -> bytes:
    """Without the list of indexes; one that is cut leaves a byte that no message begins with."""
    place, count = 0, None
    while count is None or count > 0:
        start = place
        while place < len(body) and body[place] > 127:  # noqa: PLR2004
            place += 1
        if place == len(body):
            return b"\0"
        place += 1
        if count is None:
            count = _zigzag(body[start:place])
        else:
            count -= 1
    return body[place:] if count == 0 else b"\0"


def _zigzag(data: bytes) -> int:
    number = sum((byte & 127) << 7 * n for n, byte in enumerate(data))
    return number >> 1 ^ -(number & 1)
