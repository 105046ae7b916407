"""From Kafka into a TensorFlow queue, in a thread of its own: one pass over a dataset.

The thread reads ahead of whoever computes, by a few batches, and goes on polling Kafka when it may
not: a long training step does not cost the membership of a group. What TensorFlow waits for is a
queue of its own, so that an iterator can be taken apart at any time without Python's help.
"""

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import tensorflow as tf

from bridge import kafka, wire
from bridge.contracts import DeadLetter
from bridge.errors import HaltereError, Unavailable
from bridge.kafka import Producer, Ranges, Reader, Record, Rows
from bridge.spans import Place, Span
from ml.batches import Batches, Misfit
from ml.collector import kept_away
from ml.commits import Commits, Reporter
from ml.interrupt import heard
from ml.ledger import Ledger
from ml.plan import Plan

log = logging.getLogger(__name__)

AHEAD = 3  # batches in the queue
PATIENT_S = 0.5  # without room for so long, Kafka is told to send no more
REPORTER_S = 600.0  # a callback of Keras may take so long for a batch
LINGER_S = 30.0  # after the end, for so long without a report, the reader stays a member


class Feed:
    """What the passes over one dataset share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.batches = Batches(plan)
        self.ranges = Ranges()
        self.committed: dict[Place, int] = {}
        self.is_followed = bool(plan.group)  # somebody may report what is done
        self.reporter: Reporter | None = None  # somebody will
        self.current: Pass | None = None
        self.flat = tf.nest.flatten(self.batches.signature)
        self.misfits = 0
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._letters: Producer | None = None

    def begin(self) -> tf.Tensor:
        """A new pass; the handle of its queue."""
        with self._lock:
            if not _LIVE:
                heard()  # what came while nobody waited is Python's alone
            if self.current and self.is_followed:  # one at a time: rows are reported of the last
                self.current.close()
            if self.reporter and self.reporter.is_transactional:
                self.ranges.of.clear()  # what is committed is not predicted again
            self.current = found = Pass(self)
            found.start()
            return found.queue.queue_ref

    def set_aside(self, misfits: Sequence[Misfit]) -> None:
        """What does not fit is raised, counted, or in Kafka as a dead letter when this returns.

        Raises:
            Malformed: the plan says so.
            HaltereError: Kafka does not take the dead letters.
        """
        how = self.plan.decoding
        if how.misfit == "raise":
            raise misfits[0].error
        if how.misfit == "dead letter":
            if self._letters is None:
                kafka.ensure_topic(self.plan.kafka, Span.parse(how.dead_letters))
                self._letters = Producer(self.plan.kafka, "haltere-dead-letters")
            records = [_letter(how.dead_letters, m, time.time_ns() // 1000) for m in misfits]
            self._letters.produce_and_wait(records)
        with self._counting:
            before, self.misfits = self.misfits, self.misfits + len(misfits)
        if len(str(self.misfits)) > len(str(before)) or not before:  # 1, 10, 100 and so on
            log.warning("%d records do not fit, the last: %s", self.misfits, misfits[-1].error)

    def close_letters(self) -> None:
        """At the end of a pass."""
        letters, self._letters = self._letters, None
        if letters:
            letters.__exit__()

    def pass_over(self) -> "Pass":
        """The pass that rows are reported of.

        Raises:
            Unavailable: there was none yet.
        """
        if self.current is None:
            remedy = "give the callback what fit, evaluate or predict reads"
            raise Unavailable("KafkaDataset", "to be read before it is reported", "no pass", remedy)
        return self.current


class Pass:
    """One pass over a dataset."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.ledger = Ledger(feed.committed)
        self.ledger.keys = bool(feed.reporter and feed.reporter.keys)
        self.failure: BaseException | None = None
        self.commits = Commits(feed.plan, self.ledger, feed.reporter)
        self._is_leaving = False
        self._is_fruitless = True  # not a record yet
        self._is_busy = False  # batches come full, and so the next will without a wait
        dtypes = [tf.string, *(spec.dtype for spec in feed.flat)]  # the first: what went wrong
        with tf.device("CPU:0"):
            self.queue = tf.queue.FIFOQueue(AHEAD + 2, dtypes)
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name="haltere-feed", daemon=True)
        _LIVE.add(self)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End it; waits until its consumer has left."""
        self._leave.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def interrupt(self) -> None:
        """Ctrl-C: who waits for a record need not wait any longer."""
        self._leave.set()
        self.queue.close(cancel_pending_enqueues=True)

    # From here on, in the thread.

    def _run(self) -> None:
        try:
            self._read()
        except tf.errors.CancelledError:
            pass  # the iterator is gone
        except Exception as error:
            self._fail(error)
        finally:
            self.queue.close(cancel_pending_enqueues=True)
            self._feed.close_letters()
            _LIVE.discard(self)

    def _read(self) -> None:
        plan = self._feed.plan
        with Reader(plan.kafka, plan.group, plan.wanted, self._feed.ranges, self) as reader:
            self.commits.begin(reader)
            try:
                self._read_all(reader)
            finally:
                self._is_leaving = True
                self.commits.end()

    def _read_all(self, reader: Reader) -> None:
        reader.open()
        while self._has_room(reader):
            with kept_away() if self._is_busy else nullcontext():
                found = self._read_one(reader)
            if not found and (reader.finished() or self._leave.is_set()):
                break
        self.queue.close()
        if self._is_fruitless and reader.finished():
            log.warning("%s", self._feed.plan.nothing)
        self._linger(reader)

    def _read_one(self, reader: Reader) -> bool:
        """A batch into the queue; false if none came in time."""
        rows = reader.read(self._feed.plan.rows, self._feed.plan.wait_s)
        self._is_busy = len(rows) == self._feed.plan.rows
        self._is_fruitless = self._is_fruitless and not rows
        if rows:
            self._put(rows)
        return bool(rows)

    def _has_room(self, reader: Reader) -> bool:
        """Waits for it; false when nobody wants more."""
        patience = time.monotonic() + PATIENT_S
        queue = self.queue.queue_ref
        while not self._leave.is_set() and not tf.raw_ops.QueueIsClosedV2(handle=queue):
            self.tick()
            if tf.raw_ops.QueueSizeV2(handle=queue) < AHEAD:
                reader.go_on()
                return True
            if time.monotonic() > patience:
                reader.hold()
                time.sleep(0.005)
            else:
                time.sleep(0.0005)
        return False

    def _put(self, rows: Rows) -> None:
        made = self._feed.batches.batch(rows, self._feed.is_followed, self.ledger.keys)
        if made.misfits:
            self._feed.set_aside(made.misfits)
        if made.entry:
            self.ledger.write(made.entry)
        if made.batch is not None:
            self._enqueue("", tf.nest.flatten(made.batch))

    def _enqueue(self, failure: str, columns: Sequence[np.ndarray]) -> None:
        """With raw ops: the methods of the queue cost as much as 200 records."""
        tensors = [tf.convert_to_tensor(failure), *map(tf.convert_to_tensor, columns)]
        tf.raw_ops.QueueEnqueueV2(handle=self.queue.queue_ref, components=tensors)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        if not isinstance(error, HaltereError):
            log.exception("reading of Kafka ended")
        empty = [
            np.zeros([n or 0 for n in s.shape], s.dtype.as_numpy_dtype) for s in self._feed.flat
        ]
        try:
            self._enqueue(f"{type(error).__name__}: {error}", empty)
            self.queue.close()
        except tf.errors.CancelledError:
            log.error("%s", error)  # nobody is there to hear it

    def _linger(self, reader: Reader) -> None:
        """What was read last is not reported yet; stay a member until it is."""
        patience = REPORTER_S if self._feed.reporter else LINGER_S
        reports, until = self.ledger.reports, time.monotonic() + patience
        while self._feed.is_followed and len(self.ledger) and not self._leave.is_set():
            if self.ledger.reports != reports:
                reports, until = self.ledger.reports, time.monotonic() + patience
            if time.monotonic() > until or self._is_forsaken():
                return
            self.tick()
            reader.hold()
            time.sleep(0.005)

    def _is_forsaken(self) -> bool:
        """All was taken, and nobody reported anything: nobody will."""
        told = self._feed.reporter or self.ledger.reports
        return not told and int(self.queue.size()) == 0

    # `bridge.kafka.reader.Watch`

    def tick(self) -> None:
        if heard():
            for one in list(_LIVE):
                one.interrupt()
        self.commits.now_and_then()

    def leaving(self, places: frozenset[Place]) -> None:
        if self._is_leaving:  # of our own will: what is reported later can still be committed
            return
        self.commits.hand_over(places)

    def left(self, places: frozenset[Place], warned: bool) -> None:
        if self._is_leaving:
            return
        self.ledger.lose(places)
        if not warned and self.commits.is_transactional:
            where = f"group {self._feed.plan.group}"
            raise Unavailable(where, "to keep its partitions", "they went to another member")


def _letter(topic: str, misfit: Misfit, time_us: int) -> Record:
    error = misfit.error
    told = (error.where, error.expected, error.received)
    letter = DeadLetter(misfit.topic, misfit.value, "dataset", *told, time_us)
    return Record(topic, misfit.where.encode(), wire.Encoder().encode(letter))


_LIVE: weakref.WeakSet[Pass] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """Before the interpreter goes: TensorFlow must not be busy in a thread of Python then."""
    for one in list(_LIVE):
        one.close()
