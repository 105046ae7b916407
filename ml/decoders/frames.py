"""What stands before the bodies of a batch, and which records share it. No I/O.

Producers frame all their values alike, so one look at the first and one comparison of all with it
is the rule; a batch of several frames is taken apart value by value.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from bridge.errors import Malformed, Misconfigured
from ml.decoders.decoder import Array, Framing, Misfits

REGISTRY = 5  # bytes: 00 and the schema's id, big endian
SINGLE = 10  # bytes: C3 01 and the schema's fingerprint
_KINDS = ("auto", "registry", "single", "bare")
_FIRST = itemgetter(slice(1))


class Group(NamedTuple):
    """The values of a batch that begin alike."""

    frame: bytes  # b"" is bare
    rows: Array  # in the batch, int64
    values: list[bytes]  # frame and body

    @property
    def schema_id(self) -> int | None:
        """The registry's, where it is a registry's frame."""
        return int.from_bytes(self.frame[1:], "big") if len(self.frame) == REGISTRY else None

    def bodies(self) -> list[bytes]:
        """The values without what stands before them."""
        if not self.frame:
            return self.values
        return list(map(itemgetter(slice(len(self.frame), None)), self.values))


class Frames:
    """How the values of a topic are framed.

    Args:
        framing: as the user said it.
        fingerprint: C3 01 and the fingerprint of the schema given, if there is one.
    """

    def __init__(self, framing: Framing, fingerprint: bytes = b"") -> None:
        if framing.kind not in _KINDS:
            raise Misconfigured("framing", f"one of {', '.join(_KINDS)}", repr(framing.kind))
        self._kind = framing.kind
        self._registry = framing.kind == "registry" or framing.schemas is not None
        self._fingerprint = fingerprint

    def frame(self, value: bytes) -> bytes:
        """What stands before the body.

        >>> Frames(Framing("registry")).frame(bytes.fromhex("0000000007") + b"{}").hex()
        '0000000007'

        Raises:
            Malformed: not what has to stand there.
        """
        if self._kind == "bare":
            return b""
        if self._kind == "single":
            return self._expect(value, value[:SINGLE] == self._fingerprint, SINGLE)
        if self._kind == "registry" or (self._registry and value[:1] == b"\0"):
            return self._expect(value, value[:1] == b"\0" and len(value) >= REGISTRY, REGISTRY)
        if self._fingerprint and value.startswith(self._fingerprint):
            return self._fingerprint
        return b""

    def groups(self, values: Sequence[bytes | None]) -> tuple[list[Group], Misfits]:
        """The batch by frame, and what has no frame that can be read; of None, a tombstone."""
        if not values:
            return [], []
        alike = self._alike(values)
        if alike is not None:
            return [alike], []
        found: dict[bytes, tuple[list[int], list[bytes]]] = {}
        misfits: Misfits = []
        for row, value in enumerate(values):
            try:
                if value is None:
                    raise Malformed("Kafka value", "a record", "null, a tombstone")
                rows, some = found.setdefault(self.frame(value), ([], []))
                rows.append(row)
                some.append(value)
            except Malformed as error:
                misfits.append((row, error))
        groups = [Group(f, np.asarray(rows, np.int64), some) for f, (rows, some) in found.items()]
        return groups, misfits

    def _alike(self, values: Sequence[bytes | None]) -> Group | None:
        """The one group of a batch that has but one."""
        if None in values:
            return None
        bodies: list[bytes] = list(values)  # type: ignore[arg-type]
        try:
            frame = self.frame(bodies[0])
        except Malformed:
            return None
        if frame:
            same = set(map(itemgetter(slice(len(frame))), bodies)) == {frame}
        else:
            same = self._kind == "bare" or self._marks.isdisjoint(map(_FIRST, bodies))
        return Group(frame, np.arange(len(bodies)), bodies) if same else None

    @property
    def _marks(self) -> set[bytes]:
        """The first bytes of what may be framed."""
        registry = {b"\0"} if self._registry else set()
        return registry | ({self._fingerprint[:1]} if self._fingerprint else set())

    def _expect(self, value: bytes, given: bool, size: int) -> bytes:
        if given:
            return value[:size]
        asked = f"a frame {self._fingerprint.hex()}" if size == SINGLE else "a frame 00 and an id"
        raise Malformed("Kafka value", asked, value[:size].hex() or "nothing")
