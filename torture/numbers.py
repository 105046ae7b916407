"""The numbered messages, good ones and poison, and how a number is found again. Values only."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from bridge.contracts import DeadLetter, Message, Reading
from bridge.normalise import Ignored, Normaliser
from bridge.settings import Route

DEVICES = 100
EVERY = 4  # one message in so many is poison, where there is poison
FEW, APART = 5, 40  # large ones, and poisoned messages between two of them
CHANNEL = "number"
_MARK = re.compile(r"torture-(\d+)-end")
_MARK_IN_BYTES = re.compile(rb"torture-(\d+)-end")

# What is wrong with a payload, and how it is made from its mark. Most keep the mark in the payload.
POISON: dict[str, Callable[[bytes], bytes]] = {
    "invalid UTF-8": lambda mark: b"\xff\xfe\xfd\x80" + mark,
    "truncated JSON": lambda mark: b'{"note": "' + mark + b'", "temp_C": 21.',
    "deep nesting": lambda mark: b'{"' + mark + b'": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "binary": lambda mark: bytes(range(256)) + mark,
    "zeros": lambda mark: bytes(64) + mark,
    "wrong types": lambda mark: b'{"number": {"a": [null]}, "ts": "soon", "note": "' + mark + b'"}',
    "no number": lambda mark: b'{"temp_C": 1e999, "rest": NaN, "note": "' + mark + b'"}',
    "endless number": lambda mark: b'{"temp_C": 1' + b"0" * 400 + b', "note": "' + mark + b'"}',
    "too many keys": lambda mark: b'{"' + mark + b'": 1' + _keys(1500) + b"}",
    "HTML": lambda mark: b"<html><body>" + mark + b"</body></html>",
    "null": lambda mark: b"null",
    "empty": lambda mark: b"",
}
LARGE = "large"
_KINDS = tuple(POISON)
_MARKED_BY_TOPIC = {"null", "empty"}


def _keys(count: int) -> bytes:
    return b"".join(b', "k%d": %d' % (n, n) for n in range(count))


@dataclass(frozen=True, slots=True)
class Numbers:
    """The messages of one fault; equal arguments, equal messages."""

    root: str  # of their MQTT topics, no other run's
    count: int
    start_ms: int  # event time of the first
    seed: int = 1
    large: int = 0  # bytes of the largest poison; 0: no poison at all

    def poison(self, number: int) -> str:
        """What is wrong with this message, or nothing."""
        if not self.large or number % EVERY != EVERY - 1:
            return ""
        turn = number // EVERY
        if turn % APART == FEW and turn < FEW * APART:
            return LARGE
        return _KINDS[(turn + self.seed) % len(_KINDS)]

    def topic(self, number: int) -> str:
        """A device's own; the number stands in it where the payload has no room for one."""
        device = f"{self.root}/device-{number % DEVICES:03d}"
        if self.poison(number) in _MARKED_BY_TOPIC:
            return f"{device}/torture-{number}-end"
        return f"{device}/telemetry"

    def payload(self, number: int) -> bytes:
        """A small JSON object with the number in it, or poison with a mark in it."""
        if kind := self.poison(number):
            mark = b"torture-%d-end" % number
            if kind == LARGE:
                size = self.large if number // EVERY == FEW else self.large // 10
                return mark + b"\xff" * max(0, size - len(mark))
            return POISON[kind](mark)
        when = self.start_ms + number
        return b'{"ts":%d,"number":%d,"temp_C":%d.5}' % (when, number, 20 + number % 10)

    def of_reading(self, reading: Reading) -> int | None:
        """The number of a reading; nothing where it is none of ours."""
        if not reading.source.startswith(self.root + "/"):
            return None
        if CHANNEL in reading.channels:
            return self._ours(int(reading.values[reading.channels.index(CHANNEL)]))
        return self._marked(_MARK.search("\n".join((reading.source, *reading.state_values))))

    def of_letter(self, letter: DeadLetter) -> int | None:
        """The number of a dead letter; nothing where it is none of ours."""
        if not letter.topic.startswith(self.root + "/"):
            return None
        found = _MARK_IN_BYTES.search(letter.payload) or _MARK.search(letter.topic)
        return self._marked(found)

    def ignored(self, routes: tuple[Route, ...]) -> bytearray:
        """1 for each number whose message haltere ignores by rule, so that Kafka has none of it."""
        normalise, found = Normaliser(routes), bytearray(self.count)
        by_kind: dict[str, bool] = {"": False, LARGE: False}
        for number in range(self.count):
            kind = self.poison(number)
            if kind not in by_kind:
                message = Message(self.topic(number), self.payload(number), self.start_ms * 1000)
                by_kind[kind] = isinstance(normalise(message), Ignored)
            found[number] = by_kind[kind]
        return found

    def _marked(self, found: re.Match[str] | re.Match[bytes] | None) -> int | None:
        return self._ours(int(found[1])) if found else None

    def _ours(self, number: int) -> int | None:
        return number if 0 <= number < self.count else None


def ranges(numbers: list[int]) -> str:
    """Ascending numbers, runs of them joined.

    >>> ranges([3, 4, 5, 9])
    '3-5, 9'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)
