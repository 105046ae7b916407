"""The simulator: publishes a fleet or a recording over MQTT and listens to what comes back.

One loop: wait until the next message is due, publish it, write down when; in between take the
PUBACKs and the alerts. What was sent, what came back and the labels become JSON lines in one
folder. The pipeline under test never reads that folder.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import IO, Any, Protocol

from bridge import settings
from bridge.contracts import MICROS, Message
from bridge.errors import Misconfigured
from bridge.fleet import Fault, Fleet, Plan, Telemetry
from bridge.mqtt import Connection
from bridge.replay import Recording

PER_CONNECTION = 100  # devices
IN_FLIGHT = 20_000  # of one connection; above it the devices hold back
CONNECT_S = 30.0
SESSION_S = 600  # how long the broker keeps alerts for a fleet that is away
LATE = 250_000  # microseconds; a publish later than this is counted
WAIT_S = (0.002, 0.05)  # shortest and longest wait for the next message
PUBACKS_S = 30.0  # wait for them at the end of the plan ...
PUBACKS_STOPPED_S = 5.0  # ... and when stopped before


class Arrived(Protocol):
    """What the loop needs of a batch."""

    messages: list[Message]

    def ack(self) -> None: ...


class Link(Protocol):
    """What the loop needs of an MQTT connection."""

    def receive(self, maximum: int, timeout_s: float) -> Arrived: ...
    def publish(self, topic: str, payload: bytes, token: object) -> None: ...
    def acknowledged(self) -> list[object]: ...
    def refused(self) -> list[tuple[object, str]]: ...
    def in_flight(self) -> int: ...


class Stop(Protocol):
    """What the loop needs of a `threading.Event`."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Programme:
    """What is to be published: a fleet or a recording."""

    devices: tuple[str, ...]
    messages: Iterable[Telemetry]
    labels: tuple[Fault, ...]
    at: Callable[[int], int]  # when to publish a message of this time, microseconds
    fault_at: Callable[[str, int], Fault | None]
    about: dict[str, Any]
    listens: bool = True  # to alerts after the last message, until stopped


@dataclass(slots=True)
class Stats:
    """The counters of a run so far."""

    published: int = 0
    acknowledged: int = 0
    refused: int = 0  # by the broker, with a reason code (MQTT 5)
    in_flight: int = 0
    late: int = 0
    latest_ms: float = 0.0  # the latest publish
    alerts: int = 0
    expired: int = 0
    malformed: int = 0  # alerts that are no JSON objects with a valid_until
    done: bool = False  # everything is published


class Outputs:
    """The files of a run: sent, alerts and labels as JSON lines, and fleet.json at the end."""

    def __init__(self, folder: Path, progress: Callable[[Stats], None] | None = None) -> None:
        self.folder = folder
        self.progress = progress or (lambda stats: None)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._sent = (folder / "sent.jsonl").open("w", encoding="utf-8")
            self._alerts = (folder / "alerts.jsonl").open("w", encoding="utf-8")
        except OSError as error:
            raise Misconfigured(f"simulate: {folder}", "a folder to write to", str(error)) from None

    def label(self, faults: Sequence[Fault]) -> None:
        with (self.folder / "labels.jsonl").open("w", encoding="utf-8") as file:
            for fault in faults:
                _line(file, asdict(fault))

    def sent(self, message: Telemetry, published: int, fault: Fault | None) -> None:
        line = {"device": message.device, "time": message.due, "published": published}
        _line(self._sent, line | {"fault": fault.kind} if fault else line)

    def alert(self, line: dict[str, Any]) -> None:
        _line(self._alerts, line)
        self._alerts.flush()

    def flush(self) -> None:
        self._sent.flush()

    def close(self, about: dict[str, Any], stats: Stats) -> None:
        self._sent.close()
        self._alerts.close()
        summary = {**about, **asdict(stats)}
        (self.folder / "fleet.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")


def _line(file: IO[str], value: dict[str, Any]) -> None:
    file.write(json.dumps(value, separators=(",", ":")) + "\n")


def now_micros() -> int:
    return time.time_ns() // 1000


def until(messages: Iterable[Telemetry], enough: Callable[[], bool]) -> Iterator[Telemetry]:
    """The messages up to the one during which somebody has had enough."""
    for message in messages:
        if enough():
            return
        yield message


def fleet_programme(plan: Plan) -> Programme:
    fleet = Fleet(plan)
    about = {"plan": asdict(plan), "devices": plan.devices, "faults": len(fleet.faults)}
    return Programme(
        fleet.devices, fleet.messages(), fleet.faults, lambda time: time, fleet.fault_at, about
    )


def replay_programme(recording: Recording, speed: float, begin: int) -> Programme:
    """A recording from `begin` on, `speed` times as fast as it was recorded.

    Raises:
        Misconfigured: the speed is not a positive number.
    """
    return Programme(
        (recording.device,),
        recording.messages(),
        recording.labels,
        recording.pace(speed, begin),
        recording.fault_at,
        recording.about(),
        listens=True,
    )


def run(plan: Plan, mqtt: settings.Mqtt, files: Outputs, stop: Stop) -> Stats:
    """Publish the fleet in real time, then listen to alerts until `stop` is set.

    Raises:
        Unavailable: no broker.
        Misconfigured: the broker refuses us.
    """
    return publish(fleet_programme(plan), mqtt, files, stop)


def publish(programme: Programme, mqtt: settings.Mqtt, files: Outputs, stop: Stop) -> Stats:
    """Connect the devices of a programme and publish it; see `run`."""
    mqtt = mqtt.model_copy(update={"session_expiry_s": SESSION_S})
    groups = [
        programme.devices[n : n + PER_CONNECTION]
        for n in range(0, len(programme.devices), PER_CONNECTION)
    ]
    with ExitStack() as stack:
        links: list[Link] = []
        for n, group in enumerate(groups):
            link = stack.enter_context(Connection(mqtt, f"{mqtt.client_id}-fleet-{n}"))
            link.connect(CONNECT_S)
            link.subscribe([f"haltere/{device}/alert" for device in group])
            links.append(link)
        return drive(programme, links, files, stop, now_micros)


def drive(
    programme: Programme,
    links: Sequence[Link],
    files: Outputs,
    stop: Stop,
    now: Callable[[], int],
) -> Stats:
    """The loop; each link carries `PER_CONNECTION` devices, in their order."""
    loop = _Loop(programme, links, files, stop, now)
    files.label(programme.labels)
    try:
        loop.publish()
        loop.drain()
        if programme.listens:
            loop.listen()
    finally:
        loop.serve()
        files.close(programme.about, loop.stats)
    return loop.stats


class _Loop:
    """The publishing, and what happens in between."""

    def __init__(
        self,
        programme: Programme,
        links: Sequence[Link],
        files: Outputs,
        stop: Stop,
        now: Callable[[], int],
    ) -> None:
        self.stats = Stats()
        self._programme = programme
        self._links = links
        self._files = files
        self._stop = stop
        self._now = now
        devices = enumerate(programme.devices)
        self._link_of = {device: links[n // PER_CONNECTION] for n, device in devices}
        self._serve_next = self._report_next = 0  # microseconds

    def publish(self) -> None:
        """Everything when it is due, until the end or until stopped."""
        for message in self._programme.messages:
            link = self._link_of[message.device]
            due = self._programme.at(message.due)
            while self._ahead(due) or link.in_flight() >= IN_FLIGHT:
                if self._stop.is_set():
                    return
                self._wait((due - self._now()) / MICROS)
            if self._stop.is_set():
                return
            self._publish(link, message, due)
        self.stats.done = True

    def _ahead(self, due: int) -> bool:
        now = self._now()
        if now >= self._serve_next:
            self.serve()
        return due > now

    def _publish(self, link: Link, message: Telemetry, due: int) -> None:
        published = self._now()
        link.publish(message.topic, message.payload, message.due)
        fault = self._programme.fault_at(message.device, message.due)
        self._files.sent(message, published, fault)
        self.stats.published += 1
        if published - due > LATE:
            self.stats.late += 1
        self.stats.latest_ms = max(self.stats.latest_ms, (published - due) / 1000)

    def _wait(self, seconds: float) -> None:
        self._stop.wait(min(max(seconds, WAIT_S[0]), WAIT_S[1]))

    def drain(self) -> None:
        """Wait for the PUBACKs of what was published."""
        patience = PUBACKS_STOPPED_S if self._stop.is_set() else PUBACKS_S
        deadline = self._now() + int(patience * MICROS)
        self.serve()
        while self.stats.in_flight and self._now() < deadline:
            self.serve(WAIT_S[1])  # a set `stop` would not wait

    def listen(self) -> None:
        while not self._stop.is_set():
            self._wait(WAIT_S[1])
            self.serve()

    def serve(self, timeout_s: float = 0.0) -> None:
        """Take PUBACKs and alerts, wait this long for one; once a second flush and report."""
        now = self._now()
        self._serve_next = now + int(WAIT_S[1] / 2 * MICROS)
        for n, link in enumerate(self._links):
            arrived = link.receive(1000, 0.0 if n else timeout_s)
            for message in arrived.messages:
                self._alert(message)
            arrived.ack()
            self.stats.acknowledged += len(link.acknowledged())
            self.stats.refused += len(link.refused())
        self.stats.in_flight = sum(link.in_flight() for link in self._links)
        if now >= self._report_next:
            self._report_next = now + MICROS
            self._files.flush()
            self._files.progress(self.stats)

    def _alert(self, message: Message) -> None:
        """A device acts on an alert only while it is valid; all are written down."""
        line: dict[str, Any] = {"arrived": message.received}
        alert = _alert_of(message.payload)
        if alert is None:
            self.stats.malformed += 1
            line["malformed"] = message.payload.decode("utf-8", "replace")
        elif message.received > alert["valid_until"]:
            self.stats.expired += 1
            line |= {"expired": True, **alert}
        else:
            self.stats.alerts += 1
            line |= alert
        self._files.alert(line)


def _alert_of(payload: bytes) -> dict[str, Any] | None:
    try:
        alert = json.loads(payload)
    except ValueError:
        return None
    if isinstance(alert, dict) and isinstance(alert.get("valid_until"), int | float):
        return alert
    return None


class Listener:
    """Shows the counters of a simulation; after its last PUBACK it listens on, then stops."""

    def __init__(self, stop: Event, seconds: float, done: Path) -> None:
        self._stop = stop
        self._left = seconds
        self._done = done  # a file that appears when everything is acknowledged

    def __call__(self, stats: Stats) -> None:
        if sys.stderr.isatty():
            counters = f"published {stats.published}, alerts {stats.alerts}"
            print(f"\r{counters}", end="", file=sys.stderr, flush=True)
        if stats.done and not stats.in_flight:
            self._done.touch()
            self._left -= 1.0  # called once a second
            if self._left <= 0:
                self._stop.set()
