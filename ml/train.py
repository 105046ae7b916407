"""Readings -> models, the loop of ``haltere train``, top to bottom.

Reads the readings by partition and offset, without a group: what it has learned and where it
stands are one checkpoint. Every ``train.every_s`` seconds each class with enough new readings is
fitted; the new version is published if it forecasts readings it had not yet seen better than
version 0 does.
"""

import base64
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event

import keras
import numpy as np
import tensorflow as tf

from bridge import kafka, wire
from bridge.contracts import ModelCard, Topics
from bridge.errors import Unavailable
from bridge.kafka import EARLIEST, Consumer, Producer
from bridge.metrics import Telemetry
from bridge.settings import Settings
from ml import checkpoint, decide, model, registry
from ml.columns import Columns, Decoder
from ml.model import Lesson
from ml.observe import Observation, Observer
from ml.pull import Batch, Source
from ml.state import STEPS
from ml.version import corrected, pack

log = logging.getLogger(__name__)

ROWS = 2000
WAIT_S = 0.2
CONNECT_S = 4.0
KEPT = 20_000  # readings of a class that are learned from again
EPOCHS = 4
FIRST_EPOCHS = 12
SAVE_S = 5.0  # between two checkpoints
CLASSES = 64  # that are learned; further ones stay with version 0


@dataclass(slots=True)
class Pupil:
    """One class: its model and the readings it learns from."""

    channels: list[str]
    model: keras.Model
    version: int = 0
    readings: int = 0
    fresh: list[Lesson] = field(default_factory=list)  # not learned from yet
    kept: Lesson | None = None

    def add(self, lesson: Lesson) -> None:
        self.fresh.append(lesson)
        self.readings += len(lesson.context)


class Training:
    """All classes, as a value that can be checkpointed."""

    def __init__(self, settings: Settings, stop: Callable[[], bool] = lambda: False) -> None:
        self._settings = settings
        self._stop = stop
        self.observer = Observer(settings.score)
        self.pupils: dict[str, Pupil] = {}
        self.offsets: dict[int, int] = {}

    def take(self, batch: Columns) -> None:
        """Observe a batch, score it as ``score`` would, and keep it for the next lesson."""
        for seen in self.observer.observe(batch):
            name, table = seen.round.device_class, seen.table
            if not table.channels:
                continue  # words only
            pupil = self._pupil(name, table.channels)
            if pupil is None:
                continue
            verdicts = decide.decide(
                table,
                seen.at,
                self._forecast(pupil, seen),
                batch.time[seen.rows],
                self._settings.score,
            )
            normal = seen.trained & ~verdicts.anomalous
            pupil.add(_lesson(seen, normal))

    def _pupil(self, name: str, channels: list[str]) -> Pupil | None:
        pupil = self.pupils.get(name)
        if pupil is None and len(self.pupils) >= CLASSES:
            return None
        if pupil is None or pupil.channels != channels:
            version = pupil.version if pupil else 0
            built = model.build(len(channels), self._settings.train.seed)
            pupil = self.pupils[name] = Pupil(list(channels), built, version)
        return pupil

    def _forecast(self, pupil: Pupil, seen: Observation) -> decide.Evidence:
        if not pupil.kept:
            return seen.evidence
        every = list(range(len(pupil.channels)))
        return corrected(pupil.model, decide.usual(seen.table), seen, every)

    def lessons(self) -> Iterator[ModelCard]:
        """Fit every class that has enough new readings; the versions worth publishing."""
        for name, pupil in self.pupils.items():
            ready = pupil.kept or pupil.readings >= self._settings.train.first_readings
            if ready and pupil.fresh:
                yield from self._fit(name, pupil)

    def _fit(self, name: str, pupil: Pupil) -> Iterator[ModelCard]:
        fresh = _joined(pupil.fresh)
        kept = _joined([pupil.kept, fresh]) if pupil.kept else fresh
        before, alone = model.loss(pupil.model, fresh), model.loss(None, fresh)
        model.train(pupil.model, kept, EPOCHS if pupil.kept else FIRST_EPOCHS, self._stop)
        first, pupil.kept, pupil.fresh = pupil.kept is None, _last(kept, KEPT), []
        log.info("class %s: mean square %.3f, version 0: %.3f", name, before, alone)
        if first or before < alone:
            pupil.version += 1
            yield self._card(name, pupil, before)

    def _card(self, name: str, pupil: Pupil, loss: float) -> ModelCard:
        usual = decide.usual(self.observer.tables[name])
        partitions = range(max(self.offsets, default=-1) + 1)
        return ModelCard(
            version=pupil.version,
            device_class=name,
            created=time.time_ns() // 1000,
            channels=tuple(pupil.channels),
            readings=pupil.readings,
            loss=loss,
            offsets=tuple(self.offsets.get(p, -1) for p in partitions),
            weights=pack(pupil.model, usual),
        )

    def snapshot(self) -> checkpoint.Checkpoint:
        """Everything, to go on from."""
        kept = checkpoint.Checkpoint()
        classes = {}
        for n, (name, pupil) in enumerate(self.pupils.items()):
            classes[name] = [n, pupil.channels, pupil.version, pupil.readings]
            lesson = _joined([p for p in (pupil.kept, *pupil.fresh) if p])
            for part in ("context", "level", "scored"):
                kept.arrays[f"{n}/{part}"] = getattr(lesson, part)
            for i, weight in enumerate(pupil.model.get_weights()):
                kept.arrays[f"{n}/w{i}"] = weight
            for i, variable in enumerate(model.optimizer_state(pupil.model)):
                kept.arrays[f"{n}/o{i}"] = variable
        devices = {
            device: [home, base64.b64encode(self.observer.tables[home].snapshot(device)).decode()]
            for device, home in self.observer.homes.of.items()
        }
        kept.meta = {"classes": classes, "devices": devices, "offsets": list(self.offsets.items())}
        return kept

    def resume(self, kept: checkpoint.Checkpoint) -> None:
        """Go on after the last reading of the snapshot."""
        self.offsets = dict(kept.meta["offsets"])
        for device, (home, data) in kept.meta["devices"].items():
            self.observer.homes.of[device] = home
            self.observer.table(home).restore(device, base64.b64decode(data))
        for name, (n, channels, version, readings) in kept.meta["classes"].items():
            pupil = self._pupil(name, channels)
            if pupil is None:
                continue
            pupil.version, pupil.readings = version, readings
            parts = (kept.arrays[f"{n}/{part}"] for part in ("context", "level", "scored"))
            lesson = Lesson(*parts)
            pupil.kept, pupil.fresh = (lesson, []) if version else (None, [lesson])
            pupil.model.set_weights(_numbered(kept.arrays, f"{n}/w"))
            model.restore_optimizer(pupil.model, _numbered(kept.arrays, f"{n}/o"))


def run(settings: Settings, stop: Event, telemetry: Telemetry) -> None:
    """Learn until told to stop, then checkpoint.

    Raises:
        HaltereError: Kafka is away or refuses; the checkpoint says where to go on.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    kafka.ensure_topics(settings.kafka, CONNECT_S)
    topics, encoder = Topics(settings.kafka.prefix), wire.Encoder(settings.wire)
    training, folder = Training(settings, stop.is_set), settings.train.checkpoint
    if kept := checkpoint.load(folder):
        training.resume(kept)
        log.info("resumed from %s", folder)
    with Consumer(settings.kafka) as consumer, Producer(settings.kafka, "haltere-train") as out:
        consumer.assign(_places(consumer, topics.readings, training.offsets))
        decoder, due, saved = Decoder(), time.monotonic() + settings.train.every_s, time.monotonic()
        for batch in Source(consumer, ROWS, WAIT_S, stop.is_set):
            _learn(training, decoder, batch, telemetry)
            cards: list[ModelCard] = []
            if time.monotonic() >= due:
                cards = list(training.lessons())
                due = time.monotonic() + settings.train.every_s
            if cards or time.monotonic() - saved > SAVE_S:
                checkpoint.save(folder, training.snapshot())
                saved = time.monotonic()
            for card in cards:  # after the checkpoint: no version number is ever used twice
                _publish(out, topics, card, encoder.encode(card))
                telemetry.count("versions")
            telemetry.ready = True
            telemetry.beat()
        checkpoint.save(folder, training.snapshot())


def _learn(training: Training, decoder: Decoder, batch: Batch, telemetry: Telemetry) -> None:
    values = batch["value"].numpy()
    if not len(values):
        return
    training.take(decoder.decode(list(values)))
    for partition, offset in zip(batch["partition"].numpy(), batch["offset"].numpy(), strict=True):
        training.offsets[int(partition)] = int(offset) + 1
    telemetry.count("readings", len(values))


def _publish(out: Producer, topics: Topics, card: ModelCard, value: bytes) -> None:
    for record in registry.publish(topics, card, value):
        out.produce(record)
        for report in _until_delivered(out):
            if report.error:
                raise report.error
    log.info("published %s version %d", card.device_class, card.version)


def _until_delivered(out: Producer) -> list[kafka.Report]:
    deadline = time.monotonic() + kafka.REQUEST_S
    reports: list[kafka.Report] = []
    while out.in_flight() and time.monotonic() < deadline:
        reports += out.poll(0.1)
    if out.in_flight():
        raise Unavailable(out.where, "a delivery report", f"none within {kafka.REQUEST_S:g} s")
    return reports


def _places(consumer: Consumer, topic: str, offsets: dict[int, int]) -> dict[tuple[str, int], int]:
    return {(topic, p): offsets.get(p, EARLIEST) for _, p in consumer.ends(topic)}


def _lesson(seen: Observation, which: np.ndarray) -> Lesson:
    level = seen.evidence.level[which].astype(np.float32)
    scored = seen.evidence.scored[which].astype(np.float32)
    return Lesson(seen.context[which], level, scored)


def _joined(lessons: list[Lesson]) -> Lesson:
    if not lessons:
        return Lesson(np.zeros((0, STEPS, 0)), np.zeros((0, 0)), np.zeros((0, 0)))
    parts = ("context", "level", "scored")
    return Lesson(*(np.concatenate([getattr(x, p) for x in lessons]) for p in parts))


def _last(lesson: Lesson, n: int) -> Lesson:
    return Lesson(lesson.context[-n:], lesson.level[-n:], lesson.scored[-n:])


def _numbered(arrays: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    count = sum(name.startswith(prefix) and name[len(prefix) :].isdigit() for name in arrays)
    return [arrays[f"{prefix}{i}"] for i in range(count)]
