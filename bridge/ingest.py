"""MQTT -> Kafka, the loop of ``haltere ingest``: the PUBACK waits for Kafka.

A batch of messages goes down this page: received, normalised, encoded, produced, and, when Kafka
has every record of it and of all batches before it, acknowledged. What cannot be read becomes a
dead letter, and that letter's delivery releases the message. A record that Kafka did not take is
produced again, never acknowledged.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Event

from bridge import kafka, mqtt, notes, wire
from bridge.breaker import Breaker, verdict
from bridge.contracts import (
    MICROS,
    Contract,
    DeadLetter,
    Message,
    Reading,
    Stage,
    Topics,
    dead_letter,
)
from bridge.errors import Malformed, Misconfigured, Unavailable
from bridge.host import NAMESPACE, Host, announcement, follow, row
from bridge.inbox import Batch
from bridge.inflight import Line, Place
from bridge.kafka import Producer, Record
from bridge.metrics import Telemetry
from bridge.mqtt import Connection
from bridge.mqtt_words import taken_over
from bridge.normalise import Accepted, Ignored, Normaliser
from bridge.records import Row
from bridge.runs import Run, Sheaf, Tally
from bridge.schema_registry import register
from bridge.session import Session
from bridge.settings import Settings
from bridge.topics import LARGEST

log = logging.getLogger(__name__)

BATCH = 500  # messages that are acknowledged together
ROWS = 2  # times mqtt.inflight_bytes: what the records of the messages may take
IDLE_S = 0.25  # wait for messages when nothing is under way
BUSY_S = 0.002  # and when reports are expected
AGAIN_S = 0.5  # between two attempts to produce what failed
STANDS_S = 10.0  # without a confirmation of Kafka, of which the log tells
SAID_S = 1.0  # between two lines of the log on dead letters
DRAIN_S = 4.0  # for what is under way when told to stop
RIVAL_S = 2.5  # in which an ingest that runs comes back after we took its session
CONNECT_S = 4.0  # to each broker, then it is tried again: less than the 5 s to leave in
HEAD = 64 * 1024  # bytes of a payload that not even the dead letters take whole


class Ingest:
    """The way of a batch, as values and two edges. `run` feeds it."""

    def __init__(
        self,
        settings: Settings,
        producer: Producer,
        telemetry: Telemetry,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = Topics(settings.kafka.prefix)
        self._normalise = Normaliser(settings.route, settings.ingest.sparkplug)
        self.host = Host(self._normalise.session)
        self._encode = encoder(settings).encode
        self._producer = producer
        self._telemetry = telemetry
        self._breaker = breaker or Breaker(None, settings.ingest.poison_limit)
        self._clock = clock
        self._room = ROWS * settings.mqtt.inflight_bytes
        self.line: Line[Run] = Line()
        self._waiting: deque[tuple[str, list[Row], Place[Run]]] = deque()  # for room
        self._failed: list[tuple[Record, Place[Run]]] = []
        self._why = ""  # the last of them failed
        self._again = self._say = 0.0  # not before
        self._moved = clock()  # when Kafka confirmed last
        self._unsaid = 0  # dead letters since the last line of the log

    def take(self, batch: Batch) -> None:
        """Normalise the messages of a batch and send what they became."""
        run, tally = self._run(batch), Tally()
        for message in batch.messages:
            if self._breaker.suspects(message):
                outcome = self._carefully(run, message)
            else:
                outcome = self._read(run, message)
            if outcome is None:
                tally.accepted += 1
            elif isinstance(outcome, DeadLetter):
                tally.letters += 1
                self._complain(outcome)
                run.letters.add(self._letter(outcome), message)
            elif isinstance(outcome, Ignored):
                why = (outcome.format, outcome.reason)
                tally.ignored[why] = tally.ignored.get(why, 0) + 1
        self._count(tally, run)
        run.weigh()
        entered = self.line.enter(run, sum(len(sheaf.rows) for sheaf in run.sheaves()))
        for sheaf in run.sheaves():
            self._send(sheaf.topic, sheaf.rows, entered)

    def settle(self, timeout_s: float) -> None:
        """Take in what Kafka says, then acknowledge the longest prefix that is safe."""
        for report in self._producer.poll(timeout_s):
            place, record, error = report.token, report.record, report.error
            assert isinstance(place, Place) and record and error  # noqa: S101, PT018  what _send gave
            if isinstance(error, Malformed):
                self._bury(record, place, error)
            elif isinstance(error, Unavailable):
                self._failed.append((record, place))
                self._why = str(error)
            else:  # a topic was deleted, a right taken away: all begins anew, and what is lacking
                raise Unavailable(error.where, error.expected, error.received, error.remedy)
        waiting, self._waiting = self._waiting, deque()
        for what in waiting:
            self._send(*what)
        if self._failed and self._clock() >= self._again:
            self._send_again()
        self._acknowledge()
        self._say_it_stands()
        if self._unsaid and self._clock() >= self._say:
            self.say_rest()

    def say_rest(self) -> None:
        """How many dead letters the log has not told of."""
        if self._unsaid:
            log.warning("%d more dead letters: haltere dlq list shows them", self._unsaid)
        self._unsaid = 0

    def held(self) -> int:
        """Messages that are not acknowledged."""
        return sum(len(run.batch) for run in self.line)

    def blocked(self) -> bool:
        """Whether records wait for room: then no further message is taken."""
        return bool(self._waiting) or sum(run.size for run in self.line) > self._room

    def _read(self, run: Run, message: Message) -> Ignored | DeadLetter | None:
        """The records of a message, or what else becomes of it."""
        outcome = self._normalise(message)
        if message.topic.startswith(NAMESPACE):
            for birth in self.host.heard(message):
                run.births.add(row(birth, self._encode), message)
        return self._accept(run, message, outcome) if isinstance(outcome, Accepted) else outcome

    def _carefully(self, run: Run, message: Message) -> Ignored | DeadLetter | None:
        """One that came again; of one that ended this process each time, nothing is read."""
        with self._breaker.handling(message) as ended:
            if not ended:
                return self._read(run, message)
        run.poison.append(message)
        return verdict(message, ended)

    def _run(self, batch: Batch) -> Run:
        names = self._topics
        readings, positions = Sheaf(names.readings), Sheaf(names.positions)
        return Run(batch, readings, positions, Sheaf(names.deadletters), Sheaf(names.births))

    def _accept(self, run: Run, message: Message, outcome: Accepted) -> DeadLetter | None:
        """The records of a message; a letter where they cannot be written."""
        encode, readings, positions = self._encode, run.readings, run.positions
        before = len(readings.rows), len(positions.rows)
        try:
            for reading in outcome.readings:
                key, value = reading.device.encode(), encode(reading)
                readings.add({"key": key, "value": value}, message)
                if reading.position is not None:
                    positions.add({"key": key, "value": value}, message)
        except Exception as error:  # a fault of ours must not stop the stream, nor hide
            readings.cut(before[0])
            positions.cut(before[1])
            fault = Malformed("", "readings that can be written", f"our fault: {error!r}")
            return dead_letter(message, Stage.ENCODE, fault)
        return None

    def _send(self, topic: str, rows: list[Row], place: Place[Run]) -> None:
        """Produce what there is room for; the rest waits, and all that comes after it."""
        count = 0 if self._waiting else self._producer.produce_batch(topic, rows, place)
        if count < len(rows):
            self._waiting.append((topic, rows[count:], place))

    def _send_again(self) -> None:
        """What Kafka did not take, unless the MQTT broker sends its message again anyway."""
        self._again = self._clock() + AGAIN_S
        self._telemetry.count("retries", len(self._failed))
        log.warning("%d records are produced again: %s", len(self._failed), self._why)
        failed, self._failed = self._failed, []
        for record, place in failed:
            if not place.item.batch.stale():
                self._send(
                    record.topic, [Row(key=record.key or b"", value=record.value or b"")], place
                )

    def _acknowledge(self) -> None:
        for run in self.line.release():
            self._moved = self._clock()
            run.batch.ack()
            if run.batch.stale():
                continue
            for message in run.poison:
                self._breaker.forget(message)
            self._telemetry.count("acknowledged", len(run.batch))
            self._telemetry.latency(time.time() - run.batch.messages[0].received / MICROS)
        self.line.drop(lambda run: run.batch.stale())  # the broker sends them again

    def _say_it_stands(self) -> None:
        now = self._clock()
        if not self.line:
            self._moved = now
        elif now - self._moved > STANDS_S:
            self._moved = now
            log.warning(
                "Kafka has confirmed nothing for %.0f s; %d messages wait here, the others at the"
                " MQTT broker",
                *(STANDS_S, self.held()),
            )

    def _bury(self, record: Record, place: Place[Run], error: Malformed) -> None:
        """Kafka refuses this record for good: its message becomes a dead letter instead."""
        message = place.item.owner(record)
        again = record.topic == self._topics.deadletters
        if again and record.value in place.item.heads:
            raise Misconfigured(
                f"{error.where} topic {self._topics.deadletters}",
                f"a dead letter of {HEAD} bytes to be taken",
                error.received,
                "raise message.max.bytes there and in kafka.options",
            )
        size = f"{error.received} ({len(message.payload)} bytes)"
        said = Malformed(record.topic, error.expected, size)
        cut = message._replace(payload=message.payload[: HEAD if again else LARGEST])
        buried = dead_letter(cut, Stage.PRODUCE, said)
        self._telemetry.count("messages", outcome="dead_letter")
        self._complain(buried)
        row = self._letter(buried)
        place.item.letters.add(row, message)
        place.item.heads += [row["value"]] * again
        self._send(self._topics.deadletters, [row], place)

    def _letter(self, buried: DeadLetter) -> Row:
        key = buried.topic.encode("utf-8", "replace")
        return Row(key=key, value=self._encode(buried))

    def _complain(self, buried: DeadLetter) -> None:
        """The log tells of one dead letter a second, and how many more there were."""
        if self._clock() < self._say:
            self._unsaid += 1
            return
        log.warning(
            "dead letter: topic %s: %s %s: expected %s, received %s%s",
            *(buried.topic[:200], buried.stage, buried.path),
            *(buried.expected, buried.received[:200]),
            f" ({self._unsaid} more since the last line)" if self._unsaid else "",
        )
        self._say, self._unsaid = self._clock() + SAID_S, 0

    def _count(self, tally: Tally, run: Run) -> None:
        outcomes = {"accepted": tally.accepted, "dead_letter": tally.letters}
        for outcome, count in (outcomes | {"ignored": sum(tally.ignored.values())}).items():
            if count:
                self._telemetry.count("messages", count, outcome=outcome)
        self._telemetry.count("readings", len(run.readings.rows))
        self._telemetry.count("positions", len(run.positions.rows))
        for (form, reason), count in tally.ignored.items():
            self._telemetry.count("ignored", count, format=form, reason=reason)


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


def run(settings: Settings, stop: Event, telemetry: Telemetry, leave: Event | None = None) -> None:
    """Carry messages until told to stop, then drain; the session stays, and the broker queues.

    Told to leave, it unsubscribes, carries what is queued for it, ends its session, and clears
    the event.

    Raises:
        HaltereError: a broker is away or refuses; nothing is lost, what was not acknowledged is
            delivered again.
    """
    kafka.ensure_topics(settings.kafka, CONNECT_S)
    name, state = settings.mqtt.session("ingest"), settings.ingest.state
    leave = leave or Event()
    told = announcement(settings.ingest, int(time.time() * MICROS))
    with (
        Breaker(notes.place(state, name, "breaker"), settings.ingest.poison_limit) as breaker,
        Producer(settings.kafka, name) as producer,
        mqtt.Connection(settings.mqtt, name, announcement=told) as connection,
    ):
        ingest = Ingest(settings, producer, telemetry, breaker)
        follow(settings, ingest.host, told)
        session = Session(state, name, connection.where)
        connection.connect(CONNECT_S)
        log.info("%s -> kafka %s", connection.where, settings.kafka.bootstrap_servers)
        if not leave.is_set():
            own = {told.topic} if told else set()
            _subscribe(connection, session, set(settings.mqtt.subscriptions()) | own)
        while not (stop.is_set() or leave.is_set()):
            _step(ingest, connection, telemetry)
            if connection.answered():
                session.confirm()
        if leave.is_set():
            _be_alone(ingest, connection, telemetry)
            known = sorted(session.filters() | set(settings.mqtt.subscriptions()))
            if _emptied(ingest, connection, telemetry, known, stop):
                connection.end_session()
                session.forget()
                log.info("left: the broker keeps nothing for %s any more", name)
                leave.clear()
                stop.set()
        _drain(ingest)
        log.info("stopped")


def _subscribe(connection: Connection, session: Session, wanted: set[str]) -> None:
    """To what the configuration says, and to nothing any more that it said once.

    Without waiting: behind more queued messages than may be held the answer would never come.
    """
    former = session.follow(wanted)
    if former:
        log.info("unsubscribing: %s", ", ".join(sorted(former)))
        connection.unsubscribe(sorted(former), 0)
    connection.subscribe(sorted(wanted), 0)


def _be_alone(ingest: Ingest, connection: Connection, telemetry: Telemetry) -> None:
    """Before anything is taken from the session: one whose it is would take it back."""
    epoch, until = connection.epoch(), time.monotonic() + RIVAL_S
    while time.monotonic() < until:
        _step(ingest, connection, telemetry)
        if connection.epoch() != epoch:
            raise taken_over(connection.where, connection.client_id, "one that took it back")


def _emptied(
    ingest: Ingest, connection: Connection, telemetry: Telemetry, filters: list[str], stop: Event
) -> bool:
    """Unsubscribe and carry what the broker has queued for us; whether nothing is left.

    A round trip tells, not silence: the answer to an UNSUBSCRIBE stands behind every message that
    the broker could send when it came, and the PUBACKs of all before stood in front of it.
    """
    while not stop.is_set():
        connection.unsubscribe(filters, 0)
        epoch, came = connection.epoch(), len(ingest.line)
        while not (connection.answered() or stop.is_set()):
            came += _step(ingest, connection, telemetry)
        came += _step(ingest, connection, telemetry)
        if not (came or ingest.line) and connection.epoch() == epoch and connection.connected():
            return True
        while ingest.line and not stop.is_set():
            _step(ingest, connection, telemetry)
    return False


def _step(ingest: Ingest, connection: Connection, telemetry: Telemetry) -> int:
    """Take a batch and settle what is under way; how many messages came."""
    count = 0
    if not ingest.blocked():
        batch = connection.receive(BATCH, BUSY_S if ingest.line else IDLE_S)
        count = len(batch)
        if batch:
            ingest.take(batch)
            for said in ingest.host.says():
                connection.say(said)
    ingest.settle(BUSY_S if ingest.blocked() else 0)
    telemetry.ready = connection.connected() and connection.answered()
    telemetry.gauge("in_flight", ingest.held())
    telemetry.beat()
    return count


def _drain(ingest: Ingest) -> None:
    deadline = time.monotonic() + DRAIN_S
    while ingest.line and time.monotonic() < deadline:
        ingest.settle(0.05)
    ingest.say_rest()
    if ingest.line:
        log.warning("%d messages stay unacknowledged: the broker sends them again", ingest.held())
