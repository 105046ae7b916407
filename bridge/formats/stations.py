"""Weather and air stations: Ecowitt and Ambient, AirGradient, Sensor.Community and hackAIR.

Their keys have units that only the makers' protocols tell; numbers are often sent as texts. No
I/O, no clock.
"""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from bridge.errors import Malformed
from bridge.formats import plain
from bridge.formats.format import Format
from bridge.formats.general import identity, measured, value_named
from bridge.formats.sample import MAX_ITEMS, MAX_TEXT, Decoded, Sample
from bridge.formats.scalars import instant, mac_of, number, parse_json, place
from bridge.formats.shape import Shape, format_of

# Ecowitt's protocol, which Ambient and others share: keys in small letters, # for a number in
# them, and their channels, by unit. https://doc.ecowitt.net, https://ambientweather.docs.apiary.io
_BY_UNIT = {
    "degF": "tempf=temperature tempinf=indoor_temperature temp#f=temperature_#"
    " tf_ch#=probe_temperature_# soiltemp#=soil_temperature_# soiltemp#f=soil_temperature_#"
    " dewpoint=dew_point dewpointf=dew_point dewpoint#=dew_point_# dewpointin=indoor_dew_point"
    " feelslike=feels_like feelslikef=feels_like feelslike#=feels_like_#"
    " feelslikein=indoor_feels_like windchillf=wind_chill heatindexf=heat_index"
    " tf_co2=wh45.temperature",
    "%": "humidity=humidity humidityin=indoor_humidity humidity#=humidity_#"
    " soilmoisture#=soil_moisture_# soilhum#=soil_moisture_# leafwetness#=leaf_wetness_#"
    " leafwetness_ch#=leaf_wetness_# humi_co2=wh45.humidity",
    "inHg": "baromrelin=pressure_relative baromabsin=pressure_absolute vpd=vapour_pressure_deficit",
    "mph": "windspeedmph=wind_speed windgustmph=wind_gust maxdailygust=max_daily_gust"
    " windspdmph_avg2m=wind_speed_avg_2m windspdmph_avg10m=wind_speed_avg_10m",
    "deg": "winddir=wind_direction windgustdir=wind_gust_direction"
    " winddir_avg2m=wind_direction_avg_2m winddir_avg10m=wind_direction_avg_10m",
    "in/h": "rainratein=rain_rate rrain_piezo=piezo.rain_rate",
    "in": "eventrainin=rain_event hourlyrainin=rain_hour dailyrainin=rain_day"
    " weeklyrainin=rain_week monthlyrainin=rain_month yearlyrainin=rain_year"
    " totalrainin=rain_total last24hrainin=rain_24h 24hourrainin=rain_24h"
    " erain_piezo=piezo.rain_event hrain_piezo=piezo.rain_hour drain_piezo=piezo.rain_day"
    " wrain_piezo=piezo.rain_week mrain_piezo=piezo.rain_month yrain_piezo=piezo.rain_year"
    " last24hrain_piezo=piezo.rain_24h",
    "W/m2": "solarradiation=solar_radiation",
    "ug/m3": "pm25=pm2_5 pm25_24h=pm2_5_24h pm25_in=indoor_pm2_5 pm25_in_24h=indoor_pm2_5_24h"
    " pm25_ch#=pm2_5_ch# pm25_avg_24h_ch#=pm2_5_24h_ch# pm10=pm10 pm10_ch#=pm10_ch#"
    " pm10_in=indoor_pm10 pm25_co2=wh45.pm2_5 pm25_24h_co2=wh45.pm2_5_24h pm10_co2=wh45.pm10"
    " pm10_24h_co2=wh45.pm10_24h pm1_co2=wh45.pm1 pm1_24h_co2=wh45.pm1_24h pm4_co2=wh45.pm4"
    " pm4_24h_co2=wh45.pm4_24h",
    "ppm": "co2=co2 co2_24h=co2_24h co2in=indoor_co2 co2in_24h=indoor_co2_24h co2_in=indoor_co2"
    " co2_in_24h=indoor_co2_24h",
    "km": "lightning=lightning_distance lightning_distance=lightning_distance",
    "mm": "air_ch#=air_gap_# depth_ch#=depth_#",
    "V": "wh40batt=wh40batt wh68batt=wh68batt wh80batt=wh80batt wh85batt=wh85batt"
    " wh90batt=wh90batt ws1900batt=ws1900batt ws90cap_volt=ws90cap_volt soilbatt#=soilbatt_#"
    " tf_batt#=tf_batt_# leaf_batt#=leaf_batt_# ldsbatt#=ldsbatt_# console_batt=console_batt",
    "s": "runtime=runtime interval=interval",
    "B": "heap=heap",
    "": "uv=uv_index lightning_num=lightning_count srain_piezo=piezo.raining leak_ch#=leak_#"
    " batt#=battery_flag_# batt_co2=co2_battery_flag co2_batt=co2_battery_step",
}
_ECOWITT = {
    key: (channel, unit)
    for unit, pairs in _BY_UNIT.items()
    for key, channel in (pair.split("=") for pair in pairs.split())
}
_BESIDE = {
    "passkey": "a secret of the station",
    "mac": "the device",
    "macaddress": "the device",
    "dateutc": "the time",
    "tz": "a zone, but the time is UTC",
    "lastrain": "a time that is not the message's",
    "lightning_time": "a time that is not the message's",
    **dict.fromkeys(("stationtype", "model", "freq", "ws90_ver", "id", "name"), "what it is"),
    **{f"gain{n}0_piezo": "of the calibration" for n in range(1, 6)},
}
_ERROR = -9999  # what stands for a value that is missing
_FORM = re.compile(rb"\s*[A-Za-z]\w{0,31}=[^&\s]*&").match


def _station(topic: str, payload: bytes) -> Decoded:
    """One sample of a station, as JSON or as the form that it uploads."""
    if _FORM(payload):
        text = payload.decode("ascii", "replace").strip()
        if text.count("&") >= MAX_ITEMS:
            raise Malformed("payload", f"at most {MAX_ITEMS} items", "more")
        return _measured_by(dict(parse_qsl(text, keep_blank_values=True)))
    tree = parse_json(payload)
    if not isinstance(tree, dict) or "dateutc" not in tree or len(tree) > MAX_ITEMS:
        return plain.decode_json(topic, payload)
    return _measured_by(tree)


def _measured_by(tree: dict[str, Any]) -> Decoded:
    sent = next((tree[key] for key in ("MAC", "mac", "macAddress") if key in tree), None)
    sample = Sample(
        device=mac_of(identity(sent)) or identity(sent),
        time=instant(tree.get("dateutc"), utc=True),
    )
    for key, value in tree.items():
        beside = _BESIDE.get(key.lower())
        if beside:
            sample.notes.append((key, beside))
        elif isinstance(value, (dict, list)):
            sample.notes.append((key[:MAX_TEXT], "no value of the protocol"))
        elif (sent := number(value)) is not None and sent <= _ERROR:
            sample.notes.append((key[:MAX_TEXT], "missing, says the station"))
        else:
            channel, unit = _of_ecowitt(key) if len(key) <= MAX_TEXT else (key, "")
            value_named(sample, key, channel, value, unit)
    return measured([sample])


@lru_cache(maxsize=2048)
def _of_ecowitt(key: str) -> tuple[str, str]:
    """Channel and unit of a key.

    >>> _of_ecowitt("temp2f"), _of_ecowitt("pm25_ch1"), _of_ecowitt("wh65batt")
    (('temperature_2', 'degF'), ('pm2_5_ch1', 'ug/m3'), ('wh65batt', ''))
    """
    flat = key.lower()
    if flat in _ECOWITT:
        return _ECOWITT[flat]
    digits = re.findall(r"\d+", flat)
    if not digits:
        return key, ""
    before, _, behind = flat.rpartition(digits[-1])
    channel, unit = _ECOWITT.get(f"{before}#{behind}", (key, ""))
    return channel.replace("#", digits[-1]), unit


# AirGradient: https://github.com/airgradienthq/arduino/blob/master/docs/local-server.md
_ITSELF = ("boot", "bootCount", "firmware", "ledMode", "model", "monitorDisplayCompensatedValues")
_AIRGRADIENT = Shape(
    "airgradient",
    "the topic is one of AirGradient",
    ("airgradient/readings/+",),
    device="{serialno}",
    channels={
        **dict.fromkeys(_ITSELF, "-what it is"),
        **{f"{key}Standard": "= ug/m3" for key in ("pm01", "pm02", "pm10")},
        "atmp": "temperature Cel",
        "atmpCompensated": "temperature_compensated Cel",
        "noxIndex": "nox_index",
        "noxRaw": "nox_raw",
        "pm01": "pm1 ug/m3",
        "pm02": "pm2_5 ug/m3",
        "pm02Compensated": "pm2_5_compensated ug/m3",
        "pm10": "pm10 ug/m3",
        "rco2": "co2 ppm",
        "rhum": "humidity %",
        "rhumCompensated": "humidity_compensated %",
        "tvocIndex": "tvoc_index",
        "tvocRaw": "tvoc_raw",
        "wifi": "rssi dBm",
    },
)


def _airgradient(*keys: str) -> Format:
    why = f"the payload has {' and '.join(keys)}, as AirGradient sends them"
    shape = replace(_AIRGRADIENT, why=why, topics=("#",), marks=frozenset(keys))
    return format_of(shape)


# Sensor.Community: https://github.com/opendata-stuttgart/sensors-software; hackAIR sends the same
# list, or https://github.com/hackair-project/hackAir-Arduino/wiki
_TYPES = (  # the end of a value_type; channel and unit
    ("P0", "pm1", "ug/m3"),
    ("P1", "pm10", "ug/m3"),
    ("P2", "pm2_5", "ug/m3"),
    ("P4", "pm4", "ug/m3"),
    ("TS", "particle_size", "um"),
    ("temperature", "temperature", "Cel"),
    ("humidity", "humidity", "%"),
    ("pressure", "pressure", "Pa"),
    ("pressure_at_sealevel", "pressure_at_sea_level", "Pa"),
    ("pressure_sealevel", "pressure_at_sea_level", "Pa"),
    ("co2_ppm", "co2", "ppm"),
    ("noise_LAeq", "noise_level", "dB"),
    ("noise_LA_min", "noise_level_min", "dB"),
    ("noise_LA_max", "noise_level_max", "dB"),
    ("GPS_height", "altitude", "m"),
    ("signal", "rssi", "dBm"),
    ("interval", "interval", "ms"),
)
_SPOT = ("GPS_lat", "GPS_lon")
_TIMES = ("GPS_date", "GPS_time", "GPS_timestamp")
_POLLUTANT = re.compile(r"(PM[\d.]+)_AirPollutantValue").fullmatch


def _community(topic: str, payload: bytes) -> Decoded:
    """A list of pairs of type and value, alone or beside who measured them."""
    tree = parse_json(payload)
    rows = tree.get("sensordatavalues") if isinstance(tree, dict) else tree
    if not isinstance(rows, list) or not all(_is_pair(row) for row in rows):
        return plain.decode_json(topic, payload)
    if len(rows) > MAX_ITEMS:
        raise Malformed("sensordatavalues", f"at most {MAX_ITEMS} items", f"{len(rows)}")
    sample = Sample()
    if isinstance(tree, dict):
        sample.device = next(filter(None, (identity(tree.get(key)) for key in _NODES)), "")
        notes = {key: "the device" if key in _NODES else "what it is" for key in tree}
        sample.notes = [(key, why) for key, why in notes.items() if key != "sensordatavalues"]
    values = {row["value_type"][:MAX_TEXT]: row["value"] for row in rows}
    sample.position = place(values.get("GPS_lat"), values.get("GPS_lon"))
    for kind, value in values.items():
        _typed(sample, kind, value)
    return measured([sample])


_NODES = ("esp8266id", "esp32id", "sensor_id", "node")


def _is_pair(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("value_type"), str) and "value" in row


def _typed(sample: Sample, kind: str, value: object) -> None:
    if kind in _SPOT:
        sample.notes.append((kind, "the position"))
    elif kind in _TIMES:
        sample.notes.append((kind, "a time of the receiver"))
    elif isinstance(value, (dict, list)):
        sample.notes.append((kind, "no value"))
    else:
        ends = (
            (name, unit) for end, name, unit in _TYPES if kind == end or kind.endswith(f"_{end}")
        )
        name, unit = next(ends, (kind, ""))
        value_named(sample, kind, name, value, unit)


def _hackair(topic: str, payload: bytes) -> Decoded:
    """Pollutants of a hackAIR sensor, and the state of itself."""
    tree = parse_json(payload)
    reading = tree.get("reading") if isinstance(tree, dict) else None
    if not isinstance(reading, dict) or len(reading) + len(tree) > MAX_ITEMS:
        return plain.decode_json(topic, payload)
    sample = Sample()
    for key, value in reading.items():
        pollutant = _POLLUTANT(key)
        if pollutant and not isinstance(value, (dict, list)):
            path = f"reading.{key[:MAX_TEXT].replace('.', '-')}"
            value_named(sample, path, pollutant[1].replace(".", "_"), value, "ug/m3")
        else:
            sample.notes.append((f"reading.{key[:MAX_TEXT]}", "no pollutant"))
    for key, value in tree.items():
        if key != "reading" and len(key) <= MAX_TEXT and not isinstance(value, (dict, list)):
            name, unit = ("battery_voltage", "V") if key == "battery" else (key, "")
            value_named(sample, key, name, value, unit)
    return measured([sample])


def _listed(payload: bytes) -> bool:
    return payload.lstrip()[:1] == b"[" and b'"value_type"' in payload


def _form(payload: bytes) -> bool:
    return b"dateutc=" in payload and bool(_FORM(payload))


def _ecowitt(*keys: str) -> Format:
    why = f"the payload has {' and '.join(keys)}, as Ecowitt's protocol has them"
    return Format("ecowitt", why, _station, marks=frozenset(keys))


_NO_OBJECT: frozenset[str] = frozenset()
FORMATS: tuple[Format, ...] = (
    _ecowitt("PASSKEY", "dateutc"),
    _ecowitt("stationtype", "dateutc"),
    _ecowitt("macAddress", "dateutc"),
    Format(
        "ecowitt",
        "the payload is a form of Ecowitt's protocol",
        _station,
        shape=_form,
        marks=_NO_OBJECT,
    ),
    format_of(_AIRGRADIENT),
    _airgradient("serialno", "wifi"),
    _airgradient("rco2", "atmp"),
    Format(
        "hackair",
        "the payload has a reading of hackAIR",
        _hackair,
        shape=lambda payload: b"_AirPollutantValue" in payload,
        marks=frozenset({"reading"}),
    ),
    Format(
        "hackair",
        "the payload is a list of value_type and value",
        _community,
        shape=_listed,
        marks=_NO_OBJECT,
    ),
    Format(
        "sensor_community",
        "the payload has sensordatavalues",
        _community,
        marks=frozenset({"sensordatavalues"}),
    ),
)
