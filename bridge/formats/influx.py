"""InfluxDB line protocol: one measurement a line, with tags, fields and a time.

https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol. A channel is
``measurement.field``; tags that tell instances apart stand between the two. Fields that are a
latitude and a longitude are the position. No I/O, no clock.
"""

import math
import re
from dataclasses import dataclass

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.keys import remembered
from bridge.formats.places import scaled
from bridge.formats.sample import (
    MAX_BYTES,
    MAX_CHANNELS,
    MAX_ITEMS,
    MAX_TEXT,
    Decoded,
    Field,
    Nothing,
    Sample,
    State,
)
from bridge.formats.scalars import describe, instant
from bridge.units import fits, unit_of

_DEVICES = (
    *("device", "device_id", "deviceid", "dev", "dev_eui", "sensor_id", "node", "station"),
    *("host", "hostname", "source"),
)
_INSTANCES = frozenset(
    {
        *("agent_host", "channel", "chip", "core", "cpu", "disk", "feature", "id", "index"),
        *("instance", "interface", "name", "path", "phase", "port", "sensor", "server", "source"),
        *("topic", "url", "zone"),
    }
)
_PLACES = frozenset({"area", "city", "floor", "location", "room"})  # where nothing names a device
_UNITS = ("unit", "units", "uom", "scale")
_DISK = re.compile(
    r"/dev/.*|mapper/.*|(?:[hsv]|xv)d[a-z]+\d*|(?:dm-|loop|md|mmcblk|nvme|sr|zram)\d.*"
).fullmatch  # a part of the host, not a device
_TRUE, _FALSE = ("t", "T", "true", "True", "TRUE"), ("f", "F", "false", "False", "FALSE")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII).fullmatch
_INTEGER = re.compile(r"([+-]?\d{1,20})([iu])", re.ASCII).fullmatch
_TIME = re.compile(r"-?\d{1,20}", re.ASCII).fullmatch
_WORD = rb"(?:[^\\,\s=]|\\[,= ]|\\(?![,= ]))"  # a backslash escapes these three only
_LOOKS = re.compile(
    rb"(?:\s*#[^\n]*\n)*\s*(?:[^\\,\s=\"]|\\[,= ]|\\(?![,= ])){1,256}"
    rb"(?:(?:,%s{1,256}=%s{1,512})+ +%s{1,256}=|(?<![:;]) +%s{1,256}="
    rb"(?:\"|[+-]?\.?[0-9]|[tfTF](?:rue|RUE|alse|ALSE)?(?:[, \r\n]|\Z)))"
    % (_WORD, _WORD, _WORD, _WORD)
).match
_GAP = re.compile(r"(?:\s|#[^\n]*(?:\n|\Z))*")
_BLANKS = re.compile(" *")
_WORDS = {
    ends: re.compile(rf"(?:[^\\{ends}\n]|\\[,= ]|\\(?![,= ]))*") for ends in (", ", "=, ", "")
}
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_MOST = {"i": (-(2**63), 2**63 - 1), "u": (0, 2**64 - 1)}
_LONGEST = 4 * MAX_TEXT  # characters of a name, a tag or a value


def decode(topic: str, payload: bytes) -> Decoded:
    """A sample for each series and time; a line that is none makes the message malformed."""
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    try:
        text = payload.decode().strip("\0").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise Malformed("payload", "UTF-8", describe(payload)) from None
    scan, items = _Scanner(text), 0
    samples: dict[tuple[str, int | None], Sample] = {}
    while scan.begin():
        series, sample = _line(scan)
        items += len(sample.fields) + len(sample.states) + len(sample.notes) + 4
        if items > MAX_ITEMS:
            raise scan.wrong(f"at most {MAX_ITEMS} items", "more")
        earlier = samples.setdefault((series, sample.time), sample)
        if earlier is not sample:
            _overlay(earlier, sample)
    return list(samples.values()) or Nothing("only comments")


def _overlay(earlier: Sample, later: Sample) -> None:
    """A series has one value of a field at one time: what was written last."""
    at = {field.path: index for index, field in enumerate(earlier.fields)}
    for field, value in zip(later.fields, later.values, strict=True):
        if field.path in at:
            earlier.values[at[field.path]] = value
        else:
            earlier.number(field, value)
    paths = {state.path for state in later.states}
    earlier.states = [state for state in earlier.states if state.path not in paths] + later.states
    earlier.notes.extend(later.notes)
    earlier.position = later.position or earlier.position


class _Scanner:
    """The text, from left to right; a line ends where a word or a value does."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def begin(self) -> bool:
        """Go to the next line that is no comment; whether there is one."""
        gap = _GAP.match(self.text, self.at)
        self.at = gap.end() if gap else self.at
        return self.at < len(self.text)

    def word(self, ends: str) -> str:
        """Up to one of these characters or the end of the line, escapes undone."""
        match = _WORDS[ends].match(self.text, self.at)
        found = match[0] if match else ""
        if len(found) > _LONGEST:
            raise self.wrong(f"at most {_LONGEST} characters", f"{len(found)}")
        self.at += len(found)
        return re.sub(r"\\([,= ])", r"\1", found) if "\\" in found else found

    def value(self) -> str:
        """A field's value; of a quoted text with the quote that opens it."""
        if self.peek() != '"':
            return self.word(", ")
        match = _QUOTED.match(self.text, self.at)
        if not match:
            raise self.wrong("the end of the text", "nothing")
        self.at = match.end()
        if len(match[1]) > _LONGEST:
            return match[0]
        return '"' + re.sub(r'\\(["\\])', r"\1", match[1])

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, char: str) -> bool:
        found = self.peek() == char
        self.at += found
        return found

    def blanks(self) -> None:
        found = _BLANKS.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def wrong(self, expected: str, received: str = "") -> Malformed:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - self.text.rfind("\n", 0, self.at)
        rest = received or self.text[self.at : self.at + 40].partition("\n")[0]
        return Malformed(f"line {line} column {column}", expected, rest or "nothing")


@dataclass(frozen=True, slots=True)
class _Series:
    """What stands before the fields of a line."""

    measurement: str
    tags: dict[str, str]
    path: str  # what paths begin with
    name: str  # what names begin with


def _line(scan: _Scanner) -> tuple[str, Sample]:
    """A line's series and what it measures."""
    measurement = scan.word(", ")
    tags = _tags(scan)
    if not measurement or not scan.take(" "):
        raise scan.wrong("fields behind the measurement and its tags")
    scan.blanks()
    sample, series = _begun(measurement, tags)
    fields = _fields(scan)
    _take_position(fields, series, sample)
    for key, value in fields.items():
        _take(key, value, series, sample, _unit(key, fields, series))
    scan.blanks()
    stamp = scan.word("").rstrip(" ")
    if stamp:
        if not _TIME(stamp):
            raise scan.wrong("a time in ns", repr(stamp[:40]))
        sample.time = instant(int(stamp))
        told = "no absolute time" if sample.time is None else "the time"
        sample.notes.append((f"{series.path} time", told))
    return series.path, sample


def _tags(scan: _Scanner) -> dict[str, str]:
    tags: dict[str, str] = {}
    while scan.take(","):
        key = scan.word("=, ")
        if not key or key in tags or len(tags) > MAX_ITEMS // 10 or not scan.take("="):
            raise scan.wrong(f"tag=value, at most {MAX_ITEMS // 10} different")
        tags[key] = scan.word(", ")
    return tags


def _begun(measurement: str, tags: dict[str, str]) -> tuple[Sample, _Series]:
    """A sample with the context that the tags are, and what paths and names begin with."""
    disk = bool(_DISK(tags.get("device", "")))
    device = next((key for key in _DEVICES[disk:] if tags.get(key)), "")
    sample = Sample(device=tags.get(device, "")[:MAX_TEXT])
    apart = _INSTANCES | {measurement} | ({"device"} if disk else set())
    apart = apart if device else apart | _PLACES
    name = [measurement, *(tags[key] for key in sorted(tags) if key in apart and key != device)]
    whole = ",".join([measurement, *(f"{key}={tags[key]}" for key in sorted(tags))])
    path, begun = whole.replace(".", "-"), ".".join(part.replace(".", "-") for part in name)
    series = _Series(measurement, tags, path, begun[:MAX_TEXT])
    for key in sorted(tags):
        if key == device:
            sample.notes.append((f"{path}.{key}", "the device"))
        elif key not in apart and tags[key] and len(tags[key]) <= MAX_TEXT:
            sample.states.append(State(f"{path}.{key}", f"{series.name}.{key}", tags[key]))
    return sample, series


def _fields(scan: _Scanner) -> dict[str, float | str]:
    """Numbers, and texts; of a field that stands twice the last one counts."""
    fields: dict[str, float | str] = {}
    for _ in range(MAX_CHANNELS + 2):  # two may be the position
        key = scan.word("=, ")
        if not key or not scan.take("="):
            raise scan.wrong("field=value")
        begun = scan.at
        sent = scan.value()
        value = sent[1:] if sent.startswith('"') else _number(sent)
        if value is None:
            scan.at = begun
            raise scan.wrong("a number, a boolean or a quoted text", repr(sent[:40]))
        fields[key] = value
        if scan.peek() in ("", " ", "\n"):
            return fields
        if not scan.take(","):
            raise scan.wrong("a comma, a blank or the end")
    raise scan.wrong(f"at most {MAX_CHANNELS} fields", "more")


def _number(sent: str) -> float | None:
    if sent in _TRUE or sent in _FALSE:
        return int(sent in _TRUE)
    integer = _INTEGER(sent)
    if integer:
        low, high = _MOST[integer[2]]
        return int(integer[1]) if low <= int(integer[1]) <= high else None
    return float(sent) if _NUMBER(sent) and math.isfinite(float(sent)) else None


def _take_position(fields: dict[str, float | str], series: _Series, sample: Sample) -> None:
    """Latitude and longitude, whatever people call them; they are no channels then."""
    if not any("lat" in key.lower() for key in fields):
        return
    keys = remembered(tuple(fields))
    if not keys.lat or not keys.lon:
        return
    lat, lon = keys.lat[0], keys.lon[0]
    sample.position = scaled(fields.pop(lat), fields.pop(lon), keys.e7)
    note = "the position" if sample.position else "no position on Earth"
    sample.notes.append((f"{series.path}.{lat}, {lon}", note))


def _unit(key: str, fields: dict[str, float | str], series: _Series) -> str:
    """The unit that a tag names, where it is one of what the field measures."""
    unit = next((series.tags[tag] for tag in _UNITS if tag in series.tags), "")
    if not unit or len(unit) > MAX_TEXT or unit_of(unit) is None:
        return ""
    fit = fits(series.measurement if key == "value" else key, unit)
    return unit if fit or (fit is None and len(fields) == 1) else ""


def _take(key: str, value: float | str, series: _Series, sample: Sample, unit: str) -> None:
    path, name = f"{series.path}.{key}", f"{series.name}.{key.replace('.', '-')}"
    if not isinstance(value, str):
        sample.number(Field(path, name, unit), value)
    elif 0 < len(value) < MAX_TEXT:
        sample.states.append(State(path, name, value))
    else:
        sample.notes.append((path, "no word"))


FORMATS: tuple[Format, ...] = (
    Format(
        "influx_line",
        "the payload is a line of InfluxDB: measurement,tags fields time",
        decode,
        shape=_LOOKS,
        marks=frozenset(),
    ),
)
