"""The real brokers of a test run: started once, at the first question.

Under ``pytest -n`` the controller has them, which stays to the end; a worker asks it through a
socket whose address it finds in the environment.
"""

import json
import os
import socket
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

from bridge.brokers import KafkaBroker, MqttBroker, Prefer
from bridge.errors import HaltereError

ADDRESS = "TEST_BROKERS"  # environment: host:port of the desk
MQTT = "TEST_MQTT_BROKER"  # environment: `amqtt` to test on it where there is Mosquitto
START_S = 150.0
LOG_LINES = 30


@dataclass(frozen=True, slots=True)
class Brokers:
    """Where they are."""

    bootstrap_servers: str
    mqtt_host: str
    mqtt_port: int
    mqtt_version: Literal["5", "3.1.1"]
    mqtt_name: str
    kafka_log: str

    def lately(self) -> str:
        """What Kafka has logged last."""
        lines = Path(self.kafka_log).read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])


class Patient(KafkaBroker):
    """Is not fenced because the machine stood still; it is never killed, so it need not hurry."""

    def configuration(self) -> str:
        return super().configuration() + "broker.session.timeout.ms=60000\n"


class Desk:
    """Starts the brokers at the first question and answers all; stops them at the end."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._running = ExitStack()
        self._thread = threading.Thread(target=self._serve, name="desk", daemon=True)
        self._thread.start()
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._running.close()

    def _serve(self) -> None:
        answer = b""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                answer = answer or self._start()
                client.sendall(answer)

    def _start(self) -> bytes:
        folder = Path(self._running.enter_context(tempfile.TemporaryDirectory(prefix="haltere-")))
        try:
            mqtt = MqttBroker(folder / "mqtt", prefer=cast(Prefer, os.environ.get(MQTT, "auto")))
            kafka = Patient(folder / "kafka")
            for broker in (mqtt, kafka):
                self._running.callback(broker.stop)
                broker.launch()
            for broker in (mqtt, kafka):
                broker.wait()
        except HaltereError as error:
            return json.dumps({"error": str(error)}).encode()
        at = mqtt.endpoint
        log = str(kafka.folder / "kafka.log")
        where = Brokers(kafka.bootstrap_servers, at.host, at.port, mqtt.version, mqtt.name, log)
        return json.dumps(asdict(where)).encode()


def ask() -> Brokers:
    """Where the brokers of this run are; the first to ask waits for their start."""
    host, _, port = os.environ[ADDRESS].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=START_S) as desk:
        answer = json.loads(desk.makefile("rb").read())
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return Brokers(**answer)
