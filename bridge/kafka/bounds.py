"""Where the partitions of a dataset begin and end, in offsets; asked of the cluster once.

What a bounded dataset began with is where its next pass begins again, so that several epochs see
the same records.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from bridge.errors import Misconfigured
from bridge.spans import Bound, Place, Span, milliseconds

log = logging.getLogger(__name__)

LATEST, NOWHERE = ("latest", "largest", "end"), ("error", "none")  # in librdkafka's words
STAYS = "auto.offset.reset says not to begin anywhere else"


def no_partition(where: str, place: Place, count: int) -> Misconfigured:
    """The error of a partition that a topic does not have."""
    topic, partition = place
    expected, received = f"a partition {partition}", f"{count} partitions, from 0 on"
    return Misconfigured(f"{where} topic {topic}", expected, received)


class Range(NamedTuple):
    """Offsets from ``start`` on and before ``stop``; without one it does not end."""

    start: int
    stop: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read, and where to begin and end where a span does not say so."""

    spans: tuple[Span, ...]
    start: Bound = None
    stop: Bound = None
    eof: bool = False  # end at the offsets that are there at the first pass
    reset: str = "earliest"  # where to begin when nothing was said and nothing committed

    @property
    def is_assigned(self) -> bool:
        """Whether partitions are named, which no group divides."""
        return self.spans[0].partition is not None

    @property
    def is_bounded(self) -> bool:
        """Whether all of it ends."""
        return self.eof or all(self.said(span, "stop") is not None for span in self.spans)

    @property
    def has_stops(self) -> bool:
        """Whether some of it ends."""
        return self.eof or any(self.said(span, "stop") is not None for span in self.spans)

    def said(self, span: Span, which: str) -> Bound:
        """The ``start`` or ``stop`` of a span: its own, else what counts for all."""
        own: Bound = getattr(span, which)
        general: Bound = getattr(self, which)
        return general if own is None else own


@dataclass(slots=True)
class Ranges:
    """What the bounds came to; kept from pass to pass."""

    of: dict[Place, Range] = field(default_factory=dict)
    stops: dict[Place, int] | None = None  # None: not asked for yet, or there are none


class Cluster(Protocol):
    """Who can be asked: a consumer."""

    where: str

    def known(self) -> dict[str, list[int]]: ...

    def ends(self, topic: str) -> dict[Place, tuple[int, int]]: ...

    def last(self, place: Place) -> int: ...

    def since(self, places: Sequence[Place], ms: int) -> dict[Place, int]: ...

    def committed_offsets(self, places: Sequence[Place]) -> dict[Place, int]: ...


class Bounds:
    """Answers for one pass.

    Args:
        cluster: is asked.
        wanted: what is to be read.
        ranges: is filled in.
        has_group: then what is committed goes before ``start``, but for a span's own.
    """

    def __init__(self, cluster: Cluster, wanted: Wanted, ranges: Ranges, has_group: bool) -> None:
        self._cluster = cluster
        self._wanted = wanted
        self._ranges = ranges
        self._has_group = has_group
        self._begun: set[Place] = set()  # in this pass
        self._ends: dict[str, dict[Place, tuple[int, int]]] = {}

    def settle(self) -> None:
        """Find out where things end, if they do and it is not known yet.

        Raises:
            HaltereError: of a broker, or because there is no such topic or partition.
        """
        if self._wanted.has_stops and self._ranges.stops is None:
            stops = {place: self._stop(place) for place in self.places()}
            self._ranges.stops = {place: at for place, at in stops.items() if at is not None}

    def places(self) -> list[Place]:
        """The partitions of the spans, as they are now.

        Raises:
            Misconfigured: there is no such topic or partition.
        """
        known = self._cluster.known()
        places: dict[Place, None] = {}
        for span in self._wanted.spans:
            topics = sorted(topic for topic in known if span.matches(topic))
            if not topics and not span.is_pattern:
                raise Misconfigured(
                    self._cluster.where,
                    f"the topic {span.topic}",
                    "no topic of that name",
                    "create it, or mend the name",
                )
            for topic in topics:
                chosen = known[topic] if span.partition is None else [span.partition]
                if lacking := set(chosen) - set(known[topic]):
                    place = (topic, lacking.pop())
                    raise no_partition(self._cluster.where, place, len(known[topic]))
                places |= dict.fromkeys((topic, p) for p in chosen)
        return list(places)

    def starts(self, places: Sequence[Place]) -> dict[Place, int]:
        """Where each of them begins, or goes on when it comes back within a pass."""
        bounded = self._wanted.is_bounded
        starts = {
            place: self._ranges.of[place].start
            for place in places
            if bounded and place in self._ranges.of and place not in self._begun
        }
        starts |= self._anew([place for place in places if place not in starts])
        starts = {place: self._within(place, start) for place, start in starts.items()}
        self._begun |= starts.keys()
        for place, start in starts.items():
            stop = (self._ranges.stops or {}).get(place)
            self._ranges.of.setdefault(place, Range(start, stop))
        return starts

    def again(self, place: Place, offset: int) -> int:
        """Where it goes on when what comes next is not there any more, as for `starts`."""
        self._ends.pop(place[0], None)
        return self._within(place, offset)

    def _within(self, place: Place, start: int) -> int:
        """Where it can begin: what was deleted cannot be read, and that is not passed in silence.

        Raises:
            Misconfigured: a start that was said lies behind the end, or ``auto.offset.reset`` says
                not to begin anywhere else.
        """
        low, high = self._end_of(place)
        if not low <= start <= high:
            del self._ends[place[0]]  # they may have grown since
            low, high = self._end_of(place)
        if start > high:
            high = self._cluster.last(place)
        if low <= start <= high:
            return start
        return self._instead(place, start, (low, high))

    def _instead(self, place: Place, start: int, ends: tuple[int, int]) -> int:
        """For a start that is not between the ends."""
        where = f"{self._cluster.where} topic {place[0]} partition {place[1]}"
        is_said, is_behind = start == self._said(place, "start"), start > ends[1]
        if is_said and is_behind and self._span(place).partition is not None:
            raise Misconfigured(where, f"a start from {ends[0]} to {ends[1]}", str(start))
        if self._wanted.reset in NOWHERE:
            raise Misconfigured(where, f"offset {start}", f"{ends[0]} to {ends[1]}", STAYS)
        at = ends[is_behind and (is_said or self._wanted.reset in LATEST)]
        told = "deleted, made anew or not there yet; reading from"
        log.warning(
            "%s: expected offset %d, received %d to %d: %s %d", where, start, *ends, told, at
        )
        return at

    def _anew(self, places: Sequence[Place]) -> dict[Place, int]:
        asks = [p for p in places if self._asks(p)]
        committed = self._cluster.committed_offsets(asks) if asks else {}
        return {
            place: offset
            if (offset := committed.get(place, -1)) >= 0
            else self._at(place, self._said(place, "start"))
            for place in places
        }

    def _asks(self, place: Place) -> bool:
        """Whether to go on behind what is committed; not where a span names both."""
        span = self._span(place)
        named = span.partition is not None and span.start is not None
        return self._said(place, "start") == "committed" or (self._has_group and not named)

    def _stop(self, place: Place) -> int | None:
        said = self._said(place, "stop")
        if said is None and not self._wanted.eof:
            return None
        end = self._end_of(place)[1]
        if said is None:
            return end
        at = self._cluster.committed_offsets([place])[place] if said == "committed" else None
        at = self._at(place, said) if at is None or at < 0 else at
        return min(at, end) if self._wanted.eof or not isinstance(said, int) else at

    def _said(self, place: Place, which: str) -> Bound:
        return self._wanted.said(self._span(place), which)

    def _span(self, place: Place) -> Span:
        """What asks for this partition; a name goes before a pattern."""
        topic, partition = place
        exact_first = sorted(self._wanted.spans, key=lambda span: span.is_pattern)
        spans = (s for s in exact_first if s.matches(topic))
        return next((s for s in spans if s.partition in (None, partition)), Span(topic))

    def _at(self, place: Place, bound: Bound) -> int:
        """The offset of a bound."""
        if isinstance(bound, int):
            return bound or self._end_of(place)[0]  # 0 is the first in many programs
        if isinstance(bound, datetime):
            found = self._cluster.since([place], milliseconds(bound))[place]
            return found if found >= 0 else self._end_of(place)[1]
        word = bound if bound in ("earliest", "latest") else self._wanted.reset
        if word in NOWHERE:
            where = f"topic {place[0]} partition {place[1]}"
            raise Misconfigured(where, "an offset that is committed", "none", STAYS)
        return self._end_of(place)[word in LATEST]

    def _end_of(self, place: Place) -> tuple[int, int]:
        """First and next offset of a partition; asked once a pass."""
        topic, _ = place
        if place not in self._ends.get(topic, {}):
            self._ends[topic] = self._cluster.ends(topic)
        return self._ends[topic][place]
