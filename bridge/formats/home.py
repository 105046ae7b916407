"""Homes: Zigbee2MQTT, Homie, Home Assistant; and `tasmota`, `shelly`, `gateways`.

What a hub tells of itself, what it is told to do and what it lets others discover measure
nothing. No I/O, no clock.
"""

import re
from collections.abc import Callable
from functools import partial

from bridge.errors import Malformed
from bridge.formats import gateways, plain, shelly, tasmota
from bridge.formats.format import Format
from bridge.formats.general import measured, samples_of, value_named
from bridge.formats.sample import MAX_TEXT, Decoded, Field, Nothing, Sample, State
from bridge.formats.scalars import describe, parse_json
from bridge.formats.shape import CLEARED, Shape, samples_in

_OPENS = re.compile(rb"\s*[{\[]").match
_COMMAND = Nothing("a command measures nothing")
_AVAILABLE = Nothing("whether a device is available is no measurement")
_BRIDGE = Nothing("what a bridge says of itself is no measurement")
_ITSELF = Nothing("what a device says of its set-up is no measurement")
_DISCOVERY = Nothing("discovery measures nothing")
_ATTRIBUTE = Nothing("an attribute beside a state is no measurement")

# Zigbee2MQTT: https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html; units as in
# what its devices expose
_EXPOSED = {
    **dict.fromkeys(("temperature", "device_temperature", "soil_temperature"), "Cel"),
    **dict.fromkeys(("local_temperature", "external_temperature_input"), "Cel"),
    **dict.fromkeys(("occupied_heating_setpoint", "unoccupied_heating_setpoint"), "Cel"),
    **dict.fromkeys(("occupied_cooling_setpoint", "current_heating_setpoint"), "Cel"),
    **dict.fromkeys(("local_temperature_calibration", "temperature_calibration"), ""),
    **dict.fromkeys(("humidity", "soil_moisture", "battery", "position", "tilt"), "%"),
    **dict.fromkeys(("valve_position", "pi_heating_demand", "humidity_alarm"), "%"),
    **dict.fromkeys(("energy", "produced_energy", "consumed_energy", "energy_produced"), "kWh"),
    **dict.fromkeys(("energy_consumed", "current_summ_delivered"), "kWh"),
    **dict.fromkeys(("power", "power_phase_b", "power_phase_c", "power_a", "power_b"), "W"),
    **dict.fromkeys(("current", "current_phase_b", "current_phase_c", "current_neutral"), "A"),
    **dict.fromkeys(("voltage_phase_b", "voltage_phase_c", "mains_voltage"), "V"),
    **dict.fromkeys(("pm1", "pm25", "pm10"), "ug/m3"),
    **dict.fromkeys(("angle", "angle_x", "angle_y", "angle_z"), "deg"),
    **dict.fromkeys(("co2", "eco2", "voc_parts", "carbon_monoxide"), "ppm"),
    **dict.fromkeys(("distance", "target_distance"), "m"),
    "ac_frequency": "Hz",
    "battery_voltage": "mV",
    "conductivity": "uS/cm",
    "formaldehyd": "mg/m3",
    "hcho": "mg/m3",
    "illuminance": "lx",
    "illuminance_lux": "lx",
    "linkquality": "lqi",
    "noise": "dB",
    "power_apparent": "VA",
    "power_reactive": "var",
    "pressure": "hPa",
    "rain_intensity": "mV",
    "soil_fertility": "uS/cm",
    "voc": "ppb",
    "wind_speed": "m/s",
}
_RENAMED = {
    "color_temp": "color_mired",
    "color_temp_startup": "color_mired_startup",
    "formaldehyd": "formaldehyde",
    "hcho": "formaldehyde",
    "illuminance_lux": "illuminance",
    "power_apparent": "apparent_power",
    "power_reactive": "reactive_power",
    "voc_parts": "voc",
}
_Z2M = Shape(
    "zigbee2mqtt",
    "",
    channels={
        **{f"update.{k}": "-of the firmware" for k in ("state", "progress", "remaining")},
        **{f"update.{k}_version": "-of the firmware" for k in ("installed", "latest")},
        "update_available": "-of the firmware",
        "elapsed": "= ms",
    },
)
_BESIDE_STATE = {"device": "what it is"}
_BESIDE_LUX = _BESIDE_STATE | {"illuminance": "the same on another scale"}
_ENDPOINT = re.compile(r"_(?:l\d|left|right|center|top|bottom|ch\d|\d)\Z")
_MILLI = 700  # from here on a voltage is in mV: no mains has so many V, no battery so few mV


def _zigbee(topic: str, payload: bytes) -> Decoded:
    """The state of a device, as an object or an attribute a topic."""
    root, _, name = topic.partition("/")
    last = name.rpartition("/")[2]
    if root == "zigbee2mqtt" and (nothing := _of_the_bridge(name, last)):
        return nothing
    text = payload.strip()
    if not text:
        return CLEARED
    if not text.startswith(b"{"):
        return _attribute(topic, last, payload)
    tree = parse_json(payload)
    if not isinstance(tree, dict):
        raise Malformed("payload", "a JSON object", describe(payload))
    beside = _BESIDE_LUX if "illuminance_lux" in tree else _BESIDE_STATE
    notes = [(key, why) for key, why in beside.items() if key in tree]
    decoded = samples_in(_Z2M, topic, {k: v for k, v in tree.items() if k not in beside})
    for sample in [] if isinstance(decoded, Nothing) else decoded:
        sample.device = topic.strip("/") if root == "zigbee2mqtt" else ""
        sample.notes += notes
        pairs = zip(sample.fields, sample.values, strict=True)
        sample.fields = [_exposed(one, value) for one, value in pairs]
    return decoded


def _attribute(topic: str, key: str, payload: bytes) -> Decoded:
    """One attribute, named by the topic's last level."""
    decoded = plain.decode_value(topic, payload)
    for sample in [] if isinstance(decoded, Nothing) or topic.count("/") < 2 else decoded:  # noqa: PLR2004
        sample.device = topic.rpartition("/")[0]
        sample.fields = [
            _exposed(Field(key, key), value)._replace(path=one.path)
            for one, value in zip(sample.fields, sample.values, strict=True)
        ]
        sample.states = [one._replace(name=key) for one in sample.states]
    return decoded


def _of_the_bridge(name: str, last: str) -> Nothing | None:
    if name == "bridge" or name.startswith("bridge/"):
        return _BRIDGE
    if last == "availability":
        return _AVAILABLE
    return _COMMAND if last in ("set", "get") or re.search("/[sg]et/", name) else None


def _exposed(one: Field, value: float) -> Field:
    """A field with the unit that is exposed for it."""
    key = one.path if one.path in _EXPOSED else _ENDPOINT.sub("", one.path)
    name = one.name.replace(key, _RENAMED.get(key, key), 1)
    if key == "voltage":
        milli = abs(value) >= _MILLI
        return one._replace(name=_voltage(name, milli), unit="mV" if milli else "V")
    return one._replace(name=name, unit=one.unit or _EXPOSED.get(key, ""))


def _voltage(name: str, milli: bool) -> str:
    return name.replace("voltage", "battery_voltage", 1) if milli else name


# Homie: https://homieiot.github.io/specification, versions 3 to 5
_PERIOD = re.compile(r"P(?=.)(?:\d+[YMWD])*(?:T(?:[\d.]+[HMS])+)?").fullmatch


def _homie(topic: str, payload: bytes) -> Decoded:
    """The value of a property, which the topic names."""
    levels = topic.split("/")[1:]
    if any(level.startswith("$") for level in levels):
        return _ITSELF
    if levels[-1:] == ["set"]:
        return _COMMAND
    if len(levels) == 4 and levels[0] == "5":  # noqa: PLR2004  the version
        levels = levels[1:]
    if len(levels) != 3:  # noqa: PLR2004  device, node and property
        return _plain(topic, payload)
    text = payload.strip(b"\0 \t\r\n")
    if not text:
        return CLEARED
    name = ".".join(levels[1:])
    samples = (
        _json(name, text) if _OPENS(text) else [_property(name, text.decode(errors="replace"))]
    )
    for sample in samples:
        sample.device = f"homie/{levels[0]}"
    return measured(samples)


def _json(name: str, payload: bytes) -> list[Sample]:
    samples = samples_of(parse_json(payload))
    for sample in samples:
        sample.fields = [one._replace(name=f"{name}.{one.name}") for one in sample.fields]
        sample.states = [one._replace(name=f"{name}.{one.name}") for one in sample.states]
    return samples


def _property(name: str, text: str) -> Sample:
    sample = Sample()
    switch = {"true": 1, "false": 0}.get(text)
    if switch is not None:
        sample.number(Field("payload", name), switch)
    elif _PERIOD(text):
        sample.notes.append(("payload", "a duration"))
    elif re.fullmatch(r"\d+,\d+,\d+", text):  # a color, no decimal comma
        sample.states.append(State("payload", name, text[:MAX_TEXT]))
    else:
        value_named(sample, "payload", name, text)
    return sample


# Home Assistant: https://www.home-assistant.io/integrations/mqtt, .../mqtt_statestream
_BESIDE_ENTITY = (
    "last_updated last_changed last_reported unit_of_measurement friendly_name device_class"
    " state_class icon attribution entity_picture supported_features options restored hidden"
    " assumed_state editable"
)


def _assistant(topic: str, payload: bytes) -> Decoded:
    """The state of an entity; what stands beside it is no measurement."""
    levels = topic.split("/")
    last = levels[-1]
    if last in ("config", "status"):
        return _DISCOVERY
    if last in _BESIDE_ENTITY.split():
        return _ATTRIBUTE
    decoded = _plain(topic, payload)
    if last != "state" or isinstance(decoded, Nothing) or _OPENS(payload):
        return decoded
    for sample in decoded:
        sample.device = "/".join(levels[:-1])
        sample.fields = [one._replace(name=levels[-2]) for one in sample.fields]
        sample.states = [one._replace(name=levels[-2]) for one in sample.states]
    return decoded


def _plain(topic: str, payload: bytes) -> Decoded:
    """What nothing more is known of than of any other message."""
    return (plain.decode_json if _OPENS(payload) else plain.decode_value)(topic, payload)


def _discovered(keys: tuple[str, ...], topic: str, payload: bytes) -> Decoded:
    """Discovery under a prefix of its own, unless these keys stand in something else."""
    tree = parse_json(payload)
    own = tree.keys() >= set(keys) and isinstance(tree[keys[-1]], _OF_DISCOVERY[keys[-1]])
    return _DISCOVERY if own else plain.decode_json(topic, payload)


_OF_DISCOVERY = {"unique_id": str, "uniq_id": str, "components": dict, "cmps": dict}


def _discovery(*keys: str) -> Format:
    decode: Callable[..., Decoded] = partial(_discovered, keys)
    return Format(
        "homeassistant",
        f"the payload has {' and '.join(keys)}, as Home Assistant discovers them",
        decode,
        marks=frozenset(keys),
    )


FORMATS: tuple[Format, ...] = (
    *tasmota.FORMATS,
    *shelly.FORMATS,
    *gateways.FORMATS,
    Format("zigbee2mqtt", "the topic is one of Zigbee2MQTT", _zigbee, ("zigbee2mqtt/#",)),
    Format("homie", "the topic is one of Homie", _homie, ("homie/#",)),
    Format(
        "homeassistant",
        "the topic is one of Home Assistant",
        _assistant,
        ("homeassistant/status", "homeassistant/+/+/+", "homeassistant/+/+/+/+"),
    ),
    _discovery("state_topic", "unique_id"),
    _discovery("command_topic", "unique_id"),
    _discovery("stat_t", "uniq_id"),
    _discovery("cmd_t", "uniq_id"),
    _discovery("device", "origin", "components"),
    _discovery("dev", "o", "cmps"),
    Format(
        "zigbee2mqtt",
        "the payload has the linkquality of Zigbee2MQTT",
        _zigbee,
        marks=frozenset({"linkquality"}),
    ),
)
