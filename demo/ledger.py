"""The demo's ledger: what the devices sent and received, held against what stands in Kafka."""

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge import wire
from bridge.contracts import CHAMPION, MICROS, Alert, Reading, Score, Topics
from bridge.kafka import Consumer
from bridge.settings import Kafka

DETECTED_S = 30  # an alert this soon after a fault's first message detects it
AFTER_S = 30  # an alert this soon after a fault's last message still belongs to it
Key = tuple[str, int]  # device and event time, us


@dataclass(slots=True)
class Fleet:
    """What the devices say."""

    sent: dict[Key, int]  # when it was published, us
    arrived: dict[str, int]  # alert id -> first arrival, us
    labels: list[dict[str, Any]]
    counters: dict[str, Any]


@dataclass(slots=True)
class Stored:
    """What stands in Kafka."""

    readings: list[tuple[Key, str]] = field(default_factory=list)  # and the id
    positions: int = 0
    late: set[str] = field(default_factory=set)  # ids
    scores: Counter[str] = field(default_factory=Counter)  # by the reading's id
    alerts: dict[str, Alert] = field(default_factory=dict)
    dead_letters: int = 0
    versions: int = 0


@dataclass(slots=True)
class Report:
    """The figures of a run, and what was wrong with it."""

    figures: dict[str, Any]
    problems: list[str]

    def good(self) -> bool:
        return not self.problems

    def as_text(self) -> str:
        """The figures for a person."""
        lines = [f"{name.replace('_', ' '):32} {_plain(v)}" for name, v in self.figures.items()]
        good = ["nothing was lost, everything was scored, every alert arrived"]
        return "\n".join(
            [*lines, *(f"PROBLEM: {p}" for p in self.problems or ()), *good[: self.good()]]
        )

    def as_json(self) -> dict[str, Any]:
        return self.figures | {"problems": self.problems}


def _plain(value: object) -> str:
    if not isinstance(value, dict):
        return "-" if value is None else str(value)
    if all(isinstance(v, dict) for v in value.values()):
        value = {kind: f"{v['detected']} of {v['injected']}" for kind, v in value.items()}
    return ", ".join(f"{name} {_plain(v)}" for name, v in value.items()) or "-"


def read_fleet(folder: Path) -> Fleet:
    """The files that the simulator wrote."""
    arrived: dict[str, int] = {}
    for line in _lines(folder / "alerts.jsonl"):
        if "id" in line:
            arrived.setdefault(line["id"], line["arrived"])
    return Fleet(
        sent={(x["device"], x["time"]): x["published"] for x in _lines(folder / "sent.jsonl")},
        arrived=arrived,
        labels=list(_lines(folder / "labels.jsonl")),
        counters=json.loads((folder / "fleet.json").read_text("utf-8")),
    )


def read_kafka(kafka: Kafka) -> Stored:
    """Everything, from the first record on, committed ones only."""
    topics, stored = Topics(kafka.prefix), Stored()
    with Consumer(kafka) as consumer:
        for value in _values(consumer, topics.readings):
            reading = wire.decode(Reading, value)
            stored.readings.append(((reading.device, reading.time), reading.id))
        stored.positions = sum(1 for _ in _values(consumer, topics.positions))
        stored.late = {wire.decode(Reading, v).id for v in _values(consumer, topics.late)}
        stored.scores.update(
            wire.decode(Score, v).reading for v in _values(consumer, topics.scores)
        )
        alerts = (wire.decode(Alert, value) for value in _values(consumer, topics.alerts))
        stored.alerts = {alert.id: alert for alert in alerts}
        stored.dead_letters = sum(1 for _ in _values(consumer, topics.deadletters))
        stored.versions = len(_versions(consumer, topics.models))
    return stored


def _values(consumer: Consumer, topic: str) -> Iterable[bytes]:
    partitions = [p for _, p in consumer.ends(topic)]
    return (r.value for r in consumer.read_all(topic, partitions) if r.value is not None)


def _versions(consumer: Consumer, topic: str) -> set[bytes]:
    records = consumer.read_all(topic, [0])
    return {r.key for r in records if not r.key.startswith(CHAMPION)}


def report(fleet: Fleet, stored: Stored) -> Report:
    """Hold one against the other."""
    keys = {key for key, _ in stored.readings}
    ids = {identity for _, identity in stored.readings}
    accepted = ids - (stored.late - set(stored.scores))
    lost = [key for key in fleet.sent if key not in keys]
    received = [alert for alert in stored.alerts if alert in fleet.arrived]
    figures: dict[str, Any] = {
        "published": fleet.counters["published"],
        "acknowledged": fleet.counters["acknowledged"],
        "readings": len(stored.readings),
        "positions": stored.positions,
        "dead_letters": stored.dead_letters,
        "lost": len(lost),
        "duplicated": len(stored.readings) - len(ids),
        "late": len(stored.late),
        "scores": sum(stored.scores.values()),
        "alerts": len(stored.alerts),
        "alerts_received": len(received),
        **_detection(fleet, stored),
        "alert_latency_ms": _latency(fleet, stored),
        "model_versions": stored.versions,
    }
    problems = []
    if lost:
        problems.append(f"{len(lost)} messages are not in Kafka, the first {lost[0]}")
    if figures["published"] != figures["acknowledged"]:
        problems.append("not every published message was acknowledged")
    if set(stored.scores) != accepted or figures["scores"] != len(accepted):
        problems.append(f"{figures['scores']} scores for {len(accepted)} accepted readings")
    if len(received) != len(stored.alerts):
        problems.append(f"{len(stored.alerts) - len(received)} alerts did not reach their device")
    return Report(figures, problems)


def _detection(fleet: Fleet, stored: Stored) -> dict[str, Any]:
    alerts: dict[str, list[Alert]] = defaultdict(list)
    for alert in sorted(stored.alerts.values(), key=lambda a: a.time):
        alerts[alert.device].append(alert)
    published: dict[str, list[int]] = defaultdict(list)
    for device, time in sorted(fleet.sent):
        published[device].append(time)
    injected, detected, delays, matched = Counter[str](), Counter[str](), [], set[str]()
    for label in fleet.labels:
        device, start, end = label["device"], label["start"], label["end"]
        if not published[device] or published[device][-1] < start:
            continue  # the devices were stopped before
        injected[label["kind"]] += 1
        mine = [a for a in alerts[device] if start <= a.time < end + AFTER_S * MICROS]
        matched |= {a.id for a in mine}
        first = next((a for a in mine if a.time <= start + DETECTED_S * MICROS), None)
        if first is None:
            continue
        detected[label["kind"]] += 1
        faulty = published[device][bisect_right(published[device], start - 1)]
        if first.id in fleet.arrived:
            delays.append((fleet.arrived[first.id] - fleet.sent[device, faulty]) / MICROS)
    false = sum(alert not in matched for alert in stored.alerts)
    hours = _watched_hours(published)
    return {
        "faults_injected": sum(injected.values()),
        "faults_detected": sum(detected.values()),
        "faults_by_kind": {
            kind: {"injected": injected[kind], "detected": detected[kind]}
            for kind in sorted(injected)
        },
        "false_alarms": false,
        "false_alarms_per_device_hour": round(false / hours, 3) if hours else None,
        "detection_delay_s": {"p50": quantile(delays, 0.5), "p90": quantile(delays, 0.9)},
    }


def _watched_hours(published: dict[str, list[int]], warmup: int = 60) -> float:
    """Device hours after the warm-up, in event time."""
    spans = [times[-1] - times[warmup] for times in published.values() if len(times) > warmup]
    return sum(spans) / MICROS / 3600


def _latency(fleet: Fleet, stored: Stored) -> dict[str, float | None]:
    """From the publish of the reading that raised the alert to its arrival on the device, ms."""
    took = [
        (arrived - fleet.sent[alert.device, alert.time]) / 1000
        for identity, arrived in fleet.arrived.items()
        if (alert := stored.alerts.get(identity)) and (alert.device, alert.time) in fleet.sent
    ]
    return {"p50": quantile(took, 0.5), "p99": quantile(took, 0.99)}


def quantile(values: Sequence[float], q: float) -> float | None:
    """The nearest-rank quantile; nothing of nothing.

    >>> quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    if not values:
        return None
    rank = min(len(values) - 1, int(q * len(values)))
    return round(sorted(values)[rank], 3)


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
