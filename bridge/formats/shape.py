"""Formats that are a shape of JSON, as a table: where the parts stand, and what the keys mean.

A `Shape` says where in the message the measurements, the time and the identity stand; what stands
there is read as any JSON (`bridge.formats.general`), and then the table of the format's own keys
gives channels and units. No I/O, no clock.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

from bridge.errors import Malformed
from bridge.formats.format import Format, matches
from bridge.formats.general import identity, measured, samples_of
from bridge.formats.sample import Decoded, Field, Nothing, Sample, State
from bridge.formats.scalars import describe, instant, parse_json
from bridge.units import squash

CLEARED = Nothing("the payload is empty: a retained message is cleared")


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Where the parts of a message stand.

    A path is keys and indexes with dots between them, ``*`` any of them: ``data.tags.*``. In
    `channels` a key is the end of a path, in any spelling, and the text says what it means:
    ``"power W"`` channel and unit, ``"= dBm"`` the unit alone, ``"-why"`` no measurement.
    """

    name: str
    why: str
    topics: tuple[str, ...] = ("#",)
    looks: Callable[[bytes], object] | None = None
    marks: frozenset[str] | None = None  # as in `Format`
    ignored: tuple[tuple[str, str], ...] = ()  # topic filters of what measures nothing, and why
    roots: tuple[str, ...] = ("",)  # paths of what is measured
    times: tuple[str, ...] = ()  # paths; the first absolute time counts; (): where it is measured
    utc: bool = False  # whether a time without a zone is UTC
    device: str = ""  # {2} is a level of the topic, {a.b} a path in the message; "": the topic
    channels: Mapping[str, str] = field(default_factory=dict)
    mend: Callable[[Any, list[Sample]], None] | None = None  # what a table cannot say


def format_of(shape: Shape) -> Format:
    """The format that reads messages of this shape."""
    read = partial(decode, shape)
    return Format(shape.name, shape.why, read, shape.topics, shape.looks, shape.marks)


def decode(shape: Shape, topic: str, payload: bytes) -> Decoded:
    """The samples of a message of this shape.

    Raises:
        Malformed: it is no JSON object or list.
    """
    for pattern, reason in shape.ignored:
        if matches(pattern, topic):
            return Nothing(reason)
    if not payload.strip():
        return CLEARED
    tree = parse_json(payload)
    if not isinstance(tree, (dict, list)):
        raise Malformed("payload", "a JSON object or list", describe(payload))
    return samples_in(shape, topic, tree)


def samples_in(shape: Shape, topic: str, tree: Any) -> Decoded:
    """The samples of a message that is parsed already."""
    roots = [found for root in shape.roots for found in find(tree, root)]
    if not roots:
        return Nothing(f"nothing stands at {' or '.join(shape.roots)}")
    samples = [s for path, value in roots for s in samples_of(value, path)]
    time = _time(shape, tree)
    for sample in samples:
        if time is not None and (sample.time is None or not shape.roots[0]):
            sample.time = time
        if shape.device:
            sample.device = named(shape.device, topic, tree)
        _translate(shape, sample)
    if shape.mend:
        shape.mend(tree, samples)
    return measured(samples)


def find(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every place that a path leads to, and what stands there.

    >>> list(find({"a": [{"b": 1}, {"b": 2}]}, "a.*.b"))
    [('a.0.b', 1), ('a.1.b', 2)]
    """
    if not path:
        yield "", tree
        return
    head, _, rest = path.partition(".")
    inner: Any = ()
    if isinstance(tree, dict):
        inner = tree.items() if head == "*" else [(head, tree[head])] if head in tree else ()
    elif isinstance(tree, list) and head == "*":
        inner = enumerate(tree)
    elif isinstance(tree, list) and head.isdecimal() and int(head) < len(tree):
        inner = [(head, tree[int(head)])]
    for key, value in inner:
        for below, found in find(value, rest):
            yield f"{key}.{below}" if below else str(key), found


def named(template: str, topic: str, tree: Any) -> str:
    """What a template calls a device; empty where a part of it is missing.

    >>> named("{1}/{ids.id}", "v3/app/up", {"ids": {"id": 7}})
    'app/7'
    """
    levels, missing = topic.split("/"), False

    def part(match: re.Match[str]) -> str:
        nonlocal missing
        if match[1].isdecimal():
            text = levels[int(match[1])] if int(match[1]) < len(levels) else ""
        else:
            text = identity(next((value for _, value in find(tree, match[1])), None))
        missing = missing or not text
        return text

    text = re.sub(r"\{([^}]+)\}", part, template)
    return "" if missing else text


class _Means(NamedTuple):
    length: int  # parts of the path that the channel's name takes the place of
    name: str  # "": as the message has it
    unit: str
    nothing: str  # why it is no measurement


def _time(shape: Shape, tree: Any) -> int | None:
    for path in shape.times:
        for _, sent in find(tree, path):
            time = instant(sent, shape.utc)
            if time is not None:
                return time
    return None


def _translate(shape: Shape, sample: Sample) -> None:
    """Give the fields and states of a sample the meaning that the format's own table has."""
    fields, values = sample.fields, sample.values
    sample.fields, sample.values = [], []
    for one, value in zip(fields, values, strict=True):
        means = _means(shape, one.path)
        if means is None:
            sample.number(one, value)
        elif means.nothing:
            sample.notes.append((one.path, means.nothing))
        else:
            sample.number(Field(one.path, _renamed(one.name, means), means.unit or one.unit), value)
    states, sample.states = sample.states, []
    for state in states:
        means = _means(shape, state.path)
        if means and means.nothing:
            sample.notes.append((state.path, means.nothing))
        else:
            name = _renamed(state.name, means) if means else state.name
            sample.states.append(State(state.path, name, state.word))


def _renamed(name: str, means: _Means) -> str:
    if not means.name:
        return name
    return ".".join([*name.split(".")[: -means.length], means.name])


@lru_cache(maxsize=8192)
def _means(shape: Shape, path: str) -> _Means | None:
    """What the longest end of a path means that stands in the table."""
    table = _table(shape)
    parts = [squash(part) for part in path.split(".")]
    for length in range(min(3, len(parts)), 0, -1):
        found = table.get(".".join(parts[-length:]))
        if found:
            return found._replace(length=length)
    return None


@lru_cache(maxsize=64)
def _table(shape: Shape) -> dict[str, _Means]:
    return {
        ".".join(map(squash, key.split("."))): _meant(said) for key, said in shape.channels.items()
    }


def _meant(said: str) -> _Means:
    if said.startswith("-"):
        return _Means(0, "", "", said[1:] or "no measurement")
    name, _, unit = said.partition(" ")
    return _Means(0, "" if name == "=" else name, unit, "")
