"""Dead letters as a person chooses them and reads them. Values only: no I/O, no clock."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.contracts import MICROS, DeadLetter, Message, Stage
from bridge.errors import Malformed, Misconfigured
from bridge.formats.format import matches
from bridge.formats.scalars import instant, iso
from bridge.records import Fetched
from bridge.settings import FILTER
from bridge.wire import decode

SHORT = 80  # characters of what was received, in a line
LONG = 4000  # characters of a payload that are shown
REASONS = 1000  # that are told apart; foreign letters may have any number
OTHERS = "other reasons"
FOREIGN = "records that are no dead letter"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}  # s
_AGO = re.compile(rf"(\d{{1,9}})([{''.join(_UNITS)}])", re.ASCII)
_SPOT = re.compile(r"(\d{1,9}):(\d{1,18})", re.ASCII)
_LENGTH = re.compile(r"\((\d{1,18}) bytes\)\Z", re.ASCII)  # as ingest ends what it received


class Found(NamedTuple):
    """A record of the dead letters, and the letter in it unless its bytes are none."""

    partition: int
    offset: int
    letter: DeadLetter | None
    fault: str = ""  # why there is none

    @property
    def where(self) -> str:
        """As `spot` reads it."""
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters.

    Raises:
        Misconfigured: the topic is no MQTT filter.
    """

    since: int = 0  # us
    stage: Stage | None = None
    topic: str = "#"

    def __post_init__(self) -> None:
        if not (self.topic and re.search(FILTER, self.topic)):
            expected = "an MQTT topic filter: + is a whole level, # the whole last one"
            raise Misconfigured("--topic", expected, repr(self.topic))

    def takes(self, letter: DeadLetter) -> bool:
        """Whether this is one of them."""
        return (
            letter.time >= self.since
            and self.stage in (None, letter.stage)
            and matches(self.topic, letter.topic)
        )

    def takes_foreign(self) -> bool:
        """Whether a record that is no dead letter, of which nothing is known, is shown."""
        return self.stage is None and self.topic == "#"


class Tally:
    """How often each reason; a bounded number of them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Once more."""
        full = len(self.counts) >= REASONS and reason not in self.counts
        self.counts[OTHERS if full else reason] += 1

    def total(self) -> int:
        """Of all reasons."""
        return self.counts.total()

    def lines(self) -> list[str]:
        """The most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return [f"  {count} {plain(reason)}" for reason, count in ordered]


def found(record: Fetched) -> Found:
    """The letter in a record, or why there is none."""
    where = (record.partition, record.offset)
    try:
        return Found(*where, decode(DeadLetter, record.value or b""))
    except Malformed as error:
        return Found(*where, None, str(error))


def since(text: str, now: int) -> int:
    """A point in time, us: so long before ``now``, or ISO 8601 with a zone.

    >>> since("2h", 10_000_000_000), since("2020-03-31T17:00:10Z", 0)
    (2800000000, 1585674010000000)

    Raises:
        Misconfigured: it is neither.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return max(0, now - int(ago[1]) * _UNITS[ago[2]] * MICROS)
    point = instant(text)
    if point is None:
        expected = "a time ago such as 15m, 2h or 7d, or ISO 8601 with a zone"
        raise Misconfigured("--since", expected, repr(text), "for instance 2026-03-31T17:00:00Z")
    return point


def spot(text: str) -> tuple[int, int]:
    """Partition and offset, as `Found.where` writes them.

    >>> spot("3:17")
    (3, 17)

    Raises:
        Misconfigured: it is something else.
    """
    match = _SPOT.fullmatch(text)
    if not match:
        remedy = "haltere dlq list begins each line with it"
        raise Misconfigured("PLACE", "PARTITION:OFFSET, for instance 3:17", repr(text), remedy)
    return int(match[1]), int(match[2])


def is_cut(letter: DeadLetter) -> bool:
    """Whether the payload is only the head of the message.

    Only where Kafka refused a record may it be, and then ingest says how long the message was; of a
    letter that does not say so the whole is not known to be there.
    """
    if letter.stage != Stage.PRODUCE:
        return False
    length = _LENGTH.search(letter.received)
    return length is None or int(length[1]) != len(letter.payload)


def message(letter: DeadLetter) -> Message:
    """The message as it came in, at the time it came: its readings get the ids they would have."""
    return Message(letter.topic, letter.payload, letter.time, letter.qos, letter.retain)


def reason(letter: DeadLetter) -> str:
    """Why it is one, the same for all that are alike."""
    return f"{letter.stage}: {letter.path}: expected {letter.expected}"


def line(one: Found) -> str:
    """One line for a person."""
    letter = one.letter
    if letter is None:
        return f"{one.where} no dead letter: {plain(one.fault)}"
    short = letter.received[:SHORT] + ("..." if len(letter.received) > SHORT else "")
    why = f"{reason(letter)}, received {short}"
    size = f"{len(letter.payload)} bytes{' (cut)' if is_cut(letter) else ''}"
    return plain(f"{one.where} {when(letter.time)} {letter.topic} {why}, {size}")


def row(one: Found) -> dict[str, Any]:
    """The same for a program."""
    where: dict[str, Any] = {"partition": one.partition, "offset": one.offset}
    letter = one.letter
    if letter is None:
        return where | {"unreadable": one.fault}
    names = ("topic", "stage", "path", "expected", "received", "qos", "retain")
    told = {name: getattr(letter, name) for name in names}
    size = {"size": len(letter.payload), "cut": is_cut(letter)}
    return where | {"time": when(letter.time)} | told | size


def when(time: int) -> str:
    """UTC microseconds as ISO 8601; foreign letters may have times that no calendar has.

    >>> when(0), when(2**62)
    ('1970-01-01T00:00:00Z', '4611686018427387904 us')
    """
    try:
        return iso(time)
    except (OverflowError, ValueError):
        return f"{time} us"


def shown(payload: bytes) -> str:
    """A payload for a terminal: its text where it is UTF-8, else its bytes, cut at a sane size.

    >>> shown(b'{"a": 1}'), shown(bytes((255, 0)))
    ('{"a": 1}', '\\\\xff\\\\x00')
    """
    try:
        whole = payload.decode()
    except UnicodeDecodeError:
        whole = repr(payload[: LONG + 1])[2:-1]
    text = "".join(c if c in "\n\t" else plain(c) for c in whole[:LONG])
    return f"{text}... (--raw writes all of it)" if len(whole) > LONG else text


def plain(text: str) -> str:
    """One line of it, and nothing in it that a terminal obeys.

    >>> print(plain("a\\x1b[2Jb"))
    a\\x1b[2Jb
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )
