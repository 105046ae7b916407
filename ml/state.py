"""What is known of each device of a class: named arrays, one row a device. No I/O.

The thinking modules declare the fields that they keep (`Field`) and work on rows of the arrays;
this file knows how rows come, grow, leave as bytes and return. Configuration builds a table,
`snapshot` gives a device away, `restore` takes it back, and it goes on after its last reading.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.errors import Malformed

VERSION = 1  # of the snapshot; a test reads every older one
CHANNELS = 16  # of a device that are judged; further ones are carried and not judged
STEPS = 8  # readings in the window of a device
TIMES = 32  # latest event times of a device, by which a repeated reading is known
POSITION = "position"  # the channel derived from successive positions: m/s over ground


@dataclass(frozen=True, slots=True)
class Field:
    """One array; its shape after the devices: ``c`` channels, ``s`` steps, ``t`` times."""

    shape: str = ""
    start: float = 0.0
    dtype: str = "f8"


class Table:
    """All devices of one class.

    Args:
        fields: what is kept of each device.
        channels: the columns known at the start; others are added as they come.
    """

    def __init__(self, fields: Mapping[str, Field], channels: Sequence[str] = ()) -> None:
        self._fields = dict(sorted(fields.items()))
        self.channels: list[str] = list(channels)[:CHANNELS]
        self.devices: dict[str, int] = {}
        self._capacity = 16
        self._free = list(range(self._capacity))
        self.arrays = {n: self._new(f, self._capacity) for n, f in self._fields.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def rows(self, devices: Sequence[str]) -> np.ndarray:
        """The row of each device; new devices get one."""
        for device in devices:
            if device not in self.devices:
                self._add(device)
        return np.fromiter((self.devices[d] for d in devices), np.int64, len(devices))

    def columns(self, channels: Sequence[str]) -> list[int]:
        """The column of each channel, -1 for those beyond `CHANNELS`; new channels get one."""
        for channel in channels:
            if channel not in self.channels and len(self.channels) < CHANNELS:
                self._widen(channel)
        known = {name: n for n, name in enumerate(self.channels)}
        return [known.get(channel, -1) for channel in channels]

    def clear(self, rows: np.ndarray, names: Sequence[str]) -> None:
        """Begin these fields anew for these devices."""
        for name in names:
            self.arrays[name][rows] = self._fields[name].start

    def forget(self, device: str) -> None:
        """The device belongs to another worker now."""
        row = self.devices.pop(device, None)
        if row is not None:
            self.clear(np.asarray([row]), list(self._fields))
            self._free.append(row)

    def snapshot(self, device: str) -> bytes:
        """Everything that is known of one device."""
        row = self.devices[device]
        head = json.dumps({"version": VERSION, "channels": self.channels}).encode()
        body = b"".join(self.arrays[name][row].tobytes() for name in self._fields)
        return struct.pack("<I", len(head)) + head + body

    def restore(self, device: str, data: bytes) -> None:
        """Take a device back, as `snapshot` gave it.

        Raises:
            Malformed: another version, or bytes that are no snapshot.
        """
        try:
            (size,) = struct.unpack_from("<I", data)
            head = json.loads(data[4 : 4 + size])
            if head["version"] != VERSION:
                raise ValueError(f"version {head['version']}")
            self._fill(device, head["channels"], data[4 + size :])
        except (ValueError, KeyError, struct.error) as error:
            raise Malformed(
                f"state of device {device}", f"a snapshot of version {VERSION}", str(error)
            ) from None

    def _fill(self, device: str, channels: list[str], body: bytes) -> None:
        columns = self.columns(channels)
        if -1 in columns:
            raise ValueError(f"more than {CHANNELS} channels in the class")
        row = self.rows([device])[0]
        start = 0
        for name, field in self._fields.items():
            shape = _shape(field, len(channels))
            count = int(np.prod(shape, dtype=int))
            values = np.frombuffer(body, field.dtype, count, start).reshape(shape)
            start += values.nbytes
            target = self.arrays[name][row : row + 1]
            place: Any = (0, *np.ix_(*(_axis(c, columns) for c in field.shape)))
            target[place] = values
        if start != len(body):
            raise ValueError(f"{len(body) - start} bytes too many")

    def _new(self, field: Field, rows: int) -> np.ndarray:
        shape = (rows, *_shape(field, len(self.channels)))
        return np.full(shape, field.start, field.dtype)

    def _add(self, device: str) -> None:
        if not self._free:
            self._grow()
        self.devices[device] = self._free.pop()

    def _grow(self) -> None:
        for name, field in self._fields.items():
            more = self._new(field, self._capacity)
            self.arrays[name] = np.concatenate((self.arrays[name], more))
        self._free = list(range(self._capacity, 2 * self._capacity))
        self._capacity *= 2

    def _widen(self, channel: str) -> None:
        old = dict(self.arrays)
        self.channels.append(channel)
        for name, field in self._fields.items():
            if "c" in field.shape:
                wide = self._new(field, self._capacity)
                wide[tuple(slice(n) for n in old[name].shape)] = old[name]
                self.arrays[name] = wide


def _shape(field: Field, channels: int) -> tuple[int, ...]:
    return tuple({"c": channels, "s": STEPS, "t": TIMES}[axis] for axis in field.shape)


def _axis(name: str, columns: list[int]) -> list[int]:
    return columns if name == "c" else list(range({"s": STEPS, "t": TIMES}[name]))
