"""What a dataset has handed out and nobody has reported done: offsets and keys, in order. No I/O.

Keras shows its callbacks only the outputs of a batch, and the source runs ahead of them; so where
each row came from is kept here, beside the tensors, until its batch is reported done. Rows leave in
the order they came, so what lies between source and report may group them anew but must not add,
drop or reorder them.

Written by the thread that reads, reported to by the one that computes; ``lock`` is both's.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from bridge.errors import Misconfigured
from bridge.spans import Place

KEPT = 4_000_000  # rows that may wait to be reported; then the oldest are forgotten
ADVICE = (
    "between the dataset and its report map, batch, unbatch, take, zip and prefetch only;"
    " filter, shuffle and skip after the rows have been reported"
)
ONCE = "report each batch once, as it was read, in the order of reading"


@dataclass(slots=True)
class Entry:
    """One batch as it was read."""

    places: Sequence[Place]
    place: np.ndarray  # (rows,), int32: index into places
    offset: np.ndarray  # (rows,), int64
    key: Sequence[bytes | None]  # (rows,), or () where nobody asks for them
    passed: Mapping[Place, int]  # next offsets once all of it is done; rows may have been dropped
    lost: set[Place] = field(default_factory=set)  # partitions that went before it was done


class Piece(NamedTuple):
    """Neighbouring rows of one batch."""

    entry: Entry
    begin: int
    end: int

    def rows(self) -> Iterator["Row"]:
        """Where each came from."""
        entry = self.entry
        for n in range(self.begin, self.end):
            place = entry.places[entry.place[n]]
            key = entry.key[n] if entry.key else None
            yield Row(place, int(entry.offset[n]), key, place not in entry.lost)

    def columns(self) -> "Columns":
        """Where they came from, by column."""
        topics = np.array([topic.encode() for topic, _ in self.entry.places], object)
        partitions = np.array([partition for _, partition in self.entry.places], np.int32)
        place = self.entry.place[self.begin : self.end]
        return Columns(topics[place], partitions[place], self.entry.offset[self.begin : self.end])


class Row(NamedTuple):
    """Where one row came from."""

    place: Place
    offset: int
    key: bytes | None
    is_ours: bool  # false: its partition went to another, who reads it again


class Columns(NamedTuple):
    """Where the rows of a batch came from, as the batch itself says."""

    topic: np.ndarray  # (rows,), bytes
    partition: np.ndarray  # (rows,), int32
    offset: np.ndarray  # (rows,), int64

    def said(self, n: int) -> str:
        return f"{self.topic[n].decode()} {self.partition[n]} {self.offset[n]}"


class Ledger:
    """The rows that are under way.

    Args:
        committed: of earlier passes over the same dataset; a later one takes no commit back.
    """

    def __init__(self, committed: dict[Place, int] | None = None) -> None:
        self.lock = threading.RLock()
        self.keys = False  # whether anybody asks for them
        self.pending: dict[Place, int] = {}  # next offsets that are done and not committed
        self.reports = 0
        self.moved = threading.Condition(self.lock)  # something was reported or committed
        self._entries: deque[Entry] = deque()
        self._taken = 0  # rows of the first entry
        self._rows = 0
        self._forgot = False
        self._committed = {} if committed is None else committed

    def __len__(self) -> int:
        """Rows that are not reported."""
        return self._rows

    def write(self, entry: Entry) -> None:
        """A batch was read, and goes on its way."""
        with self.lock:
            self._entries.append(entry)
            self._rows += len(entry.offset)
            while self._rows > KEPT:
                self._rows -= len(self._entries.popleft().offset) - self._taken
                self._taken, self._forgot = 0, True
            self._close_empty()

    def batches(self, count: int) -> int:
        """Rows of the oldest so many batches that are not reported."""
        with self.lock:
            sizes = [piece.end - piece.begin for piece in self._waiting()]
            return sum([size for size in sizes if size][:count])

    def take(self, count: int) -> list[Piece]:
        """Report the next rows done.

        Raises:
            Misconfigured: there are not so many, so some were added on the way.
        """
        with self.lock:
            self._see_that_there_are(count)
            pieces: list[Piece] = []
            while count:
                piece = self._take_of_first(count)
                count -= piece.end - piece.begin
                pieces.append(piece)
            self._close_empty()
            self.reports += 1
            self.moved.notify_all()
            return pieces

    def take_to(self, batch: Columns) -> None:
        """Report these rows done, and all before them.

        Raises:
            Misconfigured: they are not, in this order, what was read.
        """
        if not len(batch.offset):
            return
        with self.lock:
            begins = self._found(batch)
            whole = [begin for begin in begins if self._difference(begin, batch) is None]
            if not whole:
                row, read = self._difference(begins[0], batch) or (0, "")
                expected = f"{read}, as it was read"
                raise Misconfigured(f"row {row} of the batch", expected, batch.said(row), ADVICE)
            self.take(whole[0] + len(batch.offset))

    def lose(self, places: frozenset[Place]) -> None:
        """These partitions are another's: nothing of them is committed or passed on."""
        with self.lock:
            for entry in self._entries:
                entry.lost |= places
            for place in places:
                self.pending.pop(place, None)
                self._committed.pop(place, None)

    def awaits(self, places: frozenset[Place]) -> bool:
        """Whether rows of these partitions are not reported yet, and anybody reports."""
        with self.lock:
            if not self.reports:
                return False
            for entry, begin, _ in self._waiting():
                if not places.isdisjoint(entry.places[n] for n in np.unique(entry.place[begin:])):
                    return True
            return False

    def wait(self, timeout_s: float) -> None:
        """For the next report, or for one who asks for a commit."""
        with self.moved:
            self.moved.wait(timeout_s)

    def settled(self, commit: Callable[[Mapping[Place, int]], None]) -> None:
        """Commit what is done, through this."""
        with self.lock:
            if self.pending:
                commit(dict(self.pending))
                self._committed |= self.pending
                self.pending.clear()

    def _see_that_there_are(self, count: int) -> None:
        if count < 0:
            raise Misconfigured("report", "a number of rows", str(count))
        if self._forgot:
            raise Misconfigured(
                "report", f"at most {KEPT} rows that are not reported", "more", "commit more often"
            )
        if count > self._rows:
            received = f"a batch of {count} rows"
            raise Misconfigured("report", f"at most {self._rows} rows", received, ADVICE)

    def _take_of_first(self, most: int) -> Piece:
        entry, begin = self._entries[0], self._taken
        end = min(begin + most, len(entry.offset))
        self._rows -= end - begin
        self._taken = end
        taken = entry.place[begin:end]
        for n in np.unique(taken):
            if (place := entry.places[n]) not in entry.lost:
                self._is_done(place, int(entry.offset[begin:end][taken == n][-1]) + 1)
        if end == len(entry.offset):
            self._close_first()
        return Piece(entry, begin, end)

    def _close_empty(self) -> None:
        """What is first and has no rows, for they were dropped, is done."""
        while self._entries and not len(self._entries[0].offset):
            self._close_first()

    def _close_first(self) -> None:
        entry = self._entries.popleft()
        self._taken = 0
        for place, offset in entry.passed.items():
            if place not in entry.lost:
                self._is_done(place, offset)

    def _is_done(self, place: Place, offset: int) -> None:
        """A later pass begins again, and takes no commit back."""
        if offset > self._committed.get(place, -1):
            self.pending[place] = max(offset, self.pending.get(place, -1))

    def _found(self, batch: Columns) -> list[int]:
        """How many rows come before the first of these; it may have been read twice."""
        before, found = 0, list[int]()
        for piece in self._waiting():
            known = piece.columns()
            same = (known.offset == batch.offset[0]) & (known.partition == batch.partition[0])
            rows = np.flatnonzero(same)
            found += [before + int(n) for n in rows if known.topic[n] == batch.topic[0]]
            before += len(known.offset)
        if not found:
            expected = "rows that were read and not reported yet"
            raise Misconfigured("the batch", expected, batch.said(0), ONCE)
        return found

    def _difference(self, begin: int, batch: Columns) -> tuple[int, str] | None:
        """The first row that is not what was read, and what was."""
        pieces = [piece.columns() for piece in self._waiting()]
        read = Columns(*(np.concatenate(c)[begin:] for c in zip(*pieces, strict=True)))
        if _same(read, batch):
            return None
        for n in range(min(len(read.offset), len(batch.offset))):
            if read.said(n) != batch.said(n):
                return n, read.said(n)
        return len(read.offset), "no more rows"

    def _waiting(self) -> list[Piece]:
        """What is not reported, the oldest first."""
        begins = [self._taken] + [0] * len(self._entries)
        pairs = zip(self._entries, begins, strict=False)
        return [Piece(entry, begin, len(entry.offset)) for entry, begin in pairs]


def _same(read: Columns, batch: Columns) -> bool:
    count = len(batch.offset)
    return all(np.array_equal(r[:count], b) for r, b in zip(read, batch, strict=True))
