"""Messages a second through `ingest`: MQTT -> normalise -> Avro -> Kafka -> PUBACK.

    python -m tests.bench.bridge --messages 20000 --json

JSON of about 138 bytes at QoS 1, acks=all; the load is queued in the broker first, so that only the
bridge is timed. One JSON line: messages, seconds, per_second, cpu_us_per_message.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

from bridge.brokers import Brokers, embedded
from bridge.ingest import run
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.settings import Kafka, Mqtt, Settings

DEVICES = 1000
PATIENCE_S = 300.0


def payload(n: int) -> bytes:
    car = f"car-{n % DEVICES:06d}"
    body = {"device": car, "ts": 1_700_000_000_000 + n, "temperature": 21.5 + n % 7 / 10}
    place = {"vibration": 0.0213, "lat": 52.520008, "lon": 13.404954, "speed": 54.2}
    return json.dumps(body | place).encode()


def load(mqtt: Mqtt, messages: int) -> None:
    """Queue the messages for the session of ingest."""
    with Connection(mqtt, f"{mqtt.client_id}-ingest") as reader:
        reader.connect(10)
        reader.subscribe(mqtt.filters)
    with Connection(mqtt, "load") as publisher:
        publisher.connect(10)
        for n in range(messages):
            publisher.publish(f"fleet/car-{n % DEVICES:06d}/telemetry", payload(n), n)
            while publisher.in_flight() > 10_000:
                publisher.acknowledged()
                time.sleep(0.001)
        while publisher.in_flight():
            publisher.acknowledged()
            time.sleep(0.001)


def measure(brokers: Brokers, messages: int) -> dict[str, float]:
    """Time ingest from its first to its last acknowledgment."""
    at = brokers.mqtt.endpoint
    mqtt = Mqtt(host=at.host, port=at.port, version=brokers.mqtt.version, filters=("fleet/#",))
    settings = Settings(mqtt=mqtt, kafka=Kafka(bootstrap_servers=brokers.kafka.bootstrap_servers))
    load(mqtt, messages)
    stop, telemetry = Event(), Telemetry("ingest")
    before = resource.getrusage(resource.RUSAGE_SELF)
    thread = Thread(target=run, args=(settings, stop, telemetry))
    thread.start()
    first, deadline = 0.0, time.perf_counter() + PATIENCE_S
    while telemetry.value("acknowledged") < messages and time.perf_counter() < deadline:
        first = first or (time.perf_counter() if telemetry.value("acknowledged") else 0.0)
        time.sleep(0.002)
    seconds = time.perf_counter() - first
    after = resource.getrusage(resource.RUSAGE_SELF)
    stop.set()
    thread.join()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    done = telemetry.value("acknowledged")
    return {
        "messages": done,
        "seconds": round(seconds, 3),
        "per_second": round(done / seconds),
        "cpu_us_per_message": round(cpu / max(1.0, done) * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded(Path(folder), lambda text: print(text, file=sys.stderr)) as brokers,
    ):
        found = measure(brokers, asked.messages)
    text = f"{found['per_second']} messages a second, {found['cpu_us_per_message']} us CPU each"
    print(json.dumps(found) if asked.json else text)


if __name__ == "__main__":
    main()
