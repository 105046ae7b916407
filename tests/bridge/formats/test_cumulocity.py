"""Cumulocity: lines of templates, fragments of JSON, and who they are from."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeadLetter, Quality, Reading
from bridge.formats import recognise
from bridge.formats.sample import MAX_BYTES
from bridge.normalise import Ignored, Normaliser
from tests import laws

T = 1_704_067_200_000_000  # us, 2024-01-01T00:00:00Z
S = 1_000_000  # us
MEASURED = {
    "type": "c8y_Climate",
    "time": "2024-01-01T00:00:00Z",
    "c8y_TemperatureMeasurement": {"T": {"value": 21.5, "unit": "C"}},
    "c8y_EnergyMeasurement": {"A+:1": {"value": 2, "unit": "kWh"}, "A-:1": {"value": 1}},
}
LINES = b"200,c8y_Tank,level,3,cm,2024-01-01T00:00:00Z\n211,21.5\n302,too_hot,It is hot\n"


def sent(tree: object) -> bytes:
    return json.dumps(tree).encode()


EXAMPLES: list[tuple[str, bytes, str]] = [
    ("s/us/tank", LINES, "c8y_smartrest"),
    ("measurement/measurements/create", sent(MEASURED), "c8y_json"),
]
NUMBERED = [f"{name}-{i}" for i, (*_, name) in enumerate(EXAMPLES)]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES, ids=NUMBERED)
def test_measurements_of_cumulocity_pass_the_laws(
    law: Any, topic: str, payload: bytes, _name: str
) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES, ids=NUMBERED)
def test_measurements_of_cumulocity_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


def told(topic: str, payload: object) -> list[tuple[str, int | None, dict[str, float]]]:
    """Device, stated time, and channels of each reading."""
    return [
        (
            r.device,
            None if r.quality & Quality.TIME_ESTIMATED else r.time,
            dict(zip(r.channels, r.values, strict=True)),
        )
        for r in laws.readings(topic, payload)
    ]


def one(topic: str, payload: object) -> Reading:
    (reading,) = laws.readings(topic, payload)
    return reading


def ignored(topic: str, payload: object) -> str:
    whole = payload if isinstance(payload, bytes) else sent(payload)
    outcome = Normaliser(())(laws.message(topic, whole))
    assert isinstance(outcome, Ignored), outcome
    return outcome.reason


def refused(topic: str, payload: bytes) -> DeadLetter:
    outcome = Normaliser(())(laws.message(topic, payload))
    assert isinstance(outcome, DeadLetter), outcome
    return outcome


SMARTREST: list[tuple[bytes, int | None, dict[str, float]]] = [
    (b"211,21.5", None, {"temperature": 21.5}),
    (b"211,21.5,2024-01-01T01:00:00.000+01:00", T, {"temperature": 21.5}),
    (b"212,80,2024-01-01T00:00:00Z", T, {"battery": 80}),
    (b"210,-90,23", None, {"ber": 23, "rssi": -90}),
    (b"210,,23", None, {"ber": 23}),
    (b"200,c8y_TemperatureMeasurement,T,25", None, {"temperature": 25}),
    (b"200,c8y_Tank,level,3,cm", None, {"c8y_tank.level": 0.03}),
    (
        b'201,Meter,2024-01-01T00:00:00Z,"c8y_Energy","A+:1",1,kWh,c8y_Energy,A-:1,2,kWh',
        T,
        {"c8y_energy.export.a_1": 7.2e6, "c8y_energy.import.a_1": 3.6e6},
    ),
    (b"201,Meter,,c8y_Tank,level,3", None, {"c8y_tank.level": 3}),
    (b'113,"a=1\nb=2"\r\n211,21.5\r\n', None, {"temperature": 21.5}),
]


@pytest.mark.parametrize(("payload", "time", "expected"), SMARTREST)
def test_the_templates_that_measure_are_read(
    payload: bytes, time: int | None, expected: dict[str, float]
) -> None:
    for topic in ("s/us/tank", "c8y/s/us/tank", "t/us/tank"):
        ((device, stated, found),) = told(topic, payload)
        assert (device, stated) == ("tank", time)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("template", ["401", "402"])
def test_a_location_update_is_a_position(template: str) -> None:
    reading = one("s/us", f"{template},48.1,11.5,500,10,2024-01-01T00:00:00Z".encode())
    spot = reading.position
    assert spot is not None
    assert (spot.lat, spot.lon, spot.altitude, spot.accuracy) == (48.1, 11.5, 500, 10)
    assert reading.time == T


def test_lines_are_samples_and_what_has_the_same_time_is_one_reading() -> None:
    assert told("s/us/tank", LINES) == [
        ("tank", T, {"c8y_tank.level": 0.03}),
        ("tank", None, {"temperature": 21.5}),
    ]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("s/us", b"100,Pump,c8y_MQTTDevice"),
        ("s/us", b"112,50.323423,6.423423"),
        ("s/us", b"301,fire"),
        ("s/us", b"400,door,The door opened"),
        ("s/us", b"501,c8y_Restart"),
        ("s/us", b"211,"),
        ("s/ds", b"510,pump-3"),
        ("s/uc/pumps", b"999,21.5"),
        ("c8y/s/e", b"41,200,no value"),
    ],
)
def test_inventory_alarms_events_and_operations_are_no_measurement(
    topic: str, payload: bytes
) -> None:
    assert ignored(topic, payload).startswith("inventory, alarms, events")


def test_a_measurement_without_a_number_is_refused() -> None:
    letter = refused("s/us", b"300\n211,warm")
    assert (letter.path, letter.expected) == ("line 2 at temperature", "a number")
    assert refused("s/us", b"211,\xff").expected == "lines of SmartREST"
    assert refused("s/us", b"211," + b"1" * MAX_BYTES).path == "payload"
    assert refused("s/us", b"105\n" * 600).path == "payload"


def test_other_words_on_short_topics_are_plain() -> None:
    assert recognise("s/us", b'{"a": 1}').name == "json"
    assert recognise("s/us", b"21.5").name == "plain"


def test_fragments_of_cumulocity_are_channels_and_signs_are_kept() -> None:
    expected = {
        "c8y_energy_measurement.export.a_1": 1,
        "c8y_energy_measurement.import.a_1": 7.2e6,
        "temperature": 21.5,
    }
    child = MEASURED | {"externalSource": {"externalId": "tank", "type": "c8y_Serial"}}
    assert told("c8y/measurement/measurements/create", child) == [("tank", T, expected)]
    source = MEASURED | {"source": {"id": "4711"}}
    assert told("measurement/measurements/create", source) == [("4711", T, expected)]
    bulk = {"measurements": [MEASURED, MEASURED | {"time": "2024-01-01T00:00:01Z"}]}
    found = told("measurement/measurements/createBulk", bulk)
    assert [time for _, time, _ in found] == [T, T + S]
    assert [channels["temperature"] for _, _, channels in found] == [21.5, 21.5]


def test_of_the_events_of_cumulocity_only_a_position_is_measured() -> None:
    moved = {"type": "c8y_LocationUpdate", "time": "2024-01-01T00:00:00Z", "text": "moved"}
    assert ignored("event/events/create", moved)
    reading = one("event/events/create", moved | {"c8y_Position": {"lat": 48.1, "lng": 11.5}})
    assert reading.position is not None
    assert (reading.position.lon, reading.time) == (11.5, T)


HUGE = [
    ("s/us", b"211,1\n" * 16000),
    ("s/us", b"211,1\n" * 300),
    ("s/us", b"201,a,," + b"a,b,1,V," * 10000),
]


@pytest.mark.parametrize(("topic", "payload"), HUGE, ids=range(len(HUGE)))
def test_huge_messages_end_well_and_cheaply(topic: str, payload: bytes) -> None:
    laws.ends_well(topic, payload)
    laws.is_cheap(topic, payload)
