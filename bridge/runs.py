"""The messages of a batch on their way to Kafka, as records by topic. Values only: no I/O."""

from dataclasses import dataclass, field

from bridge.contracts import Message
from bridge.inbox import Batch
from bridge.records import Record, Row


@dataclass(slots=True, eq=False)
class Sheaf:
    """Records of one topic, and the message that each came from."""

    topic: str
    rows: list[Row] = field(default_factory=list)
    owners: list[Message] = field(default_factory=list)

    def add(self, row: Row, message: Message) -> None:
        """One more record."""
        self.rows.append(row)
        self.owners.append(message)

    def cut(self, count: int) -> None:
        """Keep the first of them."""
        del self.rows[count:], self.owners[count:]


@dataclass(slots=True, eq=False)
class Run:
    """The messages of a batch on their way."""

    batch: Batch
    readings: Sheaf
    positions: Sheaf
    letters: Sheaf
    births: Sheaf
    size: int = 0  # bytes of the records' values
    poison: list[Message] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)  # letters with no more than a payload's head

    def weigh(self) -> None:
        """All its records are there."""
        self.size = sum([len(row["value"]) for sheaf in self.sheaves() for row in sheaf.rows])

    def sheaves(self) -> list[Sheaf]:
        """Those that hold something."""
        all_of_them = (self.births, self.readings, self.positions, self.letters)
        return [sheaf for sheaf in all_of_them if sheaf.rows]

    def owner(self, record: Record) -> Message:
        """The message that a record came from."""
        sheaf = next(sheaf for sheaf in self.sheaves() if sheaf.topic == record.topic)
        which = next(i for i, row in enumerate(sheaf.rows) if row["value"] == record.value)
        return sheaf.owners[which]


@dataclass(slots=True)
class Tally:
    """What became of the messages of a batch."""

    accepted: int = 0
    letters: int = 0
    ignored: dict[tuple[str, str], int] = field(default_factory=dict)  # by format and reason
