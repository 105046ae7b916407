"""The ledger: what was sent and acknowledged, held against what stands in Kafka. Values only."""

from dataclasses import dataclass, field
from typing import Any

from bridge import wire
from bridge.contracts import DeadLetter, Reading
from torture.numbers import Numbers, ranges

MOST = 255  # readings of one number that are counted
SHOWN = 400  # characters of the missing numbers in the text
COLUMNS = (
    *("sent", "puback", "in_kafka", "dead_lettered", "ignored", "lost", "duplicated"),
    *("longest_stall_s", "seconds", "msgs_per_s"),
)


class Tally:
    """One byte for each number: what Kafka has of it."""

    def __init__(self, numbers: Numbers, ignored: bytes | bytearray | None = None) -> None:
        self._numbers = numbers
        self.ignored = bytes(ignored or numbers.count)
        self._readings = bytearray(numbers.count)
        self._letters = bytearray(numbers.count)
        self._settled = bytearray(self.ignored)
        self.in_kafka = 0
        self.dead_lettered = 0
        self.duplicated = 0
        self.strangers = 0  # records of nobody's number

    @property
    def known(self) -> int:
        """Numbers that Kafka has, one way or the other."""
        return self.in_kafka + self.dead_lettered

    def reading(self, value: bytes) -> None:
        """Take in a record of the readings."""
        number = self._numbers.of_reading(wire.decode(Reading, value))
        if number is None:
            self.strangers += 1
            return
        before = self._readings[number]
        self._readings[number] = min(before + 1, MOST)
        self._settled[number] = 1
        self.in_kafka += not before
        self.duplicated += bool(before)

    def letter(self, value: bytes) -> None:
        """Take in a record of the dead letters."""
        number = self._numbers.of_letter(wire.decode(DeadLetter, value))
        if number is None:
            self.strangers += 1
            return
        self.dead_lettered += not self._letters[number]
        self._letters[number] = 1
        self._settled[number] = 1

    def pending(self, acknowledged: bytes | bytearray) -> int:
        """How many numbers were acknowledged to their publisher and are not in Kafka."""
        both = int.from_bytes(acknowledged, "big") & ~int.from_bytes(self._settled, "big")
        return both.bit_count()

    def lost(self, acknowledged: bytes | bytearray) -> list[int]:
        """Which."""
        pairs = enumerate(zip(acknowledged, self._settled, strict=True))
        return [number for number, (acked, settled) in pairs if acked and not settled]


@dataclass(slots=True)
class Stall:
    """The longest time in which Kafka did not grow while there was something to come.

    >>> stall = Stall(0.0)
    >>> stall.look(1.0, grown=True, pending=True); stall.look(4.0, grown=False, pending=True)
    >>> stall.longest
    3.0
    """

    since: float
    longest: float = 0.0

    def look(self, now: float, grown: bool, pending: bool) -> None:
        """What is so now."""
        if pending:
            self.longest = max(self.longest, now - self.since)
        if grown or not pending:
            self.since = now


@dataclass(slots=True)
class Account:
    """What one fault did."""

    fault: str
    sent: int = 0
    puback: int = 0
    in_kafka: int = 0
    dead_lettered: int = 0
    ignored: int = 0
    duplicated: int = 0
    missing: list[int] = field(default_factory=list)
    longest_stall_s: float = 0.0
    seconds: float = 0.0
    done: list[tuple[float, str]] = field(default_factory=list)  # s after the first message
    problems: list[str] = field(default_factory=list)
    logs: str = ""

    @property
    def lost(self) -> int:
        return len(self.missing)

    @property
    def msgs_per_s(self) -> int:
        return round(self.puback / self.seconds) if self.seconds else 0

    def good(self) -> bool:
        return not self.missing and not self.problems

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        figures = {name: getattr(self, name) for name in COLUMNS}
        done = [{"at_s": at, "what": what} for at, what in self.done]
        return figures | {
            "missing": ranges(self.missing),
            "done": done,
            "problems": self.problems,
            "logs": self.logs,
        }


@dataclass(slots=True)
class Report:
    """All faults of a run."""

    accounts: list[Account] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # fault -> reason
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def good(self) -> bool:
        """Nothing was lost, and every fault was one."""
        return bool(self.accounts) and not self.problems and all(a.good() for a in self.accounts)

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return self.facts | {
            "good": self.good(),
            "lost": sum(a.lost for a in self.accounts),
            "faults": {a.fault: a.as_json() for a in self.accounts},
            "left_out": self.left_out,
            "problems": self.problems,
        }

    def as_text(self) -> str:
        """A table, what was done, and what was wrong."""
        lines = _table(self.accounts)
        for account in self.accounts:
            lines += ["", account.fault, *(f"  {at:6.1f} s  {what}" for at, what in account.done)]
            lines += [f"  PROBLEM: {problem}" for problem in account.problems]
            if account.missing:
                numbers = ranges(account.missing)
                more = " ..." if len(numbers) > SHOWN else ""
                lines.append(f"  LOST: {numbers[:SHOWN]}{more}")
            if not account.good():
                lines.append(f"  logs: {account.logs}")
        lines += ["", *(f"left out: {name}: {why}" for name, why in self.left_out.items())]
        lines += [f"PROBLEM: {problem}" for problem in self.problems]
        lost = sum(a.lost for a in self.accounts)
        good = "every fault happened, and nothing was lost"
        return "\n".join([*lines, good if self.good() else f"NOT GOOD: {lost} lost; see above"])


def _table(accounts: list[Account]) -> list[str]:
    heads = ("fault", *(name.replace("_", " ") for name in COLUMNS))
    rows = [heads, *((a.fault, *(_cell(getattr(a, n)) for n in COLUMNS)) for a in accounts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def _cell(value: float) -> str:
    return f"{value:.1f}" if isinstance(value, float) else f"{value:,}"
