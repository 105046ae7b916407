"""When and by whom the offsets of one pass are committed: always by the thread that reads.

librdkafka commits nothing for another thread while it tells this one of a rebalance, and that is
when it matters most. So whoever else wants a commit asks for it, and waits.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.errors import HaltereError, Unavailable
from bridge.kafka import Consumer, Reader, is_gone
from bridge.spans import Place
from ml.ledger import Ledger
from ml.plan import Plan

log = logging.getLogger(__name__)

COMMIT_S = 1.0  # what was reported done is committed so often
TRANSACTION_S = 0.1  # and so often where that is what makes results visible
HAND_OVER_S = 5.0  # a partition that leaves waits so long for what was read of it
ANSWER_S = 60.0  # to one who asked for a commit
LOOK_S = 0.05
REJOIN_S = 0.2  # between two attempts while the group is divided anew


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports what is done."""

    who: object
    keys: bool = False  # asks for them
    commit: "Callable[[Commits, Mapping[Place, int]], None] | None" = None  # in the reader's place
    is_transactional: bool = False


class Commits:
    """The commits of one pass.

    Args:
        plan: of the dataset.
        ledger: says what is done.
        reporter: who reports, if it is more than the caller.
    """

    def __init__(self, plan: Plan, ledger: Ledger, reporter: Reporter | None) -> None:
        self.ledger = ledger
        self.reader: Reader | None = None  # while it is a member
        self.is_transactional = bool(reporter and reporter.is_transactional)
        self._plan = plan
        self._reporter = reporter
        self._thread: threading.Thread | None = None
        self._at = 0.0  # s, monotonic: of the last one
        self._not_before = 0.0  # s, monotonic
        self._is_asked = False
        self._refusal: HaltereError | None = None

    def begin(self, reader: Reader) -> None:
        """From now on, by this thread."""
        self.reader = reader
        self._thread = threading.current_thread()

    def end(self) -> None:
        """The last ones by this thread."""
        with self.ledger.moved:
            self.rest()
            self.reader = None
            self.ledger.moved.notify_all()

    def ask(self) -> None:
        """Commit what was reported done, and wait for it; from any thread.

        Raises:
            HaltereError: Kafka refuses, for instance because another has the partitions now.
        """
        with self.ledger.moved:
            if self.reader is None or self._thread is threading.current_thread():
                self._commit()
                return
            self._is_asked, self._refusal = True, None
            self.ledger.moved.wait_for(self._is_answered, ANSWER_S)
            if self.reader is None:  # it went meanwhile
                self._is_asked = False
                self._commit()
            if self._refusal:
                raise self._refusal
            if self._is_asked:
                raise Unavailable("commit", f"an answer in {ANSWER_S:g} s", "none")

    def now_and_then(self) -> None:
        """By the thread, often.

        Raises:
            HaltereError: a transaction failed: nothing of it is visible.
        """
        every = TRANSACTION_S if self.is_transactional else COMMIT_S
        is_due = self.ledger.pending and time.monotonic() > self._at + every
        if not (is_due or self._is_asked) or time.monotonic() < self._not_before:
            return
        self._at = time.monotonic()
        with self.ledger.moved:
            try:
                self._commit()
            except HaltereError as error:
                if self._passes(error):
                    return
                self._answer(error)
                if self.is_transactional or not isinstance(error, Unavailable):
                    raise
                log.warning("offsets are committed later: %s", error)
            else:
                self._answer(None)

    def _answer(self, refusal: HaltereError | None) -> None:
        self._refusal, self._is_asked = refusal, False
        self.ledger.moved.notify_all()

    def _passes(self, error: HaltereError) -> bool:
        """Whether to wait: the group is being divided anew.

        Then the partitions stay and are committed, or go, and there is nothing to commit.
        """
        is_member = self.reader is not None and self.reader.is_member
        if self.is_transactional or not (is_member and is_gone(error)):
            return False
        self._not_before = time.monotonic() + REJOIN_S
        return True

    def hand_over(self, places: frozenset[Place]) -> None:
        """Before these partitions go: what was read of them is done first, if there is time."""
        until = time.monotonic() + HAND_OVER_S
        while self.ledger.awaits(places) and time.monotonic() < until:
            if self._is_asked:
                self.now_and_then()
            self.ledger.wait(LOOK_S)
        self.rest()

    def rest(self) -> None:
        """What is done and not committed, or a line in the log that says why not."""
        try:
            self._commit()
        except Exception as error:
            log.warning("the last offsets were not committed: %s", error)

    def by_consumer(self, offsets: Mapping[Place, int]) -> None:
        """Under the reader's membership, or after it without one; without a group, not at all.

        Raises:
            HaltereError: Kafka refuses, for instance because another member has a partition now.
        """
        if not self._plan.group:
            return
        if self.reader:
            self.reader.commit(offsets)
        else:  # it has left; Kafka does not overrule who has the partitions now
            with Consumer(self._plan.kafka, self._plan.group) as consumer:
                consumer.commit(offsets)

    def _commit(self) -> None:
        commit = self._reporter.commit if self._reporter else None
        if commit:
            self.ledger.settled(lambda offsets: commit(self, offsets))
        else:
            self.ledger.settled(self.by_consumer)

    def _is_answered(self) -> bool:
        return not self._is_asked or self.reader is None
