"""A real ``haltere`` process with a configuration and a folder of its own."""

import json
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

from bridge.child import Child, Launch
from bridge.settings import Ingest, Kafka, Mqtt, Settings

LEAVE_S = 5.0  # from SIGTERM to its end


class Process(Child):
    """``haltere ingest`` or ``haltere egress``; its metrics are on its endpoint."""

    def __init__(self, name: str, folder: Path, told: Settings, *options: str) -> None:
        super().__init__(folder)
        self.name = name
        self._options = options
        self._told = told

    def prepare(self) -> Launch:
        file = self.folder / f"{self.name}.toml"
        file.write_text(_toml(self._told, self.endpoint.port), "utf-8")
        command = (sys.executable, "-m", "haltere", self.name, "--config", str(file))
        return Launch((*command, *self._options), self.folder / f"{self.name}.log")

    def is_ready(self) -> bool:
        return get(f"http://{self.endpoint}/readyz")[0] == 200

    def leave(self, how: signal.Signals = signal.SIGTERM, within_s: float = LEAVE_S) -> int:
        """SIGTERM; its exit code, and a failure if it does not end in time."""
        process = self._process
        assert process is not None
        process.send_signal(how)
        return process.wait(within_s)

    def code(self) -> int | None:
        """The exit code of one that has ended by itself."""
        return self._process.poll() if self._process else None


def get(url: str) -> tuple[int, str]:
    """Status and body; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def _toml(told: Settings, port: int) -> str:
    routes = "\n".join(f'[[route]]\ntopic = "{route.topic}"' for route in told.route)
    sections = "\n".join(_section(s) for s in (told.mqtt, told.kafka, told.ingest))
    return f"{sections}\n[metrics]\nport = {port}\n{routes}\n"


def _section(told: Mqtt | Kafka | Ingest) -> str:
    """What differs from the defaults; what JSON writes is TOML here."""
    given = told.model_dump(mode="json", exclude_defaults=True)
    options = given.pop("options", {})
    lines = [f"{key} = {json.dumps(value)}" for key, value in given.items()]
    lines += [f"options.{json.dumps(key)} = {json.dumps(value)}" for key, value in options.items()]
    return "\n".join([f"[{type(told).__name__.lower()}]", *lines])
