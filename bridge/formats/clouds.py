"""Clouds: AWS shadows, Azure IoT, ThingsBoard, Eclipse Ditto, `cumulocity` and `fiware`.

What a device reports is measured; what is desired of it, properties, alarms and the life of its
connection are not. No I/O, no clock.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from bridge.errors import Malformed
from bridge.formats import cumulocity, fiware, trackers
from bridge.formats.format import Format
from bridge.formats.general import identity, measured, samples_of
from bridge.formats.sample import MAX_DEPTH, MAX_TEXT, Decoded, Nothing, Sample, bounded
from bridge.formats.scalars import describe, instant, parse_json
from bridge.formats.shape import CLEARED, Shape, find, format_of

Mend = Callable[[Any, list[Sample]], None]


def _telling(*told: tuple[str, str]) -> Mend:
    """Notes of what stands beside the measurements: paths, and why they are none."""

    def tell(tree: Any, samples: list[Sample]) -> None:
        samples[0].notes += [(path, why) for path, why in told if any(find(tree, path))]

    return tell


def _topics(why: str, *patterns: str) -> tuple[tuple[str, str], ...]:
    return tuple([(pattern, why) for pattern in patterns])


# AWS IoT: https://docs.aws.amazon.com/iot/latest/developerguide/device-shadow-mqtt.html
_SHADOWS = ("$aws/things/+/shadow", "$aws/things/+/shadow/name/+")
_CALLS = ("update/delta", "update/rejected", "get", "get/rejected", "delete/#")
_IN_AWS = _topics(
    "jobs, events and certificates are no measurement",
    "$aws/events/#",
    "$aws/certificates/#",
    "$aws/provisioning-templates/#",
    "$aws/things/+/jobs/#",
    "$aws/things/+/streams/#",
    "$aws/things/+/tunnels/#",
)
_AWS = Shape(
    "aws_shadow",
    "the topic is one of AWS IoT",
    ("$aws/things/+/shadow/#", *(pattern for pattern, _ in _IN_AWS)),
    ignored=_topics(
        "only what a shadow reports is a measurement",
        *(f"{shadow}/{call}" for shadow in _SHADOWS for call in _CALLS),
    )
    + _IN_AWS,
    roots=("state.reported", "current.state.reported"),
    times=("timestamp",),
    device="{2}",
    mend=_telling(
        ("state.desired", "desired of the device"),
        ("state.delta", "desired of the device"),
        ("current.state.desired", "desired of the device"),
        ("metadata", "when its parts were reported"),
        ("previous", "the state before"),
        ("timestamp", "the time, where the state has none"),
        ("version", "of the shadow"),
    ),
)
_AWS_ELSEWHERE = replace(
    _AWS,
    why="the payload is a shadow of AWS IoT",
    topics=("#",),
    looks=re.compile(rb'"state"\s*:\s*\{').search,
    marks=frozenset({"state", "metadata", "version", "timestamp"}),
    ignored=(),
    device="",
)


# Azure: https://learn.microsoft.com/azure/iot-central/core/howto-export-to-event-hubs,
# https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub
def _component(tree: Any, samples: list[Sample]) -> None:
    """Components of a device may have the same telemetry: their names tell them apart."""
    beside = sorted(
        {"enrichments", "messageProperties", "module", "schema", "templateId"} & {*tree}
    )
    samples[0].notes += [(key, "about the device or the message") for key in beside]
    component = identity(tree.get("component"))
    for sample in samples if component else ():
        prefix = component.replace(".", "-")
        sample.fields = [one._replace(name=f"{prefix}.{one.name}") for one in sample.fields]
        sample.states = [one._replace(name=f"{prefix}.{one.name}") for one in sample.states]


_CENTRAL = Shape(
    "azure_iot_central",
    "the payload is exported by Azure IoT Central",
    marks=frozenset({"applicationId", "messageSource", "deviceId"}),
    roots=("telemetry",),
    times=("messageProperties.iothub-creation-time-utc", "enqueuedTime"),
    device="{deviceId}",
    mend=_component,
)
_FROM_DEVICES = ("devices/+/messages/events/#", "devices/+/modules/+/messages/events/#")
_TO_DEVICES = ("devices/+/messages/devicebound/#", "devices/+/modules/+/inputs/#", "$iothub/#")
_CREATED = ("iothub-creation-time-utc", "$.ctime")


def _hub(topic: str, payload: bytes) -> Decoded:
    """JSON behind a topic that names the device and ends with properties of the message."""
    path, _, bag = topic.partition("/messages/events")
    _, device, *module = path.split("/")
    pairs = [one.partition("=") for one in bag.strip("/?").split("&")]
    properties = {unquote(key): unquote(value) for key, _, value in pairs}
    times = [instant(properties.get(key)) for key in _CREATED]
    samples = samples_of(parse_json(payload))
    for sample in samples:
        sample.device = "/".join([device, *module[1:2]])
        if sample.time is None:
            sample.time = next(filter(None, times), None)
    return measured(samples)


def _to_device(topic: str, payload: bytes) -> Decoded:
    return Nothing("messages to a device, twins and methods are no measurement")


# ThingsBoard: https://thingsboard.io/docs/reference/mqtt-api, .../gateway-mqtt-api
_TELEMETRY = ("v1/devices/me/telemetry", "v1/gateway/telemetry", "v2/t", "v2/t/j")
_OTHERWISE = ("v1/devices/me/#", "v1/gateway/#", "v2/a/#", "v2/r/#", "v2/fw/#")


def _thingsboard(topic: str, payload: bytes) -> Decoded:
    """Keys and values, with ``ts`` or without; of a gateway for each of its devices."""
    if topic not in _TELEMETRY:
        return Nothing("attributes, calls and connections are no measurement")
    if not payload.strip():
        return CLEARED
    tree = parse_json(payload)
    gateway = topic == _TELEMETRY[1]
    if not isinstance(tree, (dict, list)) or (gateway and not isinstance(tree, dict)):
        raise Malformed("payload", "a JSON object or a list of them", describe(payload))
    parts: Any = tree if gateway else {"": tree}
    bounded(tree)
    rows = [
        (device, path, row) for device, part in sorted(parts.items()) for path, row in _listed(part)
    ]
    samples = []
    for device, path, row in rows:
        where = f"{device[:MAX_TEXT]}.{path}".strip(".")
        for sample in samples_of(_inside(row), where):
            sample.device = device or sample.device
            sample.time = instant(row.get("ts")) or sample.time
            samples.append(sample)
    return measured(samples)


def _listed(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for at, row in enumerate(part if isinstance(part, list) else [part]):
        if not isinstance(row, dict):
            raise Malformed(f"item {at + 1}", "a JSON object", repr(row)[:40])
        yield (str(at) if isinstance(part, list) else ""), row


def _inside(row: dict[str, Any]) -> dict[str, Any]:
    values = row.get("values")
    return values if "ts" in row and isinstance(values, dict) else row


# Eclipse Ditto: https://eclipse.dev/ditto/protocol-specification
_CHANGES = re.compile(r"[^/]*/[^/]*/things/\w+/(?:commands|events)/(?:modif|creat|merg)\w*")


def _ditto(topic: str, payload: bytes) -> Decoded:
    """The properties of the features of a thing, where they change."""
    tree = parse_json(payload)
    said, path = tree.get("topic"), tree.get("path")
    if not isinstance(said, str) or not isinstance(path, str) or not _CHANGES.fullmatch(said):
        return Nothing("only what changes a thing is a measurement")
    steps = [step for step in path.split("/") if step]
    if len(steps) > MAX_DEPTH:
        raise Malformed("path", f"at most {MAX_DEPTH} levels", f"{len(steps)}")
    changed = tree.get("value")
    for step in reversed(steps):
        changed = {step: changed}
    samples = samples_of(dict(_properties(changed)))
    beside = [(key, "about the change") for key in ("headers", "revision") if key in tree]
    samples[0].notes += beside
    for sample in samples:
        sample.device = ":".join(said.split("/")[:2])
        sample.time = sample.time or instant(tree.get("timestamp"))
    return measured(samples)


def _properties(thing: Any) -> Iterator[tuple[str, Any]]:
    for path, found in find(thing, "features.*.properties"):
        yield path.removeprefix("features.").removesuffix(".properties"), found


FORMATS: tuple[Format, ...] = (
    Format(
        "teltonika_json",
        "a shadow of AWS IoT reports AVL data",
        trackers.decode_avl,
        ("$aws/things/+/shadow/#",),
        trackers.is_avl,
    ),
    format_of(_AWS),
    format_of(_AWS_ELSEWHERE),
    format_of(_CENTRAL),
    Format("azure_iot_hub", "the topic is one of Azure IoT Hub", _to_device, _TO_DEVICES),
    Format(
        "azure_iot_hub",
        "the topic is one of Azure IoT Hub, and the payload JSON",
        _hub,
        _FROM_DEVICES,
        re.compile(rb"\s*[{\[]").match,
    ),
    *cumulocity.FORMATS,
    Format(
        "thingsboard",
        "the topic is one of ThingsBoard",
        _thingsboard,
        (*_TELEMETRY, *_OTHERWISE),
    ),
    Format(
        "ditto",
        "the payload has topic and path of Eclipse Ditto",
        _ditto,
        shape=re.compile(rb'"topic"\s*:\s*"[^"/]*/[^"/]*/things/(?:twin|live)/').search,
        marks=frozenset({"topic", "path"}),
    ),
    *fiware.FORMATS,
)
