"""Which records of which topics, as people write them. No I/O.

A span is a topic or a pattern of topics (``^`` begins one, as in librdkafka), and where asked for
one partition of it, and from where to where: ``"topic:partition:start:stop"``.
"""

import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.errors import Misconfigured

Bound = int | str | datetime | None  # an offset, a word of WORDS, a time; None: nothing was said
Place = tuple[str, int]  # topic, partition
WORDS = ("earliest", "latest", "committed")
TOPIC = re.compile(r"(?!\.\.?$)[a-zA-Z0-9._-]{1,249}")
PYTHONIC = re.compile(r"\\[A-Za-z0-9]|\(\?")  # what librdkafka's expressions do not know
LAST_PARTITION, LAST_OFFSET = 2**31 - 1, 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """Records from ``start`` on and before ``stop``.

    >>> Span.parse("cars:2:100:200")
    Span(topic='cars', partition=2, start=100, stop=200)
    >>> Span.parse("^car-.*").is_pattern
    True
    """

    topic: str
    partition: int | None = None  # None: all of them
    start: Bound = None
    stop: Bound = None

    @property
    def is_pattern(self) -> bool:
        return self.topic.startswith("^")

    def matches(self, topic: str) -> bool:
        """Whether the span is about this topic; a pattern is not, of Kafka's own ``__`` topics."""
        if self.is_pattern:
            return re.search(self.topic, topic) is not None and (
                self.topic.startswith("^__") or not topic.startswith("__")
            )
        return topic == self.topic

    @classmethod
    def parse(cls, text: str) -> "Span":
        """A span from ``"topic"``, ``"topic:partition"``, ``"topic:partition:start:stop"``.

        Raises:
            Misconfigured: it is none.
        """
        where = f"topics {text!r}"
        if not isinstance(text, str):
            raise Misconfigured(where, "a text", type(text).__name__)
        if text.startswith("^"):
            _compiled(where, text)
            return cls(text)
        name, *rest = text.split(":")
        if not TOPIC.fullmatch(name):
            raise Misconfigured(where, "a name of letters, digits, '.', '_' and '-'", repr(name))
        if len(rest) > len(("partition", "start", "stop")):
            raise Misconfigured(where, "topic:partition:start:stop", f"{len(rest) + 1} parts")
        partition = start = stop = None
        if rest and rest[0]:
            partition = _number(where, "partition", rest[0])
        if rest[1:]:
            start = _bound(where, "start", rest[1])
        if rest[2:] and rest[2] != "-1":  # in tensorflow-io's words: to the end
            stop = _bound(where, "stop", rest[2])
        return cls(name, partition, start, stop)


def spans(topics: str | Sequence[str]) -> tuple[Span, ...]:
    """The spans of one text or of several.

    Raises:
        Misconfigured: there is none, one is wrong, or some name a partition and others do not.
    """
    if not isinstance(topics, Iterable):
        raise Misconfigured("topics", "a text, or several", repr(topics))
    found = tuple(Span.parse(text) for text in ([topics] if isinstance(topics, str) else topics))
    if not found:
        raise Misconfigured("topics", "at least one topic", "none")
    if len({span.partition is None for span in found}) > 1:
        raise Misconfigured("topics", "a partition in each or in none of them", repr(topics))
    if len({(span.topic, span.partition) for span in found}) < len(found):
        raise Misconfigured("topics", "each topic or partition once", repr(topics))
    return found


def bound(name: str, value: Any) -> Bound:
    """The bound, if it is one; an offset of numpy's is an int.

    Raises:
        Misconfigured: it is an unknown word, no offset that can be, or a time without a zone.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            expected = "a datetime with a time zone, for instance datetime(2026, 1, 2, tzinfo=UTC)"
            raise Misconfigured(name, expected, repr(value))
        if value < EPOCH:
            raise Misconfigured(name, "a time after 1970", str(value))
        return value
    if value is None or (isinstance(value, str) and value in WORDS):
        return value
    try:
        offset = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        offset = -1
    if not 0 <= offset <= LAST_OFFSET:
        expected = f"an offset of 0 or more, a datetime, or one of {', '.join(WORDS)}"
        raise Misconfigured(name, expected, repr(value))
    return offset


def milliseconds(time: datetime) -> int:
    """Since the epoch, the next whole one: no record before the time is at or behind it.

    >>> milliseconds(datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC))
    1001
    """
    return -((EPOCH - time) // timedelta(milliseconds=1))


def _bound(where: str, name: str, text: str) -> Bound:
    if not text:
        return None
    return text if text in WORDS else _number(where, name, text)


def _number(where: str, name: str, text: str) -> int:
    most = LAST_PARTITION if name == "partition" else LAST_OFFSET
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most:
        return int(text)
    expected = "a number" if name == "partition" else f"a number or one of {', '.join(WORDS)}"
    raise Misconfigured(f"{where} {name}", expected, repr(text[:40]))


def _compiled(where: str, pattern: str) -> None:
    if found := PYTHONIC.search(pattern):
        expected = "an expression as librdkafka knows them"
        raise Misconfigured(where, expected, found[0], "for instance [0-9] in place of \\d")
    try:
        re.compile(pattern)
    except re.error as error:
        raise Misconfigured(where, "a regular expression", str(error)) from None
