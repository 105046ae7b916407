"""What ``haltere check`` and ``haltere explain`` tell."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bridge import kafka
from bridge.contracts import DeadLetter, Message, Quality, Reading
from bridge.errors import HaltereError
from bridge.mqtt import Connection
from bridge.normalise import Accepted, Explanation, Ignored, Normaliser
from bridge.settings import Secured, Settings
from bridge.topics import topics

CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    what: str
    result: str
    error: HaltereError | None = None

    def __str__(self) -> str:
        return str(self.error) if self.error else f"{self.what}: {self.result}"

    def as_json(self) -> dict[str, Any]:
        return {"what": self.what, "ok": self.error is None, "says": str(self.error or self.result)}


def findings(settings: Settings) -> list[Finding]:
    """Try the configuration's brokers; nothing is changed in them."""
    routes = ", ".join(route.topic for route in settings.route) or "none"
    Normaliser(settings.route)  # which knows what may stand in them
    return [
        Finding("settings", f"read; routes: {routes}"),
        _try(f"mqtt {settings.mqtt.host}:{settings.mqtt.port}", lambda: _mqtt(settings)),
        _try(f"kafka {settings.kafka.bootstrap_servers}", lambda: _kafka(settings)),
    ]


def _try(what: str, trial: Callable[[], str]) -> Finding:
    try:
        return Finding(what, trial())
    except HaltereError as error:
        return Finding(what, "", error)


def _mqtt(settings: Settings) -> str:
    with Connection(settings.mqtt, f"{settings.mqtt.client_id}-check", clean=True) as connection:
        connection.connect(CONNECT_S)
        connection.subscribe(settings.mqtt.filters, CONNECT_S)
    granted = f"answers, MQTT {settings.mqtt.version}, grants {', '.join(settings.mqtt.filters)}"
    return granted + _in_clear(settings.mqtt, settings.mqtt.username)


def _kafka(settings: Settings) -> str:
    existing = kafka.partitions(settings.kafka, CONNECT_S)
    missing = [topic.name for topic in topics(settings.kafka) if topic.name not in existing]
    answer = f"answers; topics to create: {', '.join(missing) or 'none'}"
    return answer + _in_clear(settings.kafka, settings.kafka.sasl_mechanism)


def _in_clear(secured: Secured, login: str) -> str:
    exposed = login and not secured.tls
    return f"; the login is not encrypted: {secured.name}.tls is false" if exposed else ""


def explained(settings: Settings, topic: str, payload: bytes, as_json: bool) -> str:
    """What becomes of a message, for a person or a program."""
    told = Normaliser(settings.route).explain(Message(topic, payload, received=0))
    return json.dumps(structured(told)) if as_json else "\n".join(lines(told))


def structured(told: Explanation) -> dict[str, Any]:
    """What becomes of a message, for a program."""
    fields = [asdict(field) for field in told.fields]
    base = {"format": told.format, "why": told.why, "fields": fields}
    match told.outcome:
        case Accepted(readings=readings):
            return base | {"outcome": "readings", "readings": len(readings)}
        case Ignored(reason=reason):
            return base | {"outcome": "ignored", "reason": reason}
        case DeadLetter() as letter:
            keys = ("stage", "path", "expected", "received")
            return base | {"outcome": "dead letter"} | {k: getattr(letter, k) for k in keys}


def _time(reading: Reading) -> str:
    if reading.quality & Quality.TIME_ESTIMATED:
        return "at the time of its reception: the message names none that is absolute"
    return f"time {reading.time} us"


def lines(told: Explanation) -> list[str]:
    """What becomes of a message, for a person."""
    said = [f"format: {told.format}, because {told.why}"]
    for f in told.fields:
        place = f" at {f.position[0]}, {f.position[1]}" if f.position else ""
        result = f"{f.name} = {f.value} {f.unit}".rstrip() if f.name else "no channel"
        note = f" ({f.note})" if f.note else ""
        said.append(f"  {f.path} {f.sent} -> {result}{place}{note}")
    match told.outcome:
        case Accepted(readings=readings):
            said += [
                f"reading of device {r.device}, class {r.device_class}, {_time(r)}"
                for r in readings
            ]
        case Ignored(reason=reason):
            said.append(f"ignored: {reason}")
        case DeadLetter() as letter:
            said.append(
                f"dead letter: {letter.stage}: {letter.path}: expected {letter.expected}, "
                f"received {letter.received}"
            )
    return said
