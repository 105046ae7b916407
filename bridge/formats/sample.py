"""What a message says, in its own words: samples, which `bridge.normalise` makes readings of.

Values only: no I/O, no clock.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge.errors import Malformed

MAX_BYTES = 96 * 1024  # of a payload: what can be decoded in 10 ms
MAX_ITEMS = 1000  # fields and list items of a payload, an object counting as four more
MAX_CHANNELS = 200  # numbers and words of a device at one time
MAX_DEPTH = 32  # of objects and lists in each other
MAX_TEXT = 128  # characters of a word, an identity or a path: longer ones are something else


class Field(NamedTuple):
    """What a message calls one of its numbers."""

    path: str  # in the payload; no two fields of a message share it
    name: str  # what the channel is named from; "" where the topic names it
    unit: str = ""  # as sent


class State(NamedTuple):
    """One thing that a message says in a word."""

    path: str
    name: str
    word: str


@dataclass(slots=True)
class Sample:
    """What one device measured at one time, as the message says it."""

    fields: list[Field] = field(default_factory=list)
    values: list[float] = field(default_factory=list)  # of the fields, in their units
    states: list[State] = field(default_factory=list)
    device: str = ""  # "": the topic says it
    time: int | None = None  # UTC, us; None: no absolute time is stated
    position: tuple[float, float] | None = None  # lat, lon
    quality: int = 0  # `contracts.Quality` of what only the format knows
    notes: list[tuple[str, str]] = field(default_factory=list)  # path, what it was taken for

    def number(self, name: Field, value: float) -> None:
        """One more number."""
        self.fields.append(name)
        self.values.append(value)


def merge(samples: list[Sample]) -> list[Sample]:
    """One sample for each device and time; the first position counts."""
    merged: dict[tuple[str, int | None], Sample] = {}
    for sample in samples:
        new = Sample(device=sample.device, time=sample.time)
        one = merged.setdefault((sample.device, sample.time), new)
        one.fields.extend(sample.fields)
        one.values.extend(sample.values)
        one.states.extend(sample.states)
        one.notes.extend(sample.notes)
        one.position = one.position or sample.position
        one.quality |= sample.quality
    return list(merged.values())


def bounded(tree: Any) -> None:
    """As many items as `general` takes in a message, where it is to see the parts one by one.

    Raises:
        Malformed: there are more.
    """
    left, todo = MAX_ITEMS, [tree]
    while todo:
        one = todo.pop()
        left -= len(one) + (4 if isinstance(one, dict) else 1)
        if left < 0:
            raise Malformed("payload", f"at most {MAX_ITEMS} items", "more")
        inner = one.values() if isinstance(one, dict) else one
        todo += [below for below in inner if isinstance(below, (dict, list))]


@dataclass(frozen=True, slots=True)
class Nothing:
    """A message that by its format's own rules carries no measurement."""

    reason: str  # one of a few: it is a label of a metric
    notes: tuple[tuple[str, str], ...] = ()  # path, what it was taken for


Decoded = list[Sample] | Nothing
