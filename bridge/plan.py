"""What a set of names and units means, worked out once for all messages that use it. No I/O."""

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from bridge.contracts import Quality
from bridge.formats.keys import of_position
from bridge.formats.sample import Field, State
from bridge.units import meaning, snake

CACHED = 64  # fields of a sample that are worth remembering
_OUT_OF_RANGE = Quality.OUT_OF_RANGE.value


class Plan(NamedTuple):
    """What the fields of a sample mean, worked out once."""

    steps: tuple[tuple[int, float, float, float, float], ...]  # field, scale, offset, low, high
    channels: tuple[str, ...]
    units: tuple[str, ...]
    canonical: tuple[str, ...]
    device_class: str
    motion: tuple[int, ...]  # of altitude, speed, course, accuracy; -1 where absent


def planned(fields: list[Field], topic_channel: str) -> Plan:
    key = tuple(fields)
    if len(key) > CACHED:
        return _plan.__wrapped__(key, topic_channel)
    return _plan(key, "" if all([f[1] for f in key]) else topic_channel)


@lru_cache(maxsize=2048)
def _plan(fields: tuple[Field, ...], topic_channel: str) -> Plan:
    """From paths, names and units as sent to channels in order, their factors and their class."""
    meanings = [meaning(f.name or topic_channel, f.unit) for f in fields]
    names = _distinct([(m.channel, f.path) for m, f in zip(meanings, fields, strict=True)])
    order = sorted(range(len(fields)), key=names.__getitem__)
    channels = tuple([names[i] for i in order])
    chosen = [(i, meanings[i]) for i in order]
    return Plan(
        tuple([(i, m.scale, m.offset, m.low, m.high) for i, m in chosen]),
        channels,
        tuple([m.unit for _, m in chosen]),
        tuple([m.canonical for _, m in chosen]),
        f"set-{blake2b(chr(10).join(channels).encode(), digest_size=4).hexdigest()}",
        tuple([_index(channels, name) for name in ("altitude", "speed", "course", "accuracy")]),
    )


def _distinct(named: list[tuple[str, str]]) -> list[str]:
    """Channels of (name, path): a name that stands twice gives way to the paths."""
    counts: dict[str, int] = {}
    for name, _ in named:
        counts[name] = counts.get(name, 0) + 1
    if len(counts) == len(named):
        return [name for name, _ in named]
    names = [name if counts[name] == 1 else snake(path) for name, path in named]
    taken: set[str] = set()
    for i in sorted(range(len(named)), key=lambda i: (counts[named[i][0]] > 1, named[i][1])):
        name, again = names[i], 1
        while name in taken:
            again += 1
            name = f"{names[i]}_{again}"
        taken.add(name)
        names[i] = name
    return names


def _index(channels: tuple[str, ...], name: str) -> int:
    split = [(c, c.rpartition(".")) for c in channels]
    found = [c for c, (before, _, last) in split if last == name and of_position(before)]
    return channels.index(min(found, key=len)) if found else -1


def measured(plan: Plan, sent: list[float]) -> tuple[tuple[float, ...], int]:
    quality, values = 0, []
    for index, scale, offset, low, high in plan.steps:
        value = sent[index] * scale + offset
        if not low <= value <= high:
            quality = _OUT_OF_RANGE
        values.append(value)
    return tuple(values), quality


def words(states: list[State], topic_channel: str) -> list[tuple[str, str]]:
    return sorted(zip(named(states, topic_channel), [s.word for s in states], strict=True))


def named(states: list[State], topic_channel: str) -> list[str]:
    """What each of them is called."""
    key = tuple([(s.path, s.name or topic_channel) for s in states])
    return _state_names(key) if len(key) <= CACHED else _state_names.__wrapped__(key)


@lru_cache(maxsize=2048)
def _state_names(states: tuple[tuple[str, str], ...]) -> list[str]:
    return _distinct([(snake(name), path) for path, name in states])
