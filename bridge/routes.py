"""Routes made ready: which topics, which format, which device, and what the fields mean.

No I/O, no clock. This module alone knows jmespath.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from bridge.errors import Malformed, Misconfigured
from bridge.formats import FORMATS
from bridge.formats.format import Format
from bridge.formats.general import measured, samples_of
from bridge.formats.sample import Decoded, Field, Nothing, Sample, State
from bridge.formats.scalars import parse_json
from bridge.route_settings import Channel, Route
from bridge.units import meaning, snake

MEANT = frozenset({"site", "device", "class"})  # parts of a topic that mean something by themselves
_PART = re.compile(r"\{(\w+)\}")
NOTHING = Nothing("route.select finds nothing in it")


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A route made ready."""

    pattern: re.Pattern[str]
    route: Route
    format: Format | None  # None: recognised
    select: Any  # compiled; None: everything

    def simple(self) -> bool:
        """Whether it says nothing but what topics mean."""
        return not (self.format or self.select or self.route.channels)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a topic says by a route."""

    site: str = ""
    device: str = ""
    device_class: str = ""


def ready(route: Route) -> Rule:
    """A route made ready.

    Raises:
        Misconfigured: its topic, its format or its expression cannot be.
    """
    wanted = set(_PART.findall(route.device))
    missing = sorted(wanted - set(_PART.findall(route.topic)))
    if missing or set(_PART.sub("", route.device)) & set("{}"):
        raise Misconfigured(
            "route.device",
            f"parts that the topic {route.topic} names",
            f"{{{missing[0]}}}" if missing else route.device,
            _nearest(missing[0], _PART.findall(route.topic)) if missing else "",
        )
    pattern = route_pattern(route.topic, wanted)
    form = _format(route.format or ("json" if route.select else ""))
    return Rule(pattern, route, form, _expression(route.select))


def parts(rule: Rule | None, topic: str) -> Parts:
    """What a topic says by the route that takes it."""
    match = rule.pattern.fullmatch(topic) if rule else None
    if not rule or not match:
        return Parts()
    said = match.groupdict()
    device = rule.route.device.format_map(said) if rule.route.device else said.get("device", "")
    return Parts(said.get("site", ""), device, said.get("class", ""))


def decode(rule: Rule, payload: bytes) -> Decoded:
    """The samples of what the route's expression selects.

    Raises:
        Malformed: no JSON, or the expression cannot be applied to it.
    """
    try:
        chosen = rule.select.search(parse_json(payload))
    except JMESPathError as error:
        said = " ".join(str(error).split())[:200]
        raise Malformed(
            "payload", f"what route.select {rule.route.select} can read", said
        ) from None
    return NOTHING if chosen is None else measured(samples_of(chosen))


def translate(rule: Rule, samples: list[Sample], topic_channel: str) -> None:
    """Give fields and states the meaning that the route has for them."""
    table = rule.route.channels
    for sample in samples if table else ():
        pairs = list(zip(sample.fields, sample.values, strict=True))
        states, sample.fields, sample.values, sample.states = sample.states, [], [], []
        for one, value in pairs:
            means = _means(table, one, topic_channel)
            if means is None:
                sample.number(one, value)
            elif means.ignore:
                sample.notes.append((one.path, "the route ignores it"))
            else:
                said = Field(one.path, means.name or one.name, means.unit or one.unit)
                sample.number(said, value * means.scale + means.offset)
        for state in states:
            means = _means(table, state, topic_channel)
            if means and means.ignore:
                sample.notes.append((state.path, "the route ignores it"))
            else:
                name = means.name if means and means.name else state.name
                sample.states.append(State(state.path, name, state.word))


def _means(table: dict[str, Channel], one: Field | State, topic_channel: str) -> Channel | None:
    name = one.name or topic_channel
    called = meaning(name, one.unit).channel if isinstance(one, Field) else snake(name)
    for key in (one.path, name, name.rpartition(".")[2], called):
        if key in table:
            return table[key]
    return None


def _format(name: str) -> Format | None:
    found = [known for known in FORMATS if known.name == name]
    if name and not found:
        names = sorted({known.name for known in FORMATS})
        remedy = _nearest(name.lower(), names) or "docs/formats.md has them all"
        raise Misconfigured("route.format", "the name of a format", repr(name), remedy)
    return found[0] if name else None


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else ""


def _expression(text: str) -> Any:
    try:
        return jmespath.compile(text) if text else None
    except JMESPathError as error:
        said = " ".join(str(error).split())[:200]
        raise Misconfigured("route.select", "a JMESPath expression", f"{text} ({said})") from None


def route_pattern(topic: str, more: set[str] | frozenset[str] = frozenset()) -> re.Pattern[str]:
    """A filter whose levels may be named: ``plant/{site}/{device}/+``.

    >>> route_pattern("plant/{device}/#").fullmatch("plant/7/temp")["device"]
    '7'

    Args:
        topic: the filter.
        more: names of levels beside site, device and class.

    Raises:
        Misconfigured: it cannot be; a name that nothing uses is taken for a slip.
    """
    names = "|".join(sorted(re.escape(name) for name in MEANT | more))
    text = re.escape(topic).replace(r"\+", "[^/]*").replace(r"/\#", "(?:/.*)?")
    text = re.sub(rf"\\{{({names})\\}}", r"(?P<\1>[^/]+)", text.replace(r"\#", ".*"))
    if r"\{" in text or r"\}" in text or "#" in topic[:-1]:
        expected = "the parts {site} {device} {class}, + and, at the end, #"
        raise Misconfigured("route.topic", expected, topic)
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise Misconfigured("route.topic", "each part named once", f"{topic} ({error})") from None
