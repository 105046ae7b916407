"""Records in, by the batch and between bounds: what lies under every Kafka dataset.

A `Reader` reads spans of topics, either as a member of a group or partitions of its own choice,
and ends where it was told to. It tells a `Watch` of partitions that leave, while they are still
ours. Nothing is decided here about what is committed.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol

import confluent_kafka as ck

from bridge.errors import Unavailable
from bridge.kafka.admin import high_watermark, partitions
from bridge.kafka.bounds import NOWHERE, Bounds, Ranges, Wanted
from bridge.kafka.client import translate, translated
from bridge.kafka.consumer import Consumer
from bridge.kafka.rows import Message, Rows, place_of
from bridge.kafka_errors import FAMILIES
from bridge.settings import Kafka
from bridge.spans import Place

log = logging.getLogger(__name__)

QUICK_S, CONNECT_S = 2.0, 10.0  # for a first answer; then it is asked why there is none
TELL_S = 10.0  # between two lines about connections
SLICE_S = 0.01  # an end is noticed so soon; `consume` itself waits for as many as it was asked for
OPTIONS: dict[str, Any] = {
    "log_level": 2,  # critical: of connections tells `_tell`, not a line every 50 ms
    "queued.min.messages": 10_000,  # more leave the cache of the processor: a quarter slower
    "queued.max.messages.kbytes": 32_768,
}
STRATEGY, PROTOCOL = "partition.assignment.strategy", "group.protocol"
RESET = "auto.offset.reset"
ASK_S = 0.5  # between two looks at what the others have committed
ENDLESS = 2**63


class Watch(Protocol):
    """Who wants to know of partitions that leave; called by the thread that reads."""

    def tick(self) -> None:
        """Now and then, while there is nothing else to do."""

    def leaving(self, places: frozenset[Place]) -> None:
        """They are still ours: what is done can be committed until this returns."""

    def left(self, places: frozenset[Place], warned: bool) -> None:
        """They are not ours any more; without a warning, not for a while."""


class Reader(Consumer):
    """Reads what is wanted.

    Args:
        kafka: the cluster; its ``options`` go over all others.
        group: of which to be a member, or under which to commit where partitions are named; "": no
            group, all partitions.
        wanted: what to read.
        ranges: of an earlier pass, or empty ones to be filled in.
        watch: is told of partitions that leave.
    """

    def __init__(
        self, kafka: Kafka, group: str, wanted: Wanted, ranges: Ranges, watch: Watch
    ) -> None:
        self._is_member = bool(group) and not wanted.is_assigned
        by_broker = kafka.options.get(PROTOCOL) == "consumer"  # KIP-848
        strategy = str(kafka.options.get(STRATEGY, "cooperative-sticky"))
        self._is_cooperative = by_broker or strategy.startswith("cooperative")
        own = {} if by_broker else {STRATEGY: strategy}
        is_told = self._is_cooperative or not self._is_member or wanted.reset in NOWHERE
        reset = "error" if is_told else "earliest"  # else librdkafka goes on, and says nothing
        kafka = kafka.model_copy(update={"options": {**kafka.options, RESET: reset}})
        if not any(span.topic.startswith("^__") for span in wanted.spans):
            own |= {"topic.blacklist": "^__.*"}  # of patterns; Kafka's own topics
        self._told_at = -TELL_S  # s, monotonic
        super().__init__(kafka, group, OPTIONS | own | {"error_cb": self._tell})
        self._kafka = kafka
        self._wanted = wanted
        self._ranges = ranges
        self._bounds = Bounds(self, wanted, ranges, bool(group))
        self._watch = watch
        self._mine: set[Place] = set()
        self._done: set[Place] = set()
        topics = {span.topic for span in wanted.spans if not span.is_pattern}
        self._only = (
            topics.pop() if len(topics) == 1 == len({s.topic for s in wanted.spans}) else ""
        )
        self._joined = self._others_done = False
        self._asked_at = 0.0  # s, monotonic
        self._held = False
        self._slipped: list[Message] = []  # that came while we held still

    def open(self) -> None:
        """Find out what there is, and begin.

        Raises:
            Unavailable: no broker answers.
            Misconfigured: there is no such topic or partition, or the group is refused.
        """
        self._bounds.settle()
        places = self._bounds.places()
        if not places:
            names = ", ".join(span.topic for span in self._wanted.spans)
            log.warning("%s: expected a topic that matches %s, received none", self.where, names)
        if self._is_member:
            self._joined = not places  # then nobody assigns anything
            topics = [span.topic for span in self._wanted.spans]
            self._consumer.subscribe(
                topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
            )
            return
        starts = self._bounds.starts(places)
        self._joined = True
        self._mine = set(starts)
        self._begin(starts)

    def known(self, timeout_s: float = CONNECT_S) -> dict[str, list[int]]:
        """As for `Consumer`, before anything is read; where nobody answers, with the reason.

        Raises:
            Unavailable: no broker answers in time.
            Misconfigured: the brokers refuse us.
        """
        try:
            return super().known(QUICK_S)
        except Unavailable:
            partitions(self._kafka, timeout_s)
            self._consumer.close()
            self._consumer = self._new()  # which has heard of the brokers that are back
            return super().known(timeout_s)

    def last(self, place: Place) -> int:
        """The next offset; of `ends` it is the one before the first open transaction."""
        return high_watermark(self._kafka, place)

    @property
    def is_member(self) -> bool:
        """Whether the group divides the partitions."""
        return self._is_member

    def read(self, rows: int, wait_s: float) -> Rows:
        """Up to so many records; no record is held back for longer than ``wait_s``.

        Raises:
            HaltereError: the group or a topic is refused. Of a broker that is away nothing is
                raised: librdkafka comes back to it.
        """
        found, self._slipped = self._slipped, []
        until = time.monotonic() + wait_s
        while len(found) < rows and not self.finished():
            left = until - time.monotonic()
            if left <= 0:
                break
            self._watch.tick()
            with translated(self.where):
                came = self._consumer.consume(rows - len(found), min(left, SLICE_S))
            if came := self._sound(came):
                if not found:
                    until = time.monotonic() + wait_s - SLICE_S
                found = found + came if found else came
        return Rows(found, self._only)

    def finished(self) -> bool:
        """Whether everything that is ours was read to where it ends."""
        if not (self._joined and self._wanted.is_bounded and self._mine <= self._done):
            return False
        return bool(self._mine) or not self._is_member or self._is_all_committed()

    def _is_all_committed(self) -> bool:
        """One who has no partition stands by, as long as others of the group have work."""
        if time.monotonic() > self._asked_at + ASK_S:
            self._asked_at = time.monotonic()
            stops = self._ranges.stops or {}
            reached = {
                place: low
                for topic in {topic for topic, _ in stops}
                for place, (low, _) in self.ends(topic).items()
            }
            reached |= {p: at for p, at in self.committed_offsets(stops).items() if at >= 0}
            self._others_done = all(reached[place] >= stop for place, stop in stops.items())
        return self._others_done

    def hold(self) -> None:
        """Stay a member, and take nothing: for one who has no room."""
        with translated(self.where):
            if not self._held:
                self._consumer.pause(self._consumer.assignment())
                self._held = True
            message = self._consumer.poll(0)
        if message is None:
            self._lost.clear()  # nothing of theirs is on its way
        else:
            self._slipped += self._sound([message])

    def go_on(self) -> None:
        """After `hold`."""
        if self._held:
            self._held = False
            mine = self._mine - self._done
            with translated(self.where):
                self._consumer.resume([ck.TopicPartition(t, p) for t, p in mine])

    def _sound(self, messages: list[Message]) -> list[Message]:
        """Without events, and without what is not ours to read."""
        if self._lost:  # while these were collected: their next owner reads them
            gone, self._lost = self._lost, set()
            messages = [m for m in messages if (m.topic(), m.partition()) not in gone]
        if any(map(Message.error, messages)):
            for message in messages:
                self._noted(message)
            messages = [m for m in messages if m.error() is None]
        return self._clipped(messages) if self._ranges.stops is not None else messages

    def _clipped(self, messages: list[Message]) -> list[Message]:
        """Without what lies at or behind a stop; notes which partitions are done."""
        stops = self._ranges.stops or {}
        if not messages:
            return messages
        nearest = min(stops.values(), default=0)
        ends = messages[-1:] if len(self._mine) == 1 else messages
        if max(map(Message.offset, ends)) + 1 < nearest:  # type: ignore[type-var, operator]
            return messages
        kept = []
        for message in messages:
            place, offset = place_of(message), message.offset() or 0
            stop = stops.get(place, ENDLESS)
            if offset < stop:
                kept.append(message)
            if offset + 1 >= stop:
                self._finish(place)
        return kept

    def _tell(self, error: ck.KafkaError) -> None:
        """A connection failed; librdkafka tries again by itself."""
        if time.monotonic() > self._told_at + TELL_S:
            self._told_at = time.monotonic()
            log.warning("%s: %s; trying again", self.where, error.str())

    def _noted(self, message: Message) -> None:
        error = message.error()
        if error is None:
            return
        if error.name() == "_PARTITION_EOF":
            place = place_of(message)
            stops = self._ranges.stops or {}
            if place in stops and (message.offset() or 0) >= stops[place]:
                self._finish(place)
        elif error.name() == "_AUTO_OFFSET_RESET":
            self._begin_again(place_of(message), message.offset() or 0)
        elif not error.retriable() and FAMILIES.get(error.name()) is not Unavailable:
            raise translate(self.where, error)

    def _begin_again(self, place: Place, offset: int) -> None:
        """What comes next was deleted while others were read; librdkafka has stopped there."""
        if place in self._mine:
            at = self._bounds.again(place, offset)
            with translated(self.where):
                self._consumer.incremental_unassign([ck.TopicPartition(*place)])
            self._begin({place: at})

    def _begin(self, starts: Mapping[Place, int]) -> None:
        assigned = [ck.TopicPartition(t, p, o) for (t, p), o in starts.items()]
        with translated(self.where):
            if self._is_cooperative or not self._is_member:
                self._consumer.incremental_assign(assigned)
            else:
                self._consumer.assign(assigned)
            go = self._consumer.pause if self._held else self._consumer.resume
            go(assigned)  # librdkafka remembers what was paused when it went
        self._finish_empty(starts)

    def _finish(self, place: Place) -> None:
        if place in self._done or place not in self._mine:
            return
        self._done.add(place)
        with translated(self.where):
            self._consumer.pause([ck.TopicPartition(*place)])

    def _finish_empty(self, starts: Mapping[Place, int]) -> None:
        """Those with nothing to read, and those that came to be after the ends were asked for."""
        stops, new = self._ranges.stops or {}, 0 if self._wanted.eof else ENDLESS
        for place, start in starts.items():
            if start >= stops.get(place, new):
                self._finish(place)

    # The group. librdkafka calls these from within `consume` and `poll`.

    def _assign(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        places = [(p.topic, p.partition) for p in partitions]
        starts = self._bounds.starts(places)
        self._joined = True
        self._mine |= set(places)
        self._lost -= set(places)  # what comes from now on is ours
        self._begin(starts)

    def _revoke(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        gone = frozenset((p.topic, p.partition) for p in partitions)
        self._watch.leaving(gone)
        self._leave(gone, warned=True)

    def _lose(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        self._leave(frozenset((p.topic, p.partition) for p in partitions), warned=False)

    def _leave(self, gone: frozenset[Place], warned: bool) -> None:
        self._mine -= gone
        self._done -= gone
        self._lost |= gone
        self._slipped = [m for m in self._slipped if place_of(m) not in gone]
        self._joined = bool(self._mine)  # with none left, the next assignment tells
        self._watch.left(gone, warned)
