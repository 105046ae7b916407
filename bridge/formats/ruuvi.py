"""Ruuvi: what a gateway hears of its tags, decoded there or as the advertisement's bytes.

Data formats 3, 5, C5, 6 and E1 (https://docs.ruuvi.com/communication/bluetooth-advertisements).
Codes that mean "not available" are no measurement. The device is the tag; the gateway's MAC and
coordinates are not the tag's.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import identity, measured
from bridge.formats.sample import MAX_TEXT, Decoded, Field, Nothing, Sample
from bridge.formats.scalars import describe, instant, mac_of, number, parse_json

MAX_TAGS = 200  # of a message
LONGEST = 255  # bytes of an advertisement with its extensions
_TOLD = re.compile(rb'"(?:gw_mac|tags)"\s*:').search
_HEARD = re.compile(rb'"(?:data|dataFormat|tags)"\s*:').search
_COMPANY = b"\x99\x04"  # Ruuvi Innovations, as an advertisement has it
_MANUFACTURER = 0xFF  # the kind of data that begins with a company
_RAW_1, _AIR, _AIR_LONG = 3, 6, 0xE1

_UNITS = {
    "temperature": "Cel",
    "humidity": "%",
    "pressure": "Pa",
    "acceleration_x": "g_n",
    "acceleration_y": "g_n",
    "acceleration_z": "g_n",
    "battery_voltage": "V",
    "tx_power": "dBm",
    "rssi": "dBm",
    "pm1": "ug/m3",
    "pm2_5": "ug/m3",
    "pm4": "ug/m3",
    "pm10": "ug/m3",
    "co2": "ppm",
    "illuminance": "lx",
    "noise_level": "dB",
    "noise_level_avg": "dB",
    "noise_level_peak": "dB",
}
_JSON = {  # what a gateway calls them, where it decodes
    "temperature": "temperature",
    "humidity": "humidity",
    "pressure": "pressure",
    "accelX": "acceleration_x",
    "accelY": "acceleration_y",
    "accelZ": "acceleration_z",
    "voltage": "battery_voltage",
    "txPower": "tx_power",
    "movementCounter": "movement_counter",
    "measurementSequenceNumber": "measurement_sequence",
    "PM1.0": "pm1",
    "PM2.5": "pm2_5",
    "PM4.0": "pm4",
    "PM10.0": "pm10",
    "CO2": "co2",
    "VOC": "voc",
    "NOx": "nox",
    "luminosity": "illuminance",
    "sound_inst_dba": "noise_level",
    "sound_avg_dba": "noise_level_avg",
    "sound_peak_spl_db": "noise_level_peak",
}
_ASIDE = {
    "gw_mac": "the gateway",
    "coords": "the position of the gateway",
    "coordinates": "the position of the gateway",
    "gwts": "when the gateway sent it",
    "cnt": "a counter of messages",
    "aoa": "no measurement",
    "dataFormat": "the data format",
    "ble_phy": "how it was heard",
    "ble_chan": "how it was heard",
    "ble_tx_power": "how it was heard",
    "flag_calibration_in_progress": "a flag",
    "flag_button_pressed": "a flag",
    "flag_rtc_running_on_boot": "a flag",
}
_OTHER = Nothing("no advertisement of a Ruuvi tag")
_STATE = Nothing("the state of the gateway")


class _Value(NamedTuple):
    """Where one number stands behind the company's code, most significant byte first."""

    name: str
    at: int
    size: int = 2  # bytes
    per: int = 1
    plus: float = 0
    signed: bool = False


_CLIMATE = (
    _Value("temperature", 1, per=200, signed=True),
    _Value("humidity", 3, per=400),
    _Value("pressure", 5, plus=50_000),
)
_SEQUENCE = "measurement_sequence"
_FORMATS: dict[int, tuple[int, int, tuple[_Value, ...]]] = {  # bytes, where the MAC stands (0: not)
    3: (
        14,
        0,
        (
            _Value("humidity", 1, 1, 2),
            _Value("pressure", 4, plus=50_000),
            _Value("acceleration_x", 6, per=1000, signed=True),
            _Value("acceleration_y", 8, per=1000, signed=True),
            _Value("acceleration_z", 10, per=1000, signed=True),
            _Value("battery_voltage", 12, per=1000),
        ),
    ),
    5: (
        24,
        18,
        (
            *_CLIMATE,
            _Value("acceleration_x", 7, per=1000, signed=True),
            _Value("acceleration_y", 9, per=1000, signed=True),
            _Value("acceleration_z", 11, per=1000, signed=True),
            _Value("movement_counter", 15, 1),
            _Value(_SEQUENCE, 16),
        ),
    ),
    0xC5: (18, 12, (*_CLIMATE, _Value("movement_counter", 9, 1), _Value(_SEQUENCE, 10))),
    6: (20, 0, (*_CLIMATE, _Value("pm2_5", 7, per=10), _Value("co2", 9))),
    0xE1: (
        40,
        34,
        (
            *_CLIMATE,
            _Value("pm1", 7, per=10),
            _Value("pm2_5", 9, per=10),
            _Value("pm4", 11, per=10),
            _Value("pm10", 13, per=10),
            _Value("co2", 15),
            _Value("illuminance", 19, 3, 100),
            _Value(_SEQUENCE, 25, 3),
        ),
    ),
}
_POWER = {5: 13, 0xC5: 7}  # 11 bits of mV above 1.6 V, 5 bits of 2 dBm above -40 dBm
_INDEXES = {6: (11, 16), 0xE1: (17, 28)}  # VOC and NOx, and the flags with their last bits


def decode(topic: str, payload: bytes) -> Decoded:
    """A sample for each tag."""
    if topic.endswith("/gw_status"):
        return _STATE
    tree = parse_json(payload)
    if not isinstance(tree, dict):
        raise Malformed("payload", "a JSON object", describe(payload))
    whole = tree["data"] if isinstance(tree.get("data"), dict) else tree
    tags = whole.get("tags")
    if isinstance(tags, dict):
        if len(tags) > MAX_TAGS:
            raise Malformed("tags", f"at most {MAX_TAGS} tags", f"{len(tags)}")
        start = "data.tags" if whole is not tree else "tags"
        samples = [
            _sample(f"{start}.{mac[:MAX_TEXT]}.", mac, tag)
            for mac, tag in tags.items()
            if isinstance(tag, dict)
        ]
    else:
        samples = [_sample("", topic.rpartition("/")[2], tree)]
    found = measured(samples)
    return Nothing(_OTHER.reason, found.notes) if isinstance(found, Nothing) else found


def _sample(start: str, mac: str, tag: dict[str, Any]) -> Sample:
    """What is known of one tag; what the gateway decoded counts where the bytes do not say it."""
    sample = Sample()
    values, address = advertisement(tag["data"]) if isinstance(tag.get("data"), str) else ({}, "")
    heard = {name: f"data.{name}" for name in values}
    for key, name in _JSON.items():
        value = number(tag.get(key)) if key in tag else None
        if value is not None and name not in values:
            values[name], heard[name] = value, key
        elif key in tag and value is None:
            sample.notes.append((start + key, "null: the channel is missing"))
    for key in _ASIDE.keys() & tag.keys():
        sample.notes.append((start + key, _ASIDE[key]))
    if not values:
        sample.notes.append((f"{start}data", "no measurement of a Ruuvi tag"))
        return sample
    rssi = number(tag.get("rssi"))
    if rssi is not None:
        values["rssi"], heard["rssi"] = rssi, "rssi"
    for name, value in values.items():
        sample.number(Field(start + heard[name], name, _UNITS.get(name, "")), value)
    sample.device = mac_of(mac) or address or mac_of(identity(tag.get("id")))
    times = map(instant, (tag.get("ts"), tag.get("timestamp"), tag.get("gwts")))
    sample.time = next((time for time in times if time is not None), None)
    return sample


def advertisement(text: str) -> tuple[dict[str, float], str]:
    """What the bytes of a Bluetooth advertisement say, and the MAC of the tag if it is in them.

    >>> advertisement("02010611FF990403291A1ECE1EFC18F94202CA0B53")[0]["temperature"]
    26.3
    """
    try:
        body = _manufacturer(bytes.fromhex(text) if len(text) <= 2 * LONGEST else b"")
    except ValueError:
        body = b""
    kind = body[0] if body else 0
    length, at, values = _FORMATS.get(kind, (0, 0, ()))
    if len(body) < length or not values:
        return {}, ""
    address = body[at : at + 6].hex() if at else ""
    return dict(_values(kind, body, values)), mac_of(address) if address != "f" * 12 else ""


def _manufacturer(advertised: bytes) -> bytes:
    """What stands behind the code of Ruuvi; an advertisement is lengths, kinds and data."""
    at = 0
    while at + 1 < len(advertised) and advertised[at]:
        end = at + 1 + advertised[at]
        if advertised[at + 1] == _MANUFACTURER and advertised[at + 2 : at + 4] == _COMPANY:
            return advertised[at + 4 : end]
        at = end
    return b""


def _values(kind: int, body: bytes, values: tuple[_Value, ...]) -> Iterator[tuple[str, float]]:
    for name, at, size, per, plus, signed in values:
        sent = int.from_bytes(body[at : at + size], signed=signed)
        if kind == _RAW_1 or sent != (-(1 << 8 * size - 1) if signed else (1 << 8 * size) - 1):
            yield name, sent / per + plus
    if kind == _RAW_1:
        yield "temperature", (-1 if body[2] & 0x80 else 1) * ((body[2] & 0x7F) + body[3] / 100)
    if kind in _POWER:
        yield from _power(int.from_bytes(body[_POWER[kind] : _POWER[kind] + 2]))
    if kind in _INDEXES:
        yield from _indexes(body, *_INDEXES[kind])
    if kind == _AIR:
        yield _SEQUENCE, body[15]
        if body[13] != 0xFF:  # noqa: PLR2004  logarithmic
            yield "illuminance", round(math.exp(body[13] * math.log(65536) / 254) - 1, 2)


def _power(sent: int) -> Iterator[tuple[str, float]]:
    volts, dbm = sent >> 5, sent & 0x1F
    if volts != 0x7FF:  # noqa: PLR2004
        yield "battery_voltage", (volts + 1600) / 1000
    if dbm != 0x1F:  # noqa: PLR2004
        yield "tx_power", 2 * dbm - 40


def _indexes(body: bytes, at: int, flags: int) -> Iterator[tuple[str, float]]:
    for name, byte, bit in (("voc", body[at], 6), ("nox", body[at + 1], 7)):
        index = 2 * byte + (body[flags] >> bit & 1)
        if index != 0x1FF:  # noqa: PLR2004
            yield name, index


def _there(payload: bytes) -> object:
    return payload[:1] == b"{" and _TOLD(payload)


def _looks(payload: bytes) -> object:
    return b'"gw_mac"' in payload and _HEARD(payload)


_WHY = "the payload is what a Ruuvi gateway hears"
FORMATS: tuple[Format, ...] = (
    Format("ruuvi", "the state of a Ruuvi gateway", decode, ("ruuvi/+/gw_status",)),
    Format("ruuvi", "the topic is that of a Ruuvi gateway", decode, ("ruuvi/+/+",), _there),
    Format("ruuvi", _WHY, decode, shape=_looks, marks=frozenset({"gw_mac", "data"})),
    Format("ruuvi", _WHY, decode, shape=_looks, marks=frozenset({"gw_mac", "tags"})),
    Format("ruuvi", _WHY, decode, shape=_looks, marks=frozenset({"gw_mac", "dataFormat"})),
    Format("ruuvi", _WHY, decode, shape=_looks, marks=frozenset({"data"})),
)
