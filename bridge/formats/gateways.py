"""Gateways: Theengs and OpenMQTTGateway (Bluetooth), thin-edge.io, rtl_433 (radio sensors).

What is measured is the device's behind the gateway: it is known by its own address, wherever it
is heard. No I/O, no clock.
"""

from typing import Any

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import identity
from bridge.formats.sample import Decoded, Field, Nothing, Sample
from bridge.formats.scalars import describe, mac_of, parse_json
from bridge.formats.shape import CLEARED, Shape, decode, samples_in

# Theengs: https://decoder.theengs.io/devices/devices.html, where each device has its properties
_WHO = {"mac": "the device", "id": "the device", "device": "what it is", "uuid": "what it is"}
_IS, _HOW, _BYTES = "-what it is", "-how it advertises", "-bytes before decoding"
_DECODED = {
    **dict.fromkeys(("brand", "model", "model_id", "type", "mfid", "name"), _IS),
    **dict.fromkeys(("major", "minor", "serial", "mac_type", "adv_type"), _IS),
    **dict.fromkeys(("acts", "cidc", "cont", "ctrl", "encr", "prmac", "track"), _HOW),
    **dict.fromkeys(("packet", "seq", "ctr", "mic", "count", "session"), _HOW),
    **dict.fromkeys(("manufacturerdata", "servicedata", "servicedatauuid", "cipher"), _BYTES),
    **{f"acc{axis}": f"acceleration_{axis} m/s2" for axis in "xyz"},
    **{f"tempc{n}": f"temperature_{n} Cel" for n in range(1, 11)},
    **{f"tempf{n}": f"temperature_{n} degF" for n in range(1, 11)},
    **{f"tempc{n}_max": f"temperature_{n}_max Cel" for n in ("", *range(1, 7))},
    "avgu": "-the unit of avg",
    "batt": "battery %",
    "bpm": "heart_rate 1/min",
    "co2": "co2 ppm",
    "current": "current A",
    "distance": "distance m",
    "energy": "energy kWh",
    "fer": "fertility uS/cm",
    "for": "formaldehyde mg/m3",
    "hum": "humidity %",
    "litres": "volume l",
    "lux": "illuminance lx",
    "lvl_cm": "water_level cm",
    "lvl_in": "water_level in",
    "moi": "moisture %",
    "pm10": "pm10 ug/m3",
    "pm25": "pm2_5 ug/m3",
    "power": "power W",
    "pres": "pressure hPa",
    "rssi": "rssi dBm",
    "seconds": "= s",
    "steps": "steps",
    "sumu": "-the unit of sum",
    "tempc": "temperature Cel",
    "tempc2_dp": "dew_point Cel",
    "tempf": "temperature degF",
    "tempf2_dp": "dew_point degF",
    "tx": "tx_power dBm",
    "txpower": "tx_power dBm",
    "volt": "voltage V",
    "voltage": "voltage V",
    "weight": "weight",
}
_TWICE = (("tempf", "tempc"), ("lvl_in", "lvl_cm"))  # the same value in another unit
_RAW = ("K9", "KSensor", "BC08", "M1017")  # models whose acceleration is as the chip counts it
_THEENGS = Shape("theengs", "", channels=_DECODED)


def _theengs(topic: str, payload: bytes) -> Decoded:
    """One advertisement, decoded: one sample of the device that sent it."""
    if not payload.strip():
        return CLEARED
    tree = _object(payload)
    measured = {key: value for key, value in tree.items() if key not in _WHO}
    decoded = samples_in(_THEENGS, topic, measured)
    sent = identity(tree.get("mac")) or identity(tree.get("id"))
    for sample in [] if isinstance(decoded, Nothing) else decoded:
        sample.device = mac_of(sent) or sent or mac_of(topic.rpartition("/")[2])
        sample.notes += [(key, why) for key, why in _WHO.items() if key in tree]
        _once(sample, set(measured))
        sample.fields = [_of_model(one, tree) for one in sample.fields]
    return decoded


def _once(sample: Sample, keys: set[str]) -> None:
    """Leave out what stands there in a second unit."""
    pairs = list(zip(sample.fields, sample.values, strict=True))
    sample.fields, sample.values = [], []
    for one, value in pairs:
        others = {one.path.replace(second, first, 1) for second, first in _TWICE} - {one.path}
        if others & keys:
            sample.notes.append((one.path, "the same value in another unit"))
        else:
            sample.number(one, value)


def _of_model(one: Field, tree: dict[str, object]) -> Field:
    """Units that depend on the device."""
    if one.path in ("avg", "sum"):
        return one._replace(unit=identity(tree.get(f"{one.path}u")))
    if one.path == "pres" and tree.get("type") == "TIRE":
        return one._replace(unit="bar")
    if one.path.startswith("acc") and tree.get("model_id") in _RAW:
        return one._replace(unit="")
    return one


def _object(payload: bytes) -> dict[str, Any]:
    tree = parse_json(payload)
    if not isinstance(tree, dict):
        raise Malformed("payload", "a JSON object", describe(payload))
    return tree


# thin-edge.io: https://thin-edge.github.io/thin-edge.io/references/mqtt-api
_NOT_MEASURED = {
    "a": "an alarm is no measurement",
    "e": "an event is no measurement",
    "cmd": "a command measures nothing",
    "twin": "what a device says of its set-up is no measurement",
    "status": "the health of a service is no measurement",
}
_BEFORE = {"measurements": "m", "alarms": "a", "events": "e", "commands": "cmd", "health": "status"}
_OTHERWISE = Nothing("a registration or a signal is no measurement")
_ERROR = Nothing("an error that is reported is no measurement")
_META = Nothing("what a measurement means is none")
_THIN_EDGE = Shape("thin_edge", "", times=("time",))


def _thin_edge(topic: str, payload: bytes) -> Decoded:
    """The measurements of a device or of a service, named by their type."""
    levels = topic.split("/")[1:]
    channel, *kind = levels[4:] or [""]
    if channel != "m":
        reason = _NOT_MEASURED.get(channel)
        return Nothing(reason) if reason else _OTHERWISE
    if kind[1:] == ["meta"]:
        return _META
    device = "/".join(["te", *filter(None, levels[:4])])
    return _measurements(topic, payload, device, "".join(kind[:1]))


def _tedge(topic: str, payload: bytes) -> Decoded:
    """The topics before version 1: ``tedge/measurements/CHILD``."""
    _, kind, *child = topic.split("/")
    if kind != "measurements":
        return Nothing(_NOT_MEASURED[_BEFORE[kind]])
    return _measurements(topic, payload, f"te/device/{'/'.join(child) or 'main'}", "")


def _measurements(topic: str, payload: bytes, device: str, kind: str) -> Decoded:
    decoded = decode(_THIN_EDGE, topic, payload)
    for sample in [] if isinstance(decoded, Nothing) else decoded:
        sample.device = device
        if kind:
            sample.fields = [one._replace(name=f"{kind}.{one.name}") for one in sample.fields]
            sample.states = [one._replace(name=f"{kind}.{one.name}") for one in sample.states]
    return decoded


# rtl_433: https://triq.org/rtl_433/DATA_FORMAT.html
_RTL_433 = Shape(
    "rtl_433",
    "",
    channels={
        **dict.fromkeys(("channel", "model", "protocol", "subtype"), _IS),
        **dict.fromkeys(("mic", "mod", "freq", "freq1", "freq2", "sequence_num"), _HOW),
        "data": _BYTES,
        "light_klx": "illuminance klx",
        "light_lux": "illuminance lx",
        "moisture": "moisture %",
        "noise": "noise dB",
        "rain_rate_in_h": "rain_rate in/h",
        "rain_rate_mm_h": "rain_rate mm/h",
        "rssi": "rssi dB",
        "strike_distance": "=",
        "uvi": "uv_index",
    },
)


def _rtl_433(topic: str, payload: bytes) -> Decoded:
    """What a radio sensor sent; its id is one of its model alone."""
    if not payload.strip():
        return CLEARED
    tree = _object(payload)
    decoded = samples_in(_RTL_433, topic, tree)
    parts = [identity(tree.get(key)) for key in ("model", "channel", "id")]
    for sample in [] if isinstance(decoded, Nothing) else decoded:
        sample.device = "/".join(filter(None, parts))
    return decoded


_BT = ("BTtoMQTT/#", "+/BTtoMQTT/#", "+/+/BTtoMQTT/#", "+/+/+/BTtoMQTT/#")
_RF = ("rtl_433/+/events", "+/+/RTL_433toMQTT/#", "+/RTL_433toMQTT/#")
FORMATS: tuple[Format, ...] = (
    Format("theengs", "the topic is one of Theengs or OpenMQTTGateway", _theengs, _BT),
    Format(
        "theengs",
        "the payload has brand and model_id, as Theengs sends them",
        _theengs,
        marks=frozenset({"brand", "model_id"}),
    ),
    Format("thin_edge", "the topic is one of thin-edge.io", _thin_edge, ("te/+/+/+/+/#",)),
    Format(
        "thin_edge",
        "the topic is one of thin-edge.io before version 1",
        _tedge,
        tuple([f"tedge/{kind}/#" for kind in _BEFORE]),
    ),
    Format(
        "thin_edge",
        "the topic is thin-edge.io's for errors",
        lambda *_: _ERROR,
        ("te/errors", "tedge/errors"),
    ),
    Format("rtl_433", "the topic is one of rtl_433", _rtl_433, _RF),
)
