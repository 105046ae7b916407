"""Kafka -> tf.data: `KafkaDataset`. Every batch carries its offsets.

Below both of its faces, batches and single records, lies one thread that reads (`ml.feed`); here it
is joined to tf.data. The joint is a queue of TensorFlow: an iterator begins a pass, waits at the
queue without holding Python's lock, and closes the queue when it is taken apart.
"""

import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import tensorflow as tf

from bridge.errors import Misconfigured
from bridge.settings import Kafka
from ml.commits import Reporter
from ml.feed import Feed
from ml.interrupt import listen
from ml.ledger import Columns, Ledger
from ml.plan import Options, plan

Structure = Any  # a nest of tensors or of their specs
_ORPHANS: deque[Feed] = deque(maxlen=8)  # their datasets are gone, an iterator may not have begun


class KafkaDataset(tf.data.Dataset):  # type: ignore[misc]
    """Topics of Kafka as a `tf.data.Dataset`.

    Called with topics alone each element is one record, a scalar string, as tensorflow-io had it.
    With ``batch_rows`` or ``batch_ms`` each element is a batch, a dict of tensors of shape
    ``(rows,)``: ``value, key, topic, partition, offset, timestamp`` (ms).

    Args:
        topics: ``"cars"``, a list, a pattern ``"^car-.*"``, or ``"topic:partition:start:stop"``.
        servers: an address or a `bridge.settings.Kafka`; none is what ``HALTERE_KAFKA_*`` say.
        group: the consumer group. Its members divide the partitions, unless these are named.
        eof: end at the offsets that are there when the first pass begins; each pass reads the same.
        start: an offset, a `datetime`, ``"earliest"``, ``"latest"`` or ``"committed"``. In a group
            it counts where nothing is committed.
        stop: as start; the first offset that is not read.
        batch_rows: at most so many rows a batch (1,000).
        batch_ms: no record is held back for longer (100 ms).
        message_key: single records are pairs of value and key.
        columns: which of them a batch has (all); fewer are quicker.
        headers: names; a batch then has ``headers``, a dict of the last header of each name.
        decode: ``"raw"``, ``"json"``, ``"avro"`` or ``"protobuf"``: ``value`` is a dict of columns.
        fields: name to dtype or `ml.Field`; none: all that the schema has (JSON needs one of them).
        schema: of Avro or JSON, or a class of protobuf messages.
        framing: ``"auto"``, ``"registry"``, ``"single"`` (Avro single-object) or ``"bare"``.
        registry: url of a Confluent schema registry.
        misfit: what becomes of a record that does not fit, a deleted one (no value) among them:
            ``"raise"``, ``"drop"`` or ``"dead letter"``; `misfits` counts them.
        dead_letters: topic of them; it is made if need be.
        configuration: librdkafka's names, a mapping or ``"name=value"``; over everything else.

    Raises:
        Misconfigured: an option is unknown or cannot be. What goes wrong later ends the iteration
            with a `tf.errors.InvalidArgumentError` that says it; `failure` is the error itself.

    ::

        for batch in KafkaDataset("iot.readings", group="watch", batch_rows=1000):
            print(batch["offset"][-1])
    """

    def __init__(
        self,
        topics: str | Sequence[str],
        servers: str | Kafka = "",
        group: str = "",
        eof: bool = False,
        **options: Unpack[Options],
    ) -> None:
        listen()
        self._plan = plan(topics, servers, group, eof, options)
        self._feed = Feed(self._plan)
        inner = _batches(self._feed)
        if self._plan.is_records:
            columns = self._plan.columns
            inner = inner.map(lambda b: tuple(b[c] for c in columns) if columns[1:] else b["value"])
            inner = inner.unbatch()
        self._inner = inner
        weakref.finalize(self, _ORPHANS.append, self._feed)
        super().__init__(inner._variant_tensor)

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._inner]

    @property
    def element_spec(self) -> Structure:
        return self._inner.element_spec

    def commit(self, batch: Structure = None) -> None:
        """These rows and all before them are done: commit the offsets behind them.

        Args:
            batch: with ``topic``, ``partition`` and ``offset``, as the dataset gave it; none:
                everything that was reported.

        Raises:
            Misconfigured: there is no group, or rows were added, dropped or reordered.
            HaltereError: Kafka refuses.
        """
        if not self._plan.group:
            raise Misconfigured("commit", "a dataset with group=", "none")
        one = self._feed.pass_over()
        if batch is not None:
            wanted = ("topic", "partition", "offset")
            if not isinstance(batch, Mapping):
                received = f"{type(batch).__name__}; CommitCallback commits what Keras has seen"
                raise Misconfigured("commit", "a batch, a dict as it was read", received)
            if missing := [name for name in wanted if name not in batch]:
                raise Misconfigured("commit", f"a batch with {', '.join(wanted)}", f"no {missing}")
            columns = Columns(*(np.atleast_1d(np.asarray(batch[name])) for name in wanted))
            if len({column.shape for column in columns}) > 1:
                raise Misconfigured("commit", "columns of one length", "several lengths")
            one.ledger.take_to(columns)
        one.commits.ask()

    @property
    def ledger(self) -> Ledger:
        """The rows that are under way in this pass.

        Raises:
            Unavailable: there was no pass yet.
        """
        return self._feed.pass_over().ledger

    def report_to(self, reporter: Reporter | None) -> None:
        """From the next pass on, rows are kept until this one reports them done; or nobody."""
        self._feed.is_followed = bool(reporter or self.group)
        self._feed.reporter = reporter

    def is_reported_by(self, who: object) -> bool:
        """Whether no other has come since."""
        return self._feed.reporter is not None and self._feed.reporter.who is who

    @property
    def group(self) -> str:
        return self._plan.group

    @property
    def is_records(self) -> bool:
        """Whether an element is one record."""
        return self._plan.is_records

    def close(self) -> None:
        """End the pass that is under way, leave the group. The dataset can be read again."""
        if self._feed.current:
            self._feed.current.close()

    @property
    def failure(self) -> BaseException | None:
        """What ended the last pass, if anything did."""
        return self._feed.current.failure if self._feed.current else None

    @property
    def misfits(self) -> int:
        """Records that did not fit, so far: dropped, or dead letters."""
        return self._feed.misfits


def _batches(feed: Feed) -> tf.data.Dataset:
    """The queue of each pass as a dataset of batches."""
    flat, element = feed.flat, feed.batches.signature
    dtypes = [tf.string, *(spec.dtype for spec in flat)]

    known = weakref.ref(feed)  # TensorFlow keeps this function for ever

    def opened() -> tf.Tensor:
        found = known()
        if found is None:
            raise RuntimeError("the KafkaDataset of this iterator was dropped long ago")
        return found.begin()

    @tf.function(input_signature=[])  # type: ignore[untyped-decorator]
    def begin() -> tf.Tensor:
        return tf.py_function(opened, [], tf.resource)

    @tf.function(input_signature=[tf.TensorSpec((), tf.resource)])  # type: ignore[untyped-decorator]
    def following(queue: tf.Tensor) -> list[tf.Tensor]:
        failure, *columns = tf.raw_ops.QueueDequeueV2(handle=queue, component_types=dtypes)
        with tf.control_dependencies([tf.Assert(tf.equal(failure, ""), [failure])]):
            return [tf.ensure_shape(c, s.shape) for c, s in zip(columns, flat, strict=True)]

    @tf.function(input_signature=[tf.TensorSpec((), tf.resource)])  # type: ignore[untyped-decorator]
    def end(queue: tf.Tensor) -> tf.Tensor:
        tf.raw_ops.QueueCloseV2(handle=queue, cancel_pending_enqueues=True)
        return tf.constant(0, tf.int64)

    def generate(_: tf.Tensor) -> tf.data.Dataset:
        begins, follows, ends = (f.get_concrete_function() for f in (begin, following, end))
        variant = tf.raw_ops.GeneratorDataset(
            init_func_other_args=begins.captured_inputs,
            next_func_other_args=follows.captured_inputs,
            finalize_func_other_args=ends.captured_inputs,
            init_func=begins,
            next_func=follows,
            finalize_func=ends,
            output_types=[spec.dtype for spec in flat],
            output_shapes=[spec.shape for spec in flat],
        )
        return tf.data.experimental.from_variant(variant, element)

    batches = tf.data.Dataset.from_tensors(0).flat_map(generate)
    return batches.map(_named) if "topic" in element else batches


def _named(batch: dict[str, Structure]) -> dict[str, Structure]:
    """With the names of the topics in place of their numbers."""
    topic = batch["topic"]
    return batch | {"topic": tf.gather(topic["names"], topic["index"])}
