"""Sparkplug as a host application does it: births that outlive the process, and what it says.

What the births mean stands in `bridge.formats.sparkplug`; here is what is kept of them in Kafka,
and what goes back over MQTT: requests for a birth, and STATE (Sparkplug 3.0, 6.4.27).
"""

import logging
from collections.abc import Callable

import orjson

from bridge import wire
from bridge.contracts import Birth, Contract, Message, Topics
from bridge.errors import Malformed
from bridge.formats.sparkplug import Session
from bridge.kafka import Consumer, partitions
from bridge.mqtt_words import Announcement, Said
from bridge.records import Row
from bridge.settings import Ingest, Kafka, Settings

log = logging.getLogger(__name__)

NAMESPACE = "spBv1.0/"
CONNECT_S = 4.0


class Host:
    """What a host application hears and says. The loop drains `says` after each batch.

    Args:
        session: what is known of the nodes.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.announcement: Announcement | None = None  # our STATE; None: no primary host
        self._says: list[Said] = []

    def heard(self, message: Message) -> list[Birth]:
        """The births in a message that was normalised just now: to be kept before its PUBACK."""
        self._says += [Said(*request) for request in self.session.rebirths()]
        ours = self.announcement
        if ours and message.topic == ours.topic and _offline(message.payload):
            self._says.append(Said(ours.topic, ours.online, True))
        return [Birth(*kept, message.received) for kept in self.session.births()]

    def says(self) -> list[Said]:
        """What is to be published, once."""
        said, self._says = self._says, []
        return said


def announcement(ingest: Ingest, now: int) -> Announcement | None:
    """The STATE of a primary host; ``now`` in us. Will and birth have one timestamp.

    >>> announcement(Ingest(sparkplug_host="scada"), 1_700_000_000_000_000).online
    b'{"online":true,"timestamp":1700000000000}'
    """
    if not (ingest.sparkplug and ingest.sparkplug_host):
        return None
    said = [orjson.dumps({"online": on, "timestamp": now // 1000}) for on in (True, False)]
    return Announcement(f"{NAMESPACE}STATE/{ingest.sparkplug_host}", *said)


def row(birth: Birth, encode: Callable[[Contract], bytes]) -> Row:
    """A birth as a record; its key is the node, or the device of the node."""
    return Row(key=key_of(birth.topic), value=encode(birth))


def key_of(topic: str) -> bytes:
    """Node or device of a birth's topic.

    >>> key_of("spBv1.0/plant/DBIRTH/edge-1/pump-7")
    b'plant/edge-1/pump-7'
    """
    group, _, *who = topic.removeprefix(NAMESPACE).split("/")
    return "/".join([group, *who]).encode("utf-8", "replace")


def restore(kafka: Kafka, session: Session) -> int:
    """Take back every birth that was kept; how many.

    Raises:
        Unavailable: Kafka is away.
    """
    name, count = Topics(kafka.prefix).births, 0
    if name not in partitions(kafka, CONNECT_S):
        return 0
    with Consumer(kafka) as consumer:
        for record in consumer.read_all(name, [p for _, p in consumer.ends(name)]):
            try:
                birth = wire.decode(Birth, record.value or b"")
                session.restore(birth.topic, birth.payload, birth.received)
                count += 1
            except Malformed:  # somebody else's record: nothing is learned from it
                continue
    return count


def follow(settings: Settings, host: Host, told: Announcement | None) -> None:
    """Say STATE from now on, and know every birth that was kept.

    Raises:
        Unavailable: Kafka is away.
    """
    host.announcement = told
    if settings.ingest.sparkplug and settings.mqtt.sparkplug_filters():
        count = restore(settings.kafka, host.session)
        if count:
            log.info("births of %d Sparkplug nodes and devices are known", count)


def _offline(payload: bytes) -> bool:
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return isinstance(said, dict) and said.get("online") is False
