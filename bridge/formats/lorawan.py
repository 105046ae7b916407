"""LoRaWAN network servers: uplinks of The Things Stack, ChirpStack and Helium as JSON.

What is measured is the payload that the server decoded; its keys are those of the decoder. Where
the gateways stand and how well they heard it is not the device's. An uplink that nobody decoded,
a join and a downlink measure nothing. https://www.thethingsindustries.com/docs/integrations,
https://www.chirpstack.io/docs/chirpstack/integrations/events.html. No I/O, no clock.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import identity, samples_of
from bridge.formats.sample import MAX_ITEMS, Decoded, Field, Nothing, Sample
from bridge.formats.scalars import describe, instant, number, parse_json, place
from bridge.formats.shape import CLEARED, find
from bridge.formats.words import embedded
from bridge.units import meaning, squash

Tree = dict[str, Any]
_RAW = Nothing("the payload is not decoded: the server has no decoder for the device")
_EMPTY = Nothing("a join, a downlink or an event of the server measures nothing")
_COMMAND = re.compile(r"v3/[^/]*/devices/[^/]*/down/|.*/device/[^/]*/(?:command/|tx\Z)").match
_DEVICE, _TIME, _BYTES = "the device", "a time of the network's", "the bytes before decoding"
_GATEWAYS, _RADIO, _AGAIN = "of the gateways", "of the radio", "what is decoded, in other words"
_LEFT = (
    dict.fromkeys(("frm_payload", "data", "payload_raw", "payload"), _BYTES)
    | dict.fromkeys(("rx_metadata", "rxInfo", "hotspots", "metadata"), _GATEWAYS)
    | dict.fromkeys(("settings", "txInfo"), _RADIO)
    | dict.fromkeys(("normalized_payload", "objectJSON"), _AGAIN)
    | dict.fromkeys(("end_device_ids", "deviceInfo", "devEUI", "dev_id", "dev_eui"), _DEVICE)
    | dict.fromkeys(("received_at", "time", "publishedAt", "reported_at"), _TIME)
)
_STATUS = {"batteryLevel", "battery", "margin", "externalPowerSource"}
_TOLD = _STATUS | {"location", "location_solved", "locations", "last_battery_percentage"}
_TOLD |= {"uplink_message", "uplink_normalized"}  # of which there is something to tell
# Units of Cayenne LPP, as ChirpStack and The Things Stack decode it: temperatureSensor.1, gps_2
_CAYENNE = {
    "accelerometer": "g_n",
    "barometer": "hPa",
    "barometricpressure": "hPa",
    "gyrometer": "deg/s",
    "humiditysensor": "%",
    "illuminancesensor": "lx",
    "luminosity": "lx",
    "temperaturesensor": "Cel",
}
_NUMBERED = re.compile(r"([A-Za-z_]+)[._]\d{1,3}(?:\.[xyz])?").fullmatch
# and of https://schema.thethings.network/devicerepository/1/payload/schema
_NORMALIZED = {
    "air.lightIntensity": "lx",
    "air.pressure": "hPa",
    "battery": "V",
    "soil.depth": "cm",
    "soil.ec": "dS/m",
    "soil.k": "ppm",
    "soil.n": "ppm",
    "soil.p": "ppm",
    "wind.speed": "m/s",
}
_UNKNOWN, _FULL = 255, 254  # of the battery (LoRaWAN 1.0.4, 5.5); 0: on external power
_PLACES = 16  # positions of a device that are looked at


class _Server(NamedTuple):
    """Where a network server says what."""

    device: Callable[[str, Tree], str]  # from topic and message
    decoded: tuple[str, ...]  # paths; the first that leads to something counts
    times: tuple[str, ...]
    places: tuple[str, ...]  # of the device
    other: tuple[str, ...] = ()  # keys of what measures nothing


def _decode(server: _Server, topic: str, payload: bytes) -> Decoded:
    """The samples of an uplink, of a status or of a position."""
    if not payload.strip():
        return CLEARED
    tree = parse_json(payload)
    if not isinstance(tree, dict) or len(tree) > MAX_ITEMS:
        raise Malformed("payload", "a JSON object of a LoRaWAN server", describe(payload))
    if _COMMAND(topic) or not tree.keys().isdisjoint(server.other):
        return _EMPTY
    samples, read = _measured(server, tree)
    own = samples[0]
    _status(own, tree)
    for path, spot in _spots(server, tree):
        _take(own, path, spot)
    if not any(s.fields or s.states or s.position for s in samples):
        return _RAW if _uplink(tree) and not read else _EMPTY
    for sample in samples:
        sample.device = server.device(topic, tree)
    own.notes += _left(tree, "", read) + _left(tree.get("uplink_message"), "uplink_message.", read)
    return samples


def _measured(server: _Server, tree: Tree) -> tuple[list[Sample], str]:
    """The samples of the decoded payload, and where it stands."""
    times = (instant(sent) for path in server.times for _, sent in find(tree, path))
    time = next((time for time in times if time is not None), None)
    for path in server.decoded:
        for _, found in find(tree, path):
            decoded = embedded(found) if isinstance(found, str) else found
            if isinstance(decoded, (dict, list)) and decoded:
                samples = samples_of(decoded, path)
                _timed(samples, time, isinstance(decoded, list))
                for sample in samples:
                    sample.fields = [_with_unit(one) for one in sample.fields]
                return samples, path
    return [Sample(time=time)], ""


def _timed(samples: list[Sample], time: int | None, listed: bool) -> None:
    """The uplink's time is that of what stands at the top; what is listed may have its own."""
    own = samples[0]
    if time is not None and not listed and own.time not in (None, time):
        own.notes = [(p, "another time" if n == "the time" else n) for p, n in own.notes]
        own.time = time
    for sample in samples:
        sample.time = time if sample.time is None else sample.time


def _with_unit(one: Field) -> Field:
    """A field with the unit that decoders' libraries leave out."""
    if one.unit:
        return one
    if "normalized_payload" in one.path:
        return one._replace(unit=_NORMALIZED.get(one.name, ""))
    found = _NUMBERED(one.name)
    return one._replace(unit=_CAYENNE.get(squash(found[1]), "")) if found else one


def _status(sample: Sample, tree: Tree) -> None:
    """What a device answers to DevStatusReq: battery and margin."""
    external = tree.get("externalPowerSource") is True
    key = "batteryLevel" if "batteryLevel" in tree else "battery"
    level = number(tree.get(key))
    if level is not None:
        if key == "battery":  # as the device sent it
            level = level * 100 / _FULL if 0 < level < _UNKNOWN else -1
        if external or tree.get("batteryLevelUnavailable") or not 0 <= level <= 100:  # noqa: PLR2004
            sample.notes.append((key, "not known, says the device"))
        else:
            sample.number(Field(key, "battery", "%"), level)
    margin = number(tree.get("margin"))
    if margin is not None:
        sample.number(Field("margin", "margin", "dB"), margin)
    if "externalPowerSource" in tree:
        sample.number(Field("externalPowerSource", "externally_powered"), int(external))
    for path, percent in find(tree, "uplink_message.last_battery_percentage.value"):
        last = number(percent)
        if last is not None:
            sample.number(Field(path, "last_battery", "%"), last)


def _spots(server: _Server, tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Where the device may be, what its own payload says before anything else."""
    for places in server.places:
        for path, spot in sorted(find(tree, places), key=lambda found: found[0])[:_PLACES]:
            if isinstance(spot, dict) and "latitude" in spot:
                yield path, spot


def _take(sample: Sample, path: str, spot: Tree) -> None:
    found = place(spot["latitude"], spot.get("longitude"))
    if found is None or sample.position is not None:
        other = "no position on Earth" if found is None else "a position beside the first"
        sample.notes.append((path, other))
        return
    sample.position = found
    sample.notes.append((path, "the position"))
    known = {meaning(one.name, one.unit).channel for one in sample.fields}
    for key in ("altitude", "accuracy"):
        value = number(spot.get(key))
        if value is not None and key not in known:
            sample.number(Field(f"{path}.{key}", key, "m"), value)


def _uplink(tree: Tree) -> bool:
    inner = tree.get("uplink_message", tree)
    return isinstance(inner, dict) and any(_LEFT.get(key) == _BYTES for key in inner)


def _left(tree: object, prefix: str, read: str) -> list[tuple[str, str]]:
    """What of an object is not read, and why."""
    keys = sorted(tree)[:MAX_ITEMS] if isinstance(tree, dict) else []
    return [
        (prefix + key, _LEFT.get(key, "no measurement"))
        for key in keys
        if key not in _TOLD and not read.startswith(prefix + key)
    ]


def _below(tree: Any, *keys: str) -> str:
    """The identity that stands below these keys, if there is one."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return identity(tree)


def _of_stack(topic: str, tree: Tree) -> str:
    levels = topic.split("/") if topic.startswith("v3/") else []
    _, application, _, device = (*levels[:4], "", "", "", "")[:4]
    ids = tree.get("end_device_ids")
    application = _below(ids, "application_ids", "application_id") or application.partition("@")[0]
    device = _below(ids, "device_id") or device
    return f"{application}/{device}" if application and device else device


def _of_chirpstack(topic: str, tree: Tree) -> str:
    levels = topic.split("/")
    sent = _below(tree, "deviceInfo", "devEui") or _below(tree, "devEUI")
    if not sent and "device" in levels[:-1]:
        sent = levels[levels.index("device") + 1]
    return _eui(sent)


def _of_ttn(_topic: str, tree: Tree) -> str:
    application, device = _below(tree, "app_id"), _below(tree, "dev_id")
    return f"{application}/{device}" if application and device else ""


def _of_helium(_topic: str, tree: Tree) -> str:
    return _eui(_below(tree, "dev_eui"))


def _eui(sent: str) -> str:
    """An EUI-64 in hexadecimal, also where the JSON of protobuf has it in base64.

    >>> _eui("0101010101010101"), _eui("AQEBAQEBAQE=")
    ('0101010101010101', '0101010101010101')
    """
    try:
        raw = base64.b64decode(sent, validate=True) if sent.endswith("=") else b""
    except (binascii.Error, ValueError):
        return sent
    return raw.hex() or sent.lower()


_stack = partial(
    _decode,
    _Server(
        _of_stack,
        decoded=(
            "uplink_message.decoded_payload",
            "uplink_message.normalized_payload",
            "uplink_normalized.normalized_payload",
        ),
        times=("uplink_message.received_at", "uplink_normalized.received_at", "received_at"),
        places=(
            "uplink_message.locations.frm-payload",
            "uplink_message.locations.*",
            "uplink_normalized.locations.*",
            "location_solved.location",
        ),
        other=("join_accept", "service_data", "downlinks"),
    ),
)
_chirpstack = partial(
    _decode,
    _Server(
        _of_chirpstack,
        decoded=("object", "objectJSON"),
        times=("time", "rxInfo.0.time", "publishedAt"),
        places=("location",),
        other=("integrationName", "downlinkId", "queueItemId"),
    ),
)
_ttn = partial(_decode, _Server(_of_ttn, ("payload_fields",), ("metadata.time",), ("metadata",)))
_helium = partial(_decode, _Server(_of_helium, ("decoded.payload",), ("reported_at",), ()))
_DEVICES = "application/+/device/+/"
_EVENTS = tuple(
    [f"{prefix}{_DEVICES}{kind}" for prefix in ("", "+/") for kind in ("event/+", "command/+")]
)


def _marked(name: str, server: str, read: Callable[..., Decoded], *keys: str) -> Format:
    """A format that is known by keys which all its messages have at the top."""
    why = f"the payload has {' and '.join(keys)}, as {server} sends them"
    return Format(name, why, read, marks=frozenset(keys))


FORMATS: tuple[Format, ...] = (
    Format("ttn_v3", "the topic is one of The Things Stack", _stack, ("v3/+/devices/+/#",)),
    _marked("ttn_v3", "The Things Stack", _stack, "end_device_ids"),
    _marked("chirpstack_v3", "ChirpStack 3", _chirpstack, "applicationID", "devEUI"),
    Format("chirpstack_v4", "the topic is one of ChirpStack", _chirpstack, _EVENTS),
    Format(
        "chirpstack_v4",
        "the payload has the deviceInfo of ChirpStack",
        _chirpstack,
        shape=lambda payload: b'"devEui"' in payload,
        marks=frozenset({"deviceInfo"}),
    ),
    _marked("ttn_v2", "The Things Network 2", _ttn, "app_id", "dev_id", "hardware_serial"),
    _marked("helium", "Helium", _helium, "dev_eui", "hotspots"),
)
