"""`OutputCallback`: what ``model.predict`` gives, streamed into Kafka, exactly once if asked."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any, TypedDict, Unpack

import keras
import numpy as np
import orjson
import tensorflow as tf

from bridge import kafka
from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.kafka import Producer, Record, is_gone
from bridge.settings import Kafka
from bridge.spans import Place, Span
from ml.commits import Commits, Reporter
from ml.ledger import ADVICE, Row
from ml.lineage import lineage
from ml.plan import Configuration, cluster, see_that_known
from ml.sink import CONNECT_S, Pairs, encoded, send

NOTHING = (
    "nothing new behind what the group has committed, or the topic is empty; Kafka is as it was"
)
Encode = Callable[[Any], bytes | str]
ONE = "give one OutputCallback for each source, and no CommitCallback: it commits by itself"


class Outputs(TypedDict, total=False):
    """What `OutputCallback` takes by name; its docstring explains each."""

    source: tf.data.Dataset
    encode: Encode
    model_version: str
    transactional_id: str
    configuration: Configuration


class OutputCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Streams what ``model.predict`` gives into Kafka, row by row and in order.

    Args:
        batch_size: rows of a batch, as `predict` has it; with ``source`` it is known and ignored.
        topic: ``"topic"`` or ``"topic:partition"``; it is made with one partition if need be.
        servers: an address or a `bridge.settings.Kafka`; none is what ``HALTERE_KAFKA_*`` say.
        source: what is given to `predict`, made of a `KafkaDataset`: then each prediction has its
            input's key, and in the header ``offset`` its place, ``topic:partition:offset``; and
            the group's offsets are committed once Kafka has the predictions.
        encode: one row of the outputs -> the value; JSON if none.
        model_version: goes into the header ``model``.
        transactional_id: stable for one worker: predictions and offsets in one transaction, so
            that each input leads to one prediction, whatever crashes. Needs a source with a group.
        configuration: librdkafka's names, as a mapping.

    Raises:
        Misconfigured: an option cannot be, or rows are added, dropped or reordered on the way.
        Unavailable: Kafka is not there.

    ::

        model.predict(test, callbacks=[ml.OutputCallback(32, "y_pred", source=test)])
    """

    def __init__(
        self, batch_size: int, topic: str, servers: str | Kafka = "", **options: Unpack[Outputs]
    ) -> None:
        super().__init__()
        see_that_known("OutputCallback", options, Outputs.__annotations__)
        if not isinstance(batch_size, int | np.integer) or not isinstance(topic, str):
            received = f"{batch_size!r}, {topic!r}"
            raise Misconfigured("OutputCallback", "a number of rows, then a topic", received)
        source = options.get("source")
        self._lines = lineage(source) if source is not None else []
        self._encode = options.get("encode", as_json)
        self._transactional = options.get("transactional_id", "")
        self._span = Span.parse(topic)
        version = options.get("model_version", "")
        self._headers: Pairs = [("model", version.encode())] if version else []
        self._see_that_it_can()
        self._kafka = cluster(servers, options.get("configuration", ()))
        kafka.ensure_topic(self._kafka, self._span, CONNECT_S)
        self._producer: Producer | None = None  # while it predicts
        self._is_open = False  # a transaction
        self._failure: BaseException | None = None  # of one: what was in it is not there
        self._steps = 0

    def on_predict_begin(self, logs: Any = None) -> None:
        for line in self._lines:  # an earlier one that failed must not commit with this producer
            line.source.close()
        self.close()
        self._producer = Producer(self._kafka, "haltere-output", self._transactional)
        self._failure = None
        self._steps = 0
        self._report()

    def _report(self) -> None:
        for line in self._lines:
            reporter = Reporter(self, True, self._commit, bool(self._transactional))
            line.source.report_to(reporter)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        rows = rows_of((logs or {})["outputs"])
        steps, self._steps = batch + 1 - self._steps, batch + 1
        with self._lines[0].source.ledger.lock if self._lines else nullcontext():
            try:
                self._send_all(rows, steps)
            except BaseException as error:
                self._failure = error  # what was reported is not in Kafka, nor to be committed
                raise

    def on_predict_end(self, logs: Any = None) -> None:
        for line in self._lines:
            if line.source.group:
                line.source.commit()
        self.flush()
        self.close()
        for line in self._lines:
            line.source.report_to(None)
        if self._lines and not self._steps:  # Keras itself would end with an UnboundLocalError
            raise Unavailable("predict", "records to predict", "none", NOTHING)

    def flush(self) -> None:
        """Wait until Kafka has what was sent; the end of `predict` does it by itself.

        Raises:
            HaltereError: Kafka does not have some of it.
        """
        if self._producer and not self._transactional:
            self._producer.produce_and_wait(())

    def close(self) -> None:
        """Leave Kafka, as at the end of `predict`. A transaction that is under way is aborted."""
        producer, self._producer = self._producer, None
        if producer and self._is_open:
            with suppress(HaltereError):  # Kafka ends it after ten seconds by itself
                producer.abort()
        if producer:
            producer.__exit__()
        self._is_open = False

    def _see_that_it_can(self) -> None:
        where = f"OutputCallback transactional_id {self._transactional!r}"
        groups = [line.source.group for line in self._lines]
        if self._transactional and not all(groups or [""]):
            raise Misconfigured(where, "source= made of a KafkaDataset with group=", "none")
        if self._transactional and len(self._lines) > 1:
            raise Misconfigured(where, "a source made of one KafkaDataset", f"{len(self._lines)}")

    def _send_all(self, rows: Sequence[Any], steps: int) -> None:
        """Each with where its input came from, unless another member reads that again."""
        if not self._lines:
            for row in rows:
                self._send(row, None)
            return
        self._see_rows(steps, len(rows))
        first, *_ = [line.source.ledger.take(len(rows)) for line in self._lines]
        origins = [origin for piece in first for origin in piece.rows()]
        for row, origin in zip(rows, origins, strict=True):
            if origin.is_ours:
                self._send(row, origin)

    def _see_rows(self, steps: int, count: int) -> None:
        """Each input row has led to one output row, as far as numbers tell."""
        line = self._lines[0]
        if not line.source.is_reported_by(self):
            raise Misconfigured("OutputCallback", "a source that no other reports", "another", ONE)
        ledger = line.source.ledger
        due = min(ledger.batches(steps) if line.rows is None else line.rows * steps, len(ledger))
        if count != due:
            raise Misconfigured(
                "OutputCallback", f"{due} rows, as many as were read", f"{count}", ADVICE
            )

    def _send(self, row: Any, origin: Row | None) -> None:
        headers = list(self._headers)
        if origin:
            topic, partition = origin.place
            headers.append(("offset", f"{topic}:{partition}:{origin.offset}".encode()))
        producer = self._open()
        send(
            producer,
            Record(
                self._span.topic,
                origin and origin.key,
                encoded("encode", self._encode(row)),
                -1 if self._span.partition is None else self._span.partition,
                tuple(headers),
            ),
        )

    def _open(self) -> Producer:
        """The producer; in a transaction, if it makes any.

        Raises:
            HaltereError: what was sent before is not in Kafka.
        """
        if self._failure:
            raise self._failure
        if self._producer is None:
            raise Unavailable("OutputCallback", "predict to be under way", "its end")
        if self._transactional and not self._is_open:
            self._producer.begin()
            self._is_open = True
        return self._producer

    def _commit(self, one: Commits, offsets: Mapping[Place, int]) -> None:
        """The offsets behind what was sent, when it is in Kafka or together with it."""
        try:
            producer = self._open()
            if not self._transactional:
                producer.produce_and_wait(())
                one.by_consumer(offsets)
                return
            if one.reader is None:
                raise Unavailable("OutputCallback", "a group that was not left", "no member")
            self._is_open = False
            producer.commit(one.reader, offsets)
        except HaltereError as error:
            if self._transactional or not is_gone(error):
                self._failure = error
            raise


def rows_of(outputs: Any) -> list[Any]:
    """The rows of what a model gives for a batch: arrays, or a dict or list of them.

    >>> rows_of({"a": np.array([1, 2])})
    [{'a': np.int64(1)}, {'a': np.int64(2)}]
    """
    columns = tf.nest.map_structure(np.asarray, outputs)
    count = len(tf.nest.flatten(columns)[0])
    return [tf.nest.map_structure(lambda c, n=n: c[n], columns) for n in range(count)]


def as_json(row: Any) -> bytes:
    """One row of the outputs as JSON.

    >>> as_json(np.array([0.5, 0.25]))
    b'[0.5,0.25]'
    >>> as_json({"score": np.float32(0.5)})
    b'{"score":0.5}'
    """
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
