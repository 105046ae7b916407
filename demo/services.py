"""The processes of the demo: started, watched, started again when one dies, stopped cleanly."""

import signal
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bridge.child import Child, Launch
from bridge.errors import Misconfigured

LEAVE_S = 5.0  # from SIGTERM to a clean end
SCRAPE_S = 1.0

Sample = tuple[str, tuple[tuple[str, str], ...]]


class Service(Child):
    """One ``haltere`` process; its endpoint serves its metrics."""

    def __init__(self, name: str, folder: Path, arguments: tuple[str, ...]) -> None:
        super().__init__(folder)
        self.name = name
        self._arguments = arguments

    def prepare(self) -> Launch:
        command = (sys.executable, "-m", "haltere", self.name, *self._arguments)
        return Launch(command, self.folder / f"{self.name}.log", parting=signal.SIGTERM)

    def is_ready(self) -> bool:
        return self.get("/readyz") is not None

    def healthy(self) -> bool:
        """Alive, beating and connected."""
        return self.alive() and all(self.get(p) is not None for p in ("/healthz", "/readyz"))

    def get(self, path: str) -> str | None:
        """What it serves there, or nothing."""
        url = f"http://{self.endpoint}{path}"
        try:
            with urllib.request.urlopen(url, timeout=SCRAPE_S) as answer:  # noqa: S310
                return str(answer.read().decode())
        except (OSError, urllib.error.URLError):
            return None

    def tell(self, what: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(what)

    def leave(self) -> bool:
        """SIGTERM; whether it ended by itself, without an error and in time."""
        process = self._process
        if process is None:
            return False
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + LEAVE_S
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        clean = process.poll() == 0
        self.kill()
        return clean


@dataclass(slots=True)
class Counters:
    """Sums of a process's counters over its restarts, and its gauges."""

    before: Counter[Sample] = field(default_factory=Counter)  # of earlier lives
    now: dict[Sample, float] = field(default_factory=dict)

    def take(self, text: str) -> None:
        """Take in what /metrics says."""
        fresh = {
            (s.name, tuple(sorted(s.labels.items()))): s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }
        self.now = fresh

    def reborn(self) -> None:
        """The process begins to count from 0."""
        self.before.update({k: v for k, v in self.now.items() if k[0].endswith("_total")})
        self.now = {}

    def total(self, name: str, **labels: str) -> float:
        """Sum of a counter or value of a gauge, over all samples that have these labels."""
        wanted = set(labels.items())
        both: Counter[Sample] = Counter(self.before)
        both.update(self.now)
        return sum(v for (n, ls), v in both.items() if n == name and wanted <= set(ls))


class Troupe:
    """All services of the demo."""

    def __init__(self, services: dict[str, Service]) -> None:
        self.services = services
        self.counters = {name: Counters() for name in services}
        self.restarts: Counter[str] = Counter()

    def launch(self) -> None:
        """Start all; they connect by themselves."""
        for service in self.services.values():
            service.launch()

    def ready(self) -> bool:
        """Whether every service is connected."""
        return all(service.is_ready() for service in self.services.values())

    def watch(self) -> None:
        """Start again what has died; take in the counters of what lives."""
        for name, service in self.services.items():
            if not service.alive():
                self.restarts[name] += 1
                self.counters[name].reborn()
                service.launch()
            elif (text := service.get("/metrics")) is not None:
                self.counters[name].take(text)

    def unhealthy(self) -> list[str]:
        """The services that are not well."""
        return [name for name, service in self.services.items() if not service.healthy()]

    def leave(self) -> list[str]:
        """Ask all to leave; those that did not leave cleanly."""
        return [name for name, service in self.services.items() if not service.leave()]


def configuration(tree: dict[str, Any]) -> str:
    """A small tree of settings as TOML."""
    lines: list[str] = []
    for section, keys in tree.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, (int, float)) else f'"{value}"'


def empty_folder(command: str, folder: Path) -> None:
    """Make the folder that was named, where it is not there.

    Raises:
        Misconfigured: it cannot be written, or there is something in it.
    """
    where = f"{command} --folder {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = str(error.strerror)
        raise Misconfigured(where, "a folder that can be written", why) from None
    if any(folder.iterdir()):
        raise Misconfigured(where, "an empty or new folder", "one with files in it")


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)
