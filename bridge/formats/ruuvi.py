"""Ruuvi: what a gateway hears of its tags, decoded there or as the advertisement's bytes.

Data formats 3 and 5 (https://docs.ruuvi.com/communication/bluetooth-advertisements). Invalid codes
are no measurement. The device is the tag; the gateway's MAC and coordinates are not the tag's.
"""

import re
import struct
from collections.abc import Iterator
from typing import Any

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import measured
from bridge.formats.sample import MAX_ITEMS, MAX_TEXT, Decoded, Field, Nothing, Sample
from bridge.formats.scalars import describe, instant, mac_of, number, parse_json

Values = dict[str, float]
_LOOKS = re.compile(rb"[\"'](?:tags|data)\"\s*:\s*(?:\"[0-9A-Fa-f]{14,}\"|\{)").search
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
    "movement_counter": "",
    "measurement_sequence": "",
}
_JSON = {
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
    "rssi": "rssi",
}
_OTHER = Nothing("no advertisement of a Ruuvi tag")
_COMPANY = bytes.fromhex("FF9904")  # of the manufacturer's data, and whose


def decode(topic: str, payload: bytes) -> Decoded:
    """A sample for each tag."""
    if not payload.strip():
        return _OTHER
    tree = parse_json(payload)
    if not isinstance(tree, dict):
        raise Malformed("payload", "a JSON object", describe(payload))
    inner = tree["data"] if isinstance(tree.get("data"), dict) else tree
    tags = inner.get("tags")
    levels = topic.split("/")
    if isinstance(tags, dict):
        if len(tags) * 16 > MAX_ITEMS:
            raise Malformed("data.tags", f"at most {MAX_ITEMS // 16} tags", f"{len(tags)}")
        samples = [
            _sample(f"tags.{mac}"[:MAX_TEXT], mac, tag)
            for mac, tag in tags.items()
            if isinstance(tag, dict)
        ]
    else:
        samples = [_sample("data", mac_of(levels[-1]), tree)]
    found = measured(samples)
    return _OTHER if isinstance(found, Nothing) else found


def _sample(path: str, mac: str, tag: dict[str, Any]) -> Sample:
    times = (instant(tag.get(key)) for key in ("ts", "timestamp", "gwts"))
    sample = Sample(
        device=mac_of(mac) or mac.upper(), time=next((t for t in times if t is not None), None)
    )
    values: Values = {}
    data = tag.get("data")
    if isinstance(data, str) and len(data) <= 512:  # noqa: PLR2004
        heard, address = advertisement(data)
        values |= heard
        sample.device = sample.device or address
    for key, name in _JSON.items():
        value = number(tag.get(key))
        if value is not None and not isinstance(tag.get(key), bool):
            values.setdefault(name, value)
    for name, value in values.items():
        sample.number(Field(f"{path}.{name}", name, _UNITS[name]), value)
    for key in ("gw_mac", "coords", "coordinates"):
        if key in tag:
            sample.notes.append((f"{path}.{key}", "of the gateway"))
    return sample


def advertisement(text: str) -> tuple[Values, str]:
    """What the manufacturer's data of a Bluetooth advertisement say, and of which tag.

    >>> advertisement("0201061BFF990403291A1ECE1EFC18F94202CA0B53")[0]["temperature"]
    26.3
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return {}, ""
    at = raw.find(_COMPANY)
    body = raw[at + len(_COMPANY) :] if at >= 0 else b""
    if body[:1] == b"\5" and len(body) >= 24:  # noqa: PLR2004
        return dict(_format_5(body)), ":".join(f"{byte:02X}" for byte in body[18:24])
    if body[:1] == b"\3" and len(body) >= 14:  # noqa: PLR2004
        return dict(_format_3(body)), ""
    return {}, ""


def _format_5(body: bytes) -> Iterator[tuple[str, float]]:
    """RAWv2; each value has a code that means: not measured."""
    temperature, humidity, pressure, x, y, z, power = struct.unpack_from(">hHHhhhH", body, 1)
    volts, dbm = power >> 5, power & 31
    sequence = int.from_bytes(body[16:18])
    for name, sent, invalid, value in (
        ("temperature", temperature, -0x8000, temperature * 5 / 1000),
        ("humidity", humidity, 0xFFFF, humidity * 25 / 10_000),
        ("pressure", pressure, 0xFFFF, pressure + 50_000),
        ("acceleration_x", x, -0x8000, x / 1000),
        ("acceleration_y", y, -0x8000, y / 1000),
        ("acceleration_z", z, -0x8000, z / 1000),
        ("battery_voltage", volts, 0x7FF, (volts + 1600) / 1000),
        ("tx_power", dbm, 31, dbm * 2 - 40),
        ("movement_counter", body[15], 0xFF, body[15]),
        ("measurement_sequence", sequence, 0xFFFF, sequence),
    ):
        if sent != invalid:
            yield name, value


def _format_3(body: bytes) -> Iterator[tuple[str, float]]:
    humidity, whole, hundredths, pressure, x, y, z, battery = struct.unpack_from(
        ">BBBHhhhH", body, 1
    )
    yield "humidity", humidity / 2
    sign = -1 if whole & 0x80 else 1
    yield "temperature", sign * ((whole & 0x7F) + hundredths / 100)
    yield "pressure", pressure + 50_000
    for axis, value in zip("xyz", (x, y, z), strict=True):
        yield f"acceleration_{axis}", value / 1000
    yield "battery_voltage", battery / 1000


FORMATS: tuple[Format, ...] = (
    Format("ruuvi", "the topic is that of a Ruuvi gateway", decode, ("ruuvi/+/+",)),
    Format(
        "ruuvi",
        "the payload is what a Ruuvi gateway hears",
        decode,
        ("#",),
        _LOOKS,
        frozenset({"gw_mac", "data"}),
    ),
)
