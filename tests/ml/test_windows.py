"""Event time: what is new, out of order, late or repeated, and where a window's line goes."""

import numpy as np
import pytest

from bridge.contracts import MICROS, Position, Quality, Reading
from ml import columns, windows
from ml.state import POSITION, STEPS, Table
from ml.windows import RESET, Arrival, Homes, Round

START = 1_700_000_000 * MICROS
LATENESS_S = 10.0


def reading(device: str, second: float, **changes: object) -> Reading:
    time = START + int(second * MICROS)
    base: dict[str, object] = {
        "device": device,
        "device_class": "c",
        "time": time,
        "received": time,
        "channels": ("a",),
        "values": (second,),
        "units": ("",),
        "source": "t",
        "id": f"{device}/{second}",
    }
    return Reading(**{**base, **changes})  # type: ignore[arg-type]


def arrivals(table: Table, *readings: Reading) -> list[Arrival]:
    """Each reading by itself."""
    found = []
    for one in readings:
        batch = columns.of([one])
        at = table.rows(batch.device)
        (arrival,) = windows.arrive(table, at, batch, Round("c", np.array([0])), LATENESS_S)
        found.append(Arrival(arrival))
    return found


@pytest.fixture
def table() -> Table:
    return Table(windows.FIELDS)


@pytest.mark.parametrize(
    ("seconds", "last"),
    [
        ((1, 2, 3), Arrival.NEW),
        ((1, 3, 2), Arrival.OLDER),
        ((1, 2, 2), Arrival.REPEATED),
        ((1, 3, 2, 2), Arrival.REPEATED),
        ((1, 30, 20), Arrival.OLDER),
        ((1, 30, 19.9), Arrival.LATE),
        ((1, 30, 1), Arrival.REPEATED),
    ],
)
def test_event_time_decides_what_a_reading_is(
    table: Table, seconds: tuple[float, ...], last: Arrival
) -> None:
    assert arrivals(table, *(reading("d", s) for s in seconds))[-1] is last


def test_two_messages_of_one_time_are_two_readings(table: Table) -> None:
    humidity = reading("d", 1, channels=("h",), id="another")
    assert arrivals(table, reading("d", 1), humidity, reading("d", 2)) == [Arrival.NEW] * 3
    assert table["interval"][table.rows(["d"])] == 1.0


@pytest.mark.parametrize(("rate", "messages"), [(1.0, 60), (10.0, 300), (100.0, 2000)])
def test_nothing_that_is_redelivered_is_taken_twice(
    table: Table, rate: float, messages: int
) -> None:
    sent = [reading("d", n / rate) for n in range(messages)]
    assert set(arrivals(table, *sent)) == {Arrival.NEW}
    again = [r._replace(quality=Quality.DUP.value) for r in sent]
    assert set(arrivals(table, *again)) <= {Arrival.REPEATED, Arrival.LATE}
    assert arrivals(table, reading("d", messages / rate)) == [Arrival.NEW]


def test_one_devices_clock_does_not_make_another_late(table: Table) -> None:
    assert arrivals(table, reading("fast", 5000), reading("slow", 1)) == [Arrival.NEW] * 2


def test_a_time_far_ahead_of_its_reception_moves_no_watermark(table: Table) -> None:
    ahead = reading("d", 2, time=START + 10 * windows.DAY)
    assert arrivals(table, reading("d", 1), ahead, reading("d", 3)) == [
        *(Arrival.NEW, Arrival.OLDER, Arrival.NEW)
    ]


def test_a_recording_from_the_past_is_not_late(table: Table) -> None:
    old = [reading("d", s, received=START + 1000 * windows.DAY) for s in (1, 2)]
    assert arrivals(table, *old) == [Arrival.NEW] * 2


def test_a_clock_that_was_set_back_is_believed_after_a_while(table: Table) -> None:
    back = [reading("d", n) for n in range(RESET + 2)]
    found = arrivals(table, reading("d", 5000), *back)
    assert found[1:RESET] == [Arrival.LATE] * (RESET - 1)
    assert found[RESET:] == [Arrival.NEW] * 3


def test_rounds_keep_the_order_of_each_device_and_have_it_once() -> None:
    order = ["a", "b", "a", "c", "a", "b"]
    batch = columns.of([reading(d, n) for n, d in enumerate(order)])
    rounds = [round_.rows.tolist() for round_ in Homes().rounds(batch)]
    assert rounds == [[0, 1, 3], [2, 5], [4]]


def test_a_device_keeps_the_class_of_its_first_reading() -> None:
    homes = Homes()
    first = columns.of([reading("d", 1, device_class="pump")])
    later = columns.of([reading("d", 2, device_class="set-12345678")])
    assert [r.device_class for b in (first, later) for r in homes.rounds(b)] == ["pump"] * 2


def test_the_line_through_a_window_goes_on_straight(table: Table) -> None:
    table.columns(["a"])
    at = table.rows(["d"])
    for n in range(STEPS):
        assert np.isnan(windows.trend(table, at)).all()
        windows.enter(table, at, np.array([[3.0 + 2.0 * n]]), np.array([[np.nan, np.nan]]))
    assert windows.trend(table, at) == pytest.approx(np.array([[3.0 + 2.0 * STEPS]]))


def test_a_long_pause_empties_the_window(table: Table) -> None:
    table.columns(["a"])
    at = table.rows(["d"])
    arrivals(table, *(reading("d", s) for s in range(STEPS)))
    table["window"][at] = 1.0
    arrivals(table, reading("d", STEPS + 100))
    assert np.isnan(table["window"][at]).all()


def test_values_stand_in_their_columns_and_gaps_are_gaps(table: Table) -> None:
    one = reading("d", 1, channels=("b", "a"), values=(2.0, 1.0))
    batch = columns.of([one, reading("e", 1)])
    at = table.rows(batch.device)
    x = windows.matrix(table, at, batch, Round("c", np.array([0, 1])))
    a, b = table.columns(["a", "b"])
    assert x[0][[a, b]].tolist() == [1.0, 2.0]
    assert x[1][a] == 1.0
    assert np.isnan(x[1][b])


def test_positions_give_the_speed_over_ground(table: Table) -> None:
    north = [reading("d", n, position=Position(47.0 + n * 1e-4, 8.0)) for n in range(3)]
    speeds = []
    for one in north:
        batch, round_ = columns.of([one]), Round("c", np.array([0]))
        at = table.rows(batch.device)
        windows.arrive(table, at, batch, round_, LATENESS_S)
        x = windows.matrix(table, at, batch, round_)
        windows.enter(table, at, x, batch.position)
        speeds.append(x[0, table.channels.index(POSITION)])
    assert np.isnan(speeds[0])
    assert speeds[1:] == pytest.approx([11.12, 11.12], abs=0.01)  # 1e-4 deg of latitude a second
