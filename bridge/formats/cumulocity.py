"""Cumulocity: measurements and positions as SmartREST lines and as JSON.

https://cumulocity.com/docs/smartrest/mqtt-static-templates,
https://cumulocity.com/docs/device-integration/fragment-library. The device is the MQTT client,
which no topic names; only its children have names. No I/O, no clock.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import identity
from bridge.formats.sample import MAX_BYTES, MAX_ITEMS, MAX_TEXT, Decoded, Field, Nothing, Sample
from bridge.formats.scalars import describe, instant, number, place
from bridge.formats.shape import Shape, find, format_of

_FRAGMENTS = {
    "c8y_Battery.level": "battery %",
    "c8y_CurrentMeasurement.current": "current",
    "c8y_DistanceMeasurement.distance": "distance",
    "c8y_HumidityMeasurement.h": "humidity",
    "c8y_LightMeasurement.e": "illuminance",
    "c8y_MoistureMeasurement.moisture": "moisture",
    "c8y_SignalStrength.ber": "ber",
    "c8y_SignalStrength.rssi": "rssi",
    "c8y_SpeedMeasurement.speed": "speed",
    "c8y_TemperatureMeasurement.T": "temperature",
    "c8y_VoltageMeasurement.voltage": "voltage",
}
_BESIDE = {"type": "-its type", "externalId": "-the device", "source.id": "-the device"}
_SIGNED = re.compile(r"(.*\.)?([A-Z])([+-])(:\d+)?")
_MODES = [f"{root}{mode}" for root in ("", "c8y/") for mode in ("s/", "t/", "q/", "c/")]
_UPSTREAM = tuple([f"{mode}{kind}" for mode in _MODES for kind in ("us/#", "uc/#", "ut/#", "ud/#")])
_DOWNSTREAM = tuple(
    [f"{root}s/{kind}" for root in ("", "c8y/") for kind in ("ds", "dc/#", "e", "dt")]
)
_LINES = re.compile(rb'\s*"?\d{2,3}"?\s*(?:,|\r?\n|\Z)').match
_STATIC = re.compile(r"(?:c8y/)?[stqc]/us(?:/(.*))?").fullmatch
_NO_TEMPLATE = Nothing("inventory, alarms, events and operations are no measurement")


class _Template(NamedTuple):
    """What stands in which cell of a line."""

    numbers: tuple[tuple[int, str, str], ...]  # cell, channel, unit
    time: int
    spot: bool = False  # latitude and longitude in the first cells


_WHERE = _Template(((3, "altitude", "m"), (4, "accuracy", "m")), 5, spot=True)
_TEMPLATES = {
    "210": _Template(((1, "rssi", "dBm"), (2, "ber", "%")), 3),
    "211": _Template(((1, "temperature", "Cel"),), 2),
    "212": _Template(((1, "battery", "%"),), 2),
    "401": _WHERE,
    "402": _WHERE,
}


def _smartrest(topic: str, payload: bytes) -> Decoded:
    """A sample for each line of a static template that measures something."""
    sent = _STATIC(topic)
    if not sent:
        return _NO_TEMPLATE
    samples = list(_rows(payload))
    if not any(sample.fields or sample.position for sample in samples):
        return replace(_NO_TEMPLATE, notes=tuple([n for s in samples for n in s.notes][:MAX_TEXT]))
    for sample in samples:
        sample.device = sent[1] or ""
    return samples


def _rows(payload: bytes) -> Iterator[Sample]:
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    try:
        text = payload.decode()
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed("payload", "lines of SmartREST", f"{describe(payload)} ({error})") from None
    if len(rows) + sum(map(len, rows)) > MAX_ITEMS:
        raise Malformed("payload", f"at most {MAX_ITEMS} lines and cells", "more")
    for at, row in enumerate(rows):
        cells = [cell.strip() for cell in row]
        if cells[0] == "200":  # fragment, series, value, unit, time
            yield _custom(at, cells[1:5], cells[5:6])
        elif cells[0] == "201":  # type, time, and four cells for each series
            yield _custom(at, cells[3:], cells[2:3])
        elif cells[0] in _TEMPLATES:
            yield _fixed(at, cells, _TEMPLATES[cells[0]])
        else:
            note = "a template that measures nothing"
            yield Sample(notes=[(f"{at}.{cells[0][:MAX_TEXT]}", note)])


def _custom(at: int, cells: list[str], time: list[str]) -> Sample:
    sample = Sample(time=instant(time[0]) if time else None)
    for start in range(0, len(cells), 4):
        fragment, series, value, unit = (*cells[start : start + 4], "", "", "")[:4]
        name = f"{fragment}.{series}"
        _cell(
            sample,
            (at, start),
            (_FRAGMENTS.get(name, "").partition(" ")[0] or _named(name), unit),
            value,
        )
    return sample


def _fixed(at: int, cells: list[str], template: _Template) -> Sample:
    cells += [""] * (template.time + 1)
    sample = Sample(time=instant(cells[template.time]))
    if template.spot:
        sample.position = place(cells[1], cells[2])
        note = "the position" if sample.position else "no position on Earth"
        sample.notes.append((f"{at}.1", note))
    for cell, channel, unit in template.numbers:
        _cell(sample, (at, cell), (channel, unit), cells[cell])
    return sample


def _cell(sample: Sample, at: tuple[int, int], means: tuple[str, str], text: str) -> None:
    name, unit = means
    path, value = f"{at[0]}.{at[1]}.{name}"[:MAX_TEXT], number(text)
    if value is not None and len(name) + len(unit) < MAX_TEXT:
        sample.number(Field(path, name, unit), value)
    elif text:
        raise Malformed(f"line {at[0] + 1} at {name[:40]}", "a number", repr(text[:40]))
    else:
        sample.notes.append((path, "the cell is empty"))


def _named(name: str) -> str:
    """A name without signs, which are lost in those of channels.

    >>> _named("c8y_SinglePhaseEnergyMeasurement.A+:1")
    'c8y_SinglePhaseEnergyMeasurement.import.A:1'
    """
    signed = _SIGNED.fullmatch(name)
    if not signed:
        return name
    before, letter, sign, phase = signed.groups("")
    return f"{before}{'import' if sign == '+' else 'export'}.{letter}{phase}"


def _whose(tree: Any, samples: list[Sample]) -> None:
    for sample in samples:
        sample.fields = [one._replace(name=_named(one.name)) for one in sample.fields]
    for path in ("externalSource.externalId", "source.id"):
        for _, found in find(tree, path):
            for sample in samples:
                sample.device = identity(found) or sample.device
            return


def _rest(kind: str) -> tuple[str, ...]:
    return tuple([f"{mode}{kind}" for mode in ("", "c8y/", "t/", "q/", "c/")])


_JSON = Shape(
    "c8y_json",
    "the topic is one of Cumulocity",
    _rest("measurement/measurements/create"),
    times=("time",),
    channels={f"{key}.value": said for key, said in _FRAGMENTS.items()} | _BESIDE,
    mend=_whose,
)
_BULK = replace(
    _JSON, topics=_rest("measurement/measurements/createBulk"), roots=("measurements.*",)
)
_PLACED = replace(_JSON, topics=_rest("event/events/create"), roots=("c8y_Position",))


FORMATS: tuple[Format, ...] = (
    Format(
        "c8y_smartrest",
        "the topic is one of Cumulocity, and the lines begin with a template",
        _smartrest,
        (*_UPSTREAM, *_DOWNSTREAM),
        _LINES,
    ),
    format_of(_JSON),
    format_of(_BULK),
    format_of(_PLACED),
)
