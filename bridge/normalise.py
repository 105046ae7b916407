"""Topic and samples to Readings: identity, class, UTC time, canonical units, WGS 84, quality.

Only values in and out: no I/O, no clock. `Normaliser` never raises: every message ends as
accepted readings, as ignored with a reason, or as a dead letter. What a set of names and units
means is worked out once (`_plan`), so that a message costs little more than its parsing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import orjson
from xxhash import xxh3_64_hexdigest

from bridge.contracts import (
    MICROS,
    DeadLetter,
    Message,
    Position,
    Quality,
    Reading,
    Stage,
    dead_letter,
)
from bridge.errors import Malformed
from bridge.flat import FLAT_BYTES, flat_object
from bridge.formats import plain_on, recognise
from bridge.formats.format import Format
from bridge.formats.sample import MAX_CHANNELS, MAX_ITEMS, Decoded, Nothing, Sample, merge
from bridge.formats.sparkplug import Session
from bridge.plan import measured, named, planned, words
from bridge.routes import Rule, parts, ready, translate
from bridge.routes import decode as select
from bridge.settings import Route
from bridge.units import known

SKEW = 86_400 * MICROS  # us between an event and its reception that nobody believes
_OUT_OF_RANGE, _ESTIMATED = Quality.OUT_OF_RANGE.value, Quality.TIME_ESTIMATED.value
_SKEWED, _DUP, _RETAINED = Quality.CLOCK_SKEW.value, Quality.DUP.value, Quality.RETAINED.value
REMEMBERED, SHORT = 20_000, 256  # topics, and the longest of them in characters
CLOUDS = ("$aws/", "$iothub/")  # $ topics on which devices speak
LONGEST = 1024  # characters of a topic, which each of its readings repeats
_GENERIC_WORDS = (
    "telemetry state data sensors readings tele stat status sensor measurements measurement"
    " values value events event up uplink json raw attributes messages message metrics"
)
_GENERIC = frozenset(_GENERIC_WORDS.split())
_new = tuple.__new__  # of a named tuple, without asking it for its names


class Accepted(NamedTuple):
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

    plain: bool  # an object on it is plain JSON, unless it has the marks of another format
    ignored: str  # why its messages are not looked at, "" otherwise
    site: str = ""
    device: str = ""  # by a route
    device_class: str = ""  # by a route
    channel: str = ""  # of a bare value
    whole: str = ""  # the device where the message names its channels
    parent: str = ""  # the device of a bare value
    rule: Rule | None = None  # the route that takes it
    sole: bool = False  # by it: the payload may name no other device


Outcome = Accepted | Ignored | DeadLetter


class Normaliser:
    """Messages to readings; holds the routes and what it remembers of topics."""

    def __init__(self, routes: tuple[Route, ...], sparkplug: bool = True) -> None:
        self._sparkplug = sparkplug  # whether we follow its nodes
        self._rules = [ready(route) for route in routes]
        self._remembered: dict[str, _Facts] = {}
        self.session = Session()

    def __call__(self, message: Message) -> Outcome:
        """What becomes of a message; never raises."""
        payload = message.payload
        if payload[:1] == b"{" and len(payload) <= FLAT_BYTES and len(message.topic) <= LONGEST:
            facts = self._topic(message.topic)
            reading = _flat_reading(message, facts) if facts.plain else None
            if reading is not None:
                return _new(Accepted, ("json", (reading,)))
        return self._examine(message)[0]

    def explain(self, message: Message) -> Explanation:
        """What becomes of a message, field by field, and why."""
        outcome, format_name, why, samples = self._examine(message)
        fields = [e for s in samples for e in self._explained(message, s)]
        return Explanation(format_name, why, outcome, tuple(fields))

    def _examine(self, message: Message) -> tuple[Outcome, str, str, list[Sample]]:
        name, why, stage = "", "no format took it", Stage.DECODE
        try:
            if len(message.topic) > LONGEST:
                said = f"{len(message.topic)} characters"
                raise Malformed("topic", f"at most {LONGEST} characters", said)
            facts = self._topic(message.topic)
            if facts.ignored:
                return Ignored("topic", facts.ignored), "topic", "the topic says so", []
            found, why = self._format(message, facts.rule)
            name = found.name
            decoded = self._decode(found, message, facts.rule)
            if isinstance(decoded, Nothing):
                noted = [Sample(notes=list(decoded.notes))]
                return Ignored(name, decoded.reason), name, why, noted
            stage = Stage.NORMALISE
            if facts.rule:
                translate(facts.rule, decoded, facts.channel)
            samples = merge(decoded) if len(decoded) > 1 else decoded
            facts = _several(facts, samples)
            _bound(samples, MAX_ITEMS if found.follows else MAX_CHANNELS)
            readings = [self._reading(message, facts, sample) for sample in samples]
            some = tuple([reading for reading in readings if reading])
            if some:
                return Accepted(name, some), name, why, samples
            return Ignored(name, "no finite number, no state, no position"), name, why, samples
        except Malformed as error:
            return dead_letter(message, stage, error), name, why, []
        except Exception as error:  # a fault of ours must not stop the stream, nor hide
            fault = Malformed("", "a message that haltere can handle", f"our fault: {error!r}")
            return dead_letter(message, stage, fault), name, why, []

    def _format(self, message: Message, rule: Rule | None) -> tuple[Format, str]:
        """What reads it, and why: a route says so, or it is recognised."""
        if rule and rule.format:
            return rule.format, f"the route {rule.route.topic} says so"
        found = recognise(message.topic, message.payload)
        return found, found.why

    def _decode(self, found: Format, message: Message, rule: Rule | None) -> Decoded:
        if rule and rule.select and found.name == "json":
            return select(rule, message.payload)
        if not found.follows:
            return found.decode(message.topic, message.payload)
        self.session.now, self.session.dup = message.received, message.dup
        return found.decode(message.topic, message.payload, self.session)

    def _topic(self, topic: str) -> _Facts:
        facts = self._remembered.get(topic)
        if facts is None:
            facts = self._facts(topic)
            if len(topic) <= SHORT:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[topic] = facts
        return facts

    def _facts(self, topic: str) -> _Facts:
        if topic.startswith("$") and not topic.startswith(CLOUDS):
            return _Facts(False, "a $ topic is the broker's own")
        if topic == "haltere" or topic.startswith("haltere/"):
            return _Facts(False, "haltere/# is what haltere says, not what it hears")
        if topic.startswith("spBv1.0/") and not self._sparkplug:
            return _Facts(False, "ingest.sparkplug is false: another ingest follows these nodes")
        rule = next((r for r in self._rules if r.pattern.fullmatch(topic)), None)
        said = parts(rule, topic)
        segments = [s for s in topic.split("/") if s] or [topic or "unknown"]
        specific = _specific(segments)
        last, before = specific[-1], specific[:-1]
        bare = len(specific) == len(segments) and len(segments) > 1
        names_channel = (bare and last != said.device) or known(last)
        return _Facts(
            plain_on(topic) and (rule is None or rule.simple()),
            "",
            said.site,
            said.device,
            said.device_class,
            last if names_channel else "value",
            "/".join(specific),
            "/".join(before if names_channel and before else specific),
            rule,
            rule is not None and rule.route.device_must_match,
        )

    def _reading(self, message: Message, facts: _Facts, sample: Sample) -> Reading | None:
        fields, states, position = sample.fields, sample.states, sample.position
        if not fields and not states and position is None:
            return None
        plan = planned(fields, facts.channel)
        values, quality = measured(plan, sample.values)
        if quality & _OUT_OF_RANGE and not all(map(math.isfinite, values)):
            finite = {plan.steps[i][0] for i, v in enumerate(values) if math.isfinite(v)}
            sample.fields = [f for i, f in enumerate(fields) if i in finite]
            sample.values = [v for i, v in enumerate(sample.values) if i in finite]
            return self._reading(message, facts, sample)
        quality |= sample.quality | _reception(message, sample.time)
        device = _device(facts, sample)
        said = words(states, facts.channel) if states else ()
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
            tuple([name for name, _ in said]),
            tuple([word for _, word in said]),
            _position(position, plan.motion, values) if position else None,
            quality,
        )

    def _explained(self, message: Message, sample: Sample) -> Iterator[Explained]:
        facts = self._topic(message.topic)
        where = (_device(facts, sample), sample.time, sample.position)
        plan = planned(sample.fields, facts.channel)
        values, _ = measured(plan, sample.values)
        for at, (index, *_, low, high) in enumerate(plan.steps):
            sent, value = sample.fields[index], values[at]
            note = "" if low <= value <= high else "out of range"
            text = f"{sample.values[index]} {plan.units[at]}".strip()
            canonical = plan.canonical[at]
            yield Explained(sent.path, text, plan.channels[at], canonical, value, *where, note)
        for name, state in zip(named(sample.states, facts.channel), sample.states, strict=True):
            yield Explained(state.path, state.word, name, "", state.word, *where, "a state")
        for path, note in sample.notes:
            yield Explained(path, "", "", "", None, *where, note)


def _flat_reading(message: Message, facts: _Facts) -> Reading | None:
    """The reading of an object without surprises, as `_reading` gives it; None of any other."""
    try:
        tree = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        return None
    flat = flat_object(tuple(tree))
    found = flat and flat.read(tree)
    if not flat or not found:
        return None
    said, time, place, values = found
    if facts.sole and said not in ("", facts.device):
        return None
    device = facts.device or said or facts.whole
    if facts.site:
        device = f"{facts.site}/{device}"
    _, channels, units, _, device_class, motion = flat.plan
    received = message.received
    parts = (
        device,
        facts.device_class or device_class,
        received if time is None else time,
        received,
        channels,
        values,
        units,
        message.topic,
        _id(message, device, time),
        (),
        (),
        _position(place, motion, values) if place else None,
        _reception(message, time),
    )
    return _new(Reading, parts)  # in half the time


def _several(facts: _Facts, samples: list[Sample]) -> _Facts:
    """A route names the device, and the message speaks of several: they are parts of it."""
    if facts.sole or not facts.device or len({s.device for s in samples} - {""}) < 2:  # noqa: PLR2004
        return facts
    for sample in samples:
        own = sample.device in ("", facts.device)
        sample.device = facts.device if own else f"{facts.device}/{sample.device}"
    return facts._replace(device="")


def _bound(samples: list[Sample], most: int) -> None:
    for sample in samples:
        if (count := len(sample.fields) + len(sample.states)) > most:
            raise Malformed("payload", f"{most} channels at one time", f"{count}")


def _specific(segments: list[str]) -> list[str]:
    """The segments of a topic without the generic words at its end."""
    end = len(segments)
    while end and segments[end - 1].lower() in _GENERIC:
        end -= 1
    return segments[:end] or segments


def _reception(message: Message, time: int | None) -> int:
    quality = _ESTIMATED if time is None else 0
    if time is not None and not -SKEW <= time - message.received <= SKEW:
        quality = _SKEWED
    if message.dup:
        quality |= _DUP
    if message.retain:
        quality |= _RETAINED
    return quality


def _device(facts: _Facts, sample: Sample) -> str:
    if facts.sole and sample.device not in ("", facts.device):
        named = [path for path, note in sample.notes if note == "the device"]
        where = named[0] if named else "payload"
        raise Malformed(where, f"the topic's device {facts.device}", sample.device)
    device = facts.device or sample.device
    if not device:
        names = [f.name for f in sample.fields] + [s.name for s in sample.states]
        device = facts.whole if all(names) else facts.parent
    return f"{facts.site}/{device}" if facts.site else device


def _position(
    place: tuple[float, float], motion: tuple[int, ...], values: tuple[float, ...]
) -> Position:
    altitude, speed, course, accuracy = motion
    parts = (
        *place,
        values[altitude] if altitude >= 0 else None,
        values[speed] if speed >= 0 else None,
        values[course] if course >= 0 else None,
        values[accuracy] if accuracy >= 0 else None,
    )
    return _new(Position, parts)


def _id(message: Message, device: str, time: int | None) -> str:
    """16 hex digits: the same for the same event; without a time each reception counts."""
    topic, payload, received, *_ = message
    when = f"{topic}\n{device}\n{time or -received}\n".encode("utf-8", "replace")
    return xxh3_64_hexdigest(when + payload)
