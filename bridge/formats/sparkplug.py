"""Sparkplug B, as a host application reads it: births name the metrics, data follow, deaths end.

Sparkplug 3.0. What a message means depends on those before it: an alias on the birth that named
it, a death on the session that it ends. All of that is in `Session`, a value: it takes the time
from the message in hand, and what it has to say (births to be kept, requests for a rebirth) waits
in it until the loop asks. Values only: no I/O, no clock.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.contracts import MICROS
from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.sample import MAX_TEXT, Decoded, Nothing, Sample, State
from bridge.formats.shape import CLEARED
from bridge.formats.sparkplug_metrics import STALE, Birth, Reader, bdseq_of, birth_of, instant_of
from bridge.formats.sparkplug_payload import Payload, parse, rebirth

REBIRTH_EVERY = 30 * MICROS  # us between two requests to one node
NAMES = 200_000  # and aliases that are remembered of all births; a birth counts as one more
DEVICES = 500  # of a node: its death is a reading of each
ASKED = 10_000  # nodes whose last request is remembered
WAITING = 64  # births and requests that nobody has fetched
BEHIND = 128  # of 256: a sequence number that is less behind is one that was seen
_HOST = Nothing("STATE says whether a host application is there")
_COMMAND = Nothing("a command to a node or a device")
_OTHER = Nothing("no type of message that Sparkplug knows")
_LATE = Nothing("a death of an earlier session: the node was born again")
_STRANGER = Nothing("a death of a node whose birth was not seen")
_EMPTY = Nothing("no metric in the message")
_READ = frozenset(["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"])


class _Address(NamedTuple):
    """Whom a message is from (3.0, chapter 4)."""

    verb: str
    node: str  # GROUP/NODE
    device: str  # "": the node itself

    def whole(self) -> str:
        return f"{self.node}/{self.device}" if self.device else self.node


@dataclass(slots=True)
class _Node:
    """An edge node and its devices."""

    bdseq: int | None = None  # of its birth; a death with another one is late
    seq: int | None = None  # of its last message
    births: dict[str, Birth] = field(default_factory=dict)  # by device, "" its own


_NOBODY = Birth()


class Session:
    """What a host application knows of its edge nodes. Bounded: the oldest are forgotten.

    The normaliser sets `now` and `dup` before each message; after it the loop keeps the births
    where `restore` finds them, and publishes the requests with QoS 0, not retained.
    """

    def __init__(self) -> None:
        self.now = 0  # us, of the message in hand
        self.dup = False
        self._nodes: dict[str, _Node] = {}  # the last heard of at the end
        self._size = 0  # of all births
        self._asked: dict[str, int] = {}  # us, by node
        self._births: deque[tuple[str, bytes]] = deque(maxlen=WAITING)
        self._rebirths: deque[tuple[str, bytes]] = deque(maxlen=WAITING)

    def births(self) -> list[tuple[str, bytes]]:
        """Topic and payload of the births since the last call."""
        return _drained(self._births)

    def rebirths(self) -> list[tuple[str, bytes]]:
        """Topic and payload of the requests for a rebirth since the last call (6.4.23)."""
        return _drained(self._rebirths)

    def restore(self, topic: str, payload: bytes, received: int) -> None:
        """Take back a birth that was kept, in any order; no message counts as missed.

        Raises:
            Malformed: it is no birth.
        """
        at = _address(topic)
        if isinstance(at, Nothing) or not at.verb.endswith("BIRTH"):
            raise Malformed("topic", "the topic of a birth", topic[:MAX_TEXT])
        self._learn(at, parse(payload), received)

    def born(self, at: _Address, sent: Payload, message: tuple[str, bytes]) -> None:
        """A birth: from now on its names and aliases count (6.4.19 and 6.4.20).

        Raises:
            Malformed: a metric has no name.
        """
        known = self.birth(at._replace(device=""))
        node = self._learn(at, sent, max(self.now, known.received))  # clocks go back
        self._births.append(message)
        if at.device:
            self.heard(at, sent.seq)
        else:
            node.seq = sent.seq or 0

    def heard(self, at: _Address, seq: int | None) -> bool:
        """A message of a node, but its own birth or death: whether it was not heard before.

        Asks for a rebirth where the node, the device or a message before this one is missing.
        """
        node = self._nodes.pop(at.node, None)
        if node is None:
            self.ask(at.node)
            return True
        self._nodes[at.node] = node
        last, node.seq = node.seq, seq
        ahead = 1 if last is None or seq is None else (seq - last) % 256
        if self.dup and (ahead == 0 or ahead >= BEHIND):
            node.seq = last
            return False
        if ahead != 1 or not {"", at.device} <= node.births.keys() or self.stale(at):
            self.ask(at.node)
        return True

    def node_died(self, at: _Address, bdseq: int | None) -> list[str] | Nothing:
        """Who is dead with a node: all its devices (6.4.25); Nothing where it lives."""
        node = self._nodes.get(at.node)
        if node is None or "" not in node.births:
            return _STRANGER
        if node.bdseq not in (None, bdseq):
            return _LATE
        node.seq = None
        for birth in node.births.values():
            birth.online = False
        return [at._replace(device=device).whole() for device in node.births]

    def device_died(self, at: _Address, seq: int | None) -> None:
        """A device is dead until its next birth (6.4.26)."""
        birth = self.birth(at)
        if self.heard(at, seq) and birth is not _NOBODY:
            birth.online = False

    def birth(self, at: _Address) -> Birth:
        """The birth of whoever sent a message."""
        node = self._nodes.get(at.node)
        return node.births.get(at.device, _NOBODY) if node else _NOBODY

    def stale(self, at: _Address) -> bool:
        """Whether the node or the device is reported dead, or waits for its birth."""
        node = self._nodes.get(at.node)
        known = [node.births.get(who) for who in ("", at.device)] if node else []
        return any(birth is not None and not birth.online for birth in known)

    def ask(self, node: str) -> None:
        """Ask a node for its births, not too often."""
        last = self._asked.get(node)
        if last is not None and 0 <= self.now - last < REBIRTH_EVERY:
            return
        self._asked[node] = self.now
        if len(self._asked) > ASKED:
            del self._asked[next(iter(self._asked))]
        group, name = node.split("/")
        self._rebirths.append((f"spBv1.0/{group}/NCMD/{name}", rebirth(self.now // 1000)))

    def _learn(self, at: _Address, sent: Payload, received: int) -> _Node:
        birth = birth_of(sent, received)
        node = self._nodes.pop(at.node, None) or _Node()
        self._nodes[at.node] = node
        self._put(node, at.device, birth)
        if not at.device:
            node.bdseq, node.seq = bdseq_of(sent), None
        began = node.births.get("", _NOBODY).received
        for device in [d for d, b in node.births.items() if b.received < began]:
            # Of the session before: what its aliases mean now, its next birth says.
            self._put(node, device, Birth(began))
        self._bound(at)
        return node

    def _put(self, node: _Node, device: str, birth: Birth | None) -> None:
        """Instead of what was known; None: it is forgotten."""
        before = node.births.pop(device, None)
        self._size -= before.size() if before else 0
        if birth:
            node.births[device] = birth
            self._size += birth.size()

    def _bound(self, at: _Address) -> None:
        """Forget what was not heard of for the longest time, but whom we hear now."""
        while self._size > NAMES and len(self._nodes) > 1:
            oldest = self._nodes.pop(next(iter(self._nodes)))
            self._size -= sum(birth.size() for birth in oldest.births.values())
        node = self._nodes[at.node]
        while self._size > NAMES or len(node.births) > DEVICES:
            self._put(node, next(d for d in node.births if d not in ("", at.device)), None)


def decode(topic: str, payload: bytes, session: Session) -> Decoded:
    """One sample for each time in a birth or data, for each device in a death.

    Raises:
        Malformed: no Sparkplug B, or a metric that cannot be named.
    """
    at = _address(topic)
    if isinstance(at, Nothing):
        return at
    if not payload:
        return CLEARED
    sent = parse(payload)
    if at.verb == "NDEATH":  # which the node wrote before it was born: its time says nothing
        dead = session.node_died(at, bdseq_of(sent))
        return dead if isinstance(dead, Nothing) else [_dead(at, who, None) for who in dead]
    if at.verb == "DDEATH":
        session.device_died(at, sent.seq)
        return [_dead(at, at.whole(), instant_of(sent.time))]
    if at.verb.endswith("BIRTH"):
        session.born(at, sent, (topic, payload))
    else:
        session.heard(at, sent.seq)
    return _read(at, sent, session)


def _read(at: _Address, sent: Payload, session: Session) -> Decoded:
    reader = Reader(session.birth(at), sent.time)
    birth = at.verb.endswith("BIRTH")
    if birth:
        reader.at(0)  # the first sample, whatever the times of the metrics
    known = session.birth(at).said
    try:
        if session.dup and known and 0 < sent.time < known and _by_alias(sent):
            raise Malformed("timestamp", "a time since the birth that is known", str(sent.time))
        for metric in sent.metrics:
            reader.metric(metric)
    except Malformed:
        session.ask(at.node)
        raise
    samples = list(reader.samples(at.whole(), STALE if session.stale(at) else 0))
    if birth:
        samples[0].states.append(State(at.verb, "status", "online"))
    return samples or _EMPTY


def _by_alias(sent: Payload) -> bool:
    return any(not metric.name for metric in sent.metrics)


def _dead(at: _Address, device: str, time: int | None) -> Sample:
    states = [State(at.verb, "status", "offline")]
    return Sample(states=states, device=device, time=time, quality=STALE)


def _address(topic: str) -> _Address | Nothing:
    levels = topic.split("/")
    if len(levels) == 3 and levels[1] == "STATE":  # noqa: PLR2004
        return _HOST
    if len(levels) < 4:  # noqa: PLR2004
        raise Malformed("topic", "spBv1.0/GROUP/TYPE/NODE", topic[:MAX_TEXT])
    _, group, verb, node, *device = levels
    if verb in ("NCMD", "DCMD"):
        return _COMMAND
    if verb not in _READ:
        return _OTHER
    if len(device) != (verb[0] == "D") or not all(levels):
        shape = f"spBv1.0/GROUP/{verb}/NODE" + "/DEVICE" * (verb[0] == "D")
        raise Malformed("topic", shape, topic[:MAX_TEXT])
    return _Address(verb, f"{group}/{node}", "".join(device))


def _drained(waiting: deque[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    drained = list(waiting)
    waiting.clear()
    return drained


def _older(payload: bytes) -> bool:
    return payload in (b"ONLINE", b"OFFLINE")


def _state(topic: str, payload: bytes) -> Decoded:
    return _HOST


FORMATS: tuple[Format, ...] = (
    Format(
        "sparkplug_b",
        "the topic is spBv1.0/GROUP/TYPE/NODE",
        decode,
        ("spBv1.0/#",),
        follows=True,
    ),
    Format(
        "sparkplug_b",
        "the topic is STATE/HOST, and the payload what Sparkplug 2.2 says there",
        _state,
        ("STATE/+",),
        _older,
        marks=frozenset(),
    ),
)
