"""A batch of `Reading` values -> columns, at compiled speed. No I/O.

The Avro bodies are joined into one object container block in memory (Avro 1.12, "Object Container
Files") that polars reads at once. What does not fit is decoded one by one, so that one bad record
costs the others nothing but time.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from bridge import wire
from bridge.contracts import Quality, Reading
from bridge.errors import Malformed

SYNC = b"haltere-columns!"  # any 16 bytes
_SCHEMA = json.dumps(wire.SCHEMAS[Reading]).encode()


def _text(data: bytes) -> bytes:
    return wire.zigzag(len(data)) + data


_HEADER = b"".join(
    (b"Obj\x01", wire.zigzag(1), _text(b"avro.schema"), _text(_SCHEMA), b"\x00", SYNC)
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings by column, in the order of the records; ``index`` is the record each came from."""

    index: np.ndarray  # (rows,), int64
    device: list[str]
    device_class: list[str]
    id: list[str]
    time: np.ndarray  # (rows,), int64, us
    received: np.ndarray  # (rows,), int64, us
    channels: list[tuple[str, ...]]
    values: np.ndarray  # (all values of all rows,), float64
    starts: np.ndarray  # (rows + 1,), int64: row r has values[starts[r]:starts[r + 1]]
    dup: np.ndarray  # (rows,), bool: the MQTT broker says that it may have sent it before
    position: np.ndarray  # (rows, 2), float64: lat, lon in deg, NaN where there is none

    def __len__(self) -> int:
        return len(self.device)


class Decoder:
    """Decodes batches."""

    def __init__(self) -> None:
        self.refused: list[tuple[int, Malformed]] = []  # of the last batch, by record

    def decode(self, values: Sequence[bytes]) -> Columns:
        """Columns of the records that are readings; the others are in `refused`."""
        self.refused = []
        bodies, plain, odd = [], [], []
        for n, value in enumerate(values):
            try:
                skip = wire.frame_length(Reading, value)
            except Malformed:
                odd.append(n)
                continue
            bodies.append(value[skip:])
            plain.append(n)
        try:
            frame = _read(bodies) if bodies else None
        except (Exception, pl.exceptions.PanicException):  # it raises whatever the bytes lead to
            frame = None  # a body that is cut: the ones behind it cannot be told apart
        if frame is None or odd or not _whole(frame):
            return self._one_by_one(values)
        return self._columns(frame, np.asarray(plain))

    @staticmethod
    def _columns(frame: pl.DataFrame, index: np.ndarray) -> Columns:
        lengths = frame["values"].list.len().to_numpy().astype(np.int64)
        place = frame["position"]
        lat = place.struct.field("lat").cast(pl.Float64).to_numpy()
        lon = place.struct.field("lon").cast(pl.Float64).to_numpy()
        return Columns(
            index=index,
            device=frame["device"].to_list(),
            device_class=frame["device_class"].to_list(),
            id=frame["id"].to_list(),
            time=frame["time"].to_numpy(),
            received=frame["received"].to_numpy(),
            channels=[tuple(names) for names in frame["channels"].to_list()],
            dup=_dup(frame["quality"].to_numpy()),
            values=frame["values"].explode().drop_nulls().to_numpy(),
            starts=np.concatenate(([0], np.cumsum(lengths))),
            position=np.stack((lat, lon), axis=1),
        )

    def _one_by_one(self, values: Sequence[bytes]) -> Columns:
        readings, index = [], []
        for n, value in enumerate(values):
            try:
                readings.append(_sound(wire.decode(Reading, value)))
                index.append(n)
            except Malformed as error:
                self.refused.append((n, error))
        return of(readings, index)


def of(readings: Sequence[Reading], index: Sequence[int] | None = None) -> Columns:
    """Columns of readings that are already decoded."""
    places = [(r.position.lat, r.position.lon) if r.position else (np.nan,) * 2 for r in readings]
    return Columns(
        index=np.asarray(range(len(readings)) if index is None else index, np.int64),
        device=[r.device for r in readings],
        device_class=[r.device_class for r in readings],
        id=[r.id for r in readings],
        time=np.asarray([r.time for r in readings], np.int64),
        received=np.asarray([r.received for r in readings], np.int64),
        channels=[r.channels for r in readings],
        values=np.asarray([v for r in readings for v in r.values], np.float64),
        dup=_dup(np.asarray([r.quality for r in readings], np.int64)),
        starts=np.cumsum([0, *(len(r.values) for r in readings)]),
        position=np.asarray(places, np.float64).reshape(-1, 2),
    )


def _sound(reading: Reading) -> Reading:
    if len(reading.channels) != len(reading.values):
        raise Malformed(
            "Kafka value of Reading",
            f"{len(reading.channels)} values, one for each channel",
            f"{len(reading.values)}",
        )
    return reading


def _dup(quality: np.ndarray) -> np.ndarray:
    return np.asarray(quality & Quality.DUP.value != 0)


def _whole(frame: pl.DataFrame) -> bool:
    """Whether every row has a value for each channel: a cut body would shift what follows it."""
    lengths = frame.select(pl.col("channels").list.len() == pl.col("values").list.len())
    return bool(lengths.to_series().all())


def _read(bodies: list[bytes]) -> pl.DataFrame:
    block = b"".join(bodies)
    count, size = wire.zigzag(len(bodies)), wire.zigzag(len(block))
    return pl.read_avro(io.BytesIO(b"".join((_HEADER, count, size, block, SYNC))))
