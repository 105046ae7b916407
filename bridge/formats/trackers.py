"""Trackers that speak JSON: Traccar, Teltonika, flespi, apps of phones; and `meshtastic`.

Positions come with their circumstances, in units that only each one's documentation tells.
No I/O, no clock.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from bridge.formats import meshtastic
from bridge.formats.format import Format
from bridge.formats.general import identity, measured
from bridge.formats.sample import MAX_TEXT, Decoded, Field, Nothing, Sample, State, bounded
from bridge.formats.scalars import instant, number, parse_json, place
from bridge.formats.shape import Shape, find, format_of, samples_in

Tree = dict[str, Any]
Named = TypeVar("Named", Field, State)


def _with(*keys: str) -> Callable[[bytes], bool]:
    """Whether these keys stand in a payload, at the top or below."""
    quoted = [f'"{key}"'.encode() for key in keys]
    return lambda payload: all(key in payload for key in quoted)


# Traccar: https://www.traccar.org/forward and /api-reference
_TRACCAR = {
    "accuracy": "accuracy m",
    "altitude": "altitude m",
    "course": "course deg",
    "speed": "speed kn",
    "attributes.axleWeight": "= kg",
    "attributes.battery": "battery_voltage V",
    "attributes.batteryLevel": "battery %",
    "attributes.coolantTemp": "= Cel",
    "attributes.deviceTemp": "= Cel",
    "attributes.distance": "distance m",
    "attributes.engineLoad": "= %",
    "attributes.fuel": "= l",
    "attributes.fuelConsumption": "= l/h",
    "attributes.fuelLevel": "= %",
    "attributes.fuelUsed": "= l",
    "attributes.hours": "= ms",
    "attributes.humidity": "humidity %",
    "attributes.obdOdometer": "= m",
    "attributes.obdSpeed": "= km/h",
    "attributes.odometer": "= m",
    "attributes.power": "external_voltage V",
    "attributes.rssi": "signal",  # in dBm of some trackers, from 0 to 31 of others
    "attributes.serviceOdometer": "= m",
    "attributes.throttle": "= %",
    "attributes.totalDistance": "= m",
    "attributes.tripOdometer": "= m",
}
_TRACCAR |= {f"attributes.temp{i}": f"temperature_{i} Cel" for i in range(1, 9)}
_TRACCAR |= {f"attributes.adc{i}": "= V" for i in range(1, 9)}
_FIX = ("latitude", "longitude", "altitude", "speed", "course", "accuracy")
_REST = ("deviceTime", "serverTime", "attributes")
_POSITION = Shape(
    "traccar_json", "", times=("fixTime", "deviceTime", "serverTime"), channels=_TRACCAR
)


def _traccar(topic: str, payload: bytes) -> Decoded:
    """A position, which stands beside its device or alone."""
    tree = parse_json(payload)
    bounded(tree)
    beside = isinstance(tree.get("position"), dict)
    position = tree["position"] if beside else tree
    if "fixTime" not in position:
        return Nothing("only positions are measurements")
    samples = _position(topic, position, "position." if beside else "")
    about = tree.get("device")
    unique = identity(about.get("uniqueId")) if isinstance(about, dict) else ""
    for sample in samples:
        sample.device = unique or identity(position.get("deviceId"))
    return measured(samples)


def _position(topic: str, position: Tree, prefix: str) -> list[Sample]:
    void = position.get("valid") is False or position.get("outdated") is True
    known = _FIX if position.get("accuracy") else _FIX[:-1]  # 0 m is what no tracker measures
    kept = _REST if void else (*known, "fixTime", *_REST)
    decoded = samples_in(_POSITION, topic, {key: position[key] for key in kept if key in position})
    samples = [Sample()] if isinstance(decoded, Nothing) else decoded
    for sample in samples:
        sample.fields = [_bare(one, prefix) for one in sample.fields]
        sample.states = [_bare(one, prefix) for one in sample.states]
        sample.notes = [(prefix + path, note) for path, note in sample.notes]
    left = sorted(key for key in position if key not in kept)
    note = "no valid fix, or the one before" if void else "not known"
    samples[0].notes += [
        (prefix + key, note if key in _FIX else "of the server, no measurement") for key in left
    ]
    return samples


def _bare(one: Named, prefix: str) -> Named:
    name = one.name.removeprefix("attributes.")
    return one._replace(path=prefix + one.path, name=name)


# Positioning Universal: https://github.com/traccar/traccar, protocol pui
_PUI = Shape(
    "pui",
    "the payload is a report of Positioning Universal",
    marks=frozenset({"rpt", "bear", "spd", "location"}),
    times=("ts",),
    device="{id}",
    channels={"bear": "course deg", "spd": "speed cm/s", "ign": "ignition", "rpt": "-its kind"},
)


_POSITIVE = ("speed", "course", "accuracy", "vertical_accuracy", "speed_accuracy", "battery")


def _no_negatives(tree: Any, samples: list[Sample]) -> None:
    """Phones say -1 for what they do not know."""
    for sample in samples:
        sent = list(zip(sample.fields, sample.values, strict=True))
        sample.fields, sample.values = [], []
        for one, value in sent:
            if value < 0 and one.name in _POSITIVE:
                sample.notes.append((one.path, "unknown, says the device"))
            else:
                sample.number(one, value)


_PHONE = {
    "speed": "speed m/s",
    "heading": "course deg",
    "course": "course deg",
    "altitude": "altitude m",
    "accuracy": "accuracy m",
    "horizontal_accuracy": "accuracy m",
    "vertical_accuracy": "vertical_accuracy m",
    "battery_level": "battery /",
}
# https://github.com/aaronpk/Overland-iOS#api
_OVERLAND = Shape(
    "overland",
    "the payload is locations of Overland",
    looks=_with("geometry", "properties", "horizontal_accuracy"),
    marks=frozenset({"locations"}),
    roots=("locations",),
    channels=_PHONE,
    mend=_no_negatives,
)
# https://transistorsoft.github.io/capacitor-background-geolocation, and Traccar's app
_GEOLOCATION = Shape(
    "traccar_client",
    "the payload is a location of Traccar's app or of what it is built from",
    looks=_with("coords", "latitude", "is_moving"),
    marks=frozenset({"location"}),
    roots=("location",),
    device="{device_id}",
    channels={f"coords.{key}": said for key, said in _PHONE.items()}
    | {
        "coords.altitude_accuracy": "vertical_accuracy m",
        "coords.speed_accuracy": "speed_accuracy m/s",
        "battery.level": "battery /",
        "battery.is_charging": "charging",
        "odometer": "= m",
        "activity.confidence": "= %",
        "uuid": "-of the report",
    },
    mend=_no_negatives,
)


def _valid(tree: Any, samples: list[Sample]) -> None:
    if tree.get("position.valid") is False:
        samples[0].position = None
        samples[0].notes.append(("position.valid", "no valid fix"))


# flespi: https://flespi.com/kb/messages-basic-information-units, keys have dots in them
_FLESPI = Shape(
    "flespi",
    "the payload has the ident and the parameters of flespi",
    marks=frozenset({"ident", "timestamp", "position.latitude", "position.longitude"}),
    times=("timestamp",),
    device="{ident}",
    channels={
        "battery-current": "= A",
        "battery-level": "battery %",
        "battery-voltage": "battery_voltage V",
        "channel-id": "-of flespi",
        "device-type-id": "-of flespi",
        "external-powersource-voltage": "external_voltage V",
        "gsm-signal-dbm": "rssi dBm",
        "gsm-signal-level": "= %",
        "ident": "-the device",
        "position-altitude": "altitude m",
        "position-direction": "course deg",
        "position-speed": "speed km/h",
        "protocol-id": "-of flespi",
        "vehicle-mileage": "= km",
    },
    mend=_valid,
)

# Teltonika: https://wiki.teltonika-gps.com/view/Codec_JSON, /view/FMB_AVL_ID
_REPORTED = {"alt": ("altitude", "m"), "ang": ("course", "deg"), "sp": ("speed", "km/h")}
_AVL = {
    "sat": ("satellites", ""),
    "1": ("digital_input_1", ""),
    "2": ("digital_input_2", ""),
    "3": ("digital_input_3", ""),
    "6": ("analog_input_2", "mV"),
    "9": ("analog_input_1", "mV"),
    "12": ("fuel_used", "ml"),
    "16": ("odometer", "m"),
    "17": ("acceleration.x", "mg_n"),
    "18": ("acceleration.y", "mg_n"),
    "19": ("acceleration.z", "mg_n"),
    "21": ("gsm_signal", ""),
    "24": ("gnss_speed", "km/h"),
    "66": ("external_voltage", "mV"),
    "67": ("battery_voltage", "mV"),
    "68": ("battery_current", "mA"),
    "113": ("battery", "%"),
    "179": ("digital_output_1", ""),
    "180": ("digital_output_2", ""),
    "199": ("trip_odometer", "m"),
    "239": ("ignition", ""),
    "240": ("movement", ""),
}
_TENTHS = {"181": ("pdop", ""), "182": ("hdop", "")}
_TENTHS |= {str(72 + i): (f"temperature_{i + 1}", "Cel") for i in range(4)}
_RECORD = {
    "evt": "what caused the record",
    "latlng": "the position, or no fix",
    "pr": "of the record",
    "ts": "the time",
}
_NO_SENSOR = range(850, 5001)  # what a Dallas sensor gives for its failures, in tenths
_IMEI = re.compile(r"(?:\A|/)(\d{15})(?:/|\Z)")
_REPORTS = re.compile(rb'"reported"\s*:\s*\{')


def is_avl(payload: bytes) -> bool:
    """Whether a shadow reports a position as Teltonika does."""
    return b'"latlng"' in payload and _REPORTS.search(payload) is not None


def decode_avl(topic: str, payload: bytes) -> Decoded:
    """The AVL elements that a Teltonika reports, by their numbers."""
    tree = parse_json(payload)
    paths = ("state.reported", "current.state.reported")
    found = next((one for path in paths for _, one in find(tree, path)), None)
    if not isinstance(found, dict):
        return Nothing("only what is reported is a measurement")
    bounded(found)
    imei = _IMEI.search(topic)
    shadow = topic.split("/")[2] if topic.startswith("$aws/things/") else ""
    sample = Sample(device=imei[1] if imei else shadow, time=instant(found.get("ts")))
    lat, _, lon = str(found.get("latlng", ""))[:MAX_TEXT].partition(",")
    sample.position = place(lat, lon)
    known = _AVL | (_REPORTED if sample.position else {})
    for key, value in sorted(found.items()):
        name = key[:MAX_TEXT]
        sent = number(value)
        if key in _RECORD or sent is None or (key in _TENTHS and sent in _NO_SENSOR):
            sample.notes.append((name, _RECORD.get(key, "no number, or no sensor")))
        elif key in _REPORTED and not sample.position:
            sample.notes.append((name, "no fix"))
        elif key in _TENTHS:
            sample.number(Field(name, *_TENTHS[key]), sent / 10)
        else:
            sample.number(Field(name, *known.get(key, (f"avl_{name}", ""))), sent)
    return measured([sample])


FORMATS: tuple[Format, ...] = (
    *meshtastic.FORMATS,
    Format(
        "traccar_json",
        "the payload has a position beside its device, as Traccar forwards it",
        _traccar,
        shape=_with("fixTime", "attributes"),
        marks=frozenset({"device", "position"}),
    ),
    Format(
        "traccar_json",
        "the payload is a position of Traccar",
        _traccar,
        marks=frozenset({"deviceId", "fixTime", "serverTime"}),
    ),
    Format(
        "traccar_json",
        "the payload is an event of Traccar",
        _traccar,
        shape=_with("eventTime", "uniqueId"),
        marks=frozenset({"event", "device"}),
    ),
    Format(
        "teltonika_json",
        "the payload reports AVL data",
        decode_avl,
        shape=is_avl,
        marks=frozenset({"state"}),
    ),
    format_of(_PUI),
    format_of(_OVERLAND),
    format_of(_GEOLOCATION),
    format_of(_FLESPI),
)
