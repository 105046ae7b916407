"""Shelly: notifications and states of the second and later generations, topics of the first.

https://shelly-api-docs.shelly.cloud: RPC notifications (``PREFIX/events/rpc``) and the states of
components (``PREFIX/status/switch:0``) are JSON; the first generation sends bare values under
``shellies/DEVICE``, which the topic names, and its whole state under ``info``. No I/O, no clock.
"""

import re
from collections.abc import Mapping
from typing import Any

from bridge.errors import Malformed
from bridge.formats import plain
from bridge.formats.format import Format
from bridge.formats.general import identity, measured, value_named
from bridge.formats.sample import Decoded, Nothing, Sample
from bridge.formats.scalars import describe, parse_json
from bridge.formats.shape import CLEARED, Shape, samples_in

_EVENT = Nothing("an event measures nothing")
_COMMAND = Nothing("a command measures nothing")
_ONLINE = Nothing("a last will measures nothing")
_ITSELF = Nothing("what a device says of its set-up is no measurement")
_TWICE = Nothing("the same value in another unit")
_PHASES = ("a", "b", "c", "n", "total")
_BOOKS = "-no measurement"

_COMPONENTS: Mapping[str, str] = {
    "aenergy.total": "energy Wh",
    "ret_aenergy.total": "returned_energy Wh",
    **{f"{key}.{n}": "-of the last minutes" for key in ("by_minute", "xby_minute") for n in "012"},
    **dict.fromkeys(("minute_ts", "timer_started_at", "timer_duration", "move_started_at"), _BOOKS),
    **dict.fromkeys(("last_update_ts", "last_updated_ts", "transition_started_at"), _BOOKS),
    **dict.fromkeys(("move_timeout", "packet_id", "cfg_rev", "kvs_rev", "schedule_rev"), _BOOKS),
    **dict.fromkeys(("webhook_rev", "btrelay_rev", "fs_size", "ram_size", "mac", "ssid"), _BOOKS),
    **dict.fromkeys(("sta_ip", "sta_ip6", "ip", "source", "mem_peak", "bssid"), _BOOKS),
    **dict.fromkeys(("temperature.tF", "tF", "target_F", "current_F"), "-the same in Fahrenheit"),
    "apower": "power W",
    "aprtpower": "apparent_power VA",
    "act_power": "power W",
    "aprt_power": "apparent_power VA",
    "battery.V": "battery_voltage V",
    "battery.percent": "battery %",
    "battery": "battery %",
    "brightness": "= %",
    "current": "current A",
    "current_C": "temperature Cel",
    "current_pos": "position %",
    "freq": "frequency Hz",
    "lux": "illuminance lx",
    "mem_free": "= B",
    "mem_used": "= B",
    "percent": "= %",
    "pf": "power_factor",
    "pos": "position %",
    "ram_free": "= B",
    "fs_free": "= B",
    "rh": "humidity %",
    "rssi": "rssi dBm",
    "tC": "temperature Cel",
    "target_C": "target_temperature Cel",
    "target_pos": "target_position %",
    "temperature.tC": "temperature Cel",
    "total_act": "= Wh",
    "total_act_energy": "= Wh",
    "total_act_power": "= W",
    "total_act_ret": "= Wh",
    "total_act_ret_energy": "= Wh",
    "total_aprt_power": "= VA",
    "uptime": "= s",
    "voltage": "voltage V",
    "white": "= %",
    **{f"{p}_act_power": "= W" for p in _PHASES},
    **{f"{p}_aprt_power": "= VA" for p in _PHASES},
    **{f"{p}_current": "= A" for p in _PHASES},
    **{f"{p}_voltage": "= V" for p in _PHASES},
    **{f"{p}_freq": "= Hz" for p in _PHASES},
    **{f"{p}_pf": f"{p}_power_factor" for p in _PHASES},
    **{f"{p}_total_act_energy": "= Wh" for p in _PHASES},
    **{f"{p}_total_act_ret_energy": "= Wh" for p in _PHASES},
}
_GEN2 = {
    root: Shape("shelly_gen2", "", roots=(root,), channels=_COMPONENTS)
    for root in ("params", "result", "")
}
_COMPONENT = re.compile(r"[a-z0-9_]+(?::\d+)?").fullmatch
_SYSTEM = ("sys", "wifi", "eth", "cloud", "mqtt", "ws", "ble", "bthome", "matter", "ui", "plugs_ui")


def decode_rpc(topic: str, payload: bytes) -> Decoded:
    """A frame of the RPC protocol: the state in a notification, or in an answer."""
    tree = _object(payload)
    method, params, result = tree.get("method"), tree.get("params"), tree.get("result")
    if method in ("NotifyStatus", "NotifyFullStatus") and isinstance(params, dict):
        return _state("params", topic, params, identity(tree.get("src")))
    if method == "NotifyEvent":
        return _EVENT
    if isinstance(method, str) and "." in method:
        return _COMMAND
    if isinstance(result, dict) and any(":" in key for key in result):
        return _state("result", topic, result, identity(tree.get("src")))
    return plain.decode_json(topic, payload)


def decode_status(topic: str, payload: bytes) -> Decoded:
    """The state of one component, which the topic names."""
    prefix, _, component = topic.rpartition("/status/")
    if not payload.strip():
        return CLEARED
    if not _COMPONENT(component) or not (":" in component or component in _SYSTEM):
        return plain.decode_json(topic, payload)
    return _state("", topic, {component: _object(payload)}, prefix)


def _state(root: str, topic: str, components: dict[str, Any], device: str) -> Decoded:
    """One sample; where ``sys`` is, the clock of the device is in it once more."""
    system = components.get("sys")
    if isinstance(system, dict):
        own = {key: value for key, value in system.items() if key not in ("time", "unixtime")}
        components = {"ts": system.get("unixtime")} | components | {"sys": own}
    shape = _GEN2[root]
    decoded = samples_in(shape, topic, {root: components} if root else components)
    for sample in [] if isinstance(decoded, Nothing) else decoded:
        sample.device = device
        sample.notes = [
            (path, "what it is" if note == "the device" else note) for path, note in sample.notes
        ]
    return decoded


def decode_online(topic: str, payload: bytes) -> Decoded:
    """``PREFIX/online``, where the topic is a Shelly's own."""
    own = topic.startswith("shelly")
    return _ONLINE if own else plain.decode_value(topic, payload)


def _object(payload: bytes) -> dict[str, Any]:
    tree = parse_json(payload)
    if not isinstance(tree, dict):
        raise Malformed("payload", "a JSON object", describe(payload))
    return tree


# The first generation: https://shelly-api-docs.shelly.cloud/gen1/#mqtt-support
_BARE = {  # the last word of a topic, or its first and its last: the unit
    "adc": "V",
    "battery": "%",
    "concentration": "ppm",
    "current": "A",
    "emeter.energy": "W.min",
    "emeter.returned_energy": "W.min",
    "emeter.total": "Wh",
    "emeter.total_returned": "Wh",
    "energy": "W.min",
    "ext_humidity": "%",
    "ext_temperature": "Cel",
    "humidity": "%",
    "lux": "lx",
    "overpower_value": "W",
    "pos": "%",
    "power": "W",
    "reactive_power": "VAr",
    "temperature": "Cel",
    "tilt": "deg",
    "voltage": "V",
}
_STATUS = {
    **dict.fromkeys(("tmp.tF", "tF", "timestamp", "unixtime", "serial"), _BOOKS),
    **dict.fromkeys(("is_valid", "has_timer", "has_update", "timer_started", "source"), _BOOKS),
    **dict.fromkeys(("timer_duration", "timer_remaining", "actions_stats.skipped"), _BOOKS),
    **dict.fromkeys(("cfg_changed_cnt", "fs_size", "ram_total", "mac", "ssid", "ip"), _BOOKS),
    **{f"counters.{n}": "-of the last minutes" for n in "012"},
    "bat.value": "battery %",
    "bat.voltage": "battery_voltage V",
    "fs_free": "= B",
    "hum.value": "humidity %",
    "lux.value": "illuminance lx",
    "pf": "power_factor",
    "power": "power W",
    "ram_free": "= B",
    "reactive": "reactive_power VAr",
    "tC": "temperature Cel",
    "temperature": "temperature Cel",
    "tmp.tC": "temperature Cel",
    "tmp.value": "-the same as tC",
    "uptime": "= s",
    "voltage": "voltage V",
    "wifi_sta.rssi": "rssi dBm",
    **{f"meters.{n}.total": "= W.min" for n in range(4)},
    **{f"emeters.{n}.{key}": "= Wh" for n in range(3) for key in ("total", "total_returned")},
}
_GEN1 = Shape("shelly_gen1", "", times=("unixtime",), channels=_STATUS)
_ORDERS = {"command", "set", "settings"}
_EVENTS = {"input_event", "longpush", "act_reasons", "stop_reason"}


def decode_gen1(topic: str, payload: bytes) -> Decoded:
    """A bare value that the topic names, or the state of the whole device."""
    _, device, *levels = topic.split("/") + [""] * 2
    levels = [level for level in levels if level]
    nothing = _nothing(device, levels)
    if nothing or not payload.strip():
        return nothing or CLEARED
    name = ".".join(levels)
    if payload.lstrip()[:1] not in (b"{", b"["):
        sample = Sample(device=device)
        word = payload.strip().decode("utf-8", "replace")
        value = {"true": 1, "false": 0}.get(word, word)
        value_named(sample, "payload", name, value, _unit(levels))
        return measured([sample])
    tree = parse_json(payload)
    if not isinstance(tree, (dict, list)):
        raise Malformed("payload", "JSON or a bare value", describe(payload))
    notes: list[tuple[str, str]] = []
    decoded = samples_in(_GEN1, topic, _valid(tree, notes))
    for sample in [] if isinstance(decoded, Nothing) else decoded:
        sample.device = device
        if levels not in (["info"], ["status"]):
            sample.fields = [one._replace(name=f"{name}.{one.name}") for one in sample.fields]
            sample.states = [one._replace(name=f"{name}.{one.name}") for one in sample.states]
        sample.notes += notes
    return decoded


def _valid(tree: Any, notes: list[tuple[str, str]]) -> Any:
    """A state without what is not valid, and without the local time of its meters."""
    if not isinstance(tree, dict):
        return tree
    kept = {}
    for key, inner in tree.items():
        parts = inner if isinstance(inner, list) else [inner]
        if any(isinstance(part, dict) and part.get("is_valid") is False for part in parts):
            notes.append((key, "not valid, says the device"))
            continue
        kept[key] = inner
        if key in ("meters", "emeters") and isinstance(inner, list):
            kept[key] = [_untimed(part) for part in inner]
    return kept


def _untimed(meter: Any) -> Any:
    if not isinstance(meter, dict):
        return meter
    return {key: value for key, value in meter.items() if key != "timestamp"}


def _nothing(device: str, levels: list[str]) -> Nothing | None:
    if device in ("announce", "command") or levels == ["announce"]:
        return _ITSELF
    if levels == ["online"]:
        return _ONLINE
    if _EVENTS.intersection(levels):
        return _EVENT
    if not levels or _ORDERS.intersection(levels):
        return _COMMAND
    return _TWICE if any(level.endswith("temperature_f") for level in levels) else None


def _unit(levels: list[str]) -> str:
    """``relay/0/energy`` counts minutes of a watt, ``emeter/0/total`` hours."""
    words = [level for level in levels if not level.isdecimal()]
    return _BARE.get(f"{words[0]}.{words[-1]}") or _BARE.get(words[-1], "") if words else ""


def _looks_like_rpc(payload: bytes) -> object:
    return b'"src"' in payload and _METHOD(payload)


def _looks_like_answer(payload: bytes) -> object:
    return b'"src"' in payload and b'"dst"' in payload and _RESULT(payload)


_METHOD = re.compile(
    rb'"method"\s*:\s*"(?:Notify(?:Full)?Status|NotifyEvent|[A-Z]\w*\.[A-Z]\w*)"'
).search
_RESULT = re.compile(rb'"result"\s*:\s*\{').search
_LOOKS = re.compile(
    rb'\s*\{.*"(?:id|tC|rh|output|apower|battery|connected|status|ram_free|errors)"\s*:', re.DOTALL
).match
_PLACES = ("+", "+/+", "+/+/+")
FORMATS: tuple[Format, ...] = (
    Format(
        "shelly_gen2",
        "the topic is one of Shelly's notifications",
        decode_rpc,
        tuple([f"{place}/events/rpc" for place in _PLACES]),
    ),
    Format(
        "shelly_gen2",
        "the payload is a frame of Shelly's RPC",
        decode_rpc,
        shape=_looks_like_rpc,
        marks=frozenset({"src", "method"}),
    ),
    Format(
        "shelly_gen2",
        "the payload is an answer of Shelly's RPC",
        decode_rpc,
        shape=_looks_like_answer,
        marks=frozenset({"src", "dst", "result"}),
    ),
    Format(
        "shelly_gen2",
        "the topic may be the state of a Shelly's component",
        decode_status,
        tuple([f"{place}/status/+" for place in _PLACES]),
        _LOOKS,
    ),
    Format(
        "shelly_gen2",
        "the topic may be a Shelly's last will",
        decode_online,
        ("+/online",),
        re.compile(rb"\s*(?:true|false)\s*").fullmatch,
    ),
    Format("shelly_gen1", "the topic begins with shellies", decode_gen1, ("shellies/#",)),
)
