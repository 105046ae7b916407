"""What travels between the processes, and on which topics. Values only: no I/O, no clock.

Times are UTC in integer microseconds since 1970 (``time`` of the event, ``received`` by ingest).
Every contract carries a schema version in `ml` and `bridge` alike through its Avro fingerprint.
"""

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import NamedTuple

from bridge.errors import HaltereError

MICROS = 1_000_000  # microseconds in a second
CHAMPION = b"champion/"  # key of the record that names the version in use, before the class


class Quality(IntFlag):
    """What a consumer should know about how good a reading is; 0 is good."""

    GOOD = 0
    TIME_ESTIMATED = 1  # the message named no usable time: `time` is the reception
    DUP = 2  # MQTT set the DUP flag: this may be a second reception
    RETAINED = 4  # MQTT set the RETAIN flag: an old value, sent on subscribing
    CLOCK_SKEW = 8  # `time` is more than a day from the reception
    OUT_OF_RANGE = 16  # a value lies outside its quantity's physical range
    STALE = 32  # the device, or the node it hangs on, is reported dead, or the value as not good


class Stage(StrEnum):
    """Where a message became a dead letter."""

    DECODE = "decode"  # its format could not read it
    NORMALISE = "normalise"  # what it says makes no reading
    ENCODE = "encode"  # its readings cannot be written
    PRODUCE = "produce"  # Kafka refuses what it became
    POISON = "poison"  # its handling ended the process


class Message(NamedTuple):
    """An MQTT application message as it came in. A tuple: one is made for each, in a third of
    the time."""

    topic: str
    payload: bytes
    received: int
    qos: int = 1
    retain: bool = False
    dup: bool = False


class Position(NamedTuple):
    """WGS 84."""

    lat: float  # deg
    lon: float  # deg
    altitude: float | None = None  # m
    speed: float | None = None  # m/s
    course: float | None = None  # deg, clockwise from north
    accuracy: float | None = None  # m


class Reading(NamedTuple):
    """What one device measured at one time: one MQTT message gives one for each device and time."""

    device: str
    device_class: str
    time: int
    received: int
    channels: tuple[str, ...]
    values: tuple[float, ...]  # in the canonical unit of each channel's quantity; never NaN
    units: tuple[str, ...]  # as sent, "" where the message did not say
    source: str  # the MQTT topic
    id: str
    states: tuple[str, ...] = ()  # names of what is measured in words ...
    state_values: tuple[str, ...] = ()  # ... and the words
    position: Position | None = None
    quality: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """How unusual one reading is for its device; one for each reading that is scored."""

    device: str
    time: int
    received: int
    reading: str  # id of the reading
    score: float  # 1.0 is the limit
    channel: str  # the channel that contributes most
    anomalous: bool
    model: int  # version; 0 is statistics only
    partition: int  # of the reading in Kafka ...
    offset: int  # ... and its offset


@dataclass(frozen=True, slots=True)
class Alert:
    """One for each episode of a device."""

    id: str
    device: str
    time: int  # of the reading that raised it
    raised: int
    valid_until: int  # a device never acts on an older alert
    channel: str  # the sensor that caused it
    reason: str  # spike, drift, noise, stuck, dropout
    value: float | None  # of that channel, in its canonical unit
    score: float
    model: int


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody asks a device to do."""

    id: str
    device: str
    name: str
    arguments: str  # JSON
    valid_until: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One version of the model of one device class, weights included."""

    version: int
    device_class: str
    created: int
    channels: tuple[str, ...]
    readings: int  # trained on
    loss: float  # on readings it had not yet seen
    offsets: tuple[int, ...]  # of the readings topic, by partition; -1 where none was read
    weights: bytes  # npz: weights, scaler, residual scale


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that became no reading, with all that is needed to send it again."""

    topic: str
    payload: bytes
    stage: str  # a `Stage`
    path: str  # where in the payload
    expected: str
    received: str
    time: int  # of the failure
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Birth:
    """What a Sparkplug node or device said at its birth: the names behind its aliases."""

    topic: str  # MQTT
    payload: bytes
    received: int


@dataclass(frozen=True, slots=True)
class DeviceState:
    """All that ``score`` knows of one device after the reading at ``offset``."""

    device: str
    device_class: str
    offset: int  # in the partition of the readings that the state's partition stands for
    snapshot: bytes


def dead_letter(message: Message, stage: Stage, error: HaltereError) -> DeadLetter:
    """A message that became no reading, and why."""
    said = (stage.value, error.where, error.expected, error.received)
    given = (message.received, message.qos, message.retain)
    return DeadLetter(message.topic, message.payload, *said, *given)


Contract = Reading | Score | Alert | Command | ModelCard | DeadLetter | DeviceState | Birth


@dataclass(frozen=True, slots=True)
class Topics:
    """The Kafka topics.

    >>> Topics("iot").readings
    'iot.readings'
    """

    prefix: str

    def _name(self, what: str) -> str:
        return f"{self.prefix}.{what}"

    @property
    def readings(self) -> str:
        return self._name("readings")

    @property
    def positions(self) -> str:
        return self._name("positions")

    @property
    def scores(self) -> str:
        return self._name("scores")

    @property
    def alerts(self) -> str:
        return self._name("alerts")

    @property
    def commands(self) -> str:
        return self._name("commands")

    @property
    def late(self) -> str:
        return self._name("late")

    @property
    def deadletters(self) -> str:
        return self._name("deadletters")

    @property
    def births(self) -> str:
        return self._name("births")

    @property
    def models(self) -> str:
        return self._name("models")

    @property
    def state(self) -> str:
        return self._name("state")
