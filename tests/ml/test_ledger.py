"""The ledger: what was handed out, and how far each partition is done."""

from collections.abc import Callable, Mapping

import pytest

from bridge.errors import Misconfigured
from bridge.spans import Place
from ml import ledger as module
from ml.ledger import ADVICE, Ledger, Row
from tests.ml.rows import A, B, C, columns, entry, row_of, run, written


def test_nothing_is_done_before_it_is_reported() -> None:
    ledger = written(run(A, 0, 5))
    assert (len(ledger), ledger.pending) == (5, {})


def test_rows_are_done_in_the_order_they_came_however_they_are_grouped() -> None:
    ledger = written([(A, 7), (B, 3), (A, 8)], [(B, 4), (A, 9)])
    assert [(r.place, r.offset) for r in row_of(ledger.take(2))] == [(A, 7), (B, 3)]
    assert (ledger.pending, len(ledger)) == ({A: 8, B: 4}, 3)
    assert [(r.place, r.offset) for r in row_of(ledger.take(2))] == [(A, 8), (B, 4)]
    assert (ledger.pending, len(ledger)) == ({A: 9, B: 5}, 1)
    ledger.take(1)
    assert (ledger.pending, len(ledger)) == ({A: 10, B: 5}, 0)


def test_a_piece_says_where_its_rows_came_from() -> None:
    ledger = Ledger()
    ledger.write(entry([(A, 7), (C, 3), (A, 8)], keys=True))
    ledger.take(1)
    (piece,) = ledger.take(2)
    assert list(piece.rows()) == [Row(C, 3, b"3", True), Row(A, 8, b"8", True)]
    told = piece.columns()
    assert [column.tolist() for column in told] == [[b"bus", b"cars"], [0, 0], [3, 8]]
    assert told.said(1) == "cars 0 8"


def test_rows_have_no_key_where_nobody_asks_for_it() -> None:
    assert [row.key for row in row_of(written(run(A, 0, 2)).take(2))] == [None, None]


def test_the_oldest_batches_are_counted_without_those_that_are_done_or_empty() -> None:
    ledger = written(run(A, 0, 5), run(A, 5, 8), [], run(A, 8, 9))
    assert [ledger.batches(n) for n in range(5)] == [0, 5, 8, 9, 9]
    ledger.take(2)
    assert [ledger.batches(n) for n in (1, 2)] == [3, 6]
    ledger.take(6)
    assert ledger.batches(1) == 1


def test_more_rows_than_were_read_are_refused_and_nothing_is_taken() -> None:
    ledger = written(run(A, 0, 3))
    with pytest.raises(Misconfigured) as raised:
        ledger.take(4)
    error = raised.value
    assert (error.where, error.expected) == ("report", "at most 3 rows")
    assert (error.received, error.remedy) == ("a batch of 4 rows", ADVICE)
    assert (len(ledger), ledger.pending) == (3, {})


def test_a_partition_that_comes_back_is_done_from_there_on() -> None:
    ledger = written([(A, 0), (B, 0)])
    ledger.lose(frozenset({A}))
    ledger.write(entry([(A, 0), (B, 1)]))
    assert [r.is_ours for r in row_of(ledger.take(2))] == [False, True]
    assert ledger.pending == {B: 1}
    assert [r.is_ours for r in row_of(ledger.take(2))] == [True, True]
    assert ledger.pending == {A: 1, B: 2}


READ = [(A, 0), (A, 1), (B, 0), (A, 2), (B, 1)]
CHANGED = {  # rows of it, which is refused, what it is, what it should be
    "in another order": ([1, 0, 2], 1, "cars 0 0", "cars 1 0"),
    "without one in the middle": ([0, 1, 3], 2, "cars 0 2", "cars 1 0"),
    "one of them twice": ([0, 1, 1], 2, "cars 0 1", "cars 1 0"),
    "twice at the beginning": ([0, 0, 1], 1, "cars 0 0", "cars 0 1"),
    "the last two changed": ([2, 4, 3], 1, "cars 1 1", "cars 0 2"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_batch_that_is_not_as_it_was_read_is_refused_by_its_row(case: str) -> None:
    chosen, n, received, expected = CHANGED[case]
    ledger = written(READ[:3], READ[3:])
    with pytest.raises(Misconfigured) as raised:
        ledger.take_to(columns([READ[i] for i in chosen]))
    error = raised.value
    assert (error.where, error.received) == (f"row {n} of the batch", received)
    assert (error.expected, error.remedy) == (f"{expected}, as it was read", ADVICE)
    assert (len(ledger), ledger.pending) == (5, {})


@pytest.mark.parametrize("row", [(A, 3), (("cars", 7), 0), (("ships", 0), 0)])
def test_a_batch_that_was_not_read_is_refused(row: tuple[Place, int]) -> None:
    ledger = written(READ)
    with pytest.raises(Misconfigured, match="rows that were read and not reported") as raised:
        ledger.take_to(columns([row]))
    assert raised.value.received == f"{row[0][0]} {row[0][1]} {row[1]}"
    assert len(ledger) == 5


def test_a_batch_that_goes_on_behind_what_was_read_is_refused() -> None:
    ledger = written(READ)
    with pytest.raises(Misconfigured, match="expected no more rows, as it was read"):
        ledger.take_to(columns([*READ, (A, 3)]))


def test_a_batch_is_not_reported_twice() -> None:
    ledger = written(READ)
    ledger.take_to(columns(READ[:2]))
    with pytest.raises(Misconfigured, match="rows that were read and not reported"):
        ledger.take_to(columns(READ[:2]))
    assert (len(ledger), ledger.pending) == (3, {A: 2})


def test_a_batch_without_rows_reports_nothing() -> None:
    ledger = written(READ)
    ledger.take_to(columns([]))
    assert (len(ledger), ledger.reports) == (5, 0)


def test_a_batch_of_which_no_row_fits_is_done_with_the_one_before_it() -> None:
    ledger = written(run(A, 0, 2))
    ledger.write(entry([], {A: 4, B: 9}))
    ledger.write(entry(run(A, 4, 5)))
    ledger.take(1)
    assert ledger.pending == {A: 1}
    ledger.take(1)
    assert ledger.pending == {A: 4, B: 9}


def test_a_batch_of_which_no_row_fits_is_done_only_after_those_before_it() -> None:
    ledger = written(run(A, 0, 2))
    ledger.write(entry([], {A: 4}))
    ledger.take(1)
    assert ledger.pending == {A: 1}
    ledger.lose(frozenset({A}))
    ledger.take(1)
    assert ledger.pending == {}


def test_rows_that_wait_too_long_are_forgotten_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEPT", 10)
    ledger = written(run(A, 0, 5), run(A, 5, 10))
    ledger.take(2)
    ledger.write(entry(run(A, 10, 12)))
    assert len(ledger) == 10
    ledger.write(entry(run(A, 12, 13)))
    assert len(ledger) == 8
    reports: tuple[Callable[[], object], ...] = (
        lambda: ledger.take(1),
        lambda: ledger.take_to(columns(run(A, 5, 6))),
    )
    for report in reports:
        with pytest.raises(Misconfigured, match="at most 10 rows that are not reported"):
            report()
    assert ledger.pending == {A: 2}


def test_a_commit_that_fails_is_made_again() -> None:
    ledger = written(run(A, 0, 2))
    ledger.take(1)

    def refuse(_: Mapping[Place, int]) -> None:
        raise OSError

    with pytest.raises(OSError):
        ledger.settled(refuse)
    made: list[Mapping[Place, int]] = []
    for _ in range(2):
        ledger.settled(made.append)
    assert made == [{A: 1}]


def test_a_later_pass_takes_no_commit_back() -> None:
    ledger = written(run(A, 0, 5))
    made: list[Mapping[Place, int]] = []
    ledger.take(5)
    ledger.settled(made.append)
    ledger.write(entry(run(A, 0, 7)))
    ledger.take(5)
    ledger.settled(made.append)
    ledger.take(2)
    ledger.settled(made.append)
    assert made == [{A: 5}, {A: 7}]


def test_one_that_was_lost_and_comes_back_is_committed_below_what_was() -> None:
    ledger = written(run(A, 0, 5))
    made: list[Mapping[Place, int]] = []
    ledger.take(5)
    ledger.settled(made.append)
    ledger.lose(frozenset({A}))  # its next owner may have gone back
    ledger.write(entry(run(A, 2, 3)))
    ledger.take(1)
    ledger.settled(made.append)
    assert made == [{A: 5}, {A: 3}]


def test_rows_that_were_lost_and_read_again_are_reported_twice() -> None:
    ledger = Ledger()
    rows = [(A, n) for n in range(3)]
    ledger.write(entry(rows))
    ledger.lose(frozenset({A}))
    ledger.write(entry(rows))
    ledger.take_to(columns(rows))  # the copy that was on its way
    assert ledger.pending == {}
    ledger.take_to(columns(rows))
    assert ledger.pending == {A: 3}


def test_a_batch_of_which_no_row_fits_is_done_when_all_before_it_are() -> None:
    ledger = Ledger()
    ledger.write(entry([(A, n) for n in range(4)]))
    ledger.write(entry([], {A: 8}))
    assert ledger.pending == {}
    ledger.take(4)
    assert ledger.pending == {A: 8}
    ledger.write(entry([], {A: 12}))
    assert ledger.pending == {A: 12}


def test_a_later_pass_takes_no_commit_back_though_its_ledger_is_new() -> None:
    committed: dict[Place, int] = {}
    for _ in range(2):
        ledger = Ledger(committed)
        ledger.write(entry([(A, n) for n in range(4)]))
        ledger.take(2)
        ledger.settled(lambda offsets: None)
        assert committed == {A: 2}
    ledger.take(2)
    assert ledger.pending == {A: 4}
