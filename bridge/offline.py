"""Recorded messages as JSON lines in, readings as JSON lines out: ``haltere normalise``. No I/O."""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import orjson

from bridge.contracts import Message, Quality, Reading
from bridge.errors import Malformed
from bridge.formats.scalars import iso
from bridge.normalise import Accepted, Ignored, Normaliser
from bridge.units import meaning


def normalise_line(line: str | bytes, where: str, normaliser: Normaliser) -> dict[str, Any]:
    """What ``haltere normalise FILE`` writes for one line.

    A line is ``{"id", "topic", "payload_b64"}``; ``payload`` in place of ``payload_b64`` is text.

    Raises:
        Malformed: the line is no such object; `where` says which line it was.
    """
    item = _line(line, where)
    found = normaliser(Message(item["topic"], item["payload"], received=0))
    answer: dict[str, Any] = {"id": item["id"], "readings": []}
    if isinstance(found, Accepted):
        answer["readings"] = [row for reading in found.readings for row in _rows(reading)]
    elif isinstance(found, Ignored):
        answer["ignored"] = found.reason
    else:
        keys = ("stage", "path", "expected", "received")
        answer["dead_letter"] = {key: getattr(found, key) for key in keys}
    return answer


def _line(line: str | bytes, where: str) -> dict[str, Any]:
    try:
        item = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Malformed(where, "a JSON object", f"{line[:40]!r} ({error.msg})") from None
    if not isinstance(item, dict):
        raise Malformed(where, "a JSON object", f"{line[:40]!r}")
    text = "payload" in item and "payload_b64" not in item
    if type(item.get("id")) is int:
        item["id"] = str(item["id"])
    if "payload" not in item and "payload_b64" not in item:
        raise Malformed(where, "payload (text) or payload_b64", "neither")
    for key in ("id", "topic", "payload" if text else "payload_b64"):
        if not isinstance(item.get(key), str):
            received = repr(item[key])[:40] if key in item else "nothing"
            raise Malformed(f"{where}: {key}", "a text", received)
    item["payload"] = item["payload"].encode("utf-8", "replace") if text else _bytes(item, where)
    return item


def _bytes(item: dict[str, Any], where: str) -> bytes:
    try:
        return base64.b64decode(item["payload_b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{where}: payload_b64", "base64", str(error)) from None


def _rows(reading: Reading) -> Iterator[dict[str, Any]]:
    stated = not reading.quality & Quality.TIME_ESTIMATED
    spot = reading.position
    common = {
        "device": reading.device,
        "quality": reading.quality,
        "time": iso(reading.time) if stated else None,
        "lat": spot.lat if spot else None,
        "lon": spot.lon if spot else None,
    }
    for channel, value, sent in zip(reading.channels, reading.values, reading.units, strict=True):
        unit = meaning(channel, sent).canonical
        yield {"name": channel, "value": value, "unit": unit or None, **common}
    for name, word in zip(reading.states, reading.state_values, strict=True):
        yield {"name": name, "value": word, "unit": None, **common}
    if spot and not reading.channels:
        yield {"name": "location", "value": None, "unit": None, **common}
