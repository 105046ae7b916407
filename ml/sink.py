"""TensorFlow -> Kafka: `KafkaOutputSequence`, values by their index. See also `ml.output`."""

import logging
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from bridge import kafka
from bridge.errors import HaltereError, Misconfigured
from bridge.kafka import Producer, Record
from bridge.settings import Kafka
from bridge.spans import Span
from ml.plan import Configuration, cluster

log = logging.getLogger(__name__)

Pairs = Sequence[tuple[str, bytes]]
Headers = Pairs | Mapping[str, bytes]
CONNECT_S = 10.0
SETTLE_S = 10.0  # for what is under way when a block ends by an error


class KafkaOutputSequence:
    """Values by their index into a topic, in the order of the index.

    Args:
        topic: ``"topic"``, or ``"topic:partition"``; it is made with one partition if need be.
        servers: an address or a `bridge.settings.Kafka`; none is what ``HALTERE_KAFKA_*`` say.
        configuration: librdkafka's names, as a mapping or as ``"name=value"``.

    Raises:
        Misconfigured: the topic is none, or Kafka refuses us.
        Unavailable: Kafka is not there.

    A value leaves when all before it have been set, whatever their order; `flush`, and the end of
    a ``with`` block without an error, send the rest and wait until Kafka has all of it.

    ::

        with ml.KafkaOutputSequence("y_pred", servers="localhost") as sequence:
            sequence.setitem(0, "T-shirt", key=b"image-0")
    """

    def __init__(
        self, topic: str, servers: str | Kafka = "", configuration: Configuration = ()
    ) -> None:
        span = Span.parse(topic)
        if span.is_pattern or span.start is not None:
            raise Misconfigured(f"topic {topic!r}", "topic or topic:partition", "more than that")
        self._span = span
        settings = cluster(servers, configuration)
        kafka.ensure_topic(settings, span, CONNECT_S)
        self._producer = Producer(settings, "haltere-output")
        self._waiting: dict[int, Record] = {}
        self._next = 0

    def setitem(
        self,
        index: int,
        value: bytes | str,
        *,
        key: bytes | str | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """Set the value of an index; each is set once.

        Raises:
            Misconfigured: it was set before.
            HaltereError: Kafka refuses a record.
        """
        if index < self._next or index in self._waiting:
            raise Misconfigured(f"index {index}", "an index that was not set yet", "one that was")
        chosen = self._span.partition if partition is None else partition
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self._waiting[index] = Record(
            self._span.topic,
            encoded("key", key),
            encoded("value", value),
            -1 if chosen is None else chosen,
            tuple(pairs),
        )
        while (record := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            self._send(record)

    def flush(self) -> None:
        """Send what was set, gaps or not, and wait until Kafka has all of it.

        Raises:
            HaltereError: Kafka does not have some of it.
        """
        for index in sorted(self._waiting):
            self._next = index + 1
            self._send(self._waiting.pop(index))
        self._producer.produce_and_wait(())

    def close(self) -> None:
        """`flush`, and leave."""
        self.flush()
        self._producer.__exit__()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self._settle()
        finally:
            self._producer.__exit__()

    def _settle(self) -> None:
        """After an error: what has left is not called back, and the rest is told."""
        until = time.monotonic() + SETTLE_S
        while self._producer.in_flight() and time.monotonic() < until:
            try:
                _see(self._producer, 0.1)
            except HaltereError as error:
                log.error("not all that was set is in Kafka: %s", error)
        if left := self._producer.in_flight():
            log.error("Kafka did not take the last %d within %g s", left, SETTLE_S)
        if self._waiting:
            where, behind = f"index {self._next}", len(self._waiting)
            log.error("%s was not set, so the %d set behind it were not sent", where, behind)

    def _send(self, record: Record) -> None:
        send(self._producer, record)


def send(producer: Producer, record: Record) -> None:
    """Produce, waiting for room.

    Raises:
        HaltereError: this record, or one before it, is not in Kafka.
    """
    while not producer.produce(record):
        _see(producer, 0.01)
    _see(producer, 0.0)


def _see(producer: Producer, timeout_s: float) -> None:
    for report in producer.poll(timeout_s):
        if report.error:
            raise report.error


def encoded(what: str, value: bytes | str | None) -> Any:
    """As Kafka wants it: text is UTF-8.

    Raises:
        Misconfigured: it is neither bytes nor text.
    """
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise Misconfigured(
        what, "bytes or text", type(value).__name__, "encode it, as JSON for instance"
    )
