"""The joined Avro bodies of a batch, and reading from many places of them at once. No I/O.

A place moves on within the bytes whatever it reads, and never back: what leaves its record does not
end where the record does.
"""

from collections.abc import Sequence

import numpy as np

from ml.decoders.decoder import Array

_ZIGZAG = np.asarray([(n >> 1) ^ -(n & 1) for n in range(128)], np.int64)
_BEYOND = 8  # bytes behind the last record, where the places of broken ones may come to stand
_MORE = 128  # a byte that others of the same number follow
_ONE, _TWO, _FOUR = np.uint64(1), np.uint64(2), np.uint64(4)
_TOPS = np.uint64(0x8080808080808080)  # of each byte the bit that says that more follow
_LAST = 63  # bits before the tenth byte, of which a long has but one


class Bodies:
    """The bytes of some records.

    `at`, everywhere, is the places, which the method moves; ``rows`` is whose they are.
    """

    def __init__(self, values: Sequence[bytes]) -> None:
        self._data = b"".join(values)
        self.ends: Array = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
        self.starts: Array = np.concatenate((np.zeros(1, np.int64), self.ends[:-1]))
        self._limit = len(self._data) + 1  # no record ends here
        self._bytes = np.frombuffer(self._data + bytes(_BEYOND), np.uint8)
        self.broken = np.zeros(len(values), np.bool_)

    def byte(self, at: Array) -> Array:
        """The next byte of each."""
        byte = self._bytes.take(at, mode="clip")
        self.move(at, 1)
        return byte

    def slices(self, at: Array, length: Array | int) -> Array:
        """The next bytes of each, as objects."""
        starts = at.tolist()
        self.move(at, length)
        values = np.empty(len(at), object)
        values[:] = [self._data[a:b] for a, b in zip(starts, at.tolist(), strict=True)]
        return values

    def count(self, at: Array, rows: Array, size: int) -> Array:
        """How many items the next block has; no more than there are bytes for, so many for each."""
        count = self.long(at, rows)
        sized = np.flatnonzero(count < 0)  # its size in bytes follows
        if len(sized):
            some = at[sized]
            self.long(some, rows[sized])
            at[sized] = some
            count = np.abs(count)
        over = (count < 0) | (count > (self.ends[rows] - at) // size)
        if over.any():
            self.mark(over, rows)
            count = np.where(over, 0, count)
        return count

    def length(self, at: Array, rows: Array) -> Array:
        """Of the text that follows; one that leaves its record is 0 and marked."""
        length = self.long(at, rows)
        over = (length < 0) | (length > self.ends[rows] - at)
        if over.any():
            self.mark(over, rows)
            length = np.where(over, 0, length)
        return length

    def long(self, at: Array, rows: Array) -> Array:
        """An int or a long of each."""
        byte = self._bytes.take(at, mode="clip")
        if byte.max(initial=0) < _MORE:
            self.move(at, 1)
            return _ZIGZAG.take(byte)
        word = self.gather(at, 1, "<u8")[:, 0]
        stop = ~word & _TOPS
        stop &= ~stop + _ONE  # the lowest bit of it: the top one of the number's last byte
        longer = np.flatnonzero(stop == 0)
        value = _squeezed(word & (stop - _ONE))
        size = (stop.astype(np.float64).view(np.int64) >> 52) - 1022 >> 3  # from the exponent
        if len(longer):
            size[longer], some = 0, at[longer]
            value[longer] = self._longer(some, rows[longer])
            at[longer] = some
        self.move(at, size)
        whole: Array = (value >> _ONE).view(np.int64) ^ -(value & _ONE).view(np.int64)
        return whole

    def _longer(self, at: Array, rows: Array) -> Array:
        """Numbers of nine bytes or ten; of more they are none."""
        value = np.zeros(len(at), np.uint64)
        live = np.arange(len(at))
        for shift in range(0, _LAST + 7, 7):
            some = at[live]
            byte = self._bytes.take(some, mode="clip")
            self.move(some, 1)
            at[live] = some
            value[live] |= (byte & (_MORE - 1)).astype(np.uint64) << np.uint64(shift)
            if shift == _LAST:
                self.mark(byte > 1, rows[live])
            live = live[byte >= _MORE]
        return value

    def gather(self, at: Array, count: int, dtype: str) -> Array:
        """So many numbers from each place; (places, count)."""
        size = count * np.dtype(dtype).itemsize
        shape = (len(self._bytes) - size + 1,)
        windows: Array = np.ndarray(shape, f"V{size}", self._bytes.data, 0, (1,))
        last = len(windows) - 1
        taken = windows[np.minimum(at, last) if len(at) and at.max() > last else at]
        return taken.view(dtype).reshape(-1, count)

    def move(self, at: Array, by: Array | int) -> None:
        """On by so many bytes."""
        at += by
        if at.max(initial=0) > self._limit:
            np.minimum(at, self._limit, out=at)

    def mark(self, broken: Array, rows: Array) -> None:
        """Some of the rows as broken."""
        if broken.any():
            self.broken[rows[broken]] = True


def _squeezed(word: Array) -> Array:
    """Eight groups of seven bits, a byte each -> 56 bits in a row."""
    word &= np.uint64(0x7F7F7F7F7F7F7F7F)
    word = word & np.uint64(0x007F007F007F007F) | (word & np.uint64(0x7F007F007F007F00)) >> _ONE
    word = word & np.uint64(0x00003FFF00003FFF) | (word & np.uint64(0x3FFF00003FFF0000)) >> _TWO
    return word & np.uint64(0x0FFFFFFF) | (word & np.uint64(0x0FFFFFFF00000000)) >> _FOUR
