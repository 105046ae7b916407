"""What goes to Kafka and comes from it. Values only: no I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypedDict

from bridge.contracts import Contract, Reading, Topics
from bridge.errors import HaltereError


@dataclass(frozen=True, slots=True)
class Record:
    """One record to produce."""

    topic: str
    key: bytes | None  # None: any partition
    value: bytes | None
    partition: int = -1  # -1: by murmur2 of the key
    headers: tuple[tuple[str, bytes], ...] = ()


class Row(TypedDict):
    """One record of a batch: the topic is the batch's."""

    key: bytes
    value: bytes


class Token(Protocol):
    """Who wants to know of each record of a batch that it is safe."""

    def done(self) -> None: ...


class Report(NamedTuple):
    """What became of a record: ``error`` is ``None`` when every in-sync replica has it."""

    token: object
    error: HaltereError | None
    record: Record | None = None  # of a batch: which one failed


@dataclass(frozen=True, slots=True)
class Fetched:
    """One record as it was read."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # ms, of the record: the reception
    key: bytes
    value: bytes | None  # None: deleted, in a compacted topic


@dataclass(frozen=True, slots=True)
class Changes:
    """Partitions that came and went since the last call."""

    assigned: frozenset[tuple[str, int]] = frozenset()
    revoked: frozenset[tuple[str, int]] = frozenset()


def records_of(
    topics: Topics, encode: Callable[[Contract], bytes], reading: Reading
) -> list[Record]:
    """What a reading is in Kafka: a record of `readings`, and of `positions` where it has one."""
    value, key = encode(reading), reading.device.encode()
    records = [Record(topics.readings, key, value)]
    if reading.position:
        records.append(Record(topics.positions, key, value))
    return records
