"""How many records a second come out of Kafka as tensors: ``python -m tests.bench.source --json``.

A million records of 138 bytes, JSON and the Avro of `Reading`, in a topic of one partition and one
of four, on an embedded Kafka. Each case is a process of its own that reads its topic a few times;
the rate is that of the best pass, from its first batch to its last. With ``--tfio PYTHON``
tensorflow-io reads the same on a Kafka 3.9, and so do we.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.brokers import KafkaBroker
from bridge.contracts import Message, Reading
from bridge.kafka import Producer, Record, ensure_topic
from bridge.normalise import Accepted, Normaliser
from bridge.settings import Kafka
from bridge.spans import Span
from bridge.wire import SCHEMAS, Encoder
from tests.bench.load import payload, topic
from tests.bench.old_kafka import old_kafka

ROWS, PASSES = 2000, 3
FLOATS = ("temperature", "vibration", "lat", "lon", "speed")
JSON = {"decode": "json", "fields": dict.fromkeys(FLOATS, "float32")}
CASES: dict[str, tuple[str, dict[str, Any]]] = {  # name: topic, and what of it
    "raw": ("json", {}),
    "raw in a group": ("json", {}),
    "raw value and key": ("json", {"columns": ("value", "key")}),  # what tensorflow-io gives
    "raw single records": ("json", {}),
    "json to float32": ("json", JSON | {"columns": "value"}),
    "json to float32 and all": ("json", JSON),
    "avro to float32": ("avro", {"decode": "avro", "columns": "value"}),
    "avro to float32 and all": ("avro", {"decode": "avro"}),
}
BARS = {  # records a second
    "raw": 500_000,
    "raw single records": 200_000,
    "json to float32": 300_000,
    "avro to float32": 400_000,
}
FEWER = 100_000  # for tensorflow-io's from_kafka
TENFOLD, GROWTH_MB = 10, 20


def readings(count: int) -> Iterator[bytes]:
    """The same records as `Reading`, in Avro."""
    normalise, encode = Normaliser(()), Encoder().encode
    for n in range(count):
        outcome = normalise(Message(topic(n), payload(n), 1_700_000_000_000_000 + n))
        assert isinstance(outcome, Accepted)
        yield encode(outcome.readings[0])


def fill(kafka: Kafka, name: str, partitions: int, values: Iterable[bytes]) -> None:
    ensure_topic(kafka, Span(name, partitions - 1))
    options = {"linger.ms": 50, "batch.size": 1_000_000}
    told = kafka.model_copy(update={"options": options})
    with Producer(told, "bench") as producer:
        for n, value in enumerate(values):
            record = Record(name, b"car-%06d" % (n % 1000), value, n % partitions)
            while not producer.produce(record):
                producer.poll(0.01)
            if n % 1000 == 0:
                producer.poll(0)
        producer.produce_and_wait(())


# In the process of a case.


def dataset(case: str, servers: str, name: str) -> Any:
    from ml import Field, KafkaDataset

    _, options = CASES[case]
    if case == "raw single records":
        return KafkaDataset(name, servers, eof=True).batch(1000)
    if case.startswith("avro"):
        place = {n: Field("float32", f"position.{n}") for n in ("lat", "lon", "speed")}
        fields = {"values": Field("float32", shape=(3,)), "time": "int64"} | place
        options = options | {"schema": SCHEMAS[Reading], "fields": fields}
    group = f"bench-{os.getpid()}" if case == "raw in a group" else ""
    return KafkaDataset(name, servers, group, True, batch_rows=ROWS, **options)


def rows_of(batch: Any) -> int:
    while isinstance(batch, dict):
        batch = next(iter(batch.values()))
    return int(batch.shape[0])


def passed(data: Any) -> tuple[int, float]:
    """Records behind the first batch, and the seconds that they took."""
    batches = iter(data)
    next(batches)
    count, begun = 0, time.perf_counter()
    for batch in batches:
        count += rows_of(batch)
    return count, time.perf_counter() - begun


def grown(data: Any) -> dict[str, Any]:
    """Memory from the first tenth of a long topic to its end."""
    count, sizes = 0, [0.0]
    for n, batch in enumerate(data):
        count += rows_of(batch)
        if n % 500 == 0:
            sizes.append(resident_mb())
    tenth = sizes[len(sizes) // TENFOLD]
    return {"records": count, "mb": round(tenth), "grown_mb": round(max(sizes) - tenth, 1)}


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def one(case: str, servers: str, name: str) -> dict[str, Any]:
    """One case, here and now."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    data = dataset(case.removesuffix(" tenfold"), servers, name)
    if case.endswith(" tenfold"):
        return grown(data)
    runs = [count / seconds for count, seconds in (passed(data) for _ in range(PASSES))]
    return {"records_per_s": round(max(runs)), "all": [round(run) for run in runs]}


# The whole.


def child(case: str, servers: str, name: str) -> dict[str, Any]:
    command = (sys.executable, "-m", "tests.bench.source", "--case", case, servers, name)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def filled(servers: str, records: int, kinds: Iterable[str]) -> Iterator[None]:
    kafka = Kafka(bootstrap_servers=servers)
    for kind in kinds:
        for partitions in (1, 4):
            values = map(payload, range(records)) if kind == "json" else readings(records)
            fill(kafka, f"{kind}-{partitions}", partitions, values)
    yield


def ours(folder: Path, records: int, say: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with KafkaBroker(folder / "kafka") as broker:
        say(f"{records} records into four topics")
        with filled(broker.bootstrap_servers, records, ("json", "avro")):
            for case, (kind, _) in CASES.items():
                for partitions in (1, 4):
                    where = f"{case}, {partitions} partitions"
                    told = child(case, broker.bootstrap_servers, f"{kind}-{partitions}")
                    bar = BARS.get(case)
                    found[where] = told | {"bar": bar} if bar else told
                    say(f"{where}: {told['records_per_s']:,} records/s")
            say(f"{TENFOLD * records} records into one topic")
            again = [payload(n) for n in range(100_000)]
            values = (again[n % len(again)] for n in range(TENFOLD * records))
            fill(Kafka(bootstrap_servers=broker.bootstrap_servers), "json-long", 1, values)
            memory = child("raw tenfold", broker.bootstrap_servers, "json-long")
            found["memory"] = memory | {"bar_mb": GROWTH_MB}
            say(f"memory: {memory['grown_mb']} MB more after {memory['records']:,} records")
    return found


def theirs(python: str, folder: Path, records: int, say: Any) -> dict[str, Any]:
    """tensorflow-io and we, one after the other, on a Kafka that it can read."""
    found: dict[str, Any] = {}
    script = str(Path(__file__).with_name("tfio_baseline.py"))
    with old_kafka(folder / "old") as servers:
        fill(Kafka(bootstrap_servers=servers), "json-1", 1, map(payload, range(records)))
        for kind, count in (("group", records), ("from_kafka", min(FEWER, records))):
            command = (python, script, servers, "json-1", str(count), kind)
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[kind] = json.loads(done.stdout.splitlines()[-1])
            say(f"tensorflow-io {kind}: {found[kind]['records_per_s']:,} records/s")
        for case in ("raw", "raw value and key"):
            found[case] = child(case, servers, "json-1")
            say(f"ours, {case}: {found[case]['records_per_s']:,} records/s")
        for kind in ("group", "from_kafka"):
            ratio = found["raw value and key"]["records_per_s"] / found[kind]["records_per_s"]
            found[kind]["ours_to_theirs"] = round(ratio, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--tfio", metavar="PYTHON", help="a Python that has tensorflow-io")
    parser.add_argument("--case", nargs=3, metavar=("CASE", "SERVERS", "TOPIC"), help="one, alone")
    told = parser.parse_args()
    if told.case:
        print(json.dumps(one(*told.case)))
        return

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="haltere-") as name:
        found = {"records": told.records, "ours": ours(Path(name), told.records, say)}
        if told.tfio:
            found["tensorflow_io"] = theirs(told.tfio, Path(name), told.records, say)
    if told.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
