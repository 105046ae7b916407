"""Milesight: the bytes of their LoRaWAN sensors, triplets of channel, type and value.

https://github.com/Milesight-IoT/SensorDecoders documents them by model. A table says what channel
and type mean; some models mean something else by them, and the topic names the model. No I/O.
"""

import re
from typing import NamedTuple

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.sample import Decoded, Field, Nothing, Sample
from bridge.formats.scalars import describe, place

_HEX = re.compile(rb"\s*(?:[0-9A-Fa-f]{2}\s?){3,}\s*").fullmatch
LONGEST = 512  # bytes of a LoRaWAN payload and more


class _Value(NamedTuple):
    """A number of one triplet."""

    name: str
    unit: str = ""
    size: int = 1  # bytes, little-endian
    scale: float = 1
    signed: bool = False
    shift: int = 0  # bits at the end that mean something else


_T = _Value("temperature", "Cel", 2, 0.1, True)
_H = _Value("humidity", "%", 1, 0.5)
_TABLE: dict[tuple[int, int], tuple[_Value, ...]] = {
    (0x01, 0x75): (_Value("battery", "%"),),
    (0x03, 0x67): (_T,),
    (0x04, 0x68): (_H,),
    (0x04, 0x67): (_Value("temperature", "Cel", 2, 0.1, True),),
    (0x09, 0x67): (_T,),
    (0x0A, 0x68): (_H,),
    (0x04, 0xCA): (_Value("moisture", "%", 2, 0.01),),
    (0x05, 0x7F): (_Value("conductivity", "uS/cm", 2),),
    (0x04, 0x7F): (_Value("conductivity", "uS/cm", 2),),
    (0x05, 0x6A): (_Value("activity", "", 2),),
    (0x06, 0x65): (
        _Value("illuminance", "lx", 2),
        _Value("infrared_and_visible", "", 2),
        _Value("infrared", "", 2),
    ),
    (0x06, 0xCB): (_Value("light_level"),),
    (0x07, 0x7D): (_Value("co2", "ppm", 2),),
    (0x05, 0x7D): (_Value("co2", "ppm", 2),),
    (0x08, 0x7D): (_Value("tvoc", "", 2),),
    (0x08, 0xE6): (_Value("tvoc", "ug/m3", 2),),
    (0x09, 0x73): (_Value("pressure", "hPa", 2, 0.1),),
    (0x06, 0x73): (_Value("pressure", "hPa", 2, 0.1),),
    (0x0A, 0x7D): (_Value("formaldehyde", "mg/m3", 2, 0.01),),
    (0x0B, 0x7D): (_Value("pm2_5", "ug/m3", 2),),
    (0x0C, 0x7D): (_Value("pm10", "ug/m3", 2),),
    (0x0D, 0x7D): (_Value("o3", "ppm", 2, 0.01),),
    (0x0E, 0x01): (_Value("beep"),),
    (0x05, 0x00): (_Value("occupancy"),),
    (0x06, 0x00): (_Value("magnet"),),
    (0x03, 0x00): (_Value("state"),),
    (0x04, 0x00): (_Value("tamper"),),
    (0x03, 0x82): (_Value("distance", "mm", 2),),
    (0x04, 0x82): (_Value("distance", "mm", 2),),
    (0x03, 0xED): (_Value("liquid"),),
    (0x03, 0x7B): (_Value("depth", "cm", 2),),
    (0x03, 0x77): (_Value("depth", "cm", 2),),
    (0x03, 0xD4): (
        _Value("angle_x", "deg", 2, 0.01, True, 1),
        _Value("angle_y", "deg", 2, 0.01, True, 1),
        _Value("angle_z", "deg", 2, 0.01, True, 1),
    ),
    (0x04, 0x88): (
        _Value("longitude", "deg", 4, 1e-6, True),
        _Value("latitude", "deg", 4, 1e-6, True),
        _Value("motion"),
    ),
    (0x06, 0x88): (
        _Value("longitude", "deg", 4, 1e-6, True),
        _Value("latitude", "deg", 4, 1e-6, True),
        _Value("geofence"),
    ),
    (0x05, 0xC8): (_Value("pulses", "", 4),),
    (0x06, 0xE1): (
        _Value("water_conv", "", 2, 0.1),
        _Value("pulse_conv", "", 2, 0.1),
        _Value("water", "", 4),
    ),
    (0x03, 0x74): (_Value("voltage", "V", 2, 0.1),),
    (0x04, 0x80): (_Value("power", "W", 4),),
    (0x05, 0x81): (_Value("power_factor", "%"),),
    (0x06, 0x83): (_Value("energy", "Wh", 4),),
    (0x07, 0xC9): (_Value("current", "mA", 2),),
    (0x03, 0x97): (_Value("total_current", "Ah", 4, 0.01),),
    (0x04, 0x98): (_Value("current", "A", 2, 0.01),),
}
_MODELS: dict[str, dict[tuple[int, int], tuple[_Value, ...]]] = {
    "at101": {(0x05, 0x00): (_Value("device_position"),)},
    "em400": {(0x05, 0x00): (_Value("device_position"),)},
    "em300-di": {(0x05, 0xC8): (_Value("pulses", "", 4),)},
    "em300-sld": {(0x05, 0x00): (_Value("leakage"),)},
    "em300-zld": {(0x05, 0x00): (_Value("leakage"),)},
    "ws50": {(0x08, 0x29): (_Value("switches"),)},
    "am3": {(0x08, 0x7D): (_Value("tvoc", "", 2, 0.01),)},
}
_TEXTS = {
    (0xFF, 0x16): ("serial", 8),
    (0xFF, 0x09): ("hardware", 2),
    (0xFF, 0x0A): ("firmware", 2),
    (0xFF, 0x01): ("protocol", 1),
    (0xFF, 0x0B): ("power_on", 1),
    (0xFF, 0x0F): ("class", 1),
    (0xFF, 0xFF): ("tsl", 2),
    (0xFF, 0xFE): ("reset", 1),
}


def decode(topic: str, payload: bytes) -> Decoded:
    """One sample; after a triplet that is not known the rest cannot be read."""
    data = bytes.fromhex(payload.decode()) if _HEX(payload) else payload
    if len(data) > LONGEST:
        raise Malformed("payload", f"at most {LONGEST} bytes", f"{len(data)} bytes")
    tables = [table for model, table in _MODELS.items() if _of(model, topic)]
    sample, at = Sample(), 0
    while at + 2 <= len(data):
        key = (data[at], data[at + 1])
        if key in _TEXTS:
            name, size = _TEXTS[key]
            sample.notes.append((f"byte {at}", f"the {name} of the device"))
            at += 2 + size
            continue
        values = next((t[key] for t in tables if key in t), _TABLE.get(key))
        if values is None or at + 2 + sum(v.size for v in values) > len(data):
            break
        at = _take(sample, data, at + 2, values)
    if at < len(data):
        if not sample.fields:
            raise Malformed(
                f"byte {at}", "a channel and a type of Milesight", describe(data[at : at + 8])
            )
        sample.notes.append((f"byte {at}", "not known: the rest is not read"))
    _settle(sample)
    return (
        [sample]
        if sample.fields or sample.position
        else Nothing("no measurement in these triplets")
    )


def _take(sample: Sample, data: bytes, at: int, values: tuple[_Value, ...]) -> int:
    for value in values:
        sent = int.from_bytes(data[at : at + value.size], "little", signed=value.signed)
        sent >>= value.shift
        path = (
            value.name if all(f.path != value.name for f in sample.fields) else f"{value.name}_{at}"
        )
        if not (
            value.size > 1
            and sent in (-1, 0xFFFF, 0xFFFFFFFF)
            and value.name in ("temperature", "distance")
        ):
            sample.number(Field(path, path, value.unit), round(sent * value.scale, 6))
        at += value.size
    return at


def _settle(sample: Sample) -> None:
    """Latitude and longitude are the position."""
    spots = {f.name: v for f, v in zip(sample.fields, sample.values, strict=True)}
    if "latitude" in spots and "longitude" in spots:
        sample.position = place(spots["latitude"], spots["longitude"])
        kept = [
            (f, v)
            for f, v in zip(sample.fields, sample.values, strict=True)
            if f.name not in ("latitude", "longitude")
        ]
        sample.fields, sample.values = [f for f, _ in kept], [v for _, v in kept]
        sample.notes.append(
            ("latitude, longitude", "the position" if sample.position else "no position on Earth")
        )


def _of(model: str, topic: str) -> bool:
    return any(level.lower().startswith(model) for level in topic.split("/"))


def _looks(payload: bytes) -> bool:
    return len(payload) > 2 and payload[:1] not in (b"{", b"[", b'"')  # noqa: PLR2004


FORMATS: tuple[Format, ...] = (
    Format(
        "milesight",
        "a level of the topic is milesight",
        decode,
        ("milesight/#", "+/milesight/#"),
        _looks,
        frozenset(),
    ),
)
