"""A table of devices: rows come, grow, leave as bytes and return."""

import numpy as np
import pytest

from bridge.errors import Malformed
from ml.state import CHANNELS, STEPS, Field, Table

FIELDS = {
    "count": Field(),
    "mean": Field("c", start=np.nan),
    "pairs": Field("cc"),
    "window": Field("sc", start=np.nan),
    "newest": Field(dtype="i8", start=-1),
}


def table(*channels: str) -> Table:
    return Table(FIELDS, channels)


def test_a_new_device_starts_as_its_fields_say() -> None:
    t = table("a", "b")
    (row,) = t.rows(["pump-1"])
    assert t["newest"][row] == -1
    assert np.isnan(t["mean"][row]).all()
    assert t["window"][row].shape == (STEPS, 2)


def test_rows_stay_with_their_devices_while_the_table_grows() -> None:
    t = table("a")
    names = [f"d{n}" for n in range(100)]
    for n, name in enumerate(names):
        (row,) = t.rows([name])
        t["count"][row] = n
    assert t["count"][t.rows(names)].tolist() == list(range(100))


def test_a_new_channel_keeps_what_was_known_of_the_others() -> None:
    t = table("a")
    (row,) = t.rows(["d"])
    t["mean"][row], t["pairs"][row] = 3.0, 5.0
    assert t.columns(["b", "a"]) == [1, 0]
    assert t["mean"][row][0] == 3.0
    assert np.isnan(t["mean"][row][1])
    assert t["pairs"][row].tolist() == [[5.0, 0.0], [0.0, 0.0]]


def test_channels_beyond_the_most_are_not_judged() -> None:
    t = table()
    columns = t.columns([f"c{n}" for n in range(CHANNELS + 2)])
    assert columns[-2:] == [-1, -1]
    assert len(t.channels) == CHANNELS


def test_a_snapshot_restores_a_device_in_a_table_with_other_columns() -> None:
    t = table("a", "b")
    (row,) = t.rows(["d"])
    t["mean"][row], t["pairs"][row] = [1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]]
    t["window"][row], t["count"][row] = np.arange(STEPS * 2).reshape(STEPS, 2), 9
    other = table("b", "x", "a")
    other.restore("d", t.snapshot("d"))
    (there,) = other.rows(["d"])
    assert other["mean"][there][[2, 0]].tolist() == [1.0, 2.0]
    assert np.isnan(other["mean"][there][1])
    assert other["pairs"][there][np.ix_([2, 0], [2, 0])].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert other["window"][there][:, 2].tolist() == list(range(0, STEPS * 2, 2))
    assert other["count"][there] == 9


def test_a_forgotten_device_leaves_a_row_that_begins_anew() -> None:
    t = table("a")
    t["count"][t.rows(["d"])[0]] = 7
    t.forget("d")
    assert "d" not in t.devices
    assert t["count"][t.rows(["e"])[0]] == 0


@pytest.mark.parametrize("damage", [b"", b"\x01", b"\x02\x00\x00\x00{}", b"\x05\x00\x00\x00abcde"])
def test_bytes_that_are_no_snapshot_are_malformed(damage: bytes) -> None:
    with pytest.raises(Malformed, match="state of device d: expected a snapshot"):
        table("a").restore("d", damage)


def test_a_cut_snapshot_is_malformed() -> None:
    t = table("a")
    t.rows(["d"])
    with pytest.raises(Malformed):
        table("a").restore("d", t.snapshot("d")[:-1])
