"""What a decoder is, and what it gives. No I/O: the registry's schemas come through a function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from bridge.errors import Malformed
from ml.decoders.fields import Field

Array = np.ndarray[Any, Any]
Misfits = list[tuple[int, Malformed]]  # index in the batch, and why


class Decoded(NamedTuple):
    """A batch by column: the records that fit, in their order."""

    columns: dict[str, Array]  # (rows, ...); texts are objects: bytes
    fits: Array | None  # (records,), bool; None: all
    misfits: Misfits


class Decoder(Protocol):
    """Kafka values to columns."""

    fields: dict[str, Field]

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Columns of the records that fit, and why the others do not; None is a tombstone."""
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Framing:
    """What stands before the body of a value.

    ``registry`` is Confluent's: 00 and the schema's id, 4 bytes; ``single`` is Avro's single-object
    encoding: C3 01 and the schema's fingerprint, 8 bytes; ``bare`` is nothing. ``auto`` takes a
    value for framed where its first bytes say so: 00 if there is a registry, C3 01 and the very
    fingerprint of the schema given.

    Args:
        schemas: gives a schema's text and type (``AVRO``, ``JSON``, ``PROTOBUF``) by its id. Of
            what it raises, `Malformed` makes the record not fit, all else goes to the caller.
    """

    kind: str = "auto"
    schemas: Callable[[int], tuple[str, str]] | None = None
