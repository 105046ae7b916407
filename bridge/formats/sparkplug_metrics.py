"""What the metrics of Sparkplug B are called and become: from a payload and a birth to samples.

Metrics are named by their birth, in the end; folders of a name become the path of a channel.
Values only: no I/O, no clock.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from bridge.contracts import Quality
from bridge.errors import Malformed
from bridge.formats.keys import elsewhere, keys_of
from bridge.formats.places import scaled
from bridge.formats.sample import MAX_ITEMS, MAX_TEXT, Field, Sample, State
from bridge.formats.scalars import instant
from bridge.formats.sparkplug_payload import BOOLEAN, GOOD, Metric, Part, Payload, parts

LONGEST = 2 * MAX_TEXT  # characters of a metric's name
TIMES = MAX_ITEMS // 2  # in a message: each is a reading, which costs more than a value
STALE = Quality.STALE.value
_SET = 10**11  # ms: a time in 1973


class Known(NamedTuple):
    """What a birth says of a metric."""

    name: str
    datatype: int = 0
    unit: str = ""


@dataclass(slots=True)
class Birth:
    """What a node or a device said at its birth, and whether it is still online."""

    received: int = 0  # us
    said: int | None = None  # its own time, as it says
    online: bool = False
    names: dict[str, Known] = field(default_factory=dict)
    aliases: dict[int, Known] = field(default_factory=dict)

    def size(self) -> int:
        return 1 + len(self.names) + len(self.aliases)


def birth_of(sent: Payload, received: int) -> Birth:
    """What a birth says.

    Raises:
        Malformed: a metric has no name.
    """
    birth = Birth(received, sent.time, True)
    for known, alias in _names(sent.metrics):
        birth.names[known.name] = known
        if alias is not None:
            birth.aliases[alias] = known
    return birth


def _names(metrics: tuple[Metric, ...], above: str = "") -> Iterator[tuple[Known, int | None]]:
    """What each metric is called, with those in templates, and its alias."""
    for metric in metrics:
        if not metric.name:
            raise Malformed(f"{metric.where}.name", "a name, as each metric of a birth has", "none")
        known = Known((above + metric.name)[:LONGEST], metric.datatype, metric.unit)
        yield known, metric.alias
        if metric.kind == "template_value":
            yield from _names(metric.value, f"{known.name}/")


def bdseq_of(sent: Payload) -> int | None:
    """The number of the session, which a birth and the death that ends it share."""
    said = (m.value for m in sent.metrics if m.name == "bdSeq" and type(m.value) is int)
    return next(said, None)


@dataclass(slots=True)
class _Moment:
    """What is said of one time."""

    found: dict[str, tuple[str, float | str]] = field(default_factory=dict)  # path: unit, value
    notes: list[tuple[str, str]] = field(default_factory=list)
    quality: int = 0


class Reader:
    """One pass over the metrics of one message, as its sender's birth names them."""

    def __init__(self, birth: Birth, time: int) -> None:
        self._birth = birth
        self._parts = 0
        self._time = instant_of(time)
        self._moments: dict[int | None, _Moment] = {}
        self._by_sent: dict[int, _Moment] = {}

    def at(self, sent: int) -> _Moment:
        """The moment of a time in ms, else that of the message."""
        moment = self._by_sent.get(sent)
        if moment is None:
            time = instant_of(sent)
            time = self._time if time is None else time
            moment = self._by_sent[sent] = self._moments.setdefault(time, _Moment())
        return moment

    def metric(self, metric: Metric, above: str = "", sent: int = 0) -> None:
        """Take a metric; of a template its members, at its time where they have none.

        Raises:
            Malformed: it has no name, nor an alias that the birth has named.
        """
        name, datatype, unit = self._known(metric, above)
        sent, datatype = metric.time or sent, metric.datatype or datatype
        moment = self.at(sent)
        if metric.quality != GOOD:
            moment.quality = STALE
            moment.notes.append((name, f"quality {metric.quality}: the value is not good"))
        if metric.kind == "template_value":
            for member in metric.value:
                self.metric(member, f"{name}/", sent)
        elif note := _no_measurement(name, datatype, metric.kind):
            moment.notes.append((name, note))
        else:
            self._take(moment, name, metric.unit or unit, parts(metric, datatype))

    def _take(self, moment: _Moment, name: str, unit: str, said: Iterable[Part]) -> None:
        for key, value, note in said:
            self._parts += 1
            if self._parts > MAX_ITEMS:
                raise Malformed(name[:80], f"at most {MAX_ITEMS} values", "more")
            path = f"{name}/{key}" if key else name
            if value is None:
                moment.notes.append((path, note))
                continue
            if path in moment.found:
                moment.notes.append((path, "said again of the same time: the last one counts"))
            moment.found[path] = (unit, value)

    def _known(self, metric: Metric, above: str) -> Known:
        if metric.name:
            name = (above + metric.name)[:LONGEST]
            return self._birth.names.get(name) or Known(name)
        if metric.alias is None:
            raise Malformed(f"{metric.where}.name", "a name or an alias", "neither")
        known = self._birth.aliases.get(metric.alias)
        if known is None:
            raise Malformed(
                f"{metric.where}.alias", "one that a birth has named", str(metric.alias)
            )
        return known

    def samples(self, device: str, quality: int) -> Iterator[Sample]:
        """One for each moment.

        Raises:
            Malformed: there are too many.
        """
        if len(self._moments) > TIMES:
            raise Malformed("metrics", f"at most {TIMES} times", f"{len(self._moments)}")
        for time, moment in self._moments.items():
            sample = Sample(device=device, time=time, notes=moment.notes)
            sample.quality = quality | moment.quality
            _place(moment.found, sample)
            for path, (unit, value) in moment.found.items():
                if isinstance(value, str):
                    sample.states.append(State(path, _channel(path), value))
                else:
                    sample.number(_field(path, unit), value)
            yield sample


def _place(found: dict[str, tuple[str, float | str]], sample: Sample) -> None:
    """Take a latitude and a longitude that stand in the same folder as the position."""
    folders: dict[str, dict[str, str]] = {}
    for path in found:
        folder, role = _coordinate(path)
        if role and not elsewhere(folder):
            folders.setdefault(folder, {})[role] = path
    for pair in folders.values():
        if len(pair) == 2 and sample.position is None:  # noqa: PLR2004
            sample.position = scaled(found[pair["lat"]][1], found[pair["lon"]][1], False)
            note = "the position" if sample.position else "no position on Earth"
            for path in pair.values():
                del found[path]
                sample.notes.append((path, note))


def _no_measurement(name: str, datatype: int, kind: str) -> str:
    if name == "bdSeq":
        return "the number of the session"
    if len(name) >= LONGEST:
        return "the name is too long"
    command = datatype == BOOLEAN or kind == "boolean_value"
    if command and name.startswith(("Node Control/", "Device Control/")):
        return "a command that can be given"
    return ""


def instant_of(sent: int) -> int | None:
    """UTC us of ms; a clock that was not set counts from its start."""
    return instant(sent) if sent >= _SET else None


@lru_cache(maxsize=8192)
def _field(path: str, unit: str) -> Field:
    return Field(path, _channel(path), unit)


def _channel(path: str) -> str:
    """A name with folders as a path of channels.

    >>> _channel("Inputs/PM2.5")
    'Inputs.PM2-5'
    """
    return ".".join([part.replace(".", "-") for part in path.split("/") if part]) or path


@lru_cache(maxsize=8192)
def _coordinate(path: str) -> tuple[str, str]:
    """The folder of a metric, and whether it is a latitude or a longitude there."""
    folder, _, last = path.rpartition("/")
    keys = keys_of((last,))
    return _channel(folder), "lat" if keys.lat else "lon" if keys.lon else ""
