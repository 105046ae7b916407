"""Topic and samples to Readings: identity, class, UTC time, canonical units, WGS 84, quality.

Only values in and out: no I/O, no clock. `Normaliser` never raises: every message ends as
accepted readings, as ignored with a reason, or as a dead letter. What a set of names and units
means is worked out once (`_plan`), so that a message costs little more than its parsing.
"""

import base64
import binascii
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from bridge.contracts import MICROS, DeadLetter, Message, Position, Quality, Reading
from bridge.errors import Malformed
from bridge.formats import (
    MAX_CHANNELS,
    Field,
    Nothing,
    Sample,
    State,
    iso,
    merge,
    recognise,
    route_pattern,
)
from bridge.settings import Route
from bridge.units import known, meaning, snake

SKEW = 86_400 * MICROS  # us between an event and its reception that nobody believes
_OUT_OF_RANGE, _ESTIMATED = Quality.OUT_OF_RANGE.value, Quality.TIME_ESTIMATED.value
_SKEWED, _DUP, _RETAINED = Quality.CLOCK_SKEW.value, Quality.DUP.value, Quality.RETAINED.value
CACHED = 64  # fields of a sample, and characters of a topic times 4, that are worth remembering
_GENERIC_WORDS = (
    "telemetry state data sensors readings tele stat status sensor measurements measurement"
    " values value events event up uplink json raw attributes messages message metrics"
)
_GENERIC = frozenset(_GENERIC_WORDS.split())


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message became readings, one for each device and time in it."""

    format: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Ignored:
    """The message carries no measurement by its format's own rules."""

    format: str
    reason: str


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of one field of a message."""

    path: str
    sent: str
    name: str  # the channel, "" for what is none
    unit: str  # canonical, "" unknown
    value: float | str | None
    device: str
    time: int | None  # us, None: the message states no absolute time
    position: tuple[float, float] | None
    note: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a message, and why."""

    format: str
    why: str
    outcome: Accepted | Ignored | DeadLetter
    fields: tuple[Explained, ...]


class _Facts(NamedTuple):
    """What a topic says, routes included."""

    ignored: str  # why its messages are not looked at, "" otherwise
    site: str = ""
    device: str = ""  # by a route
    device_class: str = ""  # by a route
    channel: str = ""  # of a bare value
    whole: str = ""  # the device where the message names its channels
    parent: str = ""  # the device of a bare value
    sole: bool = False  # by a route: the payload may name no other device


class _Plan(NamedTuple):
    """What the fields of a sample mean, worked out once."""

    steps: tuple[tuple[int, float, float, float, float], ...]  # field, scale, offset, low, high
    channels: tuple[str, ...]
    units: tuple[str, ...]
    canonical: tuple[str, ...]
    device_class: str
    motion: tuple[int, ...]  # of altitude, speed, course, accuracy; -1 where absent


class Normaliser:
    """Messages to readings; holds the routes and what it remembers of topics."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._routes = [(route_pattern(r.topic), r.device_must_match) for r in routes]
        self._remembered: Callable[[str], _Facts] = lru_cache(maxsize=8192)(self._facts)

    def __call__(self, message: Message) -> Accepted | Ignored | DeadLetter:
        """What becomes of a message; never raises."""
        return self._examine(message)[0]

    def explain(self, message: Message) -> Explanation:
        """What becomes of a message, field by field, and why."""
        outcome, format_name, why, samples = self._examine(message)
        fields = [e for s in samples for e in self._explained(message, s)]
        return Explanation(format_name, why, outcome, tuple(fields))

    def _examine(
        self, message: Message
    ) -> tuple[Accepted | Ignored | DeadLetter, str, str, list[Sample]]:
        name, why, stage = "", "no format took it", "decode"
        try:
            facts = self._topic(message.topic)
            if facts.ignored:
                return Ignored("topic", facts.ignored), "topic", "the topic says so", []
            found = recognise(message.topic, message.payload)
            name, why = found.name, found.why
            decoded = found.decode(message.topic, message.payload)
            if isinstance(decoded, Nothing):
                return Ignored(name, decoded.reason), name, why, []
            stage = "normalise"
            samples = merge(decoded) if len(decoded) > 1 else decoded
            readings = [self._reading(message, facts, sample) for sample in samples]
            some = tuple([reading for reading in readings if reading])
            if some:
                return Accepted(name, some), name, why, samples
            return Ignored(name, "no finite number, no state, no position"), name, why, []
        except Malformed as error:
            return _dead(message, stage, error), name, why, []
        except Exception as error:  # a fault of ours must not stop the stream, nor hide
            fault = Malformed("", "a message that haltere can handle", f"our fault: {error!r}")
            return _dead(message, stage, fault), name, why, []

    def _topic(self, topic: str) -> _Facts:
        return self._remembered(topic) if len(topic) <= 4 * CACHED else self._facts(topic)

    def _facts(self, topic: str) -> _Facts:
        if topic.startswith("$"):
            return _Facts("a $ topic is the broker's own")
        if topic == "haltere" or topic.startswith("haltere/"):
            return _Facts("haltere/# is what haltere says, not what it hears")
        found = ((pattern.fullmatch(topic), sole) for pattern, sole in self._routes)
        match, sole = next((pair for pair in found if pair[0]), (None, False))
        parts = match.groupdict() if match else {}
        segments = [s for s in topic.split("/") if s] or [topic or "unknown"]
        specific = _specific(segments)
        last, before = specific[-1], specific[:-1]
        bare = len(specific) == len(segments) and len(segments) > 1
        names_channel = (bare and last != parts.get("device")) or known(last)
        return _Facts(
            "",
            parts.get("site", ""),
            parts.get("device", ""),
            parts.get("class", ""),
            last if names_channel else "value",
            "/".join(specific),
            "/".join(before if names_channel and before else specific),
            sole,
        )

    def _reading(self, message: Message, facts: _Facts, sample: Sample) -> Reading | None:
        fields, states, position = sample.fields, sample.states, sample.position
        if not fields and not states and position is None:
            return None
        if (count := len(fields) + len(states)) > MAX_CHANNELS:
            raise Malformed("payload", f"{MAX_CHANNELS} channels at one time", f"{count}")
        plan = _planned(fields, facts.channel)
        values, quality = _values(plan, sample.values)
        if quality & _OUT_OF_RANGE and not all(map(math.isfinite, values)):
            finite = {plan.steps[i][0] for i, v in enumerate(values) if math.isfinite(v)}
            sample.fields = [f for i, f in enumerate(fields) if i in finite]
            sample.values = [v for i, v in enumerate(sample.values) if i in finite]
            return self._reading(message, facts, sample)
        quality |= _reception(message, sample.time)
        device = _device(facts, sample)
        words = _words(states, facts.channel) if states else ()
        return Reading(
            device,
            facts.device_class or plan.device_class,
            message.received if sample.time is None else sample.time,
            message.received,
            plan.channels,
            values,
            plan.units,
            message.topic,
            _id(message, device, sample.time),
            tuple([name for name, _ in words]),
            tuple([word for _, word in words]),
            _position(position, plan.motion, values) if position else None,
            quality,
        )

    def _explained(self, message: Message, sample: Sample) -> Iterator[Explained]:
        facts = self._topic(message.topic)
        where = (_device(facts, sample), sample.time, sample.position)
        plan = _planned(sample.fields, facts.channel)
        values, _ = _values(plan, sample.values)
        for at, (index, *_, low, high) in enumerate(plan.steps):
            sent, value = sample.fields[index], values[at]
            note = "" if low <= value <= high else "out of range"
            text = f"{sample.values[index]} {plan.units[at]}".strip()
            canonical = plan.canonical[at]
            yield Explained(sent.path, text, plan.channels[at], canonical, value, *where, note)
        for name, word in _words(sample.states, facts.channel):
            yield Explained(name, word, name, "", word, *where, "a state")
        for path, note in sample.notes:
            yield Explained(path, "", "", "", None, *where, note)


def _specific(segments: list[str]) -> list[str]:
    """The segments of a topic without the generic words at its end."""
    end = len(segments)
    while end and segments[end - 1].lower() in _GENERIC:
        end -= 1
    return segments[:end] or segments


def _planned(fields: list[Field], topic_channel: str) -> _Plan:
    key = tuple(fields)
    if len(key) > CACHED:
        return _plan.__wrapped__(key, topic_channel)
    return _plan(key, "" if all([f[1] for f in key]) else topic_channel)


@lru_cache(maxsize=2048)
def _plan(fields: tuple[Field, ...], topic_channel: str) -> _Plan:
    """From paths, names and units as sent to channels in order, their factors and their class."""
    meanings = [meaning(f.name or topic_channel, f.unit) for f in fields]
    names = _distinct([(m.channel, f.path) for m, f in zip(meanings, fields, strict=True)])
    order = sorted(range(len(fields)), key=names.__getitem__)
    channels = tuple([names[i] for i in order])
    chosen = [(i, meanings[i]) for i in order]
    return _Plan(
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
    found = [c for c in channels if c.rpartition(".")[2] == name]
    return channels.index(min(found, key=len)) if found else -1


def _values(plan: _Plan, sent: list[float]) -> tuple[tuple[float, ...], int]:
    quality, values = 0, []
    for index, scale, offset, low, high in plan.steps:
        value = sent[index] * scale + offset
        if not low <= value <= high:
            quality = _OUT_OF_RANGE
        values.append(value)
    return tuple(values), quality


def _reception(message: Message, time: int | None) -> int:
    quality = _ESTIMATED if time is None else 0
    if time is not None and not -SKEW <= time - message.received <= SKEW:
        quality = _SKEWED
    if message.dup:
        quality |= _DUP
    if message.retain:
        quality |= _RETAINED
    return quality


def _words(states: list[State], topic_channel: str) -> list[tuple[str, str]]:
    key = tuple([(s.path, s.name or topic_channel) for s in states])
    names = _state_names(key) if len(key) <= CACHED else _state_names.__wrapped__(key)
    return sorted(zip(names, [s.word for s in states], strict=True))


@lru_cache(maxsize=2048)
def _state_names(states: tuple[tuple[str, str], ...]) -> list[str]:
    return _distinct([(snake(name), path) for path, name in states])


def _device(facts: _Facts, sample: Sample) -> str:
    named = [path for path, note in sample.notes if note == "the device"] if facts.sole else []
    if named and sample.device not in ("", facts.device):
        raise Malformed(named[0], f"the topic's device {facts.device}", sample.device)
    device = facts.device or sample.device
    if not device:
        names = [f.name for f in sample.fields] + [s.name for s in sample.states]
        device = facts.whole if all(names) else facts.parent
    return f"{facts.site}/{device}" if facts.site else device


def _position(
    place: tuple[float, float], motion: tuple[int, ...], values: tuple[float, ...]
) -> Position:
    altitude, speed, course, accuracy = [values[i] if i >= 0 else None for i in motion]
    return Position(*place, altitude, speed, course, accuracy)


def _id(message: Message, device: str, time: int | None) -> str:
    """16 hex digits: the same for the same event; without a time each reception counts."""
    when = f"{message.topic}\n{device}\n{time or -message.received}\n".encode("utf-8", "replace")
    return blake2b(when + message.payload, digest_size=8).hexdigest()


def _dead(message: Message, stage: str, error: Malformed) -> DeadLetter:
    said = (stage, error.where, error.expected, error.received)
    given = (message.received, message.qos, message.retain)
    return DeadLetter(message.topic, message.payload, *said, *given)


def normalise_line(line: str | bytes, where: str, normaliser: Normaliser) -> dict[str, Any]:
    """What ``haltere normalise FILE`` writes for one line ``{"id", "topic", "payload_b64"}``.

    Raises:
        Malformed: the line is no such object; `where` says which line it was.
    """
    item = _line(line, where)
    found = normaliser(Message(item["topic"], item["payload"], received=0))
    answer: dict[str, Any] = {"id": item["id"], "readings": []}
    if isinstance(found, Accepted):
        answer["readings"] = [row for reading in found.readings for row in _rows(reading)]
    elif isinstance(found, Ignored):
        answer["ignored"] = found.reason
    else:
        keys = ("stage", "path", "expected", "received")
        answer["dead_letter"] = {key: getattr(found, key) for key in keys}
    return answer


def _line(line: str | bytes, where: str) -> dict[str, Any]:
    try:
        item = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Malformed(where, "a JSON object", f"{line[:40]!r} ({error.msg})") from None
    if not isinstance(item, dict):
        raise Malformed(where, "a JSON object", f"{line[:40]!r}")
    for key in ("id", "topic", "payload_b64"):
        if not isinstance(item.get(key), str):
            received = repr(item[key])[:40] if key in item else "nothing"
            raise Malformed(f"{where}: {key}", "a text", received)
    try:
        item["payload"] = base64.b64decode(item["payload_b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{where}: payload_b64", "base64", str(error)) from None
    return item


def _rows(reading: Reading) -> Iterator[dict[str, Any]]:
    stated = not reading.quality & _ESTIMATED
    spot = reading.position
    common = {
        "time": iso(reading.time) if stated else None,
        "lat": spot.lat if spot else None,
        "lon": spot.lon if spot else None,
    }
    for channel, value, sent in zip(reading.channels, reading.values, reading.units, strict=True):
        unit = meaning(channel, sent).canonical
        yield {"name": channel, "value": value, "unit": unit or None, **common}
    for name, word in zip(reading.states, reading.state_values, strict=True):
        yield {"name": name, "value": word, "unit": None, **common}
    if spot and not reading.channels:
        yield {"name": "location", "value": None, "unit": None, **common}
