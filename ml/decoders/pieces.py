"""A batch read fast where it can be and record by record where it must. No I/O.

One bad record costs the others little: what the fast way refuses is cut up until the bad ones
stand among few, and only these are decoded one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from bridge.errors import Malformed
from ml.decoders.cells import Doubt
from ml.decoders.column import Column
from ml.decoders.decoder import Array, Decoded, Misfits

WORK = 2.5  # times that the fast way goes over a batch before the rest is decoded one by one

CUT = 8  # parts of what the fast way refuses


class Table(NamedTuple):
    """What the fast way made of some records."""

    columns: list[Array]
    doubt: Doubt


@dataclass(frozen=True, slots=True)
class Ways:
    """The two ways from bodies to columns."""

    columns: Sequence[Column]
    fast: Callable[[Sequence[bytes]], Table | None]  # None: cannot tell which record is bad
    slow: Callable[[bytes], list[object]]  # cells by column, or Malformed
    few: int  # records that the slow way decodes sooner than the fast way starts


@dataclass(slots=True)
class Pieces:
    """What is decoded of a batch so far, in any order."""

    columns: Sequence[Column]
    rows: list[Array] = field(default_factory=list)  # of the batch, int64
    parts: list[list[Array]] = field(default_factory=list)
    misfits: Misfits = field(default_factory=list)

    def add(self, rows: Array, columns: list[Array]) -> None:
        """Some rows of the batch."""
        if len(rows):
            self.rows.append(rows)
            self.parts.append(columns)

    def refuse(self, row: int, error: Malformed) -> None:
        """A record that does not fit."""
        self.misfits.append((row, error))

    def whole(self, records: int) -> Decoded:
        """The batch, its rows in the order of the records."""
        rows = np.concatenate(self.rows) if self.rows else np.empty(0, np.int64)
        order = None if (rows[1:] > rows[:-1]).all() else np.argsort(rows)
        columns = {}
        for n, column in enumerate(self.columns):
            joined = _joined(column, [part[n] for part in self.parts])
            columns[column.name] = joined if order is None else joined[order]
        fits = None
        if len(rows) < records:
            fits = np.zeros(records, np.bool_)
            fits[rows] = True
        return Decoded(columns, fits, sorted(self.misfits, key=lambda misfit: misfit[0]))


def read(ways: Ways, values: Sequence[bytes], rows: Array, into: Pieces) -> None:
    """Decodes the values, which stand in these rows of the batch."""
    work = WORK * len(values)
    todo = [(0, len(values))]
    while todo:
        start, end = todo.pop()
        size = end - start
        if size <= ways.few or work < size:
            one_by_one(ways, values[start:end], rows[start:end], into)
            continue
        work -= size
        table = ways.fast(values[start:end])
        if table is None:
            step = max(-(-size // CUT), ways.few)
            todo += [(n, min(n + step, end)) for n in range(start, end, step)]
            continue
        _keep(ways, table, values[start:end], rows[start:end], into)


def one_by_one(ways: Ways, values: Sequence[bytes], rows: Array, into: Pieces) -> None:
    """The slow way, which says of each record whether it fits, and why not."""
    cells, kept = [], []
    for value, row in zip(values, rows.tolist(), strict=True):
        try:
            cells.append(ways.slow(value))
            kept.append(row)
        except Malformed as error:
            into.refuse(row, error)
    by_column = list(zip(*cells, strict=True))
    if kept:
        stacked = [c.stack(some) for c, some in zip(ways.columns, by_column, strict=True)]
        into.add(np.asarray(kept, np.int64), stacked)


def _keep(ways: Ways, table: Table, values: Sequence[bytes], rows: Array, into: Pieces) -> None:
    if table.doubt is None:
        into.add(rows, table.columns)
        return
    sure = ~table.doubt
    columns = [column[sure] for column in table.columns]
    if any(column.size == -1 for column in ways.columns):
        columns = _narrowed(ways, columns, [values[n] for n in np.flatnonzero(sure).tolist()])
    into.add(rows[sure], columns)
    doubtful = np.flatnonzero(table.doubt).tolist()
    one_by_one(ways, [values[n] for n in doubtful], rows[table.doubt], into)


def _narrowed(ways: Ways, columns: list[Array], sure: Sequence[bytes]) -> list[Array]:
    """Arrays of any length are as wide as the longest that is kept, not as one in doubt."""
    again = ways.fast(sure) if sure else None
    if again is None or again.doubt is not None:
        return columns
    return again.columns


def _joined(column: Column, parts: list[Array]) -> Array:
    if len(parts) == 1 and column.size != -1:
        return np.ascontiguousarray(parts[0])
    if not parts:
        return column.stack([])
    if column.size != -1:
        return np.concatenate(parts)
    return _padded(column, parts)


def _padded(column: Column, parts: list[Array]) -> Array:
    """Arrays of any length, each piece as wide as its longest."""
    width = max(part.shape[1] for part in parts)
    out = np.full((sum(map(len, parts)), width), column.padding, column.dtype)
    start = 0
    for part in parts:
        out[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return out
