"""Several ``haltere ingest`` on this host that divide the messages by a shared subscription.

Each worker is a process with a session of its own (``$share/GROUP/FILTER``, MQTT 5, 4.8.2) under
a stable name, so that one that was killed comes back to what the broker still keeps for it. A
worker that this start does not have any more is retired: it unsubscribes, carries what is queued
for it, and ends its session.

Order: each worker keeps the order of what it is given. Messages of one device may go to different
workers, and then their order in Kafka is not the order of their publishing.
"""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from bridge import notes
from bridge.child import tied
from bridge.errors import Misconfigured
from bridge.session import Session
from bridge.settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 0.2  # between two looks at the workers
SPARKPLUG = "-sparkplug"  # ends the name of the worker that follows its nodes
AGAIN_S = (1.0, 30.0)  # before a worker that died is started again, doubling
LASTED_S = 60.0  # one that lived so long was well
LEAVE_S = 8.0  # from SIGTERM to SIGKILL
RETIRE_S = 600.0  # to carry what is queued for a worker that leaves
MISCONFIGURED = 2  # exit code of a worker that shall not be started again


class Worker:
    """One process, started again when it dies."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], name: str) -> None:
        self.name = name
        self._command = list(command)
        self._environment = os.environ | environment
        self._wait_s, self._begun, self._again = AGAIN_S[0], 0.0, 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin it, in a session of its own, so that Ctrl-C reaches us alone.

        It stops when we are gone, even by kill -9: else it would meet its successor.
        """
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            tied(self._command, signal.SIGTERM), env=self._environment, start_new_session=True
        )

    def look(self) -> None:
        """Start it again if it has died and its time has come.

        Raises:
            Misconfigured: it cannot run with these settings.
        """
        now = time.monotonic()
        if self._process is None:
            if now >= self._again:
                self.start()
            return
        code = self._process.poll()
        if code is None:
            return
        if code == MISCONFIGURED:
            raise Misconfigured(self.name, "a worker that can run", f"exit code {code}, see above")
        self._wait_s = AGAIN_S[0] if now - self._begun > LASTED_S else self._wait_s
        log.warning("%s ended with %d; again in %.0f s", self.name, code, self._wait_s)
        self._process, self._again = None, now + self._wait_s
        self._wait_s = min(2 * self._wait_s, AGAIN_S[1])

    def send(self, number: signal.Signals) -> None:
        """A signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def ended(self, timeout_s: float) -> int | None:
        """Its exit code once it has ended; it is killed when it has run longer than this."""
        if self._process is None:
            return None
        if time.monotonic() - self._begun > timeout_s:
            self._process.kill()
            return self._process.wait()
        return self._process.poll()

    def wait(self, timeout_s: float) -> int:
        """Until it has ended; killed when it takes longer. Its exit code."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def run(settings: Settings, count: int, command: Sequence[str], stop: Event) -> None:
    """Keep that many workers running until told to stop; with none, only retire the old ones.

    Stopped workers keep their sessions: the broker queues for them until they come back.

    Raises:
        Misconfigured: a worker cannot run with these settings.
    """
    group = settings.mqtt.group or settings.mqtt.client_id
    members = [f"{_host(settings)}-{n}" for n in range(count)]
    alone = [f"{_host(settings)}{SPARKPLUG}"] if count and _has_sparkplug(settings) else []
    note = settings.ingest.state / "workers.json"
    former = [member for member in _noted(note) if member not in (*members, *alone)]
    notes.write(note, [*members, *alone, *former])
    workers = [
        Worker(command, _environment(settings, group, member, n), f"worker {member}")
        for n, member in enumerate(members)
    ]
    if alone:
        told_alone = _alone_with_sparkplug(settings, alone[0], count)
        workers.append(Worker(command, told_alone, f"worker {alone[0]}"))
    leaving = [
        Worker([*command, "--leave"], _retired(settings, group, member), member)
        for member in former
    ]
    if _alone(settings).exists():  # a single ingest was here before
        leaving.append(Worker([*command, "--leave"], {}, "the single ingest"))
    try:
        for worker in [*workers, *leaving]:
            worker.start()
        while (workers or leaving) and not stop.wait(LOOK_S):
            for worker in workers:
                worker.look()
            for name in _gone(leaving):
                notes.write(note, [member for member in _noted(note) if member != name])
    finally:
        _end([*workers, *leaving])


def _gone(leaving: list[Worker]) -> list[str]:
    """Who of them has carried what was queued for it and has ended its session."""
    ended = [(worker, worker.ended(RETIRE_S)) for worker in leaving]
    for worker, code in ended:
        if code is not None:
            leaving.remove(worker)
            how = "it has left" if code == 0 else "not left: the next start tries again"
            log.info("%s ended with %d: %s", worker.name, code, how)
    return [worker.name for worker, code in ended if code == 0]


def _end(workers: Sequence[Worker]) -> None:
    """Tell all to stop, together, and wait for them."""
    deadline = time.monotonic() + LEAVE_S
    for worker in workers:
        worker.send(signal.SIGTERM)
    for worker in workers:
        worker.wait(max(0.0, deadline - time.monotonic()))


def _retired(settings: Settings, group: str, member: str) -> dict[str, str]:
    """For one that leaves: it carries what is queued for it as what it was."""
    if member.endswith(SPARKPLUG):
        return _environment(settings, "", member, None) | {
            "HALTERE_INGEST_SPARKPLUG": "true",
            "HALTERE_INGEST_SPARKPLUG_HOST": "",
            "HALTERE_MQTT_FILTERS": "spBv1.0/#",
        }
    return _environment(settings, group, member, None)


def _has_sparkplug(settings: Settings) -> bool:
    return settings.ingest.sparkplug and bool(settings.mqtt.sparkplug_filters())


def _alone_with_sparkplug(settings: Settings, member: str, number: int) -> dict[str, str]:
    """For one worker outside the group: births and data must meet, so they are not divided."""
    return _environment(settings, "", member, number) | {
        "HALTERE_INGEST_SPARKPLUG": "true",
        "HALTERE_MQTT_FILTERS": ",".join(settings.mqtt.sparkplug_filters()),
    }


def _environment(settings: Settings, group: str, member: str, number: int | None) -> dict[str, str]:
    port = settings.metrics.port + (number or 0) if settings.metrics.port else 0
    return {
        "HALTERE_MQTT_GROUP": group,
        "HALTERE_MQTT_MEMBER": member,
        "HALTERE_INGEST_SPARKPLUG": "false",
        "HALTERE_METRICS_PORT": str(0 if number is None else port),
    }


def _host(settings: Settings) -> str:
    """What the members of this host begin with."""
    return settings.mqtt.member or re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())


def _alone(settings: Settings) -> Path:
    return Session(settings.ingest.state, settings.mqtt.session("ingest"), "").path


def tell_who_is_left(settings: Settings) -> None:
    """Of workers of earlier starts, beside a single ingest: their sessions go on filling."""
    behind = _noted(settings.ingest.state / "workers.json")
    if behind and not settings.mqtt.member:
        log.warning("the workers %s still have sessions, which fill: ", ", ".join(behind))
        log.warning("`haltere ingest --workers 0` carries what is queued for them and ends them")


def _noted(note: Path) -> list[str]:
    return [str(member) for member in notes.read(note, list, "the names of workers")]


def command_of(config: Path | None) -> list[str]:
    """What starts one worker."""
    named = ["--config", str(config)] if config else []
    return [sys.executable, "-m", "haltere", "ingest", *named]
