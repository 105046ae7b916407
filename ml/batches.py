"""Rows of Kafka -> the tensors of one batch, and its line in the ledger. No clock.

What a value does not give goes where the plan says: it ends the dataset, is dropped and counted, or
becomes a dead letter.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bridge.errors import Malformed
from bridge.kafka import Rows
from bridge.schema_registry import Registry
from ml.decoders import Decoder, Framing, build
from ml.decoders import signature as decoded_signature
from ml.ledger import Entry
from ml.plan import Plan, signature

log = logging.getLogger(__name__)

Batch = dict[str, Any]
ENOUGH = 100  # records without a value of a field
MANY = 1 << 32  # more than a topic has partitions


class Misfit(NamedTuple):
    """A record whose value is not what was asked for."""

    topic: str
    value: bytes
    where: str
    error: Malformed


class Made(NamedTuple):
    """What a batch of rows comes to."""

    batch: Batch | None  # None: no row of it fits
    entry: Entry | None  # None: nobody reports
    misfits: list[Misfit]


class Batches:
    """Makes batches of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._decoder = _decoder(plan)
        fields = self._decoder.fields if self._decoder else {}
        self._unseen = {
            name for name, field in fields.items() if tf.as_dtype(field.dtype).is_floating
        }
        self._looked = 0  # rows, while some are unseen
        value: Any = tf.TensorSpec((None,), tf.string)
        if self._decoder:
            value = decoded_signature(self._decoder.fields)
        self.element = signature(plan, value)
        self.signature = dict(self.element)
        if "topic" in plan.columns:  # a name for each row would be made a million times a second
            index = tf.TensorSpec((None,), tf.int32)
            self.signature["topic"] = {"index": index, "names": tf.TensorSpec((None,), tf.string)}

    def batch(self, rows: Rows, follow: bool, keys: bool) -> "Made":
        """The tensors of these rows, what the ledger notes of them, and what does not fit."""
        values = rows.value()
        decoded = self._decoder.decode(values) if self._decoder else None
        columns = self._columns(rows, values if decoded is None else None)
        if decoded is not None and "value" in self._plan.columns:
            columns["value"] = decoded.columns
            if self._unseen:
                self._look(decoded.columns)
        entry = _entry(rows, keys) if follow else None
        misfits = list(self._misfits(rows, values, decoded.misfits if decoded else ()))
        if decoded is not None and decoded.fits is not None:
            columns = {name: _kept(name, c, decoded.fits) for name, c in columns.items()}
            entry = entry and _kept_entry(entry, decoded.fits)
        count = len(rows) - len(misfits)
        return Made(columns if count else None, entry, misfits)

    def _look(self, columns: Mapping[str, np.ndarray]) -> None:
        """A float that no record has may be misspelt; NaN alone would not tell."""
        unseen = {n for n in self._unseen if np.isnan(columns[n].astype(float)).all()}
        self._looked += max((len(columns[name]) for name in unseen), default=0)
        if self._looked >= ENOUGH:
            names = ", ".join(sorted(unseen))
            log.warning("no value in %d records, NaN in each: %s", self._looked, names)
            unseen = set()
        self._unseen = unseen  # another: passes side by side look at it as well

    def _columns(self, rows: Rows, values: list[bytes | None] | None) -> Batch:
        """Those that the plan asks for, undecoded."""
        wanted = self._plan.columns
        columns: Batch = {name: MADE[name](rows) for name in wanted if name in MADE}
        if values is not None and "value" in wanted:
            columns["value"] = texts(values)
        if headers := self._plan.headers:
            columns["headers"] = {name: texts(rows.header(name)) for name in headers}
        return columns

    def _misfits(
        self, rows: Rows, values: list[bytes | None], found: Sequence[tuple[int, Malformed]]
    ) -> Iterator[Misfit]:
        if not found:
            return
        topics, partitions, offsets = rows.topic(), list(rows.partition()), list(rows.offset())
        for n, error in found:
            where = f"topic {topics[n]} partition {partitions[n]} offset {offsets[n]}"
            told = Malformed(f"{where}: {error.where}", error.expected, error.received)
            yield Misfit(topics[n], values[n] or b"", where, told)


def texts(values: list[bytes | None]) -> tf.Tensor:
    """A column of bytes; nothing is empty. From a list it is made in half the time of an array.

    >>> texts([b"a", None]).numpy().tolist()
    [b'a', b'']
    """
    if None in values:
        values = [value or b"" for value in values]
    return tf.constant(values, tf.string)


def _topics(rows: Rows) -> dict[str, np.ndarray]:
    """The names, and which of them each row has."""
    if rows.only:
        names = np.array([rows.only.encode()], object)
        return {"index": np.zeros(len(rows), np.int32), "names": names}
    topics = rows.topic()
    known = {name: n for n, name in enumerate(sorted(set(topics)))}
    index = np.fromiter(map(known.__getitem__, topics), np.int32, len(topics))
    return {"index": index, "names": np.array([name.encode() for name in known], object)}


MADE: dict[str, Callable[[Rows], Any]] = {
    "key": lambda rows: texts(rows.key()),
    "topic": _topics,
    "partition": lambda rows: np.fromiter(rows.partition(), np.int32, len(rows)),
    "offset": lambda rows: np.fromiter(rows.offset(), np.int64, len(rows)),
    "timestamp": lambda rows: np.fromiter(rows.timestamp(), np.int64, len(rows)),
}


def _entry(rows: Rows, keys: bool) -> Entry:
    partition = np.fromiter(rows.partition(), np.int64, len(rows))
    topics = _topics(rows)
    names = [name.decode() for name in topics["names"]]
    number = topics["index"].astype(np.int64) * MANY + partition
    pairs, place = np.unique(number, return_inverse=True)
    places = [(names[pair // MANY], int(pair % MANY)) for pair in pairs]
    offset = np.fromiter(rows.offset(), np.int64, len(rows))
    passed = {places[n]: int(offset[place == n][-1]) + 1 for n in range(len(places))}
    return Entry(places, place.astype(np.int32), offset, rows.key() if keys else (), passed)


def _kept_entry(entry: Entry, fits: np.ndarray) -> Entry:
    key = [k for k, fit in zip(entry.key, fits, strict=True) if fit] if entry.key else ()
    return Entry(entry.places, entry.place[fits], entry.offset[fits], key, entry.passed)


def _kept(name: str, column: Any, fits: np.ndarray) -> Any:
    """The rows that fit; those of decoded values are left already."""
    match name:
        case "value":
            return column
        case "topic":
            return {"index": column["index"][fits], "names": column["names"]}
        case "headers":
            return {header: tf.boolean_mask(c, fits) for header, c in column.items()}
    return tf.boolean_mask(column, fits) if tf.is_tensor(column) else column[fits]


def _decoder(plan: Plan) -> Decoder | None:
    how = plan.decoding
    if how.kind == "raw":
        return None
    schemas = Registry(how.registry).schema if how.registry else None
    return build(how.kind, how.fields, how.schema, Framing(how.framing, schemas))
