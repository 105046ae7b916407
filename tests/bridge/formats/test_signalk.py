"""Signal K: paths and their units, sources that tell of the same, whose values they are."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.formats.signalk import unit_of_path
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import T, outcome, told

BOAT = "vessels.urn:mrn:imo:mmsi:230099999"
AT = "2023-11-14T22:13:20.000Z"
PI = 3.141592653589793


def update(label: str, *values: tuple[str, object], **more: Any) -> dict[str, Any]:
    rows = [{"path": path, "value": value} for path, value in values]
    return {"source": {"label": label}, "timestamp": AT, "values": rows} | more


def delta(*updates: dict[str, Any], context: str = BOAT) -> bytes:
    return json.dumps({"context": context, "updates": updates}).encode()


FIX = ("navigation.position", {"latitude": 60.25, "longitude": 24.5, "altitude": 3.5})
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("signalk/delta", delta(update("GPS-1", FIX, ("navigation.speedOverGround", 5.5))), "signalk"),
    ("x", delta({"meta": [{"path": "a.b", "value": {"units": "m"}}]}), "signalk"),
    ("vessels/self/environment/depth/belowKeel", b"12.5", "signalk"),
    ("N/signalk/c0ffee/vessels/self/navigation/position", json.dumps(FIX[1]).encode(), "signalk"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_signal_k_passes_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_signal_k_is_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


def test_a_delta_says_where_a_vessel_is_and_how_fast() -> None:
    (reading,) = laws.readings(*EXAMPLES[0][:2])
    assert (reading.device, reading.time) == (BOAT, T)
    assert reading.channels == ("navigation.position.altitude", "navigation.speed")
    assert reading.position is not None
    assert reading.position[:4] == (60.25, 24.5, 3.5, 5.5)


UNITS = {
    "A": "electrical.batteries.house.current electrical.solar.1.panelCurrent",
    "C": "electrical.batteries.1.capacity.dischargeSinceFull",
    "Hz": "propulsion.port.revolutions electrical.inverters.1.ac.frequency",
    "J": "electrical.batteries.1.capacity.remaining electrical.solar.1.yieldToday",
    "K": "environment.outside.temperature propulsion.port.oilTemperature",
    "Pa": "environment.outside.pressure propulsion.port.boostPressure propulsion.1.fuel.pressure",
    "V": "electrical.batteries.1.voltage propulsion.port.alternatorVoltage",
    "W": "electrical.solar.1.panelPower",
    "m": "environment.depth.belowTransducer navigation.log navigation.trip.log design.beam"
    " environment.heave design.draft.maximum navigation.anchor.currentRadius"
    " navigation.courseRhumbline.crossTrackError environment.tide.heightNow",
    "m/s": "navigation.speedThroughWater environment.wind.speedApparent environment.current.drift"
    " performance.velocityMadeGood performance.beatAngleVelocityMadeGood performance.polarSpeed",
    "m3": "tanks.fuel.0.currentVolume tanks.fuel.0.capacity",
    "m3/s": "propulsion.port.fuel.rate",
    "rad": "navigation.headingTrue navigation.courseOverGroundMagnetic"
    " environment.wind.angleTrueWater navigation.attitude.roll steering.rudderAngle"
    " steering.autopilot.target.windAngleApparent"
    " navigation.magneticVariation environment.current.setTrue performance.tackTrue"
    " navigation.courseGreatCircle.nextPoint.bearingTrue",
    "rad/s": "navigation.rateOfTurn",
    "ratio": "environment.outside.relativeHumidity electrical.batteries.1.capacity.stateOfCharge"
    " tanks.freshWater.0.currentLevel propulsion.port.engineLoad",
    "s": "propulsion.port.runTime navigation.courseRhumbline.nextPoint.timeToGo",
    "": "navigation.gnss.satellites propulsion.port.transmission.gearRatio a.b.c",
}


@pytest.mark.parametrize("unit", UNITS)
def test_the_path_says_the_unit(unit: str) -> None:
    paths = UNITS[unit].split()
    assert {path: unit_of_path(path) for path in paths} == dict.fromkeys(paths, unit)


READ: list[tuple[tuple[str, object], dict[str, float]]] = [
    (("navigation.courseOverGroundTrue", PI), {"navigation.course_over_ground_true": 180}),
    (("environment.water.temperature", 290.15), {"environment.water.temperature": 17}),
    (("navigation.attitude", {"roll": PI, "pitch": None}), {"navigation.attitude.roll": 180}),
    (("environment.current", {"setTrue": PI, "drift": 2}), {"environment.current.set_true": 180, "environment.current.drift": 2}),  # noqa: E501
    (("tanks.fuel.0.currentLevel", 0.5), {"tanks.fuel.0.current_level": 50}),
    (("electrical.switches.1.state", True), {"electrical.switches.1.state": 1}),
    (("", {"design": {"length": {"overall": 12}}}), {"design.length.overall": 12}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), READ, ids=[row[0][0] for row in READ])
def test_a_value_is_read_in_si(value: tuple[str, object], expected: dict[str, float]) -> None:
    ((_, time, channels),) = told("x", delta(update("GPS", value)))
    assert time == T
    assert channels == pytest.approx(expected)


def test_two_sources_that_tell_of_the_same_are_both_kept() -> None:
    sent = delta(
        update("GPS-1", ("navigation.headingTrue", PI)),
        update("N2K", ("navigation.headingTrue", PI / 2), source={"label": "N2K", "src": "115"}),
    )
    ((_, _, channels),) = told("x", sent)
    assert channels == pytest.approx(
        {"gps_1.navigation.heading_true": 180, "n2_k_115.navigation.heading_true": 90}
    )
    nameless = update("", ("a.b", 1), source=None)
    ((_, _, channels),) = told("x", delta(nameless, nameless))
    assert sorted(channels.values()) == [1, 1]


def test_each_update_has_its_own_time() -> None:
    later = update("GPS", ("a.b", 2), timestamp="2023-11-14T22:13:21Z")
    assert told("x", delta(update("GPS", ("a.b", 1)), later)) == [
        (BOAT, T, {"a.b": 1}),
        (BOAT, T + 1_000_000, {"a.b": 2}),
    ]


def test_an_old_delta_has_its_time_in_the_source() -> None:
    old = {"source": {"label": "a", "timestamp": AT}, "values": [{"path": "a.b", "value": 1}]}
    assert told("x", delta(old)) == [(BOAT, T, {"a.b": 1})]


@pytest.mark.parametrize(("context", "device"), [("vessels.self", "boat/delta"), (BOAT, BOAT)])
def test_the_context_is_the_device_unless_it_is_only_oneself(context: str, device: str) -> None:
    sent = delta(update("GPS", ("a.b", 1)), context=context)
    assert told("boat/delta", sent)[0][0] == device


NOWHERE = [None, True, {"latitude": 91, "longitude": 0}, {"latitude": None, "longitude": None}]


@pytest.mark.parametrize("value", NOWHERE, ids=repr)
def test_what_is_nowhere_is_no_position(value: object) -> None:
    found = outcome("x", delta(update("GPS", ("navigation.position", value))))
    assert isinstance(found, Ignored)


def test_the_anchor_is_not_where_the_vessel_is() -> None:
    anchor = ("navigation.anchor.position", {"latitude": 60.25, "longitude": 24.5})
    (reading,) = laws.readings("x", delta(update("A", anchor, ("a.b", 1))))
    assert reading.position is None


TOPICS = [
    ("vessels/self/navigation/speedOverGround", b"5.5", "vessels/self", {"navigation.speed": 5.5}),
    ("boat1/vessels/self/a/b/value", b"5", "boat1", {"a.b": 5}),
    ("N/signalk/c0ffee/vessels/self/environment/water/temperature", b"290.15", "signalk/c0ffee", {"environment.water.temperature": 17}),  # noqa: E501
    ("N/signalk/c0ffee/vessels/self/electrical/switches/1/state", b"true", "signalk/c0ffee", {"electrical.switches.1.state": 1}),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("topic", "payload", "device", "expected"), TOPICS)
def test_the_topic_is_the_path(
    topic: str, payload: bytes, device: str, expected: dict[str, float]
) -> None:
    ((found, _, channels),) = told(topic, payload)
    assert found == device
    assert channels == pytest.approx(expected)


def test_a_value_may_state_its_time() -> None:
    leaf = {"value": 1.5, "timestamp": AT, "$source": "n2k.115"}
    assert told("vessels/self/a/b", leaf)[0][1:] == (T, {"a.b": 1.5})


NOTHING = [
    ("x", b'{"updates": []}'),
    ("x", delta()),
    ("x", delta({"meta": [{"path": "a.b", "value": {"units": "m", "timeout": 2}}]})),
    ("x", delta(update("GPS", ("notifications.mob", {"state": "emergency", "n": 5})))),
    ("x", delta(update("GPS", ("", {"name": "Aada", "mmsi": "230099999"})))),
    ("x", delta(update("GPS", ("navigation.datetime", AT)))),
    ("vessels/self/navigation/position/meta/units", b"deg"),
    ("vessels/self/navigation/speedOverGround/timestamp", AT.encode()),
    ("vessels/self/notifications/mob", b'{"state":"emergency"}'),
    ("R/signalk/c0ffee/vessels/self/navigation/position", b""),
    ("W/signalk/c0ffee/vessels/self/steering/autopilot/target", b"5"),
]


@pytest.mark.parametrize(("topic", "payload"), NOTHING)
def test_what_measures_nothing_is_ignored(topic: str, payload: bytes) -> None:
    assert isinstance(outcome(topic, payload), Ignored)


OTHERS = [
    {"updates": [1, 2], "temp": 3},
    {"updates": [], "temp": 3},
    {"updates": [{"values": 5}], "temp": 3},
    {"updates": {"values": [5]}, "temp": 3},
]


@pytest.mark.parametrize("sent", OTHERS, ids=repr)
def test_messages_of_others_are_read_as_they_are(sent: object) -> None:
    assert told("x", sent)[0][2]["temperature"] == 3


HUGE = [
    delta(update("a", *[(f"a.b{i}", i) for i in range(1500)])),
    delta(*[update("a", (f"a.b{i}", i)) for i in range(600)]),
    delta(update("a", ("a", {f"k{i}": i for i in range(1200)}))),
    b'{"updates":[' * 7000,
    b'{"updates":[{"values":[]},' + b'"updates":[' * 7000,
]


@pytest.mark.parametrize("payload", HUGE, ids=range(len(HUGE)))
def test_huge_deltas_end_well_and_cheaply(payload: bytes) -> None:
    assert isinstance(laws.ends_well("x", payload), DeadLetter)
    laws.is_cheap("x", payload)
