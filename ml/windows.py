"""Event time: which readings are new, repeated or late, and the window of each device. No I/O.

The watermark is each device's own: its newest event time less the lateness. (One for a whole
partition would let a single device with a fast clock make all others late.) Readings of one device
are taken one at a time, in the order of their offsets; `rounds` cuts a batch so that each round
has a device once and all devices of a round share their class.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b

import numpy as np

from bridge.contracts import MICROS
from ml.columns import Columns
from ml.state import POSITION, STEPS, Field, Table

DAY = 86_400 * MICROS  # us; a clock further ahead of the reception than this moves no watermark
RESET = 16  # late readings in a row after which the device's clock is taken to be set back
GAP = 10.0  # a pause of so many usual intervals empties the window
LARGEST = 1e15  # in any unit; what is larger, or no number, is no measurement
EARTH_M = 6_371_008.8  # mean radius
MEMORY = 64  # readings over which the usual interval is averaged

FIELDS = {
    "newest": Field(dtype="i8", start=-1),  # us, event time; -1 before the first reading
    "times": Field("t", dtype="i8", start=-1),  # us, the latest, in order
    "ids": Field("t", dtype="i8"),  # of the readings of these times
    "late": Field(dtype="i8"),  # in a row
    "interval": Field(start=np.nan),  # s, usual
    "window": Field("sc", start=np.nan),  # cleaned values, oldest first
    "lat": Field(start=np.nan),  # deg
    "lon": Field(start=np.nan),
}


class Arrival(IntEnum):
    """What a reading is to the window of its device."""

    NEW = 0  # newer than all before
    OLDER = 1  # out of order, within the lateness: it is scored and changes nothing
    LATE = 2  # behind the watermark: it goes to the `late` topic
    REPEATED = 3  # this reading was there already


@dataclass(frozen=True, slots=True)
class Round:
    """Rows of a batch that can be taken at once: one class, each device at most once."""

    device_class: str
    rows: np.ndarray  # (n,), int64, into the batch


class Homes:
    """The class that each device belongs to: that of its first reading, for good."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def rounds(self, batch: Columns) -> Iterator[Round]:
        """The batch in rounds; the order of offsets holds for each device."""
        turns: dict[tuple[int, str], list[int]] = {}
        seen: dict[str, int] = {}
        for row, device in enumerate(batch.device):
            home = self.of.setdefault(device, batch.device_class[row])
            turn = seen[device] = seen.get(device, -1) + 1
            turns.setdefault((turn, home), []).append(row)
        for (_, home), rows in sorted(turns.items(), key=lambda item: item[0][0]):
            yield Round(home, np.asarray(rows, np.int64))


def arrive(
    table: Table, at: np.ndarray, batch: Columns, round_: Round, lateness_s: float
) -> np.ndarray:
    """What each reading of the round is; moves the watermarks.

    Args:
        table: the class.
        at: (n,) rows of the table.
        batch: the readings.
        round_: which of them.
        lateness_s: how far behind its device's newest event time a reading may be.

    Returns:
        (n,) of `Arrival`.
    """
    time, received = batch.time[round_.rows], batch.received[round_.rows]
    identity = _identities(batch, round_)
    newest, times = table["newest"][at], table["times"][at]
    repeated = (table["ids"][at] == identity[:, None]).any(axis=1) & (times >= 0).any(axis=1)
    late = (time < newest - int(lateness_s * MICROS)) | (time < times[:, 0])
    counts = late & ~repeated & ~batch.dup[round_.rows]  # a redelivery is no sign of a clock
    table["late"][at] = np.where(counts, table["late"][at] + 1, 0)
    reset = table["late"][at] >= RESET
    if reset.any():
        table.clear(at[reset], [name for name in FIELDS if name != "ids"])
        newest, late = table["newest"][at], late & ~reset
    ahead = time > received + DAY
    arrival = np.select(
        [repeated, late, (time < newest) | ahead],
        [Arrival.REPEATED, Arrival.LATE, Arrival.OLDER],
        Arrival.NEW,
    )
    _remember(table, at, (time, identity), arrival <= Arrival.OLDER)
    _advance(table, at, time, arrival)
    return arrival


def _identities(batch: Columns, round_: Round) -> np.ndarray:
    """64 bits of each reading's id."""
    digests = (blake2b(batch.id[row].encode(), digest_size=8).digest() for row in round_.rows)
    return np.frombuffer(b"".join(digests), np.int64)


def _remember(
    table: Table, at: np.ndarray, of: tuple[np.ndarray, np.ndarray], kept: np.ndarray
) -> None:
    """Keep the latest times and their readings, in order of time; the oldest goes."""
    time, identity = (np.asarray(part)[kept] for part in of)
    rows = at[kept]
    times = np.concatenate((table["times"][rows], time[:, None]), axis=1)
    ids = np.concatenate((table["ids"][rows], identity[:, None]), axis=1)
    order = np.argsort(times, axis=1, kind="stable")[:, 1:]
    table["times"][rows] = np.take_along_axis(times, order, axis=1)
    table["ids"][rows] = np.take_along_axis(ids, order, axis=1)


def _advance(table: Table, at: np.ndarray, time: np.ndarray, arrival: np.ndarray) -> None:
    new = arrival == Arrival.NEW
    rows, before = at[new], table["newest"][at[new]]
    step = np.where(before < 0, np.nan, (time[new] - before) / MICROS)  # s
    step = np.where(step > 0, step, np.nan)  # a second message of the same time
    usual = table["interval"][rows]
    paused = step > GAP * usual
    table.clear(rows[paused], ["window", "lat", "lon"])
    mean = usual + (step - usual) / MEMORY
    learned = np.where(np.isnan(usual), step, np.where(paused | np.isnan(step), usual, mean))
    table["interval"][rows] = learned
    table["newest"][rows] = time[new]


def matrix(table: Table, at: np.ndarray, batch: Columns, round_: Round) -> np.ndarray:
    """The values of the round: (n, channels of the table), float64, NaN where there is none."""
    names = {batch.channels[row] for row in round_.rows}
    located = not np.isnan(batch.position[round_.rows]).all()
    columns = {channels: table.columns(channels) for channels in sorted(names)}
    place = table.columns([POSITION])[0] if located else -1
    out = np.full((len(at), len(table.channels)), np.nan)
    for n, row in enumerate(round_.rows):
        target = columns[batch.channels[row]]
        values = batch.values[batch.starts[row] : batch.starts[row + 1]]
        for column, value in zip(target, values, strict=True):
            if column >= 0 and abs(value) <= LARGEST:
                out[n, column] = value
    if place >= 0:
        out[:, place] = _over_ground(table, at, batch.position[round_.rows])
    return out


def _over_ground(table: Table, at: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Distance from the last position by the usual interval, m/s: (n,), NaN where unknown.

    Great-circle distance on the mean sphere, haversine formula.
    """
    lat, lon = np.radians(position).T
    lat0, lon0 = np.radians(table["lat"][at]), np.radians(table["lon"][at])
    part = np.sin((lat - lat0) / 2) ** 2
    part += np.cos(lat) * np.cos(lat0) * np.sin((lon - lon0) / 2) ** 2
    metres = 2 * EARTH_M * np.arcsin(np.sqrt(np.clip(part, 0.0, 1.0)))
    return np.asarray(metres / table["interval"][at])


def enter(table: Table, at: np.ndarray, cleaned: np.ndarray, position: np.ndarray) -> None:
    """Append the cleaned values (n, channels) to the windows, and keep the positions (n, 2)."""
    window = table["window"]
    window[at, :-1] = window[at, 1:]
    window[at, -1] = cleaned
    known = ~np.isnan(position[:, 0])
    table["lat"][at[known]], table["lon"][at[known]] = position[known].T


def trend(table: Table, at: np.ndarray) -> np.ndarray:
    """Where the straight line through each window goes next: (n, channels), NaN if not full."""
    return np.asarray(np.einsum("s,nsc->nc", TREND, table["window"][at]))


def _weights(steps: int) -> np.ndarray:
    """Weights of the least-squares line through ``steps`` points, read one step further on."""
    x = np.arange(steps) - (steps - 1) / 2
    return np.asarray(1 / steps + (steps + 1) / 2 * x / (x**2).sum())


TREND = _weights(STEPS)  # (steps,)
