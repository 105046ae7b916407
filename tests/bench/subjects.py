"""What is measured: haltere, what people write today, and programs that are given by their path.

Each is a process of its own that carries ``fleet/#`` to one Kafka topic, at QoS 1 or 0, acks=all.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from bridge.brokers import Brokers
from bridge.child import Child, Launch
from bridge.contracts import Topics
from bridge.settings import Kafka
from tests.process import get

ROOT = Path(__file__).parents[2]

TELEGRAF = """\
[agent]
interval = "1s"
flush_interval = "200ms"
metric_batch_size = 5000
metric_buffer_limit = 1000000
omit_hostname = true
[[inputs.mqtt_consumer]]
servers = ["tcp://127.0.0.1:{port}"]
topics = ["fleet/#"]
qos = {qos}
max_undelivered_messages = 20000
client_id = "telegraf"
persistent_session = false
data_format = "json"
json_string_fields = ["device"]
[[outputs.kafka]]
brokers = ["{servers}"]
topic = "{topic}"
compression_codec = 3
required_acks = -1
data_format = "json"
"""
BENTO = {
    "http": {"enabled": False},
    "logger": {"level": "WARN"},
    "input": {"mqtt": {"topics": ["fleet/#"], "client_id": "bento", "clean_session": True}},
    "pipeline": {
        "threads": 2,
        "processors": [
            {
                "mapping": "root.device = this.device\nroot.ts = this.ts\nroot.values = "
                'this.without("device", "ts")\nmeta key = this.device'
            }
        ],
    },
    "output": {
        "kafka_franz": {
            "key": '${! meta("key") }',
            "max_in_flight": 256,
            "batching": {"count": 1000, "period": "50ms"},
            "compression": "lz4",
        }
    },
}


@dataclass(frozen=True, slots=True)
class Task:
    """What a subject is to carry, and between which brokers."""

    brokers: Brokers
    qos: int
    version: str
    partitions: int = 4

    @property
    def port(self) -> int:
        return self.brokers.mqtt.endpoint.port

    @property
    def servers(self) -> str:
        return self.brokers.kafka.bootstrap_servers


class Subject(Child):
    """A bridge under test; `topic` is where its records go."""

    def __init__(self, name: str, folder: Path, task: Task) -> None:
        super().__init__(folder)
        self.name = name
        self.task = task
        self.topic = name

    def is_ready(self) -> bool:
        return "ready" in self.logged()


class Haltere(Subject):
    """``haltere ingest`` as it comes, everything on: readings, positions, normalised Avro."""

    def __init__(self, folder: Path, task: Task) -> None:
        super().__init__("haltere", folder, task)
        self.kafka = Kafka(
            bootstrap_servers=task.servers,
            prefix=f"bench-{task.qos}-{task.version.replace('.', '')}",
            partitions=task.partitions,
        )
        self.topic = Topics(self.kafka.prefix).readings
        self.letters = Topics(self.kafka.prefix).deadletters

    def prepare(self) -> Launch:
        told = {
            "HALTERE_MQTT_PORT": str(self.task.port),
            "HALTERE_MQTT_VERSION": self.task.version,
            "HALTERE_MQTT_FILTERS": "fleet/#",
            "HALTERE_MQTT_QOS": str(self.task.qos),
            "HALTERE_MQTT_AT_MOST_ONCE": "false" if self.task.qos else "true",
            "HALTERE_MQTT_CLEAN_SESSION": "false" if self.task.qos else "true",
            "HALTERE_KAFKA_BOOTSTRAP_SERVERS": self.task.servers,
            "HALTERE_KAFKA_PREFIX": self.kafka.prefix,
            "HALTERE_METRICS_PORT": str(self.endpoint.port),
            "PYTHONPATH": str(ROOT),
        }
        command = (sys.executable, "-m", "haltere", "ingest")
        return Launch(command, self.folder / "log", environment=told)

    def is_ready(self) -> bool:
        return get(f"http://{self.endpoint}/readyz")[0] == 200

    def acknowledged(self) -> int:
        """Messages that the MQTT broker may forget."""
        _, page = get(f"http://{self.endpoint}/metrics")
        name = "haltere_ingest_acknowledged_total "
        lines = [line for line in page.splitlines() if line.startswith(name)]
        return int(float(lines[0].removeprefix(name))) if lines else 0


class Paho(Subject):
    """paho's callback and confluent-kafka's produce."""

    def prepare(self) -> Launch:
        task = self.task
        arguments = (str(task.port), task.servers, self.topic, str(task.qos), task.version)
        command = (sys.executable, "-m", "tests.bench.paho_baseline", *arguments)
        return Launch(command, self.folder / "log", environment={"PYTHONPATH": str(ROOT)})


class Peer(Subject):
    """A program by its path: telegraf or bento."""

    def __init__(self, name: str, program: Path, folder: Path, task: Task) -> None:
        super().__init__(name, folder, task)
        self._program = program.absolute()

    def prepare(self) -> Launch:
        task = self.task
        config = self.folder / "peer.conf"
        if self.name == "telegraf":
            told = {
                "port": task.port,
                "servers": task.servers,
                "topic": self.topic,
                "qos": task.qos,
            }
            config.write_text(TELEGRAF.format(**told))
            return Launch((str(self._program), "--config", str(config)), self.folder / "log")
        said = json.loads(json.dumps(BENTO))
        said["input"]["mqtt"] |= {"urls": [f"tcp://127.0.0.1:{task.port}"], "qos": task.qos}
        said["output"]["kafka_franz"] |= {"seed_brokers": [task.servers], "topic": self.topic}
        config.write_text(json.dumps(said))  # JSON is YAML
        return Launch((str(self._program), "-c", str(config)), self.folder / "log")

    def is_ready(self) -> bool:
        """It does not say; Mosquitto's log does."""
        log = self.task.brokers.mqtt.folder / "mosquitto.log"
        return f" as {self.name} " in log.read_text("utf-8", "replace")
