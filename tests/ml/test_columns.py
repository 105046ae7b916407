"""Batches of readings to columns, the same whichever way they were encoded."""

import numpy as np
import pytest

from bridge.contracts import Position, Reading
from bridge.wire import Encoder
from ml import columns
from ml.columns import Columns, Decoder


def reading(n: int, **changes: object) -> Reading:
    base: dict[str, object] = {
        "device": f"d{n % 3}",
        "device_class": "pump",
        "time": 1_700_000_000_000_000 + n,
        "received": 1_700_000_000_000_500 + n,
        "channels": ("a", "b") if n % 2 else ("a",),
        "values": (1.5 * n, -n / 3) if n % 2 else (float(n),),
        "units": ("", "") if n % 2 else ("",),
        "source": f"t/{n % 3}",
        "id": f"{n:016x}",
        "position": Position(1.0 + n, 2.0) if n % 5 == 0 else None,
    }
    return Reading(**{**base, **changes})  # type: ignore[arg-type]


READINGS = [reading(n) for n in range(20)]


def same(a: Columns, b: Columns) -> bool:
    arrays = ("index", "time", "received", "values", "starts", "dup", "position")
    lists = ("device", "device_class", "id", "channels")
    return all(
        np.array_equal(getattr(a, n), getattr(b, n), equal_nan=n == "position") for n in arrays
    ) and all(getattr(a, n) == getattr(b, n) for n in lists)


@pytest.mark.parametrize(
    "encoder", [Encoder(), Encoder("json"), Encoder(ids={Reading: 7})], ids=["avro", "json", "id"]
)
def test_columns_are_what_the_readings_say(encoder: Encoder) -> None:
    decoder = Decoder()
    assert same(decoder.decode([encoder.encode(r) for r in READINGS]), columns.of(READINGS))
    assert decoder.refused == []


def test_a_record_that_is_no_reading_costs_the_others_nothing() -> None:
    encoder, decoder = Encoder(), Decoder()
    values = [encoder.encode(r) for r in READINGS[:4]]
    values[1:1] = [b"garbage", values[0][:-3]]
    found = decoder.decode(values)
    assert found.index.tolist() == [0, 3, 4, 5]
    assert found.id == [r.id for r in READINGS[:4]]
    assert [n for n, _ in decoder.refused] == [1, 2]


def test_an_empty_batch_has_no_rows() -> None:
    assert len(Decoder().decode([])) == 0


def test_a_reading_without_channels_has_an_empty_row() -> None:
    bare = reading(0, channels=(), values=(), units=(), states=("mode",), state_values=("on",))
    found = Decoder().decode([Encoder().encode(r) for r in (bare, READINGS[1])])
    assert found.starts.tolist() == [0, 0, 2]
    assert found.values.tolist() == list(READINGS[1].values)
