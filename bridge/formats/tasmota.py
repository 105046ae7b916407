"""Tasmota: telemetry, states and results of its devices, and of the radios behind them.

https://tasmota.github.io/docs/MQTT, .../JSON-Status-Responses, .../Zigbee. Units stand beside the
sensors (``TempUnit``) or are the documented ones; ``Time`` is local and has no zone. A Zigbee,
Matter or Bluetooth device behind a gateway is a device of its own. No I/O, no clock.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from bridge.errors import Malformed
from bridge.formats import plain
from bridge.formats.format import Format
from bridge.formats.general import identity, measured, samples_of
from bridge.formats.sample import Decoded, Field, Nothing, Sample, State
from bridge.formats.scalars import describe, mac_of, parse_json
from bridge.formats.shape import CLEARED

_COMMAND = Nothing("a command measures nothing")
_LAST_WILL = Nothing("a last will measures nothing")
_ITSELF = Nothing("what a device says of its set-up is no measurement")
_TOLD = {"TempUnit": "C", "PressureUnit": "hPa", "SpeedUnit": ""}  # and what is meant without them
_KEYS = {  # the end of a path in small letters: the unit, or where it is told
    **dict.fromkeys(("temperature", "dewpoint", "heatindex", "objtmp", "ambtmp"), "TempUnit"),
    **dict.fromkeys(("probetemperature", "referencetemperature"), "TempUnit"),
    **dict.fromkeys(("pressure", "seapressure"), "PressureUnit"),
    **dict.fromkeys(("speed", "speed.act", "speed.avg", "speed.min", "speed.max"), "SpeedUnit"),
    **dict.fromkeys(("windspeed", "windgust"), "SpeedUnit"),
    **dict.fromkeys(("dir.deg", "dir.avg", "dir.min", "dir.max", "dir.range", "phaseangle"), "deg"),
    **dict.fromkeys(("pm1", "pm2-5", "pm4", "pm10", "cf1", "cf2-5", "cf10"), "ug/m3"),
    **dict.fromkeys(("energy.total", "energy.today", "energy.yesterday", "ctenergy.energy"), "kWh"),
    **dict.fromkeys(("energy.totaltariff", "energy.todaysum", "energy.yesterdaysum"), "kWh"),
    **dict.fromkeys(("energy.exportactive", "energy.importactive"), "kWh"),
    **dict.fromkeys(("energy.exporttotal", "energy.exporttoday", "energy.exportyesterday"), "kWh"),
    **dict.fromkeys(("energy.importtotal", "energy.importtoday", "energy.importyesterday"), "kWh"),
    **dict.fromkeys(("energy.exporttariff", "energy.exportreactive"), "kWh"),
    **dict.fromkeys(("carbondioxide", "eco2", "co2"), "ppm"),
    **dict.fromkeys(("voltage", "vcc", "batteryvoltage", "rmsvoltage"), "V"),
    **dict.fromkeys(("power", "activepower"), "W"),
    **dict.fromkeys(("humidity", "battery", "batterypercentage", "wifi.rssi", "energy.load"), "%"),
    **dict.fromkeys(("wifi.signal", "rssi"), "dBm"),
    **dict.fromkeys(("vl53l0x.distance", "vl53l1x.distance"), "mm"),
    "apparentpower": "VA",
    "current": "A",
    "distance": "cm",
    "energy.period": "Wh",
    "fertility": "uS/cm",
    "frequency": "Hz",
    "gas": "kOhm",
    "heap": "kB",
    "illuminance": "lx",
    "linkquality": "lqi",
    "reactivepower": "VAr",
    "tvoc": "ppb",
    "uptimesec": "s",
    "weight": "kg",
}
_CALLED = {
    "eco2": "eco2",
    "energy.factor": "power_factor",
    "wifi.rssi": "quality",
    "wifi.signal": "rssi",
}
_NOTHING = {
    **dict.fromkeys(("bssid", "ssid", "wifi.ap", "wifi.channel"), "of the network"),
    **dict.fromkeys(("downtime", "uptime", "totalstarttime"), "a time in words"),
    **dict.fromkeys(("device", "name", "ieeeaddr", "mac", "id"), "who it is"),
    **dict.fromkeys(("endpoint", "group", "modelid", "manufacturer"), "of the radio network"),
}
_RADIOS = ("ZbReceived", "MtrReceived")
_PREFIXES = ("tele", "stat", "cmnd")
_INDEX = re.compile(r"[_-]?\d+\Z")  # of one of several sensors of a kind
_RAW = re.compile(r"[0-9A-Fa-f]{4}[/!<?][0-9A-Fa-f]{2,4}").fullmatch  # of a Zigbee cluster
_HEX = re.compile(r"0x[0-9A-Fa-f]+|").fullmatch
_POWER = re.compile(r"POWER\d{0,2}").fullmatch
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_ -]{0,31}").fullmatch
_MARK = re.compile(
    rb'"(?:Time|Status(?:[A-Z]{3})?|POWER\d{0,2}|Info[123]|ZbReceived|MtrReceived|LinkQuality)"\s*:'
).search
_TIMED = re.compile(rb'"Time"\s*:\s*"\d{4}-\d\d-\d\dT').search


def decode(topic: str, payload: bytes) -> Decoded:
    """What a device tells: one sample, and one for each device behind it."""
    levels = topic.split("/")
    last = levels[-1]
    if last == "LWT":
        return _LAST_WILL
    text = payload.strip()
    if not text:
        return CLEARED
    if not text.startswith(b"{"):
        return _switch(topic, levels, payload)
    if last != "RESULT" and not _MARK(payload):
        return plain.decode_json(topic, payload)
    tree = parse_json(payload)
    if not isinstance(tree, dict):
        raise Malformed("payload", "a JSON object", describe(payload))
    body = _body(tree, last)
    if isinstance(body, Nothing):
        return body
    return measured(_Devices(_device(levels), body).read(body))


def _switch(topic: str, levels: list[str], payload: bytes) -> Decoded:
    """``stat/DEVICE/POWER1``: ON or OFF, or the words that a user has for them."""
    decoded = plain.decode_value(topic, payload)
    if _POWER(levels[-1]) and not isinstance(decoded, Nothing):
        for sample in decoded:
            sample.device = _device(levels)
            sample.states = [state._replace(name=levels[-1]) for state in sample.states]
    return decoded


def _device(levels: list[str]) -> str:
    """The levels of a topic without its prefix and its last level."""
    kept = [level for level in levels[:-1] if level]
    prefix = next((level for level in kept if level in _PREFIXES), None)
    if prefix is None:
        return ""
    kept.remove(prefix)
    return "/".join(kept)


def _body(tree: dict[str, Any], last: str) -> dict[str, Any] | Nothing:
    """What is measured: of a status only the sensors (SNS) and the state (STS)."""
    if any(key.startswith("Status") for key in tree):
        told = [tree[key] for key in ("StatusSTS", "StatusSNS") if isinstance(tree.get(key), dict)]
        return {key: value for part in told for key, value in part.items()} if told else _ITSELF
    if last.startswith("INFO") or not {"Info1", "Info2", "Info3"}.isdisjoint(tree):
        return _ITSELF
    return {"ZbReceived": tree} if last == "ZbReceived" else tree


class _Owner(NamedTuple):
    """A device behind the one that sends."""

    device: str
    depth: int  # levels of its paths that name it


class _Devices:
    """The device that sends, and those behind it: a sample of each."""

    def __init__(self, device: str, tree: dict[str, Any]) -> None:
        told = {key: tree[key] for key in _TOLD if isinstance(tree.get(key), str)}
        self._units = _TOLD | told
        self._owners = dict(_owners(device, tree))
        self._own = Sample(device=device)
        self._own.notes = [(key, "the unit of others") for key in told]
        self._behind: dict[str, Sample] = {}

    def read(self, tree: dict[str, Any]) -> list[Sample]:
        """Their samples, the sender's first."""
        found = samples_of({key: value for key, value in tree.items() if key not in _TOLD})
        self._own.time = found[0].time
        for sample in found:
            self._own.position = self._own.position or sample.position
            self._own.notes += [note for note in sample.notes if note[1] != "the device"]
            for one, value in zip(sample.fields, sample.values, strict=True):
                self._number(one, value)
            for state in sample.states:
                self._state(state)
        return [self._own, *self._behind.values()]

    def _number(self, one: Field, value: float) -> None:
        sample, name = self._place(one.path, one.name)
        ends = _ends(one.path)
        nothing = next((_NOTHING[end] for end in ends if end in _NOTHING), "")
        if _RAW(one.path.rpartition(".")[2]):
            nothing = "an attribute before decoding"
        if nothing:
            sample.notes.append((one.path, nothing))
            return
        if ends[1] == "power" and one.path.startswith(_RADIOS):
            sample.number(Field(one.path, _renamed(name, "on")), value)
            return
        unit = next((_KEYS[end] for end in ends if end in _KEYS), "")
        called = next((_CALLED[end] for end in ends if end in _CALLED), "")
        unit = one.unit or self._units.get(unit, unit)
        sample.number(Field(one.path, _renamed(name, called), unit), value)

    def _state(self, state: State) -> None:
        sample, name = self._place(state.path, state.name)
        nothing = _NOTHING.get(_ends(state.path)[1], "")
        if _HEX(state.word) or _RAW(state.path.rpartition(".")[2]):
            nothing = "bytes before decoding"
        if nothing:
            sample.notes.append((state.path, nothing))
        else:
            sample.states.append(State(state.path, name, state.word))

    def _place(self, path: str, name: str) -> tuple[Sample, str]:
        """The sample of a path, and what its device calls the channel."""
        parts = path.split(".", 2)
        owner = self._owners.get(".".join(parts[:2])) or self._owners.get(parts[0])
        if owner is None:
            return self._own, name
        new = Sample(device=owner.device, time=self._own.time)
        own = ".".join(name.split(".")[owner.depth :])
        return self._behind.setdefault(owner.device, new), own or name


def _owners(device: str, tree: dict[str, Any]) -> Iterator[tuple[str, _Owner]]:
    """The devices behind a gateway, by where they stand."""
    for radio in _RADIOS:
        blocks = tree[radio] if isinstance(tree.get(radio), dict) else {}
        for key, block in blocks.items():
            if isinstance(block, dict):
                name = identity(block.get("Name")) or key
                yield f"{radio}.{_part(key)}", _Owner(f"{device}/{name}".strip("/"), 2)
        name = identity(blocks.get("Name")) or identity(blocks.get("Device"))
        if name:
            yield radio, _Owner(f"{device}/{name}".strip("/"), 1)
    for key, block in tree.items():
        sent = block.get("mac") or block.get("MAC") if isinstance(block, dict) else None
        mac = mac_of(identity(sent))
        if mac:
            yield _part(key), _Owner(mac, 1)


def _part(key: str) -> str:
    return key.replace(".", "-")


def _ends(path: str) -> tuple[str, str]:
    """The last two keys of a path, and its last one, without the indexes of phases.

    >>> _ends("ENERGY.Power.0"), _ends("VL53L0X_2.Distance")
    (('energy.power', 'power'), ('vl53l0x.distance', 'distance'))
    """
    parts = [part for part in path.lower().split(".") if not part.isdecimal()] or [path]
    before = _INDEX.sub("", parts[-2]) if len(parts) > 1 else ""
    return f"{before}.{parts[-1]}", parts[-1]


def _renamed(name: str, called: str) -> str:
    """A name whose last key is called otherwise; the index of a phase stays behind it."""
    parts = name.split(".")
    at = len(parts) - 1 - (parts[-1].isdecimal() and len(parts) > 1)
    return ".".join([*parts[:at], called or parts[at], *parts[at + 1 :]])


def _looks(payload: bytes) -> object:
    """Nothing, an object or a word: what else is under these topics is not Tasmota's."""
    text = payload.strip()
    return not text or text.startswith(b"{") or _WORD(text)


def _looks_elsewhere(mark: bytes, payload: bytes) -> object:
    return payload.lstrip().startswith(b"{") and mark in payload and _TIMED(payload)


def _elsewhere(mark: str) -> Format:
    """Tasmota under a topic that does not tell it: the time has no zone, and the mark is there."""
    looks = partial(_looks_elsewhere, f'"{mark}"'.encode())
    why = f"the payload has Time and {mark}, as Tasmota sends them"
    return Format("tasmota", why, decode, shape=looks, marks=frozenset({"Time", mark}))


_PLACES = ("{}/+", "{}/+/+", "+/{}/+", "{}/+/+/+", "+/{}/+/+", "+/+/{}/+")
_TOPICS = tuple([place.format(prefix) for prefix in _PREFIXES[:2] for place in _PLACES])
_COMMANDS = ("cmnd/#", "+/cmnd/#", "+/+/cmnd/#")
FORMATS: tuple[Format, ...] = (
    Format("tasmota", "the topic has a prefix of Tasmota", decode, _TOPICS, _looks),
    Format("tasmota", "the topic is one of commands to Tasmota", lambda *_: _COMMAND, _COMMANDS),
    Format(
        "tasmota", "the topic is Tasmota's discovery", lambda *_: _ITSELF, ("tasmota/discovery/#",)
    ),
    *map(_elsewhere, ("TempUnit", "ENERGY", "Wifi", "ZbReceived")),
)
