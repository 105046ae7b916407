"""Meshtastic: packets of a mesh as JSON, handed on by a gateway of it.

https://meshtastic.org/docs/software/integrations/mqtt and the protobufs of the project give
the units. Topics are ``msh/REGION/2/json/CHANNEL/!GATEWAY``; what stands below ``e`` and ``c`` is
encrypted or protobuf. A packet is of the node it is from, never of the gateway. No I/O, no clock.
"""

import re
from typing import Any

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import measured
from bridge.formats.sample import MAX_TEXT, Decoded, Field, Nothing, Sample, bounded
from bridge.formats.scalars import describe, instant, number, parse_json, place
from bridge.formats.shape import CLEARED

Tree = dict[str, Any]
_ELEMENTS = {
    "air_util_tx": ("air_util_tx", "%"),
    "altitude": ("altitude", "m"),
    "barometric_pressure": ("pressure", "hPa"),
    "battery_level": ("battery", "%"),
    "channel_utilization": ("channel_utilization", "%"),
    "co2": ("co2", "ppm"),
    "distance": ("distance", "mm"),
    "gas_resistance": ("gas_resistance", "MOhm"),
    "ground_speed": ("speed", "km/h"),  # so the firmware, though its protobuf says m/s
    "ir_lux": ("ir_illuminance", "lx"),
    "lux": ("illuminance", "lx"),
    "pm10": ("pm1", "ug/m3"),
    "pm100": ("pm10", "ug/m3"),
    "pm25": ("pm2_5", "ug/m3"),
    "rainfall_1h": ("rain_1h", "mm"),
    "rainfall_24h": ("rain_24h", "mm"),
    "relative_humidity": ("humidity", "%"),
    "sats_in_view": ("satellites", ""),
    "soil_moisture": ("soil_moisture", "%"),
    "soil_temperature": ("soil_temperature", "Cel"),
    "temperature": ("temperature", "Cel"),
    "uptime": ("uptime", "s"),
    "uptime_seconds": ("uptime", "s"),
    "uv_lux": ("uv_illuminance", "lx"),
    "voltage": ("voltage", "V"),
    "weight": ("weight", "kg"),
    "white_lux": ("white_illuminance", "lx"),
    "wind_direction": ("wind_direction", "deg"),
    "wind_gust": ("wind_gust", "m/s"),
    "wind_lull": ("wind_lull", "m/s"),
    "wind_speed": ("wind_speed", "m/s"),
}
_ELEMENTS |= {f"voltage_ch{i}": (f"voltage_ch{i}", "V") for i in range(1, 9)}
_ELEMENTS |= {f"current_ch{i}": (f"current_ch{i}", "mA") for i in range(1, 9)} | {
    "current": ("current", "mA")
}
_SCALED = {"ground_track": ("course", "deg", 100_000)}
_SCALED |= {key: (key.lower(), "", 100) for key in ("PDOP", "HDOP", "VDOP")}
_BESIDE = {
    "latitude_i": "",  # the position
    "longitude_i": "",
    "precision_bits": "how exactly the position is told",
    "time": "the time",
    "timestamp": "the time of the fix",
}
_HOP = {"rssi": ("rssi", "dBm"), "snr": ("snr", "dB"), "hops_away": ("hops_away", "")}
_MEASURING = ("position", "sendposition", "telemetry", "paxcounter")
_NODES = 2**32
_SENDER = re.compile(rb'"sender"\s*:\s*"![0-9a-f]{1,8}"')
_FULL = 100  # %; more is on external power


def _decode(topic: str, payload: bytes) -> Decoded:
    """A packet of a node of the mesh, as a gateway hands it on."""
    if topic.startswith("msh/") and "/json/" not in topic:
        return Nothing("encrypted, protobuf or the state of a gateway")
    if not payload.strip():
        return CLEARED
    tree = parse_json(payload)
    if not isinstance(tree, dict):
        raise Malformed("payload", "a JSON object", describe(payload))
    inner = tree.get("payload")
    if tree.get("type") not in _MEASURING or not isinstance(inner, dict):
        return Nothing("only positions and telemetry are measurements")
    bounded(inner)
    return measured([_packet(tree, inner)])


def _packet(tree: Tree, inner: Tree) -> Sample:
    sender = tree.get("from")
    times = (inner.get("time"), inner.get("timestamp"), tree.get("timestamp"))
    sample = Sample(
        device=f"!{sender % _NODES:08x}" if type(sender) is int else "",
        time=next(filter(None, map(instant, times)), None),
    )
    for key, value in sorted(inner.items()):
        _element(sample, key[:MAX_TEXT], value)
    if "latitude_i" in inner:
        sample.position = _placed(inner)
        note = "the position" if sample.position else "no position on Earth"
        sample.notes.append(("payload.latitude_i", note))
    for key, means in _HOP.items() if sample.fields or sample.position else ():
        hop = number(tree.get(key))
        if hop is not None:
            sample.number(Field(key, *means), hop)
    return sample


def _placed(inner: Tree) -> tuple[float, float] | None:
    lat, lon = number(inner.get("latitude_i")), number(inner.get("longitude_i"))
    return place(lat / 1e7, lon / 1e7) if lat is not None and lon is not None else None


def _element(sample: Sample, key: str, value: object) -> None:
    path, sent = f"payload.{key}", number(value)
    if key in _BESIDE or sent is None:
        note = _BESIDE.get(key, "no number")
        sample.notes += [(path, note)] if note else []
    elif key == "battery_level" and sent > _FULL:
        sample.number(Field(path, "externally_powered"), 1)
    elif key in _SCALED:
        name, unit, parts = _SCALED[key]
        sample.number(Field(path, name, unit), sent / parts)
    else:
        sample.number(Field(path, *_ELEMENTS.get(key, (key, ""))), sent)


def _topics() -> tuple[str, ...]:
    """``msh/REGION/.../2/KIND/...``: the region may have several levels."""
    return tuple(["msh/" + "+/" * levels + "2/#" for levels in range(6)])


def _is_packet(payload: bytes) -> bool:
    return _SENDER.search(payload) is not None


FORMATS: tuple[Format, ...] = (
    Format("meshtastic", "the topic is one of Meshtastic", _decode, _topics()),
    Format(
        "meshtastic",
        "the payload is a packet of Meshtastic",
        _decode,
        shape=_is_packet,
        marks=frozenset({"from", "sender", "payload"}),
    ),
)
