"""Commits are made by the thread that reads, also for others, and before partitions go."""

import threading
import time
from collections.abc import Mapping
from typing import cast

import pytest

from bridge.errors import Fenced, Unavailable
from bridge.kafka import Reader
from bridge.kafka_errors import MEMBER
from bridge.spans import Place
from ml import commits
from ml.commits import Commits, Reporter
from ml.ledger import Ledger
from ml.plan import plan
from tests.ml.rows import A, B, C, run, written

PLAN = plan("t", "127.0.0.1:1", "g", False, {"batch_rows": 10})


class Fake:
    """A reader and a reporter: records what is committed; refuses when told."""

    def __init__(self, ledger: Ledger, transactional: bool = False) -> None:
        self.made: list[dict[Place, int]] = []
        self.refusal: Exception | None = None
        reporter = Reporter(self, commit=self.commit, is_transactional=transactional)
        self.commits = Commits(PLAN, ledger, reporter)

    def commit(self, _: Commits, offsets: Mapping[Place, int]) -> None:
        if self.refusal:
            raise self.refusal
        self.made.append(dict(offsets))

    is_member = True

    def begin(self) -> None:
        self.commits.begin(cast(Reader, self))


def ended(thread: threading.Thread) -> bool:
    thread.join(5)
    return not thread.is_alive()


def test_a_partition_that_goes_waits_for_what_was_read_of_it() -> None:
    ledger = written(run(A, 0, 3), run(B, 0, 1), run(A, 3, 5), run(B, 1, 9))
    fake = Fake(ledger)
    ledger.take(1)
    thread = threading.Thread(target=fake.commits.hand_over, args=(frozenset({A, C}),))
    thread.start()
    for count in (2, 1, 1):
        ledger.take(count)
        thread.join(0.03)
        assert thread.is_alive()
        assert fake.made == []
    ledger.take(1)
    assert ended(thread)
    assert fake.made == [{A: 5, B: 1}]
    assert len(ledger) == 8


def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "HAND_OVER_S", 0.02)
    ledger = written(run(A, 0, 3))
    ledger.take(1)
    fake = Fake(ledger)
    fake.commits.hand_over(frozenset({A}))
    assert fake.made == [{A: 1}]


def test_it_waits_for_no_other_partition_and_for_nobody_who_never_reported() -> None:
    ledger = written(run(A, 0, 1), run(B, 0, 3))
    fake = Fake(ledger)
    fake.commits.hand_over(frozenset({A}))
    ledger.take(2)
    fake.commits.hand_over(frozenset({A, C}))
    assert fake.made == [{A: 1, B: 1}]


def test_who_asks_while_a_partition_goes_is_answered_and_can_go_on() -> None:
    ledger = written(run(A, 0, 3), run(A, 3, 6))
    fake = Fake(ledger)
    begun = threading.Event()

    def read() -> None:
        fake.begin()
        begun.set()
        fake.commits.hand_over(frozenset({A}))
        fake.commits.end()

    thread = threading.Thread(target=read)
    ledger.take(1)
    thread.start()
    begun.wait(5)
    for count in (2, 3):
        ledger.take(count)
        fake.commits.ask()  # only the other thread may commit
    assert ended(thread)
    assert fake.made[-1] == {A: 6}


def test_what_is_done_is_committed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = written(run(A, 0, 3))
    fake = Fake(ledger)
    fake.begin()
    fake.commits.now_and_then()
    ledger.take(1)
    fake.commits.now_and_then()
    ledger.take(1)
    fake.commits.now_and_then()  # too soon
    assert fake.made == [{A: 1}]
    monkeypatch.setattr(commits, "COMMIT_S", 0.0)
    time.sleep(0.001)
    fake.commits.now_and_then()
    assert fake.made == [{A: 1}, {A: 2}]


def test_a_broker_that_is_away_is_asked_again_and_a_failed_transaction_is_not() -> None:
    for transactional in (False, True):
        ledger = written(run(A, 0, 3))
        fake = Fake(ledger, transactional)
        fake.begin()
        ledger.take(2)
        fake.refusal = Unavailable("kafka", "an answer", "none")
        if transactional:
            with pytest.raises(Unavailable):
                fake.commits.now_and_then()
            continue
        fake.commits.now_and_then()
        fake.refusal = None
        fake.commits.end()
        assert fake.made == [{A: 2}]


def test_who_asked_hears_why_it_was_refused() -> None:
    ledger = written(run(A, 0, 3))
    fake = Fake(ledger)
    fake.refusal = Fenced("kafka", "to be the only one", "another")
    ready, asked = threading.Event(), threading.Event()

    def read() -> None:
        fake.begin()
        ready.set()
        with pytest.raises(Fenced):
            while not asked.is_set():
                fake.commits.now_and_then()

    thread = threading.Thread(target=read)
    thread.start()
    ready.wait(5)
    ledger.take(1)
    with pytest.raises(Fenced):
        fake.commits.ask()
    asked.set()
    assert ended(thread)


@pytest.mark.parametrize("is_lost", [False, True])
def test_while_the_group_is_divided_anew_a_commit_waits(
    is_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "REJOIN_S", 0.001)
    ledger = written(run(A, 0, 3))
    fake = Fake(ledger)
    fake.begin()
    fake.refusal = Unavailable("kafka", *MEMBER)
    ledger.take(2)
    thread = threading.Thread(target=fake.commits.ask)
    thread.start()
    for _ in range(20):
        fake.commits.now_and_then()
        thread.join(0.005)
        assert thread.is_alive()
    if is_lost:
        ledger.lose(frozenset({A}))
    else:
        fake.refusal = None
    while thread.is_alive():
        fake.commits.now_and_then()
        thread.join(0.005)
    assert fake.made == ([] if is_lost else [{A: 2}])


def test_one_who_is_no_member_and_a_transaction_do_not_wait() -> None:
    for transactional in (False, True):
        fake = Fake(ledger := written(run(A, 0, 3)), transactional)
        fake.is_member = transactional
        fake.refusal = Unavailable("kafka", *MEMBER)
        fake.begin()
        ledger.take(2)
        with pytest.raises(Unavailable):
            fake.commits.ask()


def test_after_the_end_the_one_who_asks_commits() -> None:
    ledger = written(run(A, 0, 3))
    fake = Fake(ledger)
    fake.begin()
    fake.commits.end()
    ledger.take(3)
    fake.commits.ask()
    assert fake.made == [{A: 3}]
