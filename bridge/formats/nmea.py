"""NMEA 0183: sentences of GPS receivers and instruments, one or several in a payload.

``$TTSSS,field,field*hh``: two letters of the talker, three of the sentence, and a checksum, which
must match where there is one; without it a sentence may be cut, and its last field is not read.
What each field holds stands in a table. A void fix is no position, nor is that of a waypoint. A
sentence that states no time belongs to the one before it that does. AIS (``!``) is not decoded.
No I/O, no clock.
"""

import re
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from typing import NamedTuple

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.sample import MAX_BYTES, MAX_ITEMS, Decoded, Field, Nothing, Sample
from bridge.formats.scalars import describe, instant, number, place

_LOOKS = re.compile(
    rb"\s*(?:\\[^\\\r\n]{0,200}\\)?[$!](?:P[A-Z]{2,6}[0-9A-Z]{0,3}|[A-Z]{2}[A-Z0-9]{3}),"
).match
_BETWEEN = re.compile(rb"[\r\n]+|(?<=\*[0-9A-Fa-f]{2})(?=[$!\\])").split
_SENTENCE = re.compile(r"(?:\\[^\\]*\\)?([$!])([^*]*)(?:\*([0-9A-Fa-f]{2}))?").fullmatch
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.(\d{1,6})\d*)?").fullmatch
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)").fullmatch
_ANGLE = re.compile(r"(\d{1,3})(\d\d(?:\.\d+)?)").fullmatch
_NAUTICAL = {"K": "km/h", "M": "m/s", "N": "kn", "S": "mph"}


class _Said(NamedTuple):
    """One number of a sentence."""

    at: int
    channel: str
    unit: str
    only: tuple[int, str] = (0, "")  # another field must say this
    sides: int = 0  # a field that makes it negative: W, S, L, or the like


_MOST = 200  # sentences of a payload
_POSITION = {"RMC": (3, 2, "A"), "GLL": (1, 6, "A"), "GGA": (2, 6, ""), "GNS": (2, 6, "")}
_VOIDS = {"RMC": (12, "N"), "GLL": (7, "N"), "VTG": (9, "N"), "THS": (2, "V")}  # modes
_TIMES = {"RMC": 1, "GLL": 5, "GGA": 1, "GNS": 1, "ZDA": 1}
_FIELDS: dict[str, tuple[_Said, ...]] = {
    "RMC": (
        _Said(7, "speed", "kn"),
        _Said(8, "course", "deg"),
        _Said(10, "magnetic_variation", "deg", sides=11),
    ),
    "GGA": (_Said(7, "satellites", ""), _Said(8, "hdop", ""), _Said(9, "altitude", "m")),
    "GNS": (_Said(7, "satellites", ""), _Said(8, "hdop", ""), _Said(9, "altitude", "m")),
    "GLL": (),
    "VTG": (
        _Said(1, "course", "deg"),
        _Said(3, "magnetic_course", "deg"),
        _Said(7, "speed", "km/h"),
        _Said(5, "speed", "kn"),
    ),
    "HDT": (_Said(1, "true_heading", "deg"),),
    "HDM": (_Said(1, "magnetic_heading", "deg"),),
    "HDG": (
        _Said(1, "magnetic_heading", "deg"),
        _Said(2, "magnetic_deviation", "deg", sides=3),
        _Said(4, "magnetic_variation", "deg", sides=5),
    ),
    "THS": (_Said(1, "true_heading", "deg"),),
    "ROT": (_Said(1, "rate_of_turn", "deg/min", (2, "A")),),
    "DBT": (_Said(3, "depth", "m"), _Said(1, "depth", "ft"), _Said(5, "depth", "fathom")),
    "DBS": (_Said(3, "depth_below_surface", "m"), _Said(1, "depth_below_surface", "ft")),
    "DBK": (_Said(3, "depth_below_keel", "m"), _Said(1, "depth_below_keel", "ft")),
    "DPT": (_Said(1, "depth", "m"), _Said(2, "depth_offset", "m")),
    "MTW": (
        _Said(1, "water_temperature", "Cel", (2, "C")),
        _Said(1, "water_temperature", "degF", (2, "F")),
    ),
    "MTA": (_Said(1, "air_temperature", "Cel", (2, "C")),),
    "MWD": (
        _Said(1, "wind_direction", "deg"),
        _Said(7, "wind_speed", "m/s"),
        _Said(5, "wind_speed", "kn"),
    ),
    "VHW": (
        _Said(1, "true_heading", "deg"),
        _Said(3, "magnetic_heading", "deg"),
        _Said(7, "water_speed", "km/h"),
        _Said(5, "water_speed", "kn"),
    ),
    "VLW": (_Said(1, "water_distance", "nmi"), _Said(3, "trip_water_distance", "nmi")),
    "VWR": (
        _Said(1, "apparent_wind_angle", "deg", sides=2),
        _Said(5, "apparent_wind_speed", "m/s"),
        _Said(3, "apparent_wind_speed", "kn"),
    ),
    "VWT": (
        _Said(1, "true_wind_angle", "deg", sides=2),
        _Said(5, "true_wind_speed", "m/s"),
        _Said(3, "true_wind_speed", "kn"),
    ),
    "VPW": (_Said(3, "speed_parallel_to_wind", "m/s"), _Said(1, "speed_parallel_to_wind", "kn")),
    "RSA": (
        _Said(1, "rudder_angle", "deg", (2, "A")),
        _Said(3, "port_rudder_angle", "deg", (4, "A")),
    ),
    "GSA": (_Said(15, "pdop", ""), _Said(16, "hdop", ""), _Said(17, "vdop", "")),
    "GSV": (_Said(3, "satellites_in_view", ""),),
    "MDA": (
        _Said(3, "pressure", "bar"),
        _Said(1, "pressure", "inHg"),
        _Said(5, "air_temperature", "Cel"),
        _Said(7, "water_temperature", "Cel"),
        _Said(9, "humidity", "%"),
        _Said(11, "dew_point", "Cel"),
        _Said(13, "wind_direction", "deg"),
        _Said(19, "wind_speed", "m/s"),
        _Said(17, "wind_speed", "kn"),
    ),
    "MMB": (_Said(3, "pressure", "bar"), _Said(1, "pressure", "inHg")),
    "MHU": (_Said(1, "humidity", "%"), _Said(3, "dew_point", "Cel")),
    "VDR": (_Said(1, "current_set", "deg"), _Said(5, "current_drift", "kn")),
    "XTE": (),
    "ZDA": (),
}
_ENGINES = {"E": "engine", "S": "shaft"}
# what XDR measures, and in which unit, by its letters
_NAMES = (
    "A=angle C=temperature D=displacement F=frequency H=humidity I=current L=salinity N=force"
    " P=pressure R=flow S=switch T=rotational_speed U=voltage V=volume"
)
_UNITS = (
    "CC=Cel CF=degF CK=K PB=bar PP=Pa PH=hPa PI=inHg PM=mmHg HP=% AD=deg AP=% UV=V IA=A VM=m3 VP=%"
    " TR=rpm RL=l/s DM=m NN=N FH=Hz"
)
_KINDS = dict(pair.split("=") for pair in _NAMES.split())
_TRANSDUCERS = dict(pair.split("=") for pair in _UNITS.split())
_NO_MEASUREMENT = Nothing("no measurement in these sentences")
_VOID = Nothing("no valid fix")
_AIS = Nothing("AIS is not decoded")
_PROPRIETARY = Nothing("a proprietary sentence")


def decode(topic: str, payload: bytes) -> Decoded:
    """The samples of the sentences of a payload; those of one time are one.

    Raises:
        Malformed: a checksum is wrong, or a line is no sentence.
    """
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    if payload.count(b",") > 4 * MAX_ITEMS:
        raise Malformed("payload", f"at most {4 * MAX_ITEMS} fields", "more")
    lines = [line.strip().decode("latin-1") for line in _BETWEEN(payload.strip(b"\0"))]
    lines = [line for line in lines if line]
    if len(lines) > _MOST:
        raise Malformed("payload", f"at most {_MOST} sentences", f"{len(lines)}")
    reader = _Reader(len(lines) > 1)
    for at, line in enumerate(lines):
        reader.take(at + 1, line)
    return reader.samples()


class _Epoch:
    """What is said of one time, each thing once."""

    def __init__(self) -> None:
        self.sample = Sample()
        self._names: set[str] = set()
        self.paths: set[str] = set()

    def add(self, field: Field, value: float) -> None:
        """One more number, unless an earlier sentence of the same time has said it."""
        if field.name in self._names:
            self.sample.notes.append((field.path, "said before"))
            return
        self._names.add(field.name)
        self.paths.add(field.path)
        self.sample.number(field, value)

    def join(self, early: Sample) -> None:
        """Sentences before the first one with a time belong to it."""
        for field, value in zip(early.fields, early.values, strict=True):
            self.add(field, value)
        self.sample.notes.extend(early.notes)


class _Reader:
    """Sentences in their order; a date that one has told is that of the others."""

    def __init__(self, several: bool) -> None:
        self._several = several
        self._epochs: dict[str, _Epoch] = {}  # by time of day, "": none
        self._days: dict[str, int | None] = {}
        self._clock = ""  # of the last sentence with one
        self._nothing: Nothing = _NO_MEASUREMENT

    def take(self, at: int, line: str) -> None:
        fields = _split(at, line)
        head = fields[0]
        if head.startswith(("!", "P")):
            self._nothing = _AIS if head.startswith("!") else _PROPRIETARY
            return
        kind, where = head[-3:], f"{at}.{head}" if self._several else head
        if not _valid(kind, fields):
            self._nothing = _VOID
            return
        at_clock = _TIMES.get(kind, 0)
        if 0 < at_clock < len(fields) and fields[at_clock]:
            clock = fields[at_clock]
            self._clock = clock.rstrip("0").rstrip(".") if "." in clock else clock
            self._date(kind, fields)
        _read(kind, fields, (where, self._epochs.setdefault(self._clock, _Epoch())))

    def _date(self, kind: str, fields: list[str]) -> None:
        if kind == "ZDA" and len(fields) > 4:  # noqa: PLR2004
            self._days[self._clock] = _instant(fields[2] + fields[3] + fields[4][2:], self._clock)
        if kind == "RMC" and len(fields) > 9:  # noqa: PLR2004
            self._days[self._clock] = _instant(fields[9], self._clock)

    def samples(self) -> Decoded:
        """What there is, each with the time that is known for it."""
        early = self._epochs.pop("", None)
        found = list(self._epochs.items())
        if early and found:
            found[0][1].join(early.sample)
        elif early:
            found = [("", early)]
        whole = next((day for day in self._days.values() if day is not None), None)
        samples = []
        for clock, epoch in found:
            epoch.sample.time = self._days.get(clock)
            if epoch.sample.time is None and clock and whole is not None:
                epoch.sample.time = _near(whole, clock)
            if epoch.sample.fields or epoch.sample.position:
                samples.append(epoch.sample)
        return _last_undated(samples) or self._nothing


def _last_undated(samples: list[Sample]) -> list[Sample]:
    """Of samples of which only the time of day is known, the last: the others are older."""
    undated = [sample for sample in samples if sample.time is None]
    for sample in undated[:-1]:
        undated[-1].notes.extend((field.path, "older, without a date") for field in sample.fields)
    return [s for s in samples if s.time is not None] + undated[-1:]


def _read(kind: str, fields: list[str], to: tuple[str, _Epoch]) -> None:
    """Everything that a sentence measures."""
    if kind in _POSITION:
        _take_position(kind, fields, to)
    if kind == "XDR":
        _take_transducers(fields, *to)
    if kind == "MWV":
        _take_wind(fields, *to)
    if kind == "RPM":
        _take_engine(fields, *to)
    for said in _FIELDS.get(kind, ()):
        _take_number(said, fields, to)


def _split(at: int, line: str) -> list[str]:
    match = _SENTENCE(line)
    if not match or len(line) > 1000:  # noqa: PLR2004
        raise Malformed(f"sentence {at}", "$TTSSS,...*hh", describe(line.encode()[:80]))
    mark, body, checksum = match.groups()
    summed = reduce(xor, body.encode("latin-1"), 0)
    if checksum and int(checksum, 16) != summed:
        raise Malformed(f"sentence {at}", f"the checksum {summed:02X}", checksum)
    fields = body.split(",")
    if not checksum and len(fields) > 1:
        fields[-1] = fields[-1] if fields[-1].isalpha() else ""  # it may be cut
    return [mark.strip("$") + fields[0], *fields[1:]]


def _valid(kind: str, fields: list[str]) -> bool:
    """Whether there is a fix: status A, a quality above 0, a mode that is not N."""
    mode, void = _VOIDS.get(kind, (0, ""))
    if mode and len(fields) > mode and fields[mode] == void:
        return False
    if kind not in _POSITION:
        return True
    at, status, good = _POSITION[kind]
    if len(fields) <= max(at, status):
        return False
    if kind == "GNS":
        return bool(fields[6].strip("N"))
    return fields[status] == good if good else fields[status].strip("0").isdecimal()


def _take_position(kind: str, fields: list[str], to: tuple[str, _Epoch]) -> None:
    where, sample = to[0], to[1].sample
    at = _POSITION[kind][0]
    part = (fields[at : at + 4] + [""] * 4)[:4]
    north, east = _degrees(part[0], part[1], "NS"), _degrees(part[2], part[3], "EW")
    spot = place(north, east)
    sample.notes.append((f"{where}.lat, lon", "the position" if spot else "no position on Earth"))
    sample.position = sample.position or spot


def _degrees(sent: str, side: str, sides: str) -> float | None:
    match = _ANGLE(sent)
    if not match or float(match[2]) >= 60 or not side or side not in sides:  # noqa: PLR2004
        return None
    degrees = int(match[1]) + float(match[2]) / 60
    return degrees if side == sides[0] else -degrees


def _take_number(said: _Said, fields: list[str], to: tuple[str, _Epoch]) -> None:
    where, epoch = to
    path = f"{where}.{said.channel}"
    index, must = said.only
    value = number(fields[said.at]) if len(fields) > said.at else None
    if value is None or path in epoch.paths:  # in another unit
        return
    if must and (len(fields) <= index or fields[index] != must):
        epoch.sample.notes.append((path, f"not read: field {index} is not {must}"))
        return
    if said.sides:
        side = fields[said.sides] if len(fields) > said.sides else ""
        if not side:
            return
        value = -value if side in ("W", "L", "S") else value
    value, unit = (value * 6, "ft") if said.unit == "fathom" else (value, said.unit)
    epoch.add(Field(path, said.channel, unit), value)


def _take_transducers(fields: list[str], where: str, epoch: _Epoch) -> None:
    """XDR: kind, number, unit and name of each; a name that is a number follows its quantity."""
    for at in range(1, len(fields) - 3, 4):
        kind, sent, unit, name = fields[at : at + 4]
        value = number(sent)
        if value is not None:
            channel = name.replace(".", "-")[:60]
            if not channel or channel.isdecimal():
                channel = f"{_KINDS.get(kind, 'transducer')}_{channel or at // 4}"
            unit = _TRANSDUCERS.get(kind + unit, unit[:8] if len(unit) > 1 else "")
            epoch.add(Field(f"{where}.{at // 4}.{channel}", channel, unit), value)


def _take_engine(fields: list[str], where: str, epoch: _Epoch) -> None:
    """RPM: of a shaft or an engine, which is numbered from the centreline."""
    if len(fields) < 6 or fields[5] != "A":  # noqa: PLR2004
        return
    engine = f"{_ENGINES.get(fields[1], 'engine')}_{fields[2][:8] or 0}".replace(".", "-")
    for at, name, unit in ((3, "rotational_speed", "1/min"), (4, "propeller_pitch", "%")):
        value = number(fields[at])
        if value is not None:
            epoch.add(Field(f"{where}.{name}", f"{engine}.{name}", unit), value)


def _take_wind(fields: list[str], where: str, epoch: _Epoch) -> None:
    """MWV: the angle to the bow, relative or true."""
    if len(fields) < 6 or fields[5] != "A":  # noqa: PLR2004
        return
    kind = "true" if fields[2] == "T" else "apparent"
    for name, sent, unit in (
        (f"{kind}_wind_angle", fields[1], "deg"),
        (f"{kind}_wind_speed", fields[3], _NAUTICAL.get(fields[4], "")),
    ):
        value = number(sent)
        if value is not None:
            epoch.add(Field(f"{where}.{name}", name, unit), value)


def _instant(date: str, clock: str) -> int | None:
    """UTC microseconds of ddmmyy and hhmmss.ss."""
    day, time = _DATE(date), _TIME(clock)
    if not day or not time:
        return None
    year = int(day[3]) + (1900 if int(day[3]) >= 80 else 2000)  # noqa: PLR2004
    hour, minute, second = (int(part) for part in time.groups()[:3])
    try:
        moment = datetime(year, int(day[2]), int(day[1]), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    micros = int(moment.timestamp()) * 1_000_000 + int((time[4] or "0").ljust(6, "0"))
    return instant(micros)  # none before 1990: a clock that is not set


def _near(known: int, clock: str) -> int | None:
    """The moment with this time of day that is next to a known one."""
    time = _TIME(clock)
    if not time:
        return None
    day = 86_400_000_000
    seconds = int(time[1]) * 3600 + int(time[2]) * 60 + int(time[3])
    at = known - known % day + seconds * 1_000_000 + int((time[4] or "0").ljust(6, "0"))
    return min((at - day, at, at + day), key=lambda moment: abs(moment - known))


FORMATS: tuple[Format, ...] = (
    Format(
        "nmea0183",
        "the payload is a sentence of NMEA 0183",
        decode,
        shape=_LOOKS,
        marks=frozenset(),
    ),
)
