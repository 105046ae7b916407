"""The metrics of Sparkplug B as samples: names, units, times, positions, quality."""

import pytest

from bridge.contracts import Quality
from bridge.errors import Malformed
from bridge.formats.sparkplug_metrics import TIMES
from bridge.normalise import Accepted, Normaliser
from tests import laws
from tests import sparkplug as sp
from tests.sparkplug import (
    AT,
    BORN,
    DBIRTH,
    DDATA,
    DEVICE,
    NBIRTH,
    NDATA,
    NODE,
    POSITION,
    UNITS,
    Host,
    alive,
    data,
    metric,
    nbirth,
    payload,
    pb,
    states,
    values,
)


def test_a_birth_is_data_and_says_that_it_is_online() -> None:
    host = Host()
    node = host.sample(NBIRTH, nbirth(metric("Node Control/Scan Rate", 3000, time=AT)))
    assert (node.device, node.time, node.quality) == (NODE, AT * 1000, 0)
    assert values(node) == {"Node Control/Scan Rate": 3000}
    assert states(node) == {"status": "online"}
    assert dict(node.notes) == {
        "bdSeq": "the number of the session",
        "Node Control/Rebirth": "a command that can be given",
    }
    pump = host.sample(DBIRTH, BORN)
    assert pump.device == DEVICE
    assert values(pump) == {
        "Inputs/Temp": 20.0,
        "Inputs/Count": 5,
        "Motor 1/rpm": 900.0,
        "Motor 1/on": 1,
    }
    assert states(pump) == {"Mode": "eco", "status": "online"}
    assert not host.asks()


def test_an_alias_has_name_type_and_unit_of_the_birth() -> None:
    count = metric(None, (sp.INT, 0xFE), alias=2, untyped=True)
    motor = pb((2, metric("rpm", 905.0, untyped=True)))
    turning = metric(None, (sp.MEMBERS, motor), alias=4, untyped=True)
    found = alive().sample(DDATA, payload(metric(None, 70.0, alias=1), count, turning, seq=2))
    assert values(found) == {"Inputs/Temp": 70.0, "Inputs/Count": -2, "Motor 1/rpm": 905.0}
    assert [(f.name, f.unit) for f in found.fields] == [
        ("Inputs.Temp", "°F"),
        ("Inputs.Count", ""),
        ("Motor 1.rpm", "1/min"),
    ]


def test_a_name_has_type_and_unit_of_the_birth_too() -> None:
    named = metric("Inputs/Count", (sp.INT, 0xFE), untyped=True)
    found = alive().sample(DDATA, payload(named, metric("Inputs/Temp", 70.0), seq=2))
    assert values(found) == {"Inputs/Count": -2, "Inputs/Temp": 70.0}
    assert [f.unit for f in found.fields] == ["", "°F"]


def test_units_are_understood_in_names_and_in_births() -> None:
    normaliser = Normaliser(())
    for topic, sent in ((NBIRTH, nbirth()), (DBIRTH, BORN)):
        assert isinstance(normaliser(laws.message(topic, sent)), Accepted)
    outcome = normaliser(laws.message(DDATA, data(2, value=212.0)))
    assert isinstance(outcome, Accepted)
    (reading,) = outcome.readings
    assert (reading.channels, reading.units) == (("inputs.temperature",), ("°F",))
    assert reading.values == pytest.approx((100.0,))
    (plain,) = laws.readings(NDATA, UNITS)
    assert dict(zip(plain.channels, plain.values, strict=True)) == pytest.approx(
        {"temperature": 21.5, "supply_voltage": 12.1, "pm2_5": 9}
    )


def test_each_time_is_a_sample_and_the_metric_tells_it_before_the_message() -> None:
    sent = payload(
        metric("a", 1.0, time=AT - 5000),
        metric("a", 2.0, time=AT - 4000),
        metric("b", 3.0),
        metric("c", 4.0, time=12),
        time=AT,
        seq=2,
    )
    found = Host().samples(NDATA, sent)
    assert [(s.time, values(s)) for s in found] == [
        ((AT - 5000) * 1000, {"a": 1.0}),
        ((AT - 4000) * 1000, {"a": 2.0}),
        (AT * 1000, {"b": 3.0, "c": 4.0}),
    ]
    unset = Host().sample(NDATA, payload(metric("a", 1.0, time=12), time=99, seq=2))
    assert unset.time is None


def test_of_too_many_times_nothing_is_taken_and_nothing_asked() -> None:
    host = alive()
    many = [metric("a", 1.0, time=AT + i) for i in range(TIMES + 1)]
    assert len(host.samples(NDATA, payload(*many[1:], seq=2))) == TIMES
    with pytest.raises(Malformed, match="at most 500 times"):
        host.hears(NDATA, payload(*many, time=AT, seq=3))
    assert not host.asks()


def test_of_a_metric_that_stands_twice_at_one_time_the_last_counts() -> None:
    found = Host().sample(NDATA, payload(metric("a", 1.0), metric("a", 2.0), seq=2))
    assert values(found) == {"a": 2.0}
    assert found.notes == [("a", "said again of the same time: the last one counts")]


def test_arrays_and_rows_are_channels_below_the_metric() -> None:
    rows = pb((2, "in"), (3, sp.DOUBLE), (4, pb((1, pb((4, 1.5))))))
    sent = payload(
        metric("x", (sp.RAW, b"\1\0\xff\xff"), 23), metric("t", (sp.ROWS, rows), 16), seq=2
    )
    found = Host().sample(NDATA, sent)
    assert {f.name: v for f, v in zip(found.fields, found.values, strict=True)} == {
        "x.0": 1,
        "x.1": -1,
        "t.in": 1.5,
    }


def test_a_latitude_beside_a_longitude_is_the_position() -> None:
    found = Host().sample(NDATA, POSITION)
    assert (found.position, found.fields) == ((48.1, 11.5), [])
    alone = Host().sample(NDATA, payload(metric("GPS/Latitude", 48.1), seq=2))
    assert (alone.position, values(alone)) == (None, {"GPS/Latitude": 48.1})
    unset = payload(metric("Lat", 0.0), metric("Lon", 0.0), metric("x", 1.0), seq=2)
    found = Host().sample(NDATA, unset)
    assert (found.position, values(found)) == (None, {"x": 1.0})
    assert found.notes == [("Lat", "no position on Earth"), ("Lon", "no position on Earth")]


def test_a_value_of_bad_quality_is_stale() -> None:
    for quality, expected in ((0, Quality.STALE), (500, Quality.STALE), (192, Quality.GOOD)):
        found = Host().sample(NDATA, payload(metric("a", 1.0, quality=quality), seq=2))
        assert found.quality == expected
    mixed = payload(metric("a", 1.0, quality=0, time=AT), metric("b", 1.0, time=AT + 1), seq=2)
    assert [s.quality for s in Host().samples(NDATA, mixed)] == [Quality.STALE, Quality.GOOD]


def test_what_has_no_value_is_left_out_and_says_why() -> None:
    found = Host().sample(
        NDATA, payload(metric("a"), metric("n" * 300, 1.0), metric("b", 1.0), seq=2)
    )
    assert values(found) == {"b": 1.0}
    assert found.notes == [
        ("a", "null: the channel is missing"),
        ("n" * 256, "the name is too long"),
    ]
