"""Messages a second and CPU for each, from MQTT to Kafka: haltere beside what people use today.

    python -m tests.bench.bridge --messages 200000 --qos 1 --json
    python -m tests.bench.bridge --peer telegraf=/usr/bin/telegraf --version 3.1.1
    python -m tests.bench.bridge --malformed
    python -m tests.bench.bridge --outage 60

Every subject carries the same load on the same brokers, one after the other: JSON of 138 bytes, at
the end in Kafka with acks=all. The clock runs from the first record in Kafka to the last, CPU is
that of the subject's process. ``ratio`` is to the paho baseline: the machine may be noisy.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

from bridge.brokers import Brokers, embedded
from bridge.errors import Unavailable
from bridge.kafka import Consumer
from bridge.publisher import Load, Messages, Pace
from bridge.settings import Kafka, Mqtt
from tests.bench.load import payload, topic
from tests.bench.subjects import ROOT, Haltere, Paho, Peer, Subject, Task

PATIENCE_S = 20.0  # without a new record, after which no more will come
LOOK_S = 0.05
REST_S = 2.0  # between two subjects
RATE = 5000  # messages a second while Kafka is stopped, ...
AROUND_S = 10  # ... and so long before and after


class Arrivals:
    """How many records a topic has gained since it was first looked at."""

    def __init__(self, servers: str, topic: str) -> None:
        self._consumer = Consumer(Kafka(bootstrap_servers=servers))
        self._topic = topic
        self._before = 0
        self._before = self.count()

    def count(self) -> int:
        try:
            ends = self._consumer.ends(self._topic).values()
        except Unavailable:  # made just now
            return 0
        return sum(end for _, end in ends) - self._before

    def close(self) -> None:
        self._consumer.__exit__(None, None, None)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(subject: Subject, messages: int, kind: str, where: str) -> dict[str, Any]:
    """Run one subject over one load."""
    task = subject.task
    arrivals = Arrivals(task.servers, where)
    try:
        spent, memory = cpu_s(subject.pid), resident_mb(subject.pid)
        begun, first, count, last = time.perf_counter(), 0.0, 0, 0.0
        command = [sys.executable, "-m", "tests.bench.load", str(task.port), str(messages)]
        with subprocess.Popen([*command, str(task.qos), kind], cwd=ROOT, stdout=subprocess.PIPE):
            while count < messages and time.perf_counter() - (last or begun) < PATIENCE_S:
                time.sleep(LOOK_S)
                now = arrivals.count()
                if now > count:
                    count, last = now, time.perf_counter()
                    first = first or last
        seconds = max(last - first, LOOK_S)
        return {
            "subject": subject.name,
            "messages": count,
            "seconds": round(seconds, 3),
            "per_second": round(count / seconds),
            "cpu_us_per_message": round((cpu_s(subject.pid) - spent) / max(count, 1) * 1e6, 1),
            "memory_mb": round(resident_mb(subject.pid), 1),
            "memory_growth_mb": round(resident_mb(subject.pid) - memory, 1),
        }
    finally:
        arrivals.close()


def acknowledged(subject: Haltere, messages: int) -> int:
    """PUBACKs, a moment after the last record."""
    deadline = time.perf_counter() + 5
    while subject.acknowledged() < messages and time.perf_counter() < deadline:
        time.sleep(LOOK_S)
    return subject.acknowledged()


def prepare(brokers: Brokers, topics: list[str], partitions: int) -> None:
    """The topics of those who do not make their own."""
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

    admin = AdminClient({"bootstrap.servers": brokers.kafka.bootstrap_servers})
    for made in admin.create_topics([NewTopic(t, partitions, 1) for t in topics]).values():
        made.result()


def compare(task: Task, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every subject over the same load; haltere last."""
    peers = dict(peer.partition("=")[::2] for peer in asked.peer)
    subjects: list[Subject] = [Paho("paho", folder / "paho", task)]
    subjects += [Peer(name, Path(path), folder / name, task) for name, path in peers.items()]
    prepare(task.brokers, [subject.topic for subject in subjects], task.partitions)
    found = []
    for subject in subjects:
        with subject:
            found.append(measure(subject, asked.messages, "json", subject.topic))
        progress(found[-1])
        time.sleep(REST_S)
    with Haltere(folder / "haltere", task) as haltere:
        ours = measure(haltere, asked.messages, "json", haltere.topic)
        ours["acknowledged"] = acknowledged(haltere, asked.messages)
    progress(ours)
    for other in found:
        other["rate_ratio"] = round(ours["per_second"] / max(1, other["per_second"]), 2)
        cpu = ours["cpu_us_per_message"] / max(0.1, other["cpu_us_per_message"])
        other["cpu_ratio"] = round(cpu, 3)
    return {"qos": task.qos, "version": task.version, "haltere": ours, "others": found}


def malformed(task: Task, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The same load, good and then cut off: rates and memory."""
    with Haltere(folder / "haltere", task) as haltere:
        good = measure(haltere, asked.messages, "json", haltere.topic)
        progress(good)
        bad = measure(haltere, asked.messages, "garbage", haltere.letters)
        bad["acknowledged"] = acknowledged(haltere, 2 * asked.messages)
    progress(bad)
    ratio = round(bad["per_second"] / good["per_second"], 3)
    return {"good": good, "malformed": bad, "rate_ratio": ratio}


def outage(task: Task, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kafka is stopped under load: does MQTT hold, does memory stay, does all arrive?"""
    count = RATE * (asked.outage + 2 * AROUND_S)
    load = Load(
        Mqtt(port=task.port, version="3.1.1", client_id="load"),
        Messages(count, topic, payload),
        Pace(publishers=10, qos=1, rate=RATE),
    )
    with Haltere(folder / "haltere", task) as haltere:
        arrivals = Arrivals(task.servers, haltere.topic)
        publishing = Thread(target=load.run, args=(Event(),))
        publishing.start()
        time.sleep(AROUND_S)
        before = resident_mb(haltere.pid)
        task.brokers.kafka.interrupt()
        largest, until = before, time.monotonic() + asked.outage
        while time.monotonic() < until:
            time.sleep(1)
            largest = max(largest, resident_mb(haltere.pid))
        task.brokers.kafka.start()
        publishing.join()
        last, deadline = -1, time.monotonic() + PATIENCE_S
        while (now := haltere.acknowledged()) < count and time.monotonic() < deadline:
            deadline = time.monotonic() + PATIENCE_S if now > last else deadline
            last = now
            time.sleep(0.5)
            largest = max(largest, resident_mb(haltere.pid))
        lost = haltere.logged().count("connection lost")
        total = arrivals.count()
        arrivals.close()
    return {
        "outage_s": asked.outage,
        "published": load.sent,
        "acknowledged": now,
        "in_kafka": total,
        "connections_lost": lost,
        "memory_growth_mb": round(largest - before, 1),
    }


def progress(found: dict[str, Any]) -> None:
    line = "{subject}: {per_second} messages a second, {cpu_us_per_message} us CPU each"
    print(line.format(**found), file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--qos", type=int, choices=(0, 1), default=1)
    parser.add_argument("--version", choices=("5", "3.1.1"), default="5", help="of MQTT")
    parser.add_argument("--peer", action="append", default=[], metavar="telegraf=PATH")
    parser.add_argument("--malformed", action="store_true", help="good traffic beside garbage")
    parser.add_argument("--outage", type=int, default=0, help="seconds to stop Kafka for")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        embedded(Path(temporary), lambda text: print(text, file=sys.stderr)) as brokers,
    ):
        task = Task(brokers, asked.qos, asked.version)
        trial = outage if asked.outage else malformed if asked.malformed else compare
        found = trial(task, asked, Path(temporary))
    print(json.dumps(found, indent=None if asked.json else 2))


if __name__ == "__main__":
    main()
