"""Kafka -> tf.data, batch first: every batch carries its offsets.

The dataset pulls: a batch is fetched when it is asked for and never before, so the consumer that
feeds it stays the caller's, for offsets, assignments and commits. A quiet topic gives an empty
batch after ``wait_s``, so that a loop can breathe.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from bridge.errors import HaltereError
from bridge.kafka import Consumer, Fetched

Batch = dict[str, tf.Tensor]

SIGNATURE = {
    "value": tf.TensorSpec((None,), tf.string),
    "key": tf.TensorSpec((None,), tf.string),
    "partition": tf.TensorSpec((None,), tf.int32),
    "offset": tf.TensorSpec((None,), tf.int64),
    "timestamp": tf.TensorSpec((None,), tf.int64),  # ms
}


class Source:
    """Batches of up to ``rows`` records, until told to stop.

    Args:
        consumer: subscribed or assigned.
        rows: at most so many records a batch.
        wait_s: at most so long for the first of them.
        stop: asked before each batch.
    """

    def __init__(
        self, consumer: Consumer, rows: int, wait_s: float, stop: Callable[[], bool]
    ) -> None:
        self._consumer = consumer
        self._rows = rows
        self._wait_s = wait_s
        self._stop = stop
        self._left = False
        self._failure: HaltereError | None = None

    def dataset(self) -> tf.data.Dataset:
        """``{value, key, partition, offset, timestamp}``, each of shape (records,)."""
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_optimization.inject_prefetch = False  # it would fetch ahead
        batches = tf.data.Dataset.from_generator(self._batches, output_signature=SIGNATURE)
        return batches.with_options(options)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the dataset; what the consumer raises comes out here."""
        batches = iter(self.dataset())
        try:
            yield from batches
        finally:  # TensorFlow may hang when it takes an unfinished generator apart: let it end
            self._left = True
            for _ in batches:
                pass
        if self._failure:
            raise self._failure

    def _batches(self) -> Iterator[dict[str, Any]]:
        while not (self._left or self._stop()):
            try:
                yield _columns(self._consumer.fetch(self._rows, self._wait_s))
            except HaltereError as error:  # it would not pass through TensorFlow
                self._failure = error
                return


def _columns(records: list[Fetched]) -> dict[str, Any]:
    return {
        "value": np.array([r.value or b"" for r in records], dtype=object),
        "key": np.array([r.key for r in records], dtype=object),
        "partition": np.array([r.partition for r in records], np.int32),
        "offset": np.array([r.offset for r in records], np.int64),
        "timestamp": np.array([r.timestamp for r in records], np.int64),
    }
