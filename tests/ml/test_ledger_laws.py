"""The ledger: laws for any batches in any grouping, and two threads at once."""

import threading
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from bridge.spans import Place
from ml.ledger import Ledger
from tests.ml.rows import A, B, C, columns, entry, row_of, run

# A batch: rows of up to three partitions that were read, and which of them fit.
batches = st.lists(
    st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(1, 3), st.booleans()), max_size=6),
    max_size=8,
)


def read(
    drawn: list[list[tuple[Place, int, bool]]],
) -> list[tuple[list[tuple[Place, int]], dict[Place, int]]]:
    """The rows that fit of each batch, and where each batch ends; offsets have gaps."""
    nexts = {A: 0, B: 100, C: 5}
    found = []
    for batch in drawn:
        fits: list[tuple[Place, int]] = []
        passed: dict[Place, int] = {}
        for place, step, fit in batch:
            offset = nexts[place] + step - 1
            nexts[place] = passed[place] = offset + 1
            if fit:
                fits.append((place, offset))
        found.append((fits, passed))
    return found


@given(batches, st.data())
def test_what_is_pending_never_runs_ahead_of_what_was_taken(
    drawn: list[list[tuple[Place, int, bool]]], data: st.DataObject
) -> None:
    ledger, made = Ledger(), read(drawn)
    for rows, passed in made:
        ledger.write(entry(rows, passed))
    rest = [row for rows, _ in made for row in rows]
    while rest:
        count = data.draw(st.integers(1, len(rest)))
        pieces = ledger.take(count)
        assert [(r.place, r.offset) for r in row_of(pieces)] == rest[:count]
        done, rest = rest[:count], rest[count:]
        for place, offset in rest:  # the first of each place that is not done
            assert ledger.pending.get(place, 0) <= offset
        for place, offset in done:
            assert ledger.pending[place] > offset
        assert len(ledger) == len(rest)


@given(batches, st.data())
def test_at_the_end_each_partition_is_done_up_to_its_last_record(
    drawn: list[list[tuple[Place, int, bool]]], data: st.DataObject
) -> None:
    ledger, made = Ledger(), read(drawn)
    ends: dict[Place, int] = {}
    committed: dict[Place, int] = {}

    def commit(offsets: Mapping[Place, int]) -> None:
        assert all(offset > committed.get(place, -1) for place, offset in offsets.items())
        committed.update(offsets)

    for rows, passed in made:
        ledger.write(entry(rows, passed))
        ends |= passed
        if data.draw(st.booleans()) and len(ledger):
            ledger.take(data.draw(st.integers(1, len(ledger))))
        if data.draw(st.booleans()):
            ledger.settled(commit)
    ledger.take(len(ledger))
    ledger.settled(commit)
    assert committed == ends
    assert ledger.pending == {}


@given(batches, st.data())
def test_a_partition_that_is_lost_is_never_pending_and_the_others_are(
    drawn: list[list[tuple[Place, int, bool]]], data: st.DataObject
) -> None:
    ledger, made = Ledger(), read(drawn)
    ends: dict[Place, int] = {}
    for rows, passed in made:
        ledger.write(entry(rows, passed))
        ends |= passed
    if len(ledger):
        ledger.take(data.draw(st.integers(1, len(ledger))))
    lost = data.draw(st.frozensets(st.sampled_from([A, B, C])))
    ledger.lose(lost)
    assert not lost & ledger.pending.keys()
    while len(ledger):
        rows_ = row_of(ledger.take(data.draw(st.integers(1, len(ledger)))))
        assert all(row.is_ours == (row.place not in lost) for row in rows_)
        assert not lost & ledger.pending.keys()
    ledger.take(0)
    assert ledger.pending == {p: o for p, o in ends.items() if p not in lost}


@given(batches, st.data())
def test_a_batch_is_found_and_done_with_all_before_it(
    drawn: list[list[tuple[Place, int, bool]]], data: st.DataObject
) -> None:
    made = read(drawn)
    asked, counted = Ledger(), Ledger()
    for rows, passed in made:
        asked.write(entry(rows, passed))
        counted.write(entry(rows, passed))
    rest = [row for rows, _ in made for row in rows]
    while rest:
        begin = data.draw(st.integers(0, len(rest) - 1))
        end = data.draw(st.integers(begin + 1, len(rest)))
        asked.take_to(columns(rest[begin:end]))
        counted.take(end)
        assert (asked.pending, len(asked)) == (counted.pending, len(counted))
        rest = rest[end:]


def test_one_thread_writes_while_another_reports_and_commits() -> None:
    ledger, batch, count = Ledger(), 7, 300
    committed: dict[Place, int] = {}

    def write() -> None:
        for n in range(count):
            ledger.write(entry(run(A, n * batch, (n + 1) * batch)))

    thread = threading.Thread(target=write)
    thread.start()
    done = 0
    while done < count * batch:
        if waiting := min(5, len(ledger)):
            ledger.take(waiting)
            done += waiting
            assert ledger.pending == {A: done}
            ledger.settled(committed.update)
            assert committed == {A: done}
    thread.join()
    assert (len(ledger), ledger.batches(1), ledger.pending) == (0, 0, {})
