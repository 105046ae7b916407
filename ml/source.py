"""Kafka -> tf.data, batch first: every batch carries its offsets.

The dataset pulls: a batch is fetched when it is asked for and never before, so the consumer that
feeds it stays the caller's, for offsets, assignments and commits. A quiet topic gives an empty
batch after ``wait_s``, so that a loop can breathe.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from bridge.kafka import Consumer

SIGNATURE = {
    "value": tf.TensorSpec((None,), tf.string),
    "key": tf.TensorSpec((None,), tf.string),
    "partition": tf.TensorSpec((None,), tf.int32),
    "offset": tf.TensorSpec((None,), tf.int64),
    "timestamp": tf.TensorSpec((None,), tf.int64),  # ms
}


def dataset(consumer: Consumer, rows: int, wait_s: float) -> tf.data.Dataset:
    """Endless batches of up to ``rows`` records: ``{value, key, partition, offset, timestamp}``.

    Args:
        consumer: subscribed or assigned.
        rows: at most so many records a batch.
        wait_s: at most so long for the first of them.
    """

    def batches() -> Iterator[dict[str, Any]]:
        while True:
            records = consumer.fetch(rows, wait_s)
            yield {
                "value": np.array([r.value or b"" for r in records], dtype=object),
                "key": np.array([r.key for r in records], dtype=object),
                "partition": np.array([r.partition for r in records], np.int32),
                "offset": np.array([r.offset for r in records], np.int64),
                "timestamp": np.array([r.timestamp for r in records], np.int64),
            }

    return tf.data.Dataset.from_generator(batches, output_signature=SIGNATURE)
