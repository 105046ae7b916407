"""What was read of a batch -> numpy columns, with a doubt where a value may not fit. No I/O.

A doubt is no verdict: the record is decoded once more on its own, and that says whether it fits.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ml.decoders.column import EXACT, Column
from ml.decoders.decoder import Array
from ml.decoders.fields import MISSING

Doubt = Array | None  # (rows,), bool; None: no row is in doubt


class Cells(NamedTuple):
    """Scalars as they were read; whatever stands where one is null."""

    values: Array  # (cells,)
    null: Doubt = None  # (cells,), bool
    strange: Doubt = None  # (cells,), bool: what the format cannot mean


class Lists(NamedTuple):
    """Arrays as they were read."""

    items: Cells  # of all rows one after the other
    lengths: Array  # (rows,), int64; 0 where it is null
    null: Doubt = None  # (rows,), bool


def column_of(column: Column, read: Cells | Lists) -> tuple[Array, Doubt]:
    """The numpy column of what was read, and which rows to look at again.

    >>> from ml.decoders.fields import Field
    >>> from ml.decoders import column
    >>> column_of(column.of("n", Field("int8")), Cells(np.asarray([7, 0, 300])))
    (array([7, 0, 0], dtype=int8), array([False, False,  True]))
    """
    return _arrays(column, read) if isinstance(read, Lists) else _scalars(column, read)


def either(doubts: Iterable[Doubt]) -> Doubt:
    """Where any of them is in doubt."""
    said = [doubt for doubt in doubts if doubt is not None and doubt.any()]
    return np.logical_or.reduce(said) if said else None


def _scalars(column: Column, read: Cells) -> tuple[Array, Doubt]:
    values, null = read.values, read.null
    missing = None
    if null is not None and null.any():
        missing = null if column.item is MISSING else None
        if column.kind == "float":
            values = values.astype(np.float64)
        elif column.kind != "string":  # what stands there may not fit
            values = np.where(null, 0, values)
    else:
        null = None
    out, doubt = _CASTS[column.kind](column, values)
    if null is not None:
        out[null] = column.padding
        doubt = None if doubt is None else doubt & ~null
    return out, either((missing, read.strange, doubt))


def _floats(column: Column, values: Array) -> tuple[Array, Doubt]:
    if values.dtype.kind != "f":  # once rounded as Python rounds them
        values = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # a signalling NaN is invalid
        out = values.astype(column.dtype)
    lost = np.isinf(out)
    return out, lost & np.isfinite(values) if lost.any() else None


def _ints(column: Column, values: Array) -> tuple[Array, Doubt]:
    if values.dtype.kind != "f":
        return _within(column, values, None)
    unsure = ~((np.abs(values) < EXACT) & (values == np.trunc(values)))
    return _within(column, np.where(unsure, 0, values).astype(np.int64), unsure)


def _within(column: Column, values: Array, unsure: Doubt) -> tuple[Array, Doubt]:
    low, high = column.limits
    if len(values) and (int(values.min()) < low or int(values.max()) > high):
        outside = np.asarray([not low <= value <= high for value in values.tolist()], np.bool_)
        unsure = either((outside, unsure))
        values = np.where(outside, 0, values)
    return values.astype(column.dtype), unsure


def _bools(_: Column, values: Array) -> tuple[Array, Doubt]:
    return values.astype(np.bool_), None


def _strings(_: Column, values: Array) -> tuple[Array, Doubt]:
    return values.astype(object), None


def _arrays(column: Column, read: Lists) -> tuple[Array, Doubt]:
    items, unsure = _scalars(column, read.items)
    lengths, size = read.lengths, column.size or 0
    null = read.null if read.null is not None and read.null.any() else None
    doubt = _rows_of(unsure, lengths)
    if null is None and size > 0 and (lengths == size).all():
        return np.ascontiguousarray(items.reshape(-1, size)), doubt
    if size < 0:
        size = int(lengths.max(initial=0))
    else:
        wrong = lengths != size
        doubt = either((doubt, wrong if null is None else wrong & ~null))
    out = _spread(column, items, lengths, size)
    return out, either((doubt, _default(column, out, null)))


def _rows_of(unsure: Doubt, lengths: Array) -> Doubt:
    if unsure is None:
        return None
    doubt = np.zeros(len(lengths), np.bool_)
    doubt[np.repeat(np.arange(len(lengths)), lengths)[unsure]] = True
    return doubt


def _spread(column: Column, items: Array, lengths: Array, size: int) -> Array:
    """Ragged rows to even ones: filled up, and cut where they are too long and in doubt."""
    out = np.full((len(lengths), size), column.padding, column.dtype)
    inside = np.arange(size) < np.minimum(lengths, size)[:, None]
    starts = np.cumsum(lengths) - lengths
    out[inside] = items[(starts[:, None] + np.arange(size))[inside]]
    return out


def _default(column: Column, out: Array, null: Doubt) -> Doubt:
    """Fills in what a null array stands for; where that is nothing, or is longer, a doubt."""
    if null is None:
        return None
    cell = column.absent()
    if not isinstance(cell, list) or len(cell) > out.shape[1]:
        return null
    out[null, : len(cell)] = cell
    return None


_CASTS = {"float": _floats, "int": _ints, "bool": _bools, "string": _strings}
