"""Both ways of a decoder, each on its own, and whether they gave the same."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ml.decoders.decoder import Decoded
from ml.decoders.pieces import Pieces, Ways, one_by_one, read


class TwoWays(Protocol):
    """A decoder whose values are all framed alike."""

    @property
    def ways(self) -> Ways: ...


def fast(ways: Ways, values: Sequence[bytes]) -> Decoded:
    """What `decode` gives of a batch that is too long to be read one by one."""
    pieces = Pieces(ways.columns)
    always = Ways(ways.columns, ways.fast, ways.slow, 0)
    read(always, values, np.arange(len(values)), pieces)
    return pieces.whole(len(values))


def slow(ways: Ways, values: Sequence[bytes]) -> Decoded:
    """One by one."""
    pieces = Pieces(ways.columns)
    one_by_one(ways, values, np.arange(len(values)), pieces)
    return pieces.whole(len(values))


def same(a: Decoded, b: Decoded) -> None:
    """The same rows, and the same words about the others."""
    assert [(n, str(error)) for n, error in a.misfits] == [(n, str(e)) for n, e in b.misfits]
    np.testing.assert_array_equal(a.fits, b.fits)
    assert a.columns.keys() == b.columns.keys()
    for name, column in a.columns.items():
        assert column.dtype == b.columns[name].dtype
        assert column.flags.c_contiguous
        np.testing.assert_array_equal(column, b.columns[name], name)
