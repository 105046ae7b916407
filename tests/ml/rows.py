"""Rows as a ledger is given them and asked for them."""

from collections.abc import Mapping, Sequence

import numpy as np

from bridge.spans import Place
from ml.ledger import Columns, Entry, Ledger, Piece, Row

A, B, C = ("cars", 0), ("cars", 1), ("bus", 0)
Read = Sequence[tuple[Place, int]]


def entry(rows: Read, passed: Mapping[Place, int] | None = None, keys: bool = False) -> Entry:
    """As `ml.batches` makes one; ``passed`` says more where rows were dropped."""
    places = sorted({place for place, _ in rows} | (passed or {}).keys())
    reached = {place: offset + 1 for place, offset in rows}
    return Entry(
        places,
        np.array([places.index(place) for place, _ in rows], np.int32),
        np.array([offset for _, offset in rows], np.int64),
        [b"%d" % offset for _, offset in rows] if keys else (),
        reached | dict(passed or {}),
    )


def columns(rows: Read) -> Columns:
    """As a batch of the dataset has them."""
    return Columns(
        np.array([place[0].encode() for place, _ in rows], object),
        np.array([place[1] for place, _ in rows], np.int32),
        np.array([offset for _, offset in rows], np.int64),
    )


def row_of(pieces: Sequence[Piece]) -> list[Row]:
    return [row for piece in pieces for row in piece.rows()]


def run(place: Place, begin: int, end: int) -> Read:
    return [(place, offset) for offset in range(begin, end)]


def written(*batches: Read) -> Ledger:
    ledger = Ledger()
    for batch in batches:
        ledger.write(entry(batch))
    return ledger
