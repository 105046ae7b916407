"""A JSON object as most devices send it, read at once: what its keys mean is worked out once.

Flat, numbers beside at most one time, one identity and one position, nothing missing and nothing
out of its range. Whatever is otherwise is left to `bridge.formats.plain`, which reads all there
is; a law holds that both read the same. Only values in and out.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from bridge.formats import marked
from bridge.formats.keys import keys_of
from bridge.formats.sample import MAX_TEXT
from bridge.formats.scalars import instant, place
from bridge.plan import CACHED, Plan, planned

FLAT_BYTES = 2048  # of a payload whose keys are worth remembering
EPOCH = 600_000_000  # s, in 1989: a number as large may be a time
_MS = (662_688_000_000, 4_133_980_800_000)  # an integer between them is a time in ms

Place = tuple[float, float]  # lat, lon
Found = tuple[str, int | None, Place | None, tuple[float, ...]]  # device, time in us, ..., values


class Flat(NamedTuple):
    """The keys of an object by what they hold."""

    time: str  # "": no key holds it
    device: str
    lat: str
    lon: str
    steps: tuple[tuple[str, float, float, float, float], ...]  # key, scale, offset, low, high
    plan: Plan

    def read(self, tree: dict[str, Any]) -> Found | None:
        """What it says; None where that takes more than reading numbers."""
        time_key, device_key, lat_key, lon_key, steps, _ = self
        values = _values(tree, steps)
        if values is None:
            return None
        time, device, position = None, "", None
        if time_key:
            sent = tree[time_key]
            milliseconds = sent.__class__ is int and _MS[0] <= sent < _MS[1]
            time = sent * 1000 if milliseconds else instant(sent)
            if time is None:
                return None
        if device_key:
            device = tree[device_key]
            if device.__class__ is not str or len(device) > MAX_TEXT or not device.strip():
                return None
        if lat_key and (position := place(tree[lat_key], tree[lon_key])) is None:
            return None
        return device.strip(), time, position, values


def _values(
    tree: dict[str, Any], steps: tuple[tuple[str, float, float, float, float], ...]
) -> tuple[float, ...] | None:
    values = []
    try:
        for key, scale, offset, low, high in steps:
            value = tree[key] * scale + offset
            if not low <= value <= high:
                return None
            values.append(value)
    except TypeError:  # a text, a list, an object, nothing
        return None
    return tuple(values)


def flat_object(keys: tuple[str, ...]) -> Flat | None:
    """How to read an object with these keys, in this order; None when it takes more than `Flat`."""
    return _flat_object(keys) if len(keys) <= CACHED else None


@lru_cache(maxsize=2048)
def _flat_object(keys: tuple[str, ...]) -> Flat | None:
    shape = keys_of(keys)
    roles = (shape.time, shape.device, shape.lat, shape.lon)
    whole = bool(shape.lat) == bool(shape.lon)
    more = shape.value or shape.foreign or shape.away or shape.spot or shape.told
    if not (shape.simple and shape.ordinary and whole) or more or "" in keys or marked(keys):
        return None
    if any(len(role) > 1 for role in roles) or shape.e7:
        return None
    plan = planned(list(shape.ordinary), "")
    steps = [(shape.ordinary[step[0]].path, *step[1:]) for step in plan.steps]
    if shape.maybe:  # what is as large as a time is left to the other
        steps = [
            (k, s, o, lo, min(hi, EPOCH) if k in shape.maybe else hi) for k, s, o, lo, hi in steps
        ]
    time, device, lat, lon = map("".join, roles)
    return Flat(time, device, lat, lon, tuple(steps), plan)
