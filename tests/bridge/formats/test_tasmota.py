"""Tasmota: sensors in their units, the devices behind a gateway, and what measures nothing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.formats import recognise
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import outcome, told

AT = '"Time":"2024-05-01T12:00:00"'
ZIGBEE = '{"ZbReceived":{"0x4F20":{"Device":"0x4F20","Name":"Attic","Temperature":19.5,"Power":1,"Endpoint":1,"LinkQuality":90},"0x99AA":{"Device":"0x99AA","Humidity":55,"0006/4001":0,"LinkQuality":40}}}'  # noqa: E501
PLUG = f'{{{AT},"ENERGY":{{"TotalStartTime":"2024-01-01T00:00:00","Total":12.5,"Today":0.5,"Power":[100,200],"Factor":0.9,"Voltage":231}}}}'  # noqa: E501
EXAMPLES: list[tuple[str, bytes, str]] = [
    ("tele/attic/SENSOR", f'{{{AT},"BME280":{{"Temperature":68,"Pressure":30}},"TempUnit":"F","PressureUnit":"inHg"}}'.encode(), "tasmota"),  # noqa: E501
    ("plug/tele/SENSOR", PLUG.encode(), "tasmota"),
    ("tele/plug/STATE", f'{{{AT},"Uptime":"1T02:03:04","UptimeSec":93784,"Vcc":3.1,"POWER":"ON","Wifi":{{"AP":1,"SSId":"home","RSSI":80,"Signal":-60}}}}'.encode(), "tasmota"),  # noqa: E501
    ("tele/gate/RESULT", ZIGBEE.encode(), "tasmota"),
    ("stat/attic/STATUS8", f'{{"StatusSNS":{{{AT},"ANALOG":{{"A0":7}}}}}}'.encode(), "tasmota"),
    ("stat/plug/POWER1", b"ON", "tasmota"),
    ("stat/plug/RESULT", b'{"Dimmer":50}', "tasmota"),
    ("tele/plug/LWT", b"Online", "tasmota"),
    ("cmnd/plug/POWER", b"TOGGLE", "tasmota"),
    ("tasmota/discovery/A4C1388FC8A7/config", b'{"ip":"192.0.2.7"}', "tasmota"),
    ("farm/3/barn/data", f'{{{AT},"DS18B20":{{"Temperature":4.5}},"TempUnit":"C"}}'.encode(), "tasmota"),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_tasmota_passes_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_tasmota_is_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_messages_end_well(example: tuple[str, bytes, str], data: st.DataObject) -> None:
    topic, payload, _ = example
    at = data.draw(st.integers(0, len(payload) - 1))
    more = data.draw(st.binary(max_size=6))
    laws.ends_well(topic, payload[:at] + more + payload[at + len(more) :])


READ: list[tuple[str, str, dict[str, float]]] = [
    ("BME280", '{"Temperature":20,"Humidity":50,"DewPoint":9,"SeaPressure":1000}', {"bme280.temperature": 20, "bme280.humidity": 50, "bme280.dew_point": 9, "bme280.sea_pressure": 100000}),  # noqa: E501
    ("SCD40", '{"CarbonDioxide":600,"eCO2":620}', {"scd40.co2": 600, "scd40.eco2": 620}),
    ("SGP30", '{"TVOC":125}', {"sgp30.tvoc": 0.125}),
    ("PMS5003", '{"PM2.5":5,"CF1":1,"PB0.3":400}', {"pms5003.pm2_5": 5, "pms5003.cf1": 1, "pms5003.pb0_3": 400}),  # noqa: E501
    ("VL53L0X_1", '{"Distance":263}', {"vl53_l0_x_1.distance": 0.263}),
    ("SR04", '{"Distance":26}', {"sr04.distance": 0.26}),
    ("HX711", '{"Weight":1.5}', {"hx711.weight": 1.5}),
    ("TSL2561", '{"Illuminance":21.5}', {"tsl2561.illuminance": 21.5}),
    ("MLX90614", '{"OBJTMP":23.8,"AMBTMP":22.7}', {"mlx90614.objtmp": 23.8, "mlx90614.ambtmp": 22.7}),  # noqa: E501
    ("TX23", '{"Speed":{"Act":36,"Avg":18},"Dir":{"Deg":90,"Card":"E"}},"SpeedUnit":"km/h"', {"tx23.speed.act": 10, "tx23.speed.avg": 5, "tx23.dir.deg": 90}),  # noqa: E501
    ("ENERGY", '{"Period":[1,2],"ApparentPower":30,"ReactivePower":3,"Frequency":50}', {"energy.period.0": 3600, "energy.period.1": 7200, "energy.apparent_power": 30, "energy.reactive_power": 3, "energy.frequency": 50}),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("sensor", "block", "expected"), READ, ids=[row[0] for row in READ])
def test_a_sensor_is_read_in_its_units(sensor: str, block: str, expected: dict[str, float]) -> None:
    payload = f'{{{AT},"{sensor}":{block}}}'.encode()
    ((device, time, channels),) = told("tele/site/attic/SENSOR", payload)
    assert (device, time) == ("site/attic", None)
    assert channels == pytest.approx(expected)


def test_units_stand_beside_the_sensors() -> None:
    ((_, _, channels),) = told(*EXAMPLES[0][:2])
    assert channels == pytest.approx({"bme280.temperature": 20, "bme280.pressure": 101591.67})


def test_phases_are_told_apart_and_energy_is_in_kwh() -> None:
    ((device, _, channels),) = told(*EXAMPLES[1][:2])
    assert device == "plug"
    assert channels == {
        "energy.total": 12.5 * 3.6e6,
        "energy.today": 0.5 * 3.6e6,
        "energy.power.0": 100,
        "energy.power.1": 200,
        "energy.power_factor": 0.9,
        "energy.voltage": 231,
    }


def test_a_time_with_its_zone_is_absolute_and_one_without_is_not() -> None:
    zoned = b'{"Time":"2023-11-14T23:13:20+01:00","Switch1":"ON","A":{"Temperature":1}}'
    assert told("tele/x/SENSOR", zoned)[0][1] == 1_700_000_000_000_000
    assert told("tele/x/SENSOR", zoned.replace(b"+01:00", b""))[0][1] is None


def test_the_state_has_the_signal_in_dbm_and_its_quality_in_percent() -> None:
    (reading,) = laws.readings(*EXAMPLES[2][:2])
    assert dict(zip(reading.channels, reading.values, strict=True)) == {
        "uptime_sec": 93784,
        "vcc": 3.1,
        "wifi.quality": 80,
        "wifi.rssi": -60,
    }
    assert (reading.states, reading.state_values) == (("power",), ("ON",))


def test_a_zigbee_device_is_a_device_of_its_own_and_its_power_is_a_switch() -> None:
    assert told("tele/gate/RESULT", ZIGBEE.encode()) == [
        ("gate/Attic", None, {"link_quality": 90, "on": 1, "temperature": 19.5}),
        ("gate/0x99AA", None, {"humidity": 55, "link_quality": 40}),
    ]


def test_it_has_the_same_name_where_the_gateway_calls_it_so() -> None:
    renamed = b'{"ZbReceived":{"Attic":{"Device":"0x4F20","Temperature":19.5}}}'
    assert told("tele/gate/SENSOR", renamed) == [("gate/Attic", None, {"temperature": 19.5})]
    alone = b'{"0x4F20":{"Device":"0x4F20","Name":"Attic","Temperature":3,"LinkQuality":9}}'
    assert told("tele/gate/4F20/ZbReceived", alone)[0][0] == "gate/4F20/Attic"
    matter = b'{"MtrReceived":{"Name":"Lamp","Power":1}}'
    assert told("tele/gate/SENSOR", matter) == [("gate/Lamp", None, {"on": 1})]


def test_a_bluetooth_device_is_known_by_its_address() -> None:
    heard = f'{{{AT},"ATC8fc8a7":{{"mac":"a4c1388fc8a7","Temperature":22.5,"RSSI":-60}},"Vcc":3}}'
    assert told("tele/gate/SENSOR", heard.encode()) == [
        ("gate", None, {"vcc": 3}),
        ("A4:C1:38:8F:C8:A7", None, {"rssi": -60, "temperature": 22.5}),
    ]


def test_a_status_is_its_sensors_and_its_state() -> None:
    both = f'{{"Status":{{"Module":1}},"StatusSTS":{{{AT},"Vcc":3}},"StatusSNS":{{{AT},"A0":7}}}}'
    assert told("stat/x/STATUS0", both.encode()) == [("x", None, {"a0": 7, "vcc": 3})]


NOTHING = [
    ("tele/x/LWT", b"Offline"),
    ("tele/x/LWT", b""),
    ("x/cmnd/POWER", b"ON"),
    ("cmnd/tasmotas/STATUS", b"0"),
    ("tele/x/INFO1", b'{"Info1":{"Module":"Sonoff Basic","Version":"13.0"}}'),
    ("tele/x/INFO2", b'{"WebServerMode":"Admin","Time":"x"}'),
    ("stat/x/STATUS2", b'{"StatusFWR":{"Version":"13.0","Boot":31}}'),
    ("stat/x/STATUS", b'{"Status":{"Module":1,"Power":1}}'),
    ("tele/x/SENSOR", f"{{{AT}}}".encode()),
    ("tele/x/SENSOR", b""),
    ("tasmota/discovery/A4C1388FC8A7/sensors", b'{"sn":{"Time":"x","A0":5}}'),
]


@pytest.mark.parametrize(("topic", "payload"), NOTHING)
def test_what_measures_nothing_is_ignored(topic: str, payload: bytes) -> None:
    assert isinstance(outcome(topic, payload), Ignored)


OTHERS = [
    ("tele/scope/gps", b'{"temp": 21.5}', {"temperature": 21.5}),
    ("stat/server/load", b"5.5", {"load": 5.5}),
    ("home/attic", f'{{{AT},"temp":3}}'.encode(), {"temperature": 3}),
]


@pytest.mark.parametrize(("topic", "payload", "expected"), OTHERS)
def test_messages_of_others_are_read_as_they_are(
    topic: str, payload: bytes, expected: dict[str, float]
) -> None:
    assert told(topic, payload)[0][2] == expected


def test_a_switch_is_a_state_of_its_device() -> None:
    (reading,) = laws.readings("stat/site/plug/POWER2", b"OFF")
    assert (reading.device, reading.states, reading.state_values) == (
        "site/plug",
        ("power2",),
        ("OFF",),
    )
