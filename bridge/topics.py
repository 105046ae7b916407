"""The Kafka topics that haltere keeps, and how it wants them. Values only: no I/O."""

from dataclasses import dataclass, field

from bridge.contracts import Topics
from bridge.settings import Kafka

SMALL_SEGMENTS = {"segment.bytes": str(32 * 1024 * 1024), "segment.ms": "600000"}  # are compacted
LARGEST = 16 * 1024 * 1024  # bytes of a dead letter; larger payloads are cut there


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as haltere wants it."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def topics(kafka: Kafka) -> list[Topic]:
    """All topics of haltere: the keyed ones are co-partitioned, three are compacted."""
    names = Topics(kafka.prefix)
    kept = {"retention.ms": str(kafka.retention_hours * 3_600_000)}
    compacted = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
    keyed = (
        *(names.readings, names.positions, names.scores),
        *(names.alerts, names.commands, names.late),
    )
    return [
        *(Topic(name, kafka.partitions, kept) for name in keyed),
        Topic(names.deadletters, kafka.partitions, kept | {"max.message.bytes": str(2 * LARGEST)}),
        Topic(names.births, 1, compacted | SMALL_SEGMENTS),  # one: a node's before its devices'
        Topic(names.models, 1, compacted),
        Topic(names.state, kafka.partitions, compacted | SMALL_SEGMENTS),
    ]
