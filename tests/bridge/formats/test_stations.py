"""Stations: numbers in texts, units that the protocol tells, secrets that stay out."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.formats import recognise
from bridge.normalise import Normaliser
from tests import laws
from tests.bridge.formats.told import T, outcome, told

UPLOAD = {
    "PASSKEY": "0123456789ABCDEF",
    "stationtype": "GW2000A_V2.1.4",
    "dateutc": "2023-11-14 22:13:20",
    "tempf": "68.0",
    "humidity": "45",
}
FORM = b"PASSKEY=0123&stationtype=EasyWeather&dateutc=2023-11-14+22:13:20&tempf=68.0&lightning="
AIR = {
    "serialno": "ecda3b1d09d8",
    "wifi": -46,
    "rco2": 447,
    "pm02": 7,
    "atmp": 25.5,
    "atmpCompensated": 24.25,
    "rhum": 43,
    "bootCount": 6,
    "firmware": "3.1.3",
}
ROWS = [
    {"value_type": "SDS_P1", "value": "12.5"},
    {"value_type": "SDS_P2", "value": "5.25"},
    {"value_type": "BME280_pressure", "value": "98765.5"},
]
PUSHED = {"esp8266id": "12345678", "software_version": "NRZ-2020-133", "sensordatavalues": ROWS}
HACKAIR = {
    "reading": {"PM2.5_AirPollutantValue": "7.5", "PM10_AirPollutantValue": "32.5"},
    "battery": "3.75",
    "tamper": "0",
    "error": "4",
}
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("ecowitt/roof", json.dumps(UPLOAD).encode(), "ecowitt"),
    ("ecowitt/roof", FORM, "ecowitt"),
    ("airgradient/readings/ecda3b1d09d8", json.dumps(AIR).encode(), "airgradient"),
    ("air/office", json.dumps(AIR).encode(), "airgradient"),
    ("air/roof", json.dumps(PUSHED).encode(), "sensor_community"),
    ("hackair/roof", json.dumps(ROWS).encode(), "hackair"),
    ("hackair/roof", json.dumps(HACKAIR).encode(), "hackair"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_stations_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_stations_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


KEYS: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"tempinf": "68", "temp2f": "50", "tf_ch1": "41"}, {"indoor_temperature": 20, "temperature_2": 10, "probe_temperature_1": 5}),  # noqa: E501
    ({"humidityin": "31", "humidity2": "60", "soilmoisture1": "22", "leafwetness_ch1": "9"}, {"indoor_humidity": 31, "humidity_2": 60, "soil_moisture_1": 22, "leaf_wetness_1": 9}),  # noqa: E501
    ({"baromrelin": "30", "baromabsin": "29"}, {"pressure_relative": 101591.67, "pressure_absolute": 98205.281}),  # noqa: E501
    ({"windspeedmph": "10", "windgustmph": "20", "maxdailygust": "30", "winddir": "270"}, {"wind_speed": 4.4704, "wind_gust": 8.9408, "max_daily_gust": 13.4112, "wind_direction": 270}),  # noqa: E501
    ({"rainratein": "1", "dailyrainin": "1", "yearlyrainin": "10", "eventrainin": "0"}, {"rain_rate": 25.4, "rain_day": 0.0254, "rain_year": 0.254, "rain_event": 0}),  # noqa: E501
    ({"rrain_piezo": "1", "drain_piezo": "1", "srain_piezo": "1"}, {"piezo.rain_rate": 25.4, "piezo.rain_day": 0.0254, "piezo.raining": 1}),  # noqa: E501
    ({"solarradiation": "642.5", "uv": "6"}, {"solar_radiation": 642.5, "uv_index": 6}),
    ({"pm25_ch1": "7", "pm25_avg_24h_ch1": "14", "co2": "600", "pm25_co2": "3", "tf_co2": "68"}, {"pm2_5_ch1": 7, "pm2_5_24h_ch1": 14, "co2": 600, "wh45.pm2_5": 3, "wh45.temperature": 20}),  # noqa: E501
    ({"lightning": "13", "lightning_num": "2", "lightning_time": "1650475037"}, {"lightning_distance": 13000, "lightning_count": 2}),  # noqa: E501
    ({"wh65batt": "0", "batt1": "1", "soilbatt1": "1.5", "wh40batt": "1.25"}, {"wh65batt": 0, "battery_flag_1": 1, "soilbatt_1": 1.5, "wh40batt": 1.25}),  # noqa: E501
    ({"tempf": 68, "feelsLike": 50, "dewPoint": 41, "lastRain": "2023-11-01T00:00:00Z"}, {"temperature": 20, "feels_like": 10, "dew_point": 5}),  # noqa: E501
    ({"tempf": "-9999", "lightning": "", "humidity": "45"}, {"humidity": 45}),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "expected"), KEYS, ids=[next(iter(k[0])) for k in KEYS])
def test_a_key_of_ecowitt_has_its_unit(sent: dict[str, Any], expected: dict[str, float]) -> None:
    upload = {"PASSKEY": "0123", "dateutc": "2023-11-14 22:13:20"} | sent
    ((device, time, channels),) = told("weather/roof", upload)
    assert (device, time) == ("weather/roof", T)
    assert channels == pytest.approx(expected)


def test_a_form_is_read_as_an_object_is() -> None:
    assert told("ecowitt/roof", FORM) == [("ecowitt/roof", T, {"temperature": 20})]


def test_a_station_is_known_by_its_address_and_never_by_its_secret() -> None:
    ambient = {"stationtype": "AMBWeatherPro", "MAC": "a4:c1:38:8f:c8:a7", "dateutc": 1700000000000}
    assert told("x", ambient | {"tempf": 68}) == [("A4:C1:38:8F:C8:A7", T, {"temperature": 20})]
    explained = Normaliser(())
    for topic, payload, _ in EXAMPLES[:2]:
        assert "0123" not in repr(explained.explain(laws.message(topic, payload)).fields)


def test_airgradient_is_known_by_its_serial_number() -> None:
    for topic, payload, _ in EXAMPLES[2:4]:
        assert told(topic, payload) == [
            (
                "ecda3b1d09d8",
                None,
                {
                    "co2": 447,
                    "humidity": 43,
                    "pm2_5": 7,
                    "rssi": -46,
                    "temperature": 25.5,
                    "temperature_compensated": 24.25,
                },
            )
        ]


def test_each_channel_of_an_outdoor_monitor_is_told() -> None:
    two = AIR | {"channels": {"1": {"pm01": 3, "atmp": 20.5}, "2": {"pm01": 4}}}
    channels = told("x", two)[0][2]
    assert channels["channels.1.pm1"] == 3
    assert channels["channels.1.temperature"] == 20.5
    assert channels["channels.2.pm1"] == 4


DUST = {"pm10": 12.5, "pm2_5": 5.25, "pressure": 98765.5}


def test_p1_is_pm10_and_p2_is_pm2_5() -> None:
    assert told(*EXAMPLES[4][:2]) == [("12345678", None, DUST)]
    assert told(*EXAMPLES[5][:2]) == [("hackair/roof", None, DUST)]
    assert told(*EXAMPLES[6][:2]) == [
        (
            "hackair/roof",
            None,
            {"battery_voltage": 3.75, "error": 4, "pm10": 32.5, "pm2_5": 7.5, "tamper": 0},
        )
    ]


def test_two_sensors_of_a_kind_keep_their_names() -> None:
    rows = [{"value_type": f"{kind}_temperature", "value": "20"} for kind in ("BME280", "SHT3X")]
    assert told("x", rows)[0][2] == {"bme280_temperature": 20, "sht3_x_temperature": 20}


def test_a_receiver_says_where_the_station_is() -> None:
    spot = {"GPS_lat": "48.1", "GPS_lon": "11.5", "GPS_height": "520", "GPS_date": "05/01/2024"}
    rows = [{"value_type": kind, "value": value} for kind, value in spot.items()]
    (reading,) = laws.readings("x", {"sensordatavalues": rows})
    assert reading.position is not None
    found = (reading.position.lat, reading.position.lon, reading.position.altitude)
    assert found == (48.1, 11.5, 520)


OTHERS: list[tuple[object, dict[str, float]]] = [
    ([{"value_type": "a"}, {"temp": 3}], {"temperature": 3}),
    ({"reading": 5, "x_AirPollutantValue": 4}, {"reading": 5}),
    ({"sensordatavalues": 5, "temp": 3}, {"temperature": 3}),
    ({"stationtype": {"dateutc": 1}, "temp": 3}, {"temperature": 3}),
]


@pytest.mark.parametrize(("sent", "expected"), OTHERS, ids=range(len(OTHERS)))
def test_messages_of_others_are_read_as_they_are(sent: object, expected: dict[str, float]) -> None:
    channels = {key: value for row in told("x", sent) for key, value in row[2].items()}
    assert {key: channels[key] for key in expected} == expected


HUGE = [
    b"PASSKEY=&dateutc=x&" + b"&".join(b"k%d=1" % i for i in range(5000)),
    b"PASSKEY=&dateutc=x&" + b"%41" * 20000,
    json.dumps({"PASSKEY": "", "dateutc": ""} | {f"k{i}": "1" for i in range(3000)}).encode(),
    json.dumps([{"value_type": f"k{i}", "value": "1"} for i in range(2500)]).encode(),
    json.dumps({"reading": {f"PM{i}_AirPollutantValue": i for i in range(2000)}}).encode(),
]


@pytest.mark.parametrize("payload", HUGE, ids=range(len(HUGE)))
def test_huge_messages_end_well_and_cheaply(payload: bytes) -> None:
    laws.ends_well("x", payload)
    laws.is_cheap("x", payload)


def test_a_list_too_long_is_refused() -> None:
    assert isinstance(outcome("x", HUGE[3]), DeadLetter)
