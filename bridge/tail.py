"""The records of a topic as JSON lines, for ``haltere tail``."""

from collections.abc import Iterator
from threading import Event

import orjson

from bridge import kafka, wire
from bridge.contracts import (
    Alert,
    Birth,
    Command,
    Contract,
    DeadLetter,
    DeviceState,
    ModelCard,
    Reading,
    Score,
    Topics,
)
from bridge.errors import Malformed, Misconfigured
from bridge.kafka import EARLIEST, LATEST, Consumer, Fetched
from bridge.settings import Kafka

KINDS: dict[str, type[Contract]] = {
    "readings": Reading,
    "positions": Reading,
    "late": Reading,
    "scores": Score,
    "alerts": Alert,
    "commands": Command,
    "deadletters": DeadLetter,
    "births": Birth,
    "models": ModelCard,
    "state": DeviceState,
}
CONNECT_S = 5.0
LONG = 200  # bytes of a field that are shown


def follow(settings: Kafka, topic: str, beginning: bool, stop: Event) -> Iterator[str]:
    """Lines until told to stop.

    Raises:
        Misconfigured: no topic of haltere has this name.
        Unavailable: Kafka is away, or the topic does not exist yet.
    """
    short = topic.removeprefix(f"{settings.prefix}.")
    if short not in KINDS:
        raise Misconfigured("topic", f"one of {', '.join(KINDS)}", repr(topic))
    name = getattr(Topics(settings.prefix), short)
    with Consumer(settings) as consumer:
        place = EARLIEST if beginning else LATEST
        kafka.partitions(settings, CONNECT_S)
        consumer.assign(dict.fromkeys(consumer.ends(name), place))
        while not stop.is_set():
            for record in consumer.fetch(500, 0.25):
                yield _line(KINDS[short], record)


def _line(kind: type[Contract], record: Fetched) -> str:
    where = {"partition": record.partition, "offset": record.offset}
    try:
        said = wire.as_row(wire.decode(kind, record.value or b""))
        if "units" in said:  # the values are in canonical units, these are the sender's
            said["units_sent"] = said.pop("units")
    except Malformed as error:
        said = {"key": record.key.decode("utf-8", "replace"), "note": str(error)}
        if record.key.startswith(b"champion/"):
            said["note"] = f"version {(record.value or b'').decode('utf-8', 'replace')}"
    return orjson.dumps(where | said, default=_short).decode()


def _short(value: object) -> str:
    if isinstance(value, bytes):
        more = f"... ({len(value)} bytes)" if len(value) > LONG else ""
        return value[:LONG].decode("utf-8", "backslashreplace") + more
    raise TypeError(type(value))
