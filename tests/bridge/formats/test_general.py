"""JSON as people and their platforms send it: what comes out of shapes that nobody configured."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import Quality
from bridge.normalise import Accepted, Normaliser
from bridge.route_settings import Route
from tests import laws

T = 1_700_000_000_000_000  # us, 2023-11-14T22:13:20Z


def told(payload: object, topic: str = "x") -> list[tuple[str, int | None, dict[str, Any]]]:
    """Device, stated time, and channels of each reading."""
    return [
        (
            r.device,
            None if r.quality & Quality.TIME_ESTIMATED else r.time,
            dict(zip(r.channels, r.values, strict=True)),
        )
        for r in laws.readings(topic, payload)
    ]


# Shapes of platforms and projects, written after their public documentation.
SHAPES: list[tuple[str, object, list[tuple[str, int | None, dict[str, float]]]]] = [
    (
        "values beside a time",
        {"ts": 1700000000000, "values": {"temperature": 21.5, "humidity": 40}},
        [("x", T, {"values.humidity": 40, "values.temperature": 21.5})],
    ),
    (
        "each value with its time",
        {"temperature": {"value": 10, "timestamp": 1700000000000}},
        [("x", T, {"temperature": 10})],
    ),
    (
        "a list of triples",
        {"data": [{"type": "temperature", "value": "21.31"}, {"type": "hum", "value": 45}]},
        [("x", None, {"temperature": 21.31, "humidity": 45})],
    ),
    (
        "a type of data is no name",
        {"temperature": {"type": "Property", "value": 50, "unitCode": "FAH"}},
        [("x", None, {"temperature": 10})],
    ),
    (
        "a unit of its own beside each value",
        {"temperature": 50, "temperature_unit": "°F", "level": 3, "level_unit": "cm"},
        [("x", None, {"level": 0.03, "temperature": 10})],
    ),
    (
        "one unit beside what it fits",
        {"temperature": 50, "humidity": 40, "unit": "F"},
        [("x", None, {"humidity": 40, "temperature": 10})],
    ),
    ("one unit beside one number", {"level": 3, "unit": "cm"}, [("x", None, {"level": 0.03})]),
    (
        "an object of units",
        {"current_units": {"temp_2m": "°F"}, "current": {"temp_2m": 50}},
        [("x", None, {"current.temp_2m": 10})],
    ),
    (
        "columns of times and values",
        {"hourly": {"time": [1700000000, 1700003600], "level": [1.5, 2.5]}},
        [("x", T, {"level": 1.5}), ("x", T + 3_600_000_000, {"level": 2.5})],
    ),
    (
        "names beside rows",
        {"columns": ["time", "temp"], "values": [[1700000000, 1], [1700000001, 2]]},
        [("x", T, {"temperature": 1}), ("x", T + 1_000_000, {"temperature": 2})],
    ),
    (
        "names beside one row",
        {"time": 1700000000, "host": "h1", "dsnames": ["rx", "tx"], "values": [1, 2]},
        [("h1", T, {"rx": 1, "tx": 2})],
    ),
    (
        "JSON in a text",
        {"data": '{"temp": 21.5}', "published_at": "2023-11-14T22:13:20Z", "coreid": "53ff"},
        [("53ff", T, {"data.temperature": 21.5})],
    ),
    (
        "a time as seconds and nanoseconds",
        {"header": {"stamp": {"sec": 1700000000, "nanosec": 5000}}, "level": 3},
        [("x", T + 5, {"level": 3})],
    ),
    ("t is a temperature here", {"t": 21.5, "h": 40}, [("x", None, {"h": 40, "t": 21.5})]),
    ("and a time here", {"t": 1700000000, "v": 40}, [("x", T, {"v": 40})]),
    ("UTC says the key", {"time_utc": "2023-11-14 22:13:20", "v": 1}, [("x", T, {"v": 1})]),
    ("slashes in a date", {"DateTime": "2023/11/14T22:13:20z", "v": 1}, [("x", T, {"v": 1})]),
    ("a local time", {"Time": "2023-11-14T22:13:20", "v": 1}, [("x", None, {"v": 1})]),
    ("the year 1", {"time": "0001-01-01T00:00:00Z", "v": 1}, [("x", None, {"v": 1})]),
    ("a decimal comma", {"level": "21,5"}, [("x", None, {"level": 21.5})]),
    (
        "parts of a quantity",
        {"temp": {"min": 1, "max": 2}, "accel": {"x": 0.5}},
        [("x", None, {"accel.x": 0.5, "temp.max": 2, "temp.min": 1})],
    ),
    (
        "units in keys",
        {"wind_avg_km_h": 36, "total_m3": 6.4, "flow_temperature_c": 12, "rain_mm": 5},
        [("x", None, {"flow_temperature_c": 12, "rain": 0.005, "total_m3": 6.4, "wind_speed": 10})],
    ),
    (
        "what is a gateway's is not the device's",
        {"gatewayId": "g", "rxInfo": [{"deviceId": "g2", "time": 1700000000, "rssi": -50}], "v": 1},
        [("x", None, {"rx_info.0.rssi": -50, "v": 1})],
    ),
    ("an id of the device", {"device": {"id": "p7"}, "v": 1}, [("p7", None, {"v": 1})]),
]


@pytest.mark.parametrize(
    ("payload", "expected"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES]
)
def test_a_shape_that_nobody_configured_is_read(
    payload: object, expected: list[tuple[str, int | None, dict[str, float]]]
) -> None:
    found = told(payload)
    assert [(d, t) for d, t, _ in found] == [(d, t) for d, t, _ in expected]
    for (_, _, channels), (_, _, wanted) in zip(found, expected, strict=True):
        assert channels == pytest.approx(wanted)


@pytest.mark.parametrize("payload", [s[1] for s in SHAPES], ids=[s[0] for s in SHAPES])
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_every_shape_passes_the_laws(law: Any, payload: object) -> None:
    law("x", json.dumps(payload).encode())


HERE = (48.1372, 11.5756)
PLACES: list[tuple[object, tuple[float, float] | None]] = [
    ({"latitudeE7": 481372000, "longitudeE7": 115756000}, HERE),
    ({"latitude_i": 481372000, "longitude_i": 115756000}, HERE),
    ({"lat": 481372000, "lon": 115756000}, HERE),
    ({"gps_lat": 48.1372, "gps_lon": 11.5756}, HERE),
    ({"gpsLatitude": 48.1372, "gpsLongitude": 11.5756}, HERE),
    ({"lat_deg": 48.1372, "lon_deg": 11.5756}, HERE),
    ({"location": "48.1372,11.5756"}, HERE),
    ({"position": "POINT (11.5756 48.1372)"}, HERE),
    ({"coordinates": [11.5756, 48.1372]}, HERE),
    ({"latlng": [48.1372, 11.5756]}, HERE),
    ({"loc": {"type": "Point", "coordinates": [11.5756, 48.1372, 519]}}, HERE),
    ({"position": [48.1372, 11.5756]}, None),  # which one is the latitude?
    ({"lat": 48.1372, "lon": 11.5756, "gateway_lat": 1.5, "gateway_lon": 2.5}, HERE),
    ({"gateway_lat": 1.5, "gateway_lon": 2.5}, None),
    ({"home": {"lat": 48.1372, "lon": 11.5756}}, None),
    ({"hotspots": [{"lat": 1.5, "long": 2.5}]}, None),
    ({"accel_lat": 0.5, "accel_lon": 0.5}, None),
    ({"lat": 0, "lon": 0}, None),
    ({"lat": 3000000000, "lon": 11}, None),
    ({"location": "Kitchen"}, None),
    ({"location": "0,0"}, None),
    ({"lat": [1], "lon": {}}, None),
]


@pytest.mark.parametrize(("payload", "expected"), PLACES, ids=str)
def test_a_position_is_found_where_the_device_is(
    payload: dict[str, object], expected: tuple[float, float] | None
) -> None:
    (reading,) = laws.readings("x", payload | {"level": 1})
    spot = reading.position
    assert (spot and (spot.lat, spot.lon)) == expected


def test_a_feature_of_geojson_is_measured_where_its_point_is() -> None:
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [11.5756, 48.1372]},
        "properties": {"timestamp": "2023-11-14T22:13:20Z", "speed": 4, "device_id": "phone"},
    }
    for payload in (feature, {"locations": [feature]}, {"features": [feature]}):
        (reading,) = laws.readings("x", payload)
        assert (reading.device, reading.time) == ("phone", T)
        assert reading.position
        assert (reading.position.lat, reading.position.lon) == HERE
        assert reading.position.speed == 4


def test_lines_of_json_are_read_as_a_list() -> None:
    lines = b'{"ts": 1700000000, "v": 1}\n{"ts": 1700000001, "v": 2}\n'
    assert [r.values for r in laws.readings("x", lines)] == [(1.0,), (2.0,)]


NAMES = (
    "time ts t name value unit units type id device lat lon location columns values data rows"
    " temp temp_unit hourly hourly_units coordinates geometry properties features gateway"
)
names = st.sampled_from(NAMES.split())
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["F", "21.5 C", "48.1,11.5", "Feature", "Point", '{"a": 1}', "float", "x"])
    | st.sampled_from([1700000000, "2023-11-14T22:13:20Z"])
)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=300)
@given(trees)
def test_any_tree_of_such_keys_ends_well_and_in_any_order(tree: object) -> None:
    payload = json.dumps(tree).encode()
    laws.ends_well("x", payload)
    laws.explains_what_it_does("x", payload)
    laws.order_is_irrelevant("x", payload)


@pytest.mark.parametrize(
    "payload",
    [
        {"gateway_location": {"lat": 48.1, "lon": 11.5}, "v": 1},
        {"gatewayInfo": {"lat": 48.1, "lon": 11.5}, "v": 1},
        {"homeLocation": {"lat": 48.1, "lon": 11.5}, "v": 1},
        {"lat": 52_520_000, "lon": 13_404_000, "v": 1},
    ],
    ids=str,
)
def test_a_position_of_something_else_or_of_an_unknown_scale_is_none(payload: object) -> None:
    (reading,) = laws.readings("x", payload)
    assert reading.position is None


def test_the_speed_of_a_fan_is_not_that_of_the_position() -> None:
    (reading,) = laws.readings("x", {"lat": 48.1, "lon": 11.5, "fan": {"speed": 1200}})
    assert reading.position
    assert reading.position.speed is None


def test_several_devices_below_the_device_of_a_route_stay_apart() -> None:
    sent = {"readings": [{"device": "8", "temp": 1}, {"device": "9", "temp": 2}]}
    message = laws.message("plant/7", json.dumps(sent).encode())
    outcome = Normaliser((Route(topic="plant/{device}"),))(message)
    assert isinstance(outcome, Accepted)
    assert [r.device for r in outcome.readings] == ["7/8", "7/9"]


HEAVY = [
    json.dumps({"location": "POINT(1 " + "1" * 90_000}).encode(),
    b"\xef\xbb\xbf" * 30_000 + b"{",
]


@pytest.mark.parametrize("payload", HEAVY, ids=range(len(HEAVY)))
def test_long_texts_and_marks_cost_nothing(payload: bytes) -> None:
    laws.ends_well("x", payload)
    laws.is_cheap("x", payload)


def test_a_bare_date_is_ignored_for_a_reason_that_is_always_the_same() -> None:
    reasons = {
        str(laws.ends_well("a/b", f"2024-01-01T00:00:{second:02}Z".encode())) for second in range(3)
    }
    assert len(reasons) == 1
