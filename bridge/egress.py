"""Kafka -> MQTT, the loop of ``haltere egress``: the offset waits for the PUBACK.

Alerts and commands go to ``haltere/{device}/alert`` and ``/command`` as JSON at QoS 1, in the order
of their partition. An offset is committed when the MQTT broker has acknowledged that message and
all before it; after a crash the rest is sent again, under the same id. What has expired is counted
and not sent: a device never acts on an old alert.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from threading import Event

import orjson

from bridge import kafka, wire
from bridge.contracts import Alert, Command, Topics
from bridge.errors import Malformed
from bridge.inflight import Line, Place
from bridge.kafka import Consumer, Fetched
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.settings import Settings

log = logging.getLogger(__name__)

BATCH = 500
WAIT_S = 0.05
LONGEST = 65_535  # bytes of an MQTT topic
WINDOW = 2000  # unacknowledged messages before no further record is fetched
DRAIN_S = 4.0
CONNECT_S = 4.0  # to each broker, then it is tried again: less than the 5 s to leave in
LEVELS = 100  # of a device's name; brokers have a limit

Partition = tuple[str, int]


class Egress:
    """One verdict's way, as values and two edges. `run` feeds it."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        telemetry: Telemetry,
        clock: Callable[[], int],
    ) -> None:
        topics = Topics(settings.kafka.prefix)
        self._kinds: dict[str, tuple[type[Alert] | type[Command], str]] = {
            topics.alerts: (Alert, "alert"),
            topics.commands: (Command, "command"),
        }
        self._connection = connection
        self._telemetry = telemetry
        self._clock = clock
        self._lines: dict[Partition, Line[int]] = defaultdict(Line)

    def take(self, record: Fetched) -> None:
        """Publish one record, or see that it needs none."""
        place = self._lines[record.topic, record.partition].enter(record.offset)
        kind, name = self._kinds[record.topic]
        try:
            verdict: Alert | Command = wire.decode(kind, record.value or b"")
            target = topic_of(verdict.device, name)
        except Malformed as error:
            self._skip(place, "malformed")
            log.warning("%s %d %d: %s", record.topic, record.partition, record.offset, error)
            return
        if verdict.valid_until < self._clock():
            self._skip(place, "expired")
            return
        self._connection.publish(target, orjson.dumps(asdict(verdict)), place)
        self._telemetry.count("messages", outcome="published")

    def settle(self) -> dict[Partition, int]:
        """Take in PUBACKs; the next offset to read, by partition, where it moved."""
        for token in self._connection.acknowledged():
            if isinstance(token, Place):
                token.done()
                self._telemetry.count("acknowledged")
        for token, reason in self._connection.refused():
            log.warning("the MQTT broker refused a message for a device: %s", reason)
            if isinstance(token, Place):
                self._skip(token, "refused")
        released = {partition: line.release() for partition, line in self._lines.items()}
        return {partition: done[-1] + 1 for partition, done in released.items() if done}

    def pending(self) -> int:
        """Records taken and not yet safe."""
        return sum(map(len, self._lines.values()))

    def forget(self, partitions: frozenset[Partition]) -> None:
        """These belong to another instance now, or begin anew."""
        for partition in partitions:
            self._lines.pop(partition, None)

    def _skip(self, place: Place[int], outcome: str) -> None:
        self._telemetry.count("messages", outcome=outcome)
        place.done()


def topic_of(device: str, name: str) -> str:
    """Where a device listens.

    Raises:
        Malformed: the name of the device cannot stand in an MQTT topic.

    >>> topic_of("pump-1", "alert")
    'haltere/pump-1/alert'
    """
    topic = f"haltere/{device}/{name}"
    fits = device.count("/") <= LEVELS and len(topic.encode("utf-8", "replace")) <= LONGEST
    if not device or not fits or any(c in "+#" or not c.isprintable() for c in device):
        raise Malformed(
            "device", "a name of an MQTT topic, printable, without + and #", repr(device[:200])
        )
    return topic


def run(settings: Settings, stop: Event, telemetry: Telemetry) -> None:
    """Carry verdicts until told to stop, then drain and commit.

    Raises:
        HaltereError: a broker is away or refuses; what was not committed is sent again.
    """
    kafka.ensure_topics(settings.kafka, CONNECT_S)
    topics = Topics(settings.kafka.prefix)
    name = f"{settings.mqtt.client_id}-egress"
    with (
        Consumer(settings.kafka, f"{settings.kafka.prefix}-egress") as consumer,
        Connection(settings.mqtt, name) as connection,
    ):
        connection.connect(CONNECT_S)
        egress = Egress(settings, connection, telemetry, lambda: time.time_ns() // 1000)
        consumer.subscribe([topics.alerts, topics.commands])
        log.info("kafka %s -> %s", settings.kafka.bootstrap_servers, connection.where)
        while not stop.is_set():
            _step(egress, consumer, connection, telemetry)
        _drain(egress, consumer)


def _step(egress: Egress, consumer: Consumer, connection: Connection, telemetry: Telemetry) -> None:
    room = WINDOW - egress.pending()
    records = consumer.fetch(min(BATCH, room), WAIT_S) if room > 0 else ()
    egress.forget(consumer.changes().revoked)  # before records of a new assignment are taken
    for record in records:
        egress.take(record)
    _commit(egress, consumer)
    telemetry.ready = connection.connected()
    telemetry.gauge("in_flight", egress.pending())
    telemetry.beat()


def _commit(egress: Egress, consumer: Consumer) -> None:
    offsets = egress.settle()
    if offsets:
        consumer.commit(offsets)


def _drain(egress: Egress, consumer: Consumer) -> None:
    deadline = time.monotonic() + DRAIN_S
    while egress.pending() and time.monotonic() < deadline:
        _commit(egress, consumer)
        time.sleep(0.01)
    _commit(egress, consumer)
