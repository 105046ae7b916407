"""From a dataset back to the Kafka datasets that it was made of, and how its rows were grouped.

What is reported done by a Keras callback is the next so many rows that were read. That holds only
as long as nothing in between adds, drops or reorders rows, so only what is known to leave them
alone is let through. What a function given to ``map`` does within one batch cannot be seen here;
`OutputCallback` compares the number of rows, `KafkaDataset.commit` each of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from bridge.errors import Misconfigured
from ml.ledger import ADVICE
from ml.source import KafkaDataset

AS_THEY_ARE = {
    *(
        "_AssertCardinalityDataset",
        "_MapDataset",
        "_OptionsDataset",
        "_PrefetchDataset",
        "_RestructuredDataset",
    ),
    *("_TakeDataset", "_ZipDataset"),
}
PARALLEL = {"_ParallelMapDataset", "_ParallelBatchDataset"}
BATCHED = {"_BatchDataset", "_ParallelBatchDataset"}
SINGLE = "_UnbatchDataset"


@dataclass(frozen=True, slots=True)
class Lineage:
    """A Kafka dataset and how many of its rows an element of what was made of it has."""

    source: KafkaDataset
    rows: int | None  # None: those of a batch as it was read
    is_cut: bool = field(default=False, compare=False)  # by take(): what was read may be more

    def due(self, waiting: int) -> int:
        """Rows of the next element."""
        return waiting if self.rows is None else self.rows


def lineage(dataset: tf.data.Dataset) -> list[Lineage]:
    """The Kafka datasets behind this one.

    Raises:
        Misconfigured: there is none, one is there twice, or rows are added, dropped or reordered.
    """
    found = list(_followed(dataset)) if isinstance(dataset, tf.data.Dataset) else []
    if not found:
        raise Misconfigured("dataset", "one that was made of a KafkaDataset", repr(dataset))
    if dataset.options().deterministic is False:
        raise Misconfigured("dataset", "rows in their order", "options.deterministic = False")
    if len({id(line.source) for line in found}) < len(found):
        raise Misconfigured("dataset", "each KafkaDataset once", "one that is there twice")
    return found


def _followed(dataset: Any) -> Iterator[Lineage]:
    """From the sources on, what each step makes of their rows."""
    if isinstance(dataset, KafkaDataset):
        yield Lineage(dataset, 1 if dataset.is_records else None)
        return
    for line in [line for source in dataset._inputs() for line in _followed(source)]:
        _see_that_rows_stay(dataset)
        kind = type(dataset).__name__
        if line.is_cut and kind in BATCHED:
            raise Misconfigured("dataset", "take() behind batch()", "take() before it", ADVICE)
        is_cut = line.is_cut or kind == "_TakeDataset"
        yield Lineage(line.source, _rows(dataset, line.rows), is_cut)


def _rows(dataset: Any, rows: int | None) -> int | None:
    """Of an element of this, when one of what it is made of has so many."""
    kind = type(dataset).__name__
    if kind == SINGLE:
        return 1
    if kind not in BATCHED:
        return rows
    if rows is None:
        expected = "single records before batch(), for instance by unbatch()"
        raise Misconfigured("dataset", expected, "a batch of batches", ADVICE)
    return int(dataset._batch_size) * rows


def _see_that_rows_stay(dataset: Any) -> None:
    kind = type(dataset).__name__
    if kind not in AS_THEY_ARE | PARALLEL | BATCHED | {SINGLE}:
        received = kind.strip("_").removesuffix("Dataset").lower() or kind
        raise Misconfigured("dataset", "rows as they were read, in their order", received, ADVICE)
    if kind in PARALLEL and _is_loose(dataset):
        expected = "rows as they were read, in their order"
        raise Misconfigured("dataset", expected, "elements that overtake each other", ADVICE)
    if kind in BATCHED and bool(dataset._drop_remainder):
        expected = "batch(..., drop_remainder=False)"
        raise Misconfigured("dataset", expected, "rows that are dropped at the end", ADVICE)


def _is_loose(dataset: Any) -> bool:
    """Whether its elements may overtake each other."""
    return str(getattr(dataset, "_deterministic", None)).lower() == "false"
