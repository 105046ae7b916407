"""The dead letters in Kafka: list them, show one, and replay them with the settings of today.

A replay does not go through MQTT, where devices and other subscribers would see old messages
again: it normalises what the letter holds and produces readings, as ingest would, with the time of
the first reception. So a second replay gives the same ids, and score counts each once; it may be
broken off at any point and begun anew. Score goes by the time of the event: what comes too late
for its window goes to ``late``, as anything late does.

Partition by partition, up to the ends that were there at the beginning, a batch at a time: memory
does not grow with the number of letters.
"""

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge import check, kafka, letters
from bridge.contracts import DeadLetter, Stage, Topics
from bridge.errors import Malformed, Misconfigured, Unavailable
from bridge.host import NAMESPACE, restore
from bridge.ingest import encoder
from bridge.kafka import Consumer, Fetched, Producer, Record
from bridge.letters import Choice, Found, Tally
from bridge.normalise import Accepted, Explanation, Ignored, Normaliser
from bridge.records import records_of
from bridge.settings import Kafka, Settings

CONNECT_S = 5.0
PATIENCE_S = 30.0  # without an answer of Kafka
LOOK_S = 0.25
BATCH = 500  # letters at most between two looks ...
ENOUGH = 8 * 1024 * 1024  # ... or so many bytes of them: one may have 16 MB ...
AHEAD_KB = 16 * 1024  # ... and what librdkafka fetches ahead of them
UNDER_WAY = 8 * 1024 * 1024  # bytes of readings that wait for their confirmation
SLACK_MS = 3_600_000  # that the clocks of ingest and Kafka may differ by

Place = tuple[str, int]


class Batch(NamedTuple):
    """Some of the chosen letters, and how far the reading has come."""

    found: list[Found]
    read: int  # records so far ...
    total: int  # ... of so many


def chosen(settings: Kafka, choice: Choice) -> Iterator[Batch]:
    """The chosen letters, and all that are none, in the order of partition and offset.

    Raises:
        Unavailable: Kafka is away, or the topic does not exist yet.
    """
    with _consumer(settings) as consumer:
        spans = _spans(consumer, Topics(settings.prefix).deadletters, choice.since)
        total = sum(end - start for start, end in spans.values())
        before = 0
        for place, (start, end) in spans.items():
            for records in _records(consumer, place, start, end):
                some = [one for one in map(letters.found, records) if _is_chosen(one, choice)]
                yield Batch(some, before + records[-1].offset + 1 - start, total)
            before += end - start


def shown(settings: Settings, place: str) -> Found:
    """The record at ``PARTITION:OFFSET``.

    Raises:
        Misconfigured: there is none.
    """
    partition, offset = letters.spot(place)
    topic = Topics(settings.kafka.prefix).deadletters
    with _consumer(settings.kafka) as consumer:
        ends = consumer.ends(topic)
        start, end = ends.get((topic, partition), (0, 0))
        if start <= offset < end:
            for records in _records(consumer, (topic, partition), offset, offset + 1):
                return letters.found(records[0])
    here = ", ".join(f"{p}:{low} to {p}:{high - 1}" for (_, p), (low, high) in ends.items() if high)
    raise Misconfigured(f"{topic} {place}", "a record", "none", f"there are {here or 'none'}")


def told(settings: Settings, one: Found) -> Iterator[str]:
    """All about one letter, for a person; what would become of it today comes last."""
    letter = one.letter
    if letter is None:
        yield letters.line(one)
        return
    yield f"dead letter {one.where}"
    for name in ("topic", "stage", "path", "expected", "received"):
        yield f"{name + ':':10}{letters.plain(getattr(letter, name))}"
    flags = f"qos {letter.qos}{', retained' if letter.retain else ''}"
    yield f"{'time:':10}{letters.when(letter.time)}, {flags}"
    cut = ", the head of a longer message" if letters.is_cut(letter) else ""
    yield f"{'payload:':10}{len(letter.payload)} bytes{cut}"
    yield letters.shown(letter.payload)
    yield "today:"
    if why := _kept(letter, None):
        yield f"  not tried: {why}"
        return
    explained = _explained(settings, letter)
    yield from (f"  {letters.plain(line)}" for line in check.lines(explained))


def structured(settings: Settings, one: Found) -> dict[str, Any]:
    """The same for a program, with the payload whole."""
    letter, told = one.letter, letters.row(one)
    if letter is None:
        return told
    told["payload_b64"] = base64.b64encode(letter.payload).decode()
    if why := _kept(letter, None):
        return told | {"today": {"outcome": "not tried", "reason": why}}
    explained = _explained(settings, letter)
    return told | {"today": check.structured(explained)}


def _explained(settings: Settings, letter: DeadLetter) -> Explanation:
    """What would become of it today; of Sparkplug data, with the births that are kept."""
    normaliser = Normaliser(settings.route)
    if letter.topic.startswith(NAMESPACE):
        restore(settings.kafka, normaliser.session)
    return normaliser.explain(letters.message(letter))


@dataclass(slots=True)
class Account:
    """What became of the chosen letters."""

    replayed: int = 0
    readings: int = 0
    positions: int = 0
    ignored: Tally = field(default_factory=Tally)
    failed: Tally = field(default_factory=Tally)  # they stay where they are
    kept: Tally = field(default_factory=Tally)  # not tried
    cut: int = 0  # among these
    foreign: int = 0  # records that are no dead letter

    def good(self) -> bool:
        """Whether every chosen letter became readings or was ignored."""
        return not (self.failed.total() or self.cut)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        numbers = {
            name: getattr(self, name)
            for name in ("replayed", "readings", "positions", "cut", "foreign")
        }
        reasons = ("ignored", "failed", "kept")
        return numbers | {name: dict(getattr(self, name).counts) for name in reasons}

    def as_text(self) -> str:
        """For a person."""
        what = f"as {self.readings} readings, {self.positions} of them with a position"
        lines = [f"replayed: {self.replayed}, {what}"]
        for name, tally in (
            ("ignored", self.ignored),
            ("failed again, and stay where they are", self.failed),
            ("not tried", self.kept),
        ):
            lines += [f"{name}: {tally.total()}", *tally.lines()] if tally.total() else []
        if self.foreign:
            lines.append(f"{letters.FOREIGN}: {self.foreign}")
        return "\n".join(lines)


@dataclass(slots=True, eq=False)
class Sending:
    """The readings of one letter on their way."""

    readings: int
    positions: int
    refused: str = ""


class Replay:
    """Letters to readings. `replay` feeds it; without a producer it is a dry run."""

    def __init__(self, settings: Settings, producer: Producer | None, choice: Choice) -> None:
        self.account = Account()
        self._topics = Topics(settings.kafka.prefix)
        self._normalise = Normaliser(settings.route)
        self._kafka: Kafka | None = settings.kafka  # where births are; None: they are known
        self._encode = encoder(settings).encode if producer else None
        self._producer = producer
        self._choice = choice
        self._sendings: list[Sending] = []
        self._unconfirmed = 0  # records
        self._bytes = 0

    def take(self, one: Found) -> None:
        """Send what one letter becomes today."""
        letter = one.letter
        if letter is None:
            self.account.foreign += 1
            return
        if why := _kept(letter, self._choice.stage):
            self.account.cut += letters.is_cut(letter)
            self.account.kept.add(why)
            return
        if self._kafka and letter.topic.startswith(NAMESPACE):
            restore(self._kafka, self._normalise.session)
            self._kafka = None
        outcome = self._normalise(letters.message(letter))
        match outcome:
            case Accepted():
                self._send(outcome)
            case Ignored():
                self.account.ignored.add(f"{outcome.format}: {outcome.reason}")
            case DeadLetter():
                self.account.failed.add(letters.reason(outcome))

    def confirm(self) -> None:
        """Wait until Kafka has all that was sent.

        Raises:
            HaltereError: Kafka does not take it.
        """
        while self._unconfirmed:
            self._settle(LOOK_S)
        for sending in self._sendings:
            if sending.refused:
                self.account.failed.add(sending.refused)
            else:
                self.account.replayed += 1
                self.account.readings += sending.readings
                self.account.positions += sending.positions
        self._sendings.clear()
        self._bytes = 0

    def _send(self, outcome: Accepted) -> None:
        positions = sum(reading.position is not None for reading in outcome.readings)
        sending = Sending(len(outcome.readings), positions)
        self._sendings.append(sending)
        if self._producer is None or self._encode is None:
            return
        for reading in outcome.readings:
            for record in records_of(self._topics, self._encode, reading):
                self._produce(self._producer, record, sending)
        if self._bytes > UNDER_WAY:
            self.confirm()

    def _produce(self, producer: Producer, record: Record, sending: Sending) -> None:
        try:
            while not producer.produce(record, sending):
                self._settle(LOOK_S)
        except Malformed as error:
            sending.refused = f"{Stage.PRODUCE}: {record.topic}: {error.received}"
            return
        self._unconfirmed += 1
        self._bytes += len(record.value or b"")

    def _settle(self, timeout_s: float) -> None:
        for report in self._producer.poll(timeout_s) if self._producer else ():
            self._unconfirmed -= 1
            sending, error = report.token, report.error
            if isinstance(error, Malformed) and isinstance(sending, Sending):
                sending.refused = f"{Stage.PRODUCE}: {error.received}"
            elif error:
                raise error


def replay(
    settings: Settings, choice: Choice, dry: bool, progress: Callable[[int, int], None]
) -> Account:
    """Replay the chosen letters; what is in the account Kafka has.

    Raises:
        HaltereError: Kafka went away or refuses; a replay begun anew is safe.
    """
    if dry:
        return _run(Replay(settings, None, choice), settings, choice, progress)
    kafka.ensure_topics(settings.kafka, CONNECT_S)
    soon = min(settings.kafka.message_timeout_ms, int(1000 * PATIENCE_S))
    with Producer(settings.kafka.model_copy(update={"message_timeout_ms": soon}), "dlq") as to:
        work = Replay(settings, to, choice)
        try:
            return _run(work, settings, choice, progress)
        except Unavailable as error:
            done = f"{work.account.replayed} letters were replayed; all of it may be done again"
            remedy = f"{done}; {error.remedy}" if error.remedy else done
            raise Unavailable(error.where, error.expected, error.received, remedy) from None


def _run(
    work: Replay, settings: Settings, choice: Choice, progress: Callable[[int, int], None]
) -> Account:
    for batch in chosen(settings.kafka, choice):
        for one in batch.found:
            work.take(one)
        work.confirm()
        progress(batch.read, batch.total)
    return work.account


def _kept(letter: DeadLetter, stage: Stage | None) -> str:
    """Why a letter is not tried, "" where it is."""
    if letters.is_cut(letter):
        return "cut: the letter holds only the head of its message"
    if letter.stage == Stage.POISON and stage != Stage.POISON:
        return "poison: it may end this process too; dlq replay --stage poison tries it"
    return ""


def _is_chosen(one: Found, choice: Choice) -> bool:
    return one.letter is None or choice.takes(one.letter)


def _consumer(settings: Kafka) -> Consumer:
    kafka.partitions(settings, CONNECT_S)  # says so soon where Kafka is away
    options = {"queued.max.messages.kbytes": AHEAD_KB} | settings.options
    return Consumer(settings.model_copy(update={"options": options}))


def _spans(consumer: Consumer, topic: str, since: int) -> dict[Place, tuple[int, int]]:
    """From which to which offset each partition is read."""
    ends = consumer.ends(topic)
    if not since:
        return ends
    # A record is made after its message came, so none before this one is of the time.
    first = consumer.since(ends, max(0, since // 1000 - SLACK_MS))
    return {
        place: (max(start, first[place]) if first[place] >= 0 else end, end)
        for place, (start, end) in ends.items()
    }


def _records(consumer: Consumer, place: Place, start: int, end: int) -> Iterator[list[Fetched]]:
    """The records of one partition between two offsets, in batches."""
    if start < end:
        consumer.assign({place: start})
    heard = time.monotonic()
    while start < end:
        records = _some(consumer)
        inside = [r for r in records if start <= r.offset < end]
        if records:
            start = records[-1].offset + 1
        if inside:
            yield inside
            heard = time.monotonic()
        elif place in consumer.ended():  # what is missing are the marks of transactions
            return
        elif time.monotonic() - heard > PATIENCE_S:
            what = f"offset {start} of {place[0]} [{place[1]}]"
            raise Unavailable(consumer.where, what, f"nothing in {PATIENCE_S:g} s")


def _some(consumer: Consumer) -> list[Fetched]:
    """A batch at most; waits for the first only. One by one, because each may be large."""
    records = consumer.fetch(1, LOOK_S)
    size = sum(len(record.value or b"") for record in records)
    while records and size < ENOUGH and len(records) < BATCH:
        more = consumer.fetch(1, 0)
        if not more:
            break
        records += more
        size += len(more[0].value or b"")
    return records
