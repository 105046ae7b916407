"""Readings -> scores and alerts, the loop of ``haltere score``, top to bottom; exactly once.

A batch goes down this page: fetched, decoded, observed, corrected by its class's champion,
decided, and then, in one Kafka transaction: scores, alerts, late readings, the state of every
device that moved, and the offsets. What a crash interrupts was never visible; the state that
follows its partition says where to go on.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

import keras
import numpy as np
import tensorflow as tf

from bridge import kafka, wire
from bridge.contracts import MICROS, Alert, DeadLetter, DeviceState, ModelCard, Topics
from bridge.contracts import Score as Scored
from bridge.errors import Malformed
from bridge.kafka import Changes, Consumer, Producer, Record
from bridge.metrics import Telemetry
from bridge.settings import Settings
from ml import decide, model
from ml.columns import Columns, Decoder
from ml.observe import Observation, Observer
from ml.pull import Batch, Source
from ml.registry import Champions
from ml.version import corrected, unpack
from ml.windows import Arrival

log = logging.getLogger(__name__)

ROWS = 2000
WAIT_S = 0.05
CONNECT_S = 4.0
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rows of a batch stand in Kafka."""

    partition: np.ndarray  # (records,), int32
    offset: np.ndarray  # (records,), int64
    value: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Champion:
    """A model in use."""

    version: int
    channels: list[str]
    model: keras.Model
    usual: decide.Usual


class Scoring:
    """Everything that turns a batch into records; no I/O."""

    def __init__(self, settings: Settings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self.topics = Topics(settings.kafka.prefix)
        self._encode = wire.Encoder(settings.wire).encode
        self._clock = clock
        self._owner: dict[str, int] = {}  # partition of each device
        self._decoder = Decoder()
        self.observer = Observer(settings.score)
        self.champions: dict[str, Champion] = {}

    def adopt(self, card: ModelCard) -> None:
        """Use this version for its class from the next batch on."""
        built = model.build(len(card.channels), 0)
        try:
            usual = unpack(built, card.weights)
        except Malformed as error:
            log.warning("class %s stays as it is: %s", card.device_class, error)
            return
        self.champions[card.device_class] = Champion(
            card.version, list(card.channels), built, usual
        )
        log.info("class %s: version %d", card.device_class, card.version)

    def restore(self, partition: int, state: DeviceState) -> None:
        """Take over a device."""
        self.observer.homes.of[state.device] = state.device_class
        self.observer.table(state.device_class).restore(state.device, state.snapshot)
        self._owner[state.device] = partition

    def release(self, partitions: frozenset[int]) -> None:
        """These devices belong to another worker now."""
        for device in [d for d, p in self._owner.items() if p in partitions]:
            self.observer.forget(device)
            del self._owner[device]

    def judge(self, places: Places, telemetry: Telemetry) -> list[Record]:
        """All records that a batch leads to."""
        batch = self._decoder.decode(places.value)
        records: list[Record] = []
        for n, error in self._decoder.refused:
            records.append(self._letter(places, n, error))
            telemetry.count("refused")
        for seen in self.observer.observe(batch):
            records += self._aside(seen, batch, places, telemetry)
            records += self._verdicts(seen, batch, places, telemetry)
        for row, device in enumerate(batch.device):
            self._owner[device] = int(places.partition[batch.index[row]])
        return records + self._states(batch, places)

    def _letter(self, places: Places, n: int, error: Malformed) -> Record:
        """A record that is no reading, as a dead letter: it stays readable."""
        where = f"partition {places.partition[n]} offset {places.offset[n]}"
        log.warning("dead letter: %s %s: %s", self.topics.readings, where, error)
        letter = DeadLetter(
            topic=self.topics.readings,
            payload=places.value[n],
            stage="score",
            path=where,
            expected=error.expected,
            received=error.received,
            time=self._clock(),
        )
        return Record(self.topics.deadletters, where.encode(), self._encode(letter))

    def _aside(
        self, seen: Observation, batch: Columns, places: Places, telemetry: Telemetry
    ) -> list[Record]:
        telemetry.count("repeated", int((seen.arrival == Arrival.REPEATED).sum()))
        late = seen.round.rows[seen.arrival == Arrival.LATE]
        telemetry.count("late", len(late))
        return [
            Record(self.topics.late, batch.device[row].encode(), places.value[batch.index[row]])
            for row in late
        ]

    def _verdicts(
        self, seen: Observation, batch: Columns, places: Places, telemetry: Telemetry
    ) -> list[Record]:
        evidence, version = self._correct(seen)
        time, channels = batch.time[seen.rows], seen.table.channels
        verdicts = decide.decide(seen.table, seen.at, evidence, time, self._settings.score)
        records = []
        for n, row in enumerate(seen.rows):
            record = batch.index[row]
            scored = Scored(
                device=batch.device[row],
                time=int(time[n]),
                received=int(batch.received[row]),
                reading=batch.id[row],
                score=float(verdicts.score[n]),
                channel=channels[verdicts.channel[n]] if channels else "",
                anomalous=bool(verdicts.anomalous[n]),
                model=version,
                partition=int(places.partition[record]),
                offset=int(places.offset[record]),
            )
            key = scored.device.encode()
            records.append(Record(self.topics.scores, key, self._encode(scored)))
            telemetry.latency((self._clock() - scored.received) / MICROS)
            if verdicts.opens[n]:
                alert = self._alert(scored, seen, verdicts, n)
                records.append(Record(self.topics.alerts, key, self._encode(alert)))
                telemetry.count("alerts", reason=alert.reason)
        telemetry.count("scores", len(seen.rows))
        return records

    def _correct(self, seen: Observation) -> tuple[decide.Evidence, int]:
        champion = self.champions.get(seen.round.device_class)
        if champion is None or not set(champion.channels) <= set(seen.table.channels):
            return seen.evidence, 0
        columns = seen.table.columns(champion.channels)
        return corrected(champion.model, champion.usual, seen, columns), champion.version

    def _alert(self, s: Scored, seen: Observation, v: decide.Verdicts, n: int) -> Alert:
        value = float(seen.values[n, v.channel[n]])
        raised = self._clock()
        return Alert(
            id=f"{s.device}/{s.time}",
            device=s.device,
            time=s.time,
            raised=raised,
            valid_until=raised + int(self._settings.egress.alert_ttl_s * MICROS),
            channel=s.channel,
            reason=decide.REASONS[v.reason[n]],
            value=None if np.isnan(value) else value,
            score=s.score,
            model=s.model,
        )

    def _states(self, batch: Columns, places: Places) -> list[Record]:
        last = {device: row for row, device in enumerate(batch.device)}
        return [self._state(device, batch.index[row], places) for device, row in last.items()]

    def _state(self, device: str, n: int, places: Places) -> Record:
        home = self.observer.homes.of[device]
        snapshot = self.observer.tables[home].snapshot(device)
        state = DeviceState(device, home, int(places.offset[n]), snapshot)
        partition = int(places.partition[n])
        return Record(self.topics.state, device.encode(), self._encode(state), partition)


def run(settings: Settings, stop: Event, telemetry: Telemetry) -> None:
    """Score until told to stop.

    Raises:
        HaltereError: Kafka is away or refuses; the transaction under way was never visible.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    kafka.ensure_topics(settings.kafka, CONNECT_S)
    name = f"{settings.kafka.prefix}-score"
    with (
        Consumer(settings.kafka, name) as consumer,
        Producer(settings.kafka, name, transactional_id=f"{name}-0") as producer,
        Champions(settings.kafka) as champions,
    ):
        scoring = Scoring(settings, lambda: time.time_ns() // 1000)
        for card in champions.load().values():
            scoring.adopt(card)
        consumer.subscribe([scoring.topics.readings])
        for batch in Source(consumer, ROWS, WAIT_S, stop.is_set):
            _hand_over(scoring, settings, consumer.changes())
            _score(scoring, batch, (consumer, producer), telemetry)
            for card in champions.news():
                scoring.adopt(card)
            telemetry.gauge("lag", consumer.lag())
            telemetry.ready = True
            telemetry.beat()


def _score(
    scoring: Scoring,
    batch: Batch,
    edges: tuple[Consumer, Producer],
    telemetry: Telemetry,
) -> None:
    consumer, producer = edges
    values = list(batch["value"].numpy())
    if not values:
        return
    places = Places(batch["partition"].numpy(), batch["offset"].numpy(), values)
    records = scoring.judge(places, telemetry)
    producer.begin()
    for record in records:
        while not producer.produce(record):
            producer.poll(0.01)
    topic = scoring.topics.readings
    offsets = {
        (topic, int(p)): int(o) + 1 for p, o in zip(places.partition, places.offset, strict=True)
    }
    producer.commit(consumer, offsets)


def _hand_over(scoring: Scoring, settings: Settings, changes: Changes) -> None:
    """Let go of what was revoked; take over the state of what was assigned."""
    scoring.release(frozenset(p for _, p in changes.revoked | changes.assigned))
    assigned = sorted(p for _, p in changes.assigned)
    if not assigned:
        return
    with Consumer(settings.kafka) as reader:
        records = reader.read_all(scoring.topics.state, assigned)
    for record in {r.key: r for r in records}.values():
        if record.value is None:
            continue
        try:
            state = wire.decode(DeviceState, record.value)
            scoring.restore(record.partition, state)
        except Malformed as error:
            log.warning(
                "%s %d %d: %s; this device begins anew",
                *(record.topic, record.partition, record.offset, error),
            )
    log.info("partitions %s: %d states", assigned, len(records))
