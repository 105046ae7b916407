"""A real ``haltere`` process with a configuration and a folder of its own."""

import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

from bridge.child import Child, Launch
from bridge.settings import Settings

LEAVE_S = 5.0  # from SIGTERM to its end


class Process(Child):
    """``haltere ingest`` or ``haltere egress``; its metrics are on its endpoint."""

    def __init__(self, name: str, folder: Path, told: Settings) -> None:
        super().__init__(folder)
        self.name = name
        self._told = told

    def prepare(self) -> Launch:
        file = self.folder / f"{self.name}.toml"
        file.write_text(_toml(self._told, self.endpoint.port), "utf-8")
        command = (sys.executable, "-m", "haltere", self.name, "--config", str(file))
        return Launch(command, self.folder / f"{self.name}.log")

    def is_ready(self) -> bool:
        return get(f"http://{self.endpoint}/readyz")[0] == 200

    def leave(self) -> int:
        """SIGTERM; its exit code, and a failure if it does not end in time."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        return process.wait(LEAVE_S)


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
    filters = ", ".join(f'"{name}"' for name in told.mqtt.filters)
    routes = "\n".join(f'[[route]]\ntopic = "{route.topic}"' for route in told.route)
    return f"""
[mqtt]
port = {told.mqtt.port}
version = "{told.mqtt.version}"
client_id = "{told.mqtt.client_id}"
filters = [{filters}]
[kafka]
bootstrap_servers = "{told.kafka.bootstrap_servers}"
prefix = "{told.kafka.prefix}"
partitions = {told.kafka.partitions}
[ingest]
state = "{told.ingest.state}"
[metrics]
port = {port}
{routes}
"""
