"""MQTT -> Kafka, the loop of ``haltere ingest``: the PUBACK waits for Kafka.

A message goes down this page: received, normalised, encoded, produced, and, when Kafka has every
record of it and of all messages before it, acknowledged. What cannot be read becomes a dead
letter, and that letter's delivery releases the message. A record that Kafka did not take is
produced again, never acknowledged.
"""

import logging
from collections import deque
from dataclasses import dataclass
from threading import Event

from bridge import kafka, mqtt, wire
from bridge.contracts import Contract, DeadLetter, Message, Reading, Topics
from bridge.errors import Malformed, Misconfigured
from bridge.inflight import Line, Place
from bridge.kafka import Producer, Record
from bridge.metrics import Telemetry
from bridge.mqtt import Connection, Delivery
from bridge.normalise import Accepted, Ignored, Normaliser
from bridge.records import records_of
from bridge.schema_registry import register
from bridge.settings import Settings
from bridge.topics import LARGEST

log = logging.getLogger(__name__)

BATCH = 500  # messages between two looks at the delivery reports
IDLE_S = 0.25  # wait for messages when nothing is under way
BUSY_S = 0.002  # and when reports are expected
DRAIN_S = 4.0  # for what is under way when told to stop
CONNECT_S = 4.0  # to each broker, then it is tried again: less than the 5 s to leave in
HEAD = 64 * 1024  # bytes of a payload that not even the dead letters take whole


@dataclass(slots=True, eq=False)
class Sending:
    """A record under way, the place it keeps in the line, and the message it came from."""

    record: Record
    place: Place[Delivery]
    cut: bool = False  # a dead letter with no more than the head of its payload


class Ingest:
    """One message's way, as values and two edges. `run` feeds it."""

    def __init__(self, settings: Settings, producer: Producer, telemetry: Telemetry) -> None:
        self._topics = Topics(settings.kafka.prefix)
        self._normalise = Normaliser(settings.route)
        self._encode = encoder(settings).encode
        self._producer = producer
        self._telemetry = telemetry
        self.line: Line[Delivery] = Line()
        self._waiting: deque[Sending] = deque()

    def take(self, delivery: Delivery) -> None:
        """Normalise one delivery and send what it became."""
        message = delivery.message
        outcome = self._normalise(message)
        records = self._records(message, outcome)
        self._count(outcome)
        place = self.line.enter(delivery, len(records))
        for record in records:
            self._send(Sending(record, place))

    def settle(self, timeout_s: float) -> None:
        """Take in delivery reports, then acknowledge the longest prefix that is safe."""
        for report in self._producer.poll(timeout_s):
            sending = report.token
            assert isinstance(sending, Sending)  # noqa: S101  what _send gave
            if report.error is None:
                sending.place.done()
            elif isinstance(report.error, Malformed):
                self._bury(sending, report.error)
            else:
                log.warning("produced again: %s", report.error)
                self._telemetry.count("retries")
                self._waiting.append(sending)
        for _ in range(len(self._waiting)):
            self._send(self._waiting.popleft())
        self._acknowledge()

    def blocked(self) -> bool:
        """Whether records wait for room: then no further message is taken."""
        return bool(self._waiting)

    def _acknowledge(self) -> None:
        for delivery in self.line.release():
            delivery.ack()
            self._telemetry.count("acknowledged")

    def _records(self, message: Message, outcome: Accepted | Ignored | DeadLetter) -> list[Record]:
        match outcome:
            case Accepted(readings=readings):
                given = (self._topics, self._encode)
                return [record for reading in readings for record in records_of(*given, reading)]
            case DeadLetter():
                return [self._letter(message, outcome)]
        return []

    def _letter(self, message: Message, letter: Contract) -> Record:
        return Record(self._topics.deadletters, message.topic.encode(), self._encode(letter))

    def _send(self, sending: Sending) -> None:
        try:
            if not self._producer.produce(sending.record, sending):
                self._waiting.append(sending)
        except Malformed as error:
            self._bury(sending, error)

    def _bury(self, sending: Sending, error: Malformed) -> None:
        """Kafka refuses this record for good: its message becomes a dead letter instead."""
        if sending.cut:
            raise Misconfigured(
                f"{error.where} topic {self._topics.deadletters}",
                f"a dead letter of {HEAD} bytes to be taken",
                error.received,
                "raise message.max.bytes there and in kafka.options",
            )
        message = sending.place.item.message
        again = sending.record.topic == self._topics.deadletters
        letter = DeadLetter(
            topic=message.topic,
            payload=message.payload[: HEAD if again else LARGEST],
            stage="produce",
            path=sending.record.topic,
            expected=error.expected,
            received=f"{error.received} ({len(message.payload)} bytes)",
            time=message.received,
            qos=message.qos,
            retain=message.retain,
        )
        self._telemetry.count("messages", outcome="dead_letter")
        log.warning("dead letter: topic %s: %s", message.topic, error)
        self._send(Sending(self._letter(message, letter), sending.place, cut=again))

    def _count(self, outcome: Accepted | Ignored | DeadLetter) -> None:
        match outcome:
            case Accepted(readings=readings):
                self._telemetry.count("messages", outcome="accepted")
                self._telemetry.count("readings", len(readings))
                self._telemetry.count("positions", sum(r.position is not None for r in readings))
            case Ignored(format=form, reason=reason):
                self._telemetry.count("messages", outcome="ignored")
                self._telemetry.count("ignored", format=form, reason=reason)
            case DeadLetter(stage=stage, path=path, expected=expected, received=received):
                self._telemetry.count("messages", outcome="dead_letter")
                log.warning(
                    "dead letter: topic %s: %s %s: expected %s, received %s",
                    *(outcome.topic, stage, path, expected, received[:200]),
                )


def encoder(settings: Settings) -> wire.Encoder:
    """The encoder that the settings ask for, its schemas registered where there is a registry."""
    url = settings.schema_registry.url
    names = Topics(settings.kafka.prefix)
    subjects: dict[type[Contract], str] = {
        Reading: f"{names.readings}-value",
        DeadLetter: f"{names.deadletters}-value",
    }
    ids = {k: register(url, s, wire.SCHEMAS[k]) for k, s in subjects.items()} if url else {}
    return wire.Encoder(settings.wire, ids)


def run(settings: Settings, stop: Event, telemetry: Telemetry) -> None:
    """Carry messages until told to stop, then drain.

    Raises:
        HaltereError: a broker is away or refuses; nothing is lost, what was not acknowledged is
            delivered again.
    """
    kafka.ensure_topics(settings.kafka, CONNECT_S)
    name = f"{settings.mqtt.client_id}-ingest"
    with (
        Producer(settings.kafka, name) as producer,
        mqtt.Connection(settings.mqtt, name) as connection,
    ):
        ingest = Ingest(settings, producer, telemetry)
        connection.connect(CONNECT_S)
        connection.subscribe(settings.mqtt.filters)
        log.info("%s -> kafka %s", connection.where, settings.kafka.bootstrap_servers)
        while not stop.is_set():
            _step(ingest, connection, telemetry)
        _drain(ingest, producer)


def _step(ingest: Ingest, connection: Connection, telemetry: Telemetry) -> None:
    wait_s = BUSY_S if ingest.line else IDLE_S
    for delivery in () if ingest.blocked() else connection.receive(BATCH, wait_s):
        ingest.take(delivery)
    ingest.settle(BUSY_S if ingest.blocked() else 0)
    telemetry.ready = connection.connected()
    telemetry.gauge("in_flight", len(ingest.line))
    telemetry.beat()


def _drain(ingest: Ingest, producer: Producer) -> None:
    for _ in range(int(DRAIN_S / 0.05)):
        if not ingest.line:
            return
        ingest.settle(0.05)
    log.warning("%d messages stay unacknowledged: the broker sends them again", len(ingest.line))
