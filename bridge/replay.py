"""A recorded CSV file as messages of one device, in its own rhythm.

The time column and the delimiter are recognised; the numeric columns become sensors; label
columns become labels and never travel. The file is read twice, row by row: once to know what is
in it, once to send it.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from bridge.contracts import MICROS
from bridge.errors import Malformed, Misconfigured
from bridge.fleet import Fault, Telemetry

TIME_COLUMNS = ("datetime", "timestamp", "time", "date", "ts")
LABEL_COLUMNS = ("anomaly", "changepoint", "label", "is_anomaly")
DELIMITERS = ",;\t"
NOTHING = ("", "nan", "null", "none")  # an empty cell: the field is left out
TRUTH = {"true": True, "yes": True, "false": False, "no": False}
LOOK_AT = 20  # rows that say which columns are numeric
GAP_S = 5.0  # longest wait between two rows
TIMES = (-62_135_596_800 * MICROS, 10**17)  # years 1 to 5138
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Columns:
    """What each column of the file is, by its place."""

    delimiter: str
    width: int
    time: int
    sensors: tuple[tuple[int, str], ...]
    labels: tuple[tuple[int, str], ...]
    ignored: tuple[str, ...]  # columns of words, and second time columns


@dataclass(frozen=True, slots=True)
class Row:
    time: int  # microseconds
    values: dict[str, float]
    labels: tuple[bool, ...]


@dataclass(slots=True)
class Recording:
    """A file as a device; see `open_recording`."""

    path: Path
    device: str
    columns: Columns
    rows: int = 0
    labels: tuple[Fault, ...] = ()
    bad: int = 0  # rows that are left out ...
    complaints: list[Malformed] = field(default_factory=list)  # ... and why the first of them

    def messages(self) -> Iterator[Telemetry]:
        topic = f"fleet/replay/{self.device}/telemetry"
        for row in _rows(self.path, self.columns, lambda error: None):
            payload = json.dumps({"ts": _iso(row.time), **row.values}, separators=(",", ":"))
            yield Telemetry(row.time, self.device, topic, payload.encode())

    def fault_at(self, device: str, time: int) -> Fault | None:
        return next((fault for fault in self.labels if fault.start <= time < fault.end), None)

    def pace(self, speed: float, begin: int) -> Callable[[int], int]:
        """When to publish the rows, asked row by row, the first at `begin`; microseconds.

        Raises:
            Misconfigured: the speed is not a positive number.
        """
        if not (math.isfinite(speed) and speed > 0):
            raise Misconfigured("simulate: speed", "a number above 0", repr(speed))
        before: int | None = None
        at = begin

        def publish_at(time: int) -> int:
            nonlocal before, at
            gap = 0 if before is None else max(0, time - before)
            at += min(int(gap / speed), int(GAP_S * MICROS))
            before = time
            return at

        return publish_at

    def about(self) -> dict[str, Any]:
        """What to say at the end."""
        return {
            "recording": str(self.path),
            "device": self.device,
            "sensors": [name for _, name in self.columns.sensors],
            "ignored": list(self.columns.ignored),
            "rows": self.rows,
            "bad_rows": self.bad,
            "complaints": [str(error) for error in self.complaints],
        }


def open_recording(path: Path, device: str) -> Recording:
    """Look through the whole file once.

    Raises:
        Misconfigured: no such file, no time column, no numbers, or not one good row.
    """
    if not device or any(character in device for character in "/+#\0"):
        raise Misconfigured("simulate: device", "a name without / + #", repr(device))
    recording = Recording(path, device, _columns(path))
    runs = _Runs(device, tuple(name for _, name in recording.columns.labels))

    def complain(error: Malformed) -> None:
        recording.bad += 1
        if len(recording.complaints) < LOOK_AT:
            recording.complaints.append(error)

    for row in _rows(path, recording.columns, complain):
        recording.rows += 1
        runs.take(row)
    if not recording.rows:
        first = f"; {recording.complaints[0]}" if recording.complaints else ""
        raise Misconfigured(str(path), "rows with a time and numbers", f"not one good row{first}")
    recording.labels = runs.end()
    return recording


class _Runs:
    """Rows in a row with the same label set become one fault."""

    def __init__(self, device: str, names: tuple[str, ...]) -> None:
        self._device = device
        self._names = names
        self._since: list[int | None] = [None] * len(names)
        self._faults: list[Fault] = []
        self._before, self._step = 0, 1  # microseconds

    def take(self, row: Row) -> None:
        self._step = max(1, row.time - self._before) if self._before else 1
        self._before = row.time
        for n, faulty in enumerate(row.labels):
            since = self._since[n]
            if faulty and since is None:
                self._since[n] = row.time
            elif not faulty and since is not None:
                self._close(n, since, row.time)

    def _close(self, n: int, since: int, end: int) -> None:
        self._faults.append(Fault(self._device, self._names[n], "", since, end, 0.0))
        self._since[n] = None

    def end(self) -> tuple[Fault, ...]:
        """All of them; one that is open ends a step after the last row."""
        for n, since in enumerate(self._since):
            if since is not None:
                self._close(n, since, self._before + self._step)
        return tuple(sorted(self._faults, key=lambda fault: (fault.start, fault.kind)))


@contextmanager
def _reading(path: Path) -> Iterator[Iterator[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except FileNotFoundError:
        raise Misconfigured(str(path), "a CSV file", "no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misconfigured(str(path), "a readable CSV file in UTF-8", str(error)) from None


def _columns(path: Path) -> Columns:
    with _reading(path) as file:
        header = next(file, "")
        if not header.strip():
            raise Misconfigured(f"{path}, line 1", "a header with column names", "an empty file")
        delimiter = max(DELIMITERS, key=header.count)
        (names,) = csv.reader([header], delimiter=delimiter)
        first = [row for row, _ in zip(csv.reader(file, delimiter=delimiter), range(LOOK_AT))]  # noqa: B905
    if not first:
        raise Misconfigured(str(path), "rows with a time and numbers", "only a header")
    names = [name.strip() for name in names]
    lower = [name.lower() for name in names]
    if len(set(names)) < len(names):
        raise Misconfigured(f"{path}, line 1", "different column names", ", ".join(names))
    times = [lower.index(name) for name in TIME_COLUMNS if name in lower]
    if not times:
        expected = f"a time column: {', '.join(TIME_COLUMNS)}"
        raise Misconfigured(f"{path}, line 1", expected, f"columns {', '.join(names)}")
    labels = tuple((n, names[n]) for n, name in enumerate(lower) if name in LABEL_COLUMNS)
    others = [
        (n, name) for n, name in enumerate(names) if n not in times and (n, name) not in labels
    ]
    sensors = tuple((n, name) for n, name in others if name and _numeric(first, n))
    if not sensors:
        raise Misconfigured(str(path), "a column of numbers", f"columns {', '.join(names)}")
    ignored = [name for n, name in others if (n, name) not in sensors]
    ignored += [names[n] for n in times[1:]]
    return Columns(delimiter, len(names), times[0], sensors, labels, tuple(ignored))


def _numeric(rows: list[list[str]], n: int) -> bool:
    """Whether at least half of the cells are numbers."""
    cells = [row[n] for row in rows if len(row) > n and row[n].strip().lower() not in NOTHING]
    return 2 * sum(_is_number(cell) for cell in cells) >= max(1, len(cells))


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _rows(path: Path, columns: Columns, complain: Callable[[Malformed], None]) -> Iterator[Row]:
    """The good rows; of each other one is complained, with its line number."""
    with _reading(path) as file:
        lines = csv.reader(file, delimiter=columns.delimiter)
        next(lines, None)
        for cells in lines:
            if not cells:
                continue
            try:
                yield _row(f"{path}, line {lines.line_num}", cells, columns)
            except Malformed as error:
                complain(error)


def _row(where: str, cells: list[str], columns: Columns) -> Row:
    if len(cells) != columns.width:
        raise Malformed(where, f"{columns.width} columns", str(len(cells)))
    values = {}
    for n, name in columns.sensors:
        if cells[n].strip().lower() not in NOTHING:
            values[name] = _number(f"{where}, {name}", cells[n])
    labels = tuple(_label(f"{where}, {name}", cells[n]) for n, name in columns.labels)
    return Row(_micros(where, cells[columns.time]), values, labels)


def _number(where: str, cell: str) -> float:
    if not _is_number(cell):
        raise Malformed(where, "a number", repr(cell))
    return float(cell)


def _label(where: str, cell: str) -> bool:
    word = cell.strip().lower()
    if word in NOTHING:
        return False
    return TRUTH[word] if word in TRUTH else _number(where, cell) != 0.0


def _micros(where: str, cell: str) -> int:
    """UTC microseconds of ISO 8601 (naive is UTC) or of an epoch in s, ms, us or ns."""
    try:
        number = Decimal(cell)
        if not number.is_finite():
            raise InvalidOperation
        return _known(where, int(number * _scale(number)), cell)
    except InvalidOperation:
        pass
    try:
        time = datetime.fromisoformat(cell.strip())
    except ValueError:
        raise Malformed(where, "a time, ISO 8601 or epoch", repr(cell)) from None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return _known(where, (aware - EPOCH) // timedelta(microseconds=1), cell)


def _known(where: str, micros: int, cell: str) -> int:
    if not TIMES[0] <= micros < TIMES[1]:
        raise Malformed(where, "a time between the years 1 and 5138", repr(cell))
    return micros


def _scale(number: Decimal) -> Decimal:
    """To microseconds, by the size: seconds up to the year 5138, then ms, us, ns."""
    for limit, scale in ((1e11, 10**6), (1e14, 10**3), (1e17, 1)):
        if abs(number) < limit:
            return Decimal(scale)
    return Decimal("0.001")


def _iso(micros: int) -> str:
    return (EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")
