"""InfluxDB line protocol: one measurement a line, with tags, fields and a time.

https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol. A channel is
``measurement.field``; tags that tell instances apart stand between the two. No I/O, no clock.
"""

import math
import re
from collections.abc import Iterator

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.sample import (
    MAX_BYTES,
    MAX_CHANNELS,
    MAX_ITEMS,
    MAX_TEXT,
    Decoded,
    Field,
    Sample,
    State,
)
from bridge.formats.scalars import describe, instant

_DEVICES = (
    *("device", "device_id", "deviceid", "dev", "dev_eui", "sensor_id", "node", "station"),
    *("host", "hostname", "source"),
)
_INSTANCES = frozenset(
    {
        *("channel", "chip", "core", "cpu", "disk", "feature", "id", "index", "interface", "name"),
        *("path", "port", "sensor", "zone"),
    }
)
_TRUE, _FALSE = ("t", "T", "true", "True", "TRUE"), ("f", "F", "false", "False", "FALSE")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII).fullmatch
_INTEGER = re.compile(r"([+-]?\d{1,20})([iu])", re.ASCII).fullmatch
_TIME = re.compile(r"-?\d{1,20}", re.ASCII).fullmatch
_WORD = rb"(?:[^\\,\s=]|\\.)"
_LOOKS = re.compile(
    rb"(?:\s*#[^\n]*\n)*\s*(?:[^\\,\s=\"]|\\.){1,256}(?:,%s{1,256}=%s{1,512})* +%s{1,256}="
    rb"(?:\"|[+-]?\.?[0-9]|[tfTF](?:rue|RUE|alse|ALSE)?[, \r\n]|[tfTF](?:rue|RUE|alse|ALSE)?\Z)"
    % (_WORD, _WORD, _WORD)
).match
_MARKS = re.compile(r'\\.|"|\n', re.DOTALL)
_WORDS = {ends: re.compile(rf"(?:[^\\{ends}]|\\.|\\\Z)*", re.DOTALL) for ends in (", ", "=, ")}
_ESCAPED = re.compile(r"\\([, =\\])")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_MOST = {"i": (-(2**63), 2**63 - 1), "u": (0, 2**64 - 1)}
_LINE = 64 * 1024  # characters that are looked at to recognise it


def decode(topic: str, payload: bytes) -> Decoded:
    """A sample for each line; any line that is none makes the whole message malformed."""
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    try:
        text = payload.decode().strip("\0")
    except UnicodeDecodeError:
        raise Malformed("payload", "UTF-8", describe(payload)) from None
    samples, items = [], 0
    for number, line in _lines(text):
        sample = _sample(number, line)
        items += len(sample.fields) + len(sample.states) + len(sample.notes) + 4
        if items > MAX_ITEMS:
            raise Malformed(f"line {number}", f"at most {MAX_ITEMS} items", "more")
        samples.append(sample)
    return samples


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments; a line break inside a quoted text ends none."""
    if text.count('"') + text.count("\\") > 4 * MAX_ITEMS:
        raise Malformed("payload", f"at most {4 * MAX_ITEMS} quotes and escapes", "more")
    quoted, start, number = False, 0, 1
    for match in _MARKS.finditer(text + "\n"):
        if match[0] == '"':
            quoted = not quoted
        elif match[0] == "\n" and (not quoted or match.start() == len(text)):
            line = text[start : match.start()].strip("\r\n ")
            if line and not line.startswith("#"):
                yield number, line
            start, number, quoted = match.end(), number + 1, False


class _Scanner:
    """One line, from left to right."""

    def __init__(self, number: int, line: str) -> None:
        self.number, self.line, self.at = number, line, 0

    def word(self, ends: str) -> str:
        """Up to one of these characters, escapes undone."""
        match = _WORDS[ends].match(self.line, self.at)
        self.at = match.end() if match else self.at
        return _ESCAPED.sub(r"\1", match[0]) if match else ""

    def value(self) -> str:
        """A field's value; of a quoted text with the quote that opens it."""
        if self.peek() != '"':
            return self.word(", ")
        match = _QUOTED.match(self.line, self.at)
        if not match:
            raise self.wrong("the end of the text", "nothing")
        self.at = match.end()
        return '"' + re.sub(r'\\(["\\])', r"\1", match[1])

    def peek(self) -> str:
        return self.line[self.at : self.at + 1]

    def take(self, char: str) -> bool:
        found = self.peek() == char
        self.at += found
        return found

    def wrong(self, expected: str, received: str) -> Malformed:
        return Malformed(
            f"line {self.number} column {self.at + 1}", expected, received[:40] or "nothing"
        )


def _tags(scan: _Scanner) -> dict[str, str]:
    tags: dict[str, str] = {}
    while scan.take(","):
        key = scan.word("=, ")
        if not key or key in tags or len(tags) > MAX_ITEMS // 10 or not scan.take("="):
            raise scan.wrong(
                f"tag=value, at most {MAX_ITEMS // 10} different", scan.line[scan.at :]
            )
        tags[key] = scan.word(", ")
    return tags


def _sample(number: int, line: str) -> Sample:
    scan = _Scanner(number, line)
    measurement = scan.word(", ")
    tags = _tags(scan)
    if not measurement or not scan.take(" "):
        received = scan.line[scan.at :] or "nothing"
        raise scan.wrong("fields behind the measurement and its tags", received)
    while scan.take(" "):
        pass
    sample, prefix = _begun(measurement, tags)
    _fields(scan, sample, prefix)
    while scan.take(" "):
        pass
    rest = scan.line[scan.at :]
    if rest:
        if not _TIME(rest):
            raise scan.wrong("a time in ns", rest)
        sample.time = instant(int(rest))
        sample.notes.append(
            (f"{prefix[0]} time", "the time" if sample.time else "no absolute time")
        )
    return sample


def _begun(measurement: str, tags: dict[str, str]) -> tuple[Sample, tuple[str, str]]:
    """A sample with the context that the tags are, and what paths and names begin with."""
    device = next((key for key in _DEVICES if tags.get(key)), "")
    sample = Sample(device=tags.get(device, "")[:MAX_TEXT])
    name = [measurement.replace(".", "-")]
    for key in sorted(tags):
        path = f"{measurement}.{key}"[: 2 * MAX_TEXT]
        if key == device:
            sample.notes.append((path, "the device"))
        elif key in _INSTANCES or key == measurement:
            name.append(tags[key].replace(".", "-"))
        elif tags[key] and len(tags[key]) <= MAX_TEXT:
            sample.states.append(State(path, path, tags[key]))
    series = ",".join([measurement, *(f"{key}={tags[key]}" for key in sorted(tags))])
    return sample, (series.replace(".", "-"), ".".join(name)[:MAX_TEXT])


def _fields(scan: _Scanner, sample: Sample, prefix: tuple[str, str]) -> None:
    while True:
        if len(sample.fields) + len(sample.states) > MAX_CHANNELS:
            raise scan.wrong(f"at most {MAX_CHANNELS} fields", "more")
        key = scan.word("=, ")
        if not key or not scan.take("="):
            raise scan.wrong("field=value", scan.line[scan.at :] or "nothing")
        _take(scan, sample, prefix, (key, scan.value()))
        if not scan.take(","):
            break
    if scan.peek() not in ("", " "):
        raise scan.wrong("a comma, a blank or the end", scan.line[scan.at :])


def _take(scan: _Scanner, sample: Sample, prefix: tuple[str, str], pair: tuple[str, str]) -> None:
    key, sent = pair
    path = f"{prefix[0]}.{key}"
    name = f"{prefix[1]}.{key.replace('.', '-')}"
    integer = _INTEGER(sent)
    if sent.startswith('"'):
        if 1 < len(sent) <= MAX_TEXT:
            sample.states.append(State(path, name, sent[1:]))
        else:
            sample.notes.append((path[:80], "no word"))
    elif sent in _TRUE or sent in _FALSE:
        sample.number(Field(path, name), int(sent in _TRUE))
    elif integer and _MOST[integer[2]][0] <= int(integer[1]) <= _MOST[integer[2]][1]:
        sample.number(Field(path, name), int(integer[1]))
    elif _NUMBER(sent) and math.isfinite(float(sent)):
        sample.number(Field(path, name), float(sent))
    else:
        raise scan.wrong("a number, a boolean or a quoted text", repr(sent))


FORMATS: tuple[Format, ...] = (
    Format(
        "influx_line",
        "the payload is a line of InfluxDB: measurement,tags fields time",
        decode,
        shape=_LOOKS,
        marks=frozenset(),
    ),
)
