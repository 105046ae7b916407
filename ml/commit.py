"""`CommitCallback`: in ``fit``, ``evaluate`` and ``predict`` a batch that is done is committed."""

from typing import Any

import keras
import tensorflow as tf

from bridge.errors import Misconfigured
from ml.commits import Reporter
from ml.lineage import Lineage, lineage


class CommitCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Commits the offsets of each batch when Keras is done with it, never when it is read.

    Offsets go to Kafka once a second, before a partition leaves, and at the end.

    Args:
        dataset: what is given to ``fit``, ``evaluate`` or ``predict``: a `KafkaDataset` with a
            group, or what was made of one or several by map, zip, batch and prefetch.

    Raises:
        Misconfigured: there is no group, or rows are added, dropped or reordered on the way.

    ::

        cars = ml.KafkaDataset("cars", group="g", eof=True, batch_rows=32, decode="json", ...)
        train = cars.map(split)
        model.fit(train, callbacks=[ml.CommitCallback(train)])
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        super().__init__()
        self._lines: list[Lineage] = lineage(dataset)
        for line in self._lines:
            if not line.source.group:
                raise Misconfigured("CommitCallback", "a KafkaDataset with group=", "none")
        self._steps = 0  # of this epoch that are done
        self._fits = False  # then what is evaluated is another dataset

    def set_params(self, params: Any) -> None:
        """Keras calls this once for each fit, evaluate and predict, the first of all."""
        super().set_params(params)
        self._fits = False

    def on_train_begin(self, logs: Any = None) -> None:
        self._fits = True
        self._begin()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._steps = 0

    def on_test_begin(self, logs: Any = None) -> None:
        if not self._fits:
            self._begin()

    def on_predict_begin(self, logs: Any = None) -> None:
        self._begin()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done(batch)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self._fits:
            self._done(batch)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done(batch)

    def on_train_end(self, logs: Any = None) -> None:
        self._fits = False
        self._commit()

    def on_test_end(self, logs: Any = None) -> None:
        if not self._fits:
            self._commit()

    def on_predict_end(self, logs: Any = None) -> None:
        self._commit()

    def _begin(self) -> None:
        self._steps = 0  # of this epoch that are done
        for line in self._lines:
            line.source.report_to(Reporter(self))

    def _done(self, batch: int) -> None:
        """With ``steps_per_execution`` Keras tells of several steps at once."""
        while self._steps <= batch:
            self._steps += 1
            lines = self._mine()
            for line, rows in zip(lines, due(lines), strict=True):
                line.source.ledger.take(max(1, rows))

    def _commit(self) -> None:
        for line in self._mine():
            line.source.commit()
            line.source.report_to(None)

    def _mine(self) -> list[Lineage]:
        """An `OutputCallback` beside this one reports by itself."""
        return [line for line in self._lines if line.source.is_reported_by(self)]


def due(lines: list[Lineage]) -> list[int]:
    """Rows of the next element, of each source; zipped ones end with the shortest."""
    waiting = [
        len(line.source.ledger) if line.rows else line.source.ledger.batches(1) for line in lines
    ]
    rows = [min(line.due(n), n) for line, n in zip(lines, waiting, strict=True)]
    same = len({line.rows for line in lines}) == 1 and lines and lines[0].rows
    return [min(rows)] * len(rows) if same else rows
