"""From a dataset back to the Kafka datasets that it was made of, and how its rows were grouped.

What is reported done by a Keras callback is the next so many rows that were read. That holds only
as long as nothing in between adds, drops or reorders rows, so only what is known to leave them
alone is let through. What a function given to ``map`` does within one batch cannot be seen here:
its number of rows is compared when the batch is reported.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from bridge.errors import Misconfigured
from ml.ledger import ADVICE
from ml.source import KafkaDataset

AS_THEY_ARE = {"_MapDataset", "_OptionsDataset", "_PrefetchDataset", "_ZipDataset", "_TakeDataset"}
PARALLEL = {"_ParallelMapDataset", "_ParallelBatchDataset"}
BATCHED = {"_BatchDataset", "_ParallelBatchDataset"}
SINGLE = "_UnbatchDataset"


@dataclass(frozen=True, slots=True)
class Lineage:
    """A Kafka dataset and how many of its rows an element of what was made of it has."""

    source: KafkaDataset
    rows: int | None  # None: those of a batch as it was read

    def due(self, waiting: int) -> int:
        """Rows of the next element."""
        return waiting if self.rows is None else self.rows


def lineage(dataset: tf.data.Dataset) -> list[Lineage]:
    """The Kafka datasets behind this one.

    Raises:
        Misconfigured: there is none, or rows are added, dropped or reordered on the way.
    """
    found: list[Lineage] = []
    _follow(dataset, None, found)
    if not found:
        raise Misconfigured("dataset", "one that was made of a KafkaDataset", repr(dataset))
    return found


def _follow(dataset: Any, rows: int | None, found: list[Lineage]) -> None:
    if isinstance(dataset, KafkaDataset):
        found.append(Lineage(dataset, 1 if rows is None and dataset.is_records else rows))
        return
    kind = type(dataset).__name__
    if not dataset._inputs():
        return  # from somewhere else
    if kind not in AS_THEY_ARE | PARALLEL | BATCHED | {SINGLE} or _is_loose(dataset):
        received = kind.strip("_").removesuffix("Dataset").lower() or kind
        raise Misconfigured("dataset", "rows as they were read, in their order", received, ADVICE)
    if kind in BATCHED:
        rows = int(dataset._batch_size) * (rows or 1)
        if bool(dataset._drop_remainder):
            expected = "batch(..., drop_remainder=False)"
            raise Misconfigured("dataset", expected, "rows that are dropped at the end", ADVICE)
    if kind == SINGLE and rows is None:
        rows = 1
    for source in dataset._inputs():
        _follow(source, rows, found)


def _is_loose(dataset: Any) -> bool:
    """Whether its elements may overtake each other."""
    said = getattr(dataset, "_deterministic", None)
    return type(dataset).__name__ in PARALLEL and str(said).lower() == "false"
