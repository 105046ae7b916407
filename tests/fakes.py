"""Stand-ins that record: a Kafka producer and an MQTT connection that answer when the test says so.

They take the place of the two edges, which own the libraries; all that thinks is the real thing.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.contracts import Message
from bridge.errors import HaltereError, Malformed
from bridge.inbox import Batch, Inbox
from bridge.kafka import Producer, Record, Report
from bridge.mqtt import Connection
from bridge.records import Row, Token

RECEIVED = 1_700_000_000_000_000  # us


@dataclass(frozen=True)
class Batched:
    """The token of a record of a batch."""

    token: Token


class FakeProducer(Producer):
    """Holds every record until the test delivers or fails it."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room  # records until the queue is full
        self.refuses: Callable[[Record], HaltereError | None] = lambda record: None  # at once
        self.under_way: deque[tuple[Record, object]] = deque()
        self.delivered: list[Record] = []
        self._reported: list[Report] = []
        self._done: list[Token] = []

    def produce(self, record: Record, token: object = None) -> bool:
        if error := self.refuses(record):
            raise error
        if len(self.under_way) >= self.room:
            return False
        self.under_way.append((record, token))
        return True

    def produce_batch(self, topic: str, rows: list[Row], token: Token) -> int:
        rows = rows[: max(0, self.room - len(self.under_way))]
        for row in rows:
            record = Record(topic, row["key"], row["value"])
            error = self.refuses(record)
            if isinstance(error, Malformed):
                self._reported.append(Report(token, error, record))
            elif error:
                raise error
            else:
                self.under_way.append((record, Batched(token)))
        return len(rows)

    def poll(self, timeout_s: float) -> list[Report]:
        reported, self._reported = self._reported, []
        for token in self._done:
            token.done()
        self._done.clear()
        return reported

    def in_flight(self) -> int:
        return len(self.under_way)

    def deliver(self, which: int = 0) -> Record:
        """Kafka has the record that stands there among those under way."""
        return self._report(which, None)

    def fail(self, error: HaltereError, which: int = 0) -> Record:
        """Kafka does not have it, and says why."""
        return self._report(which, error)

    def deliver_all(self) -> None:
        while self.under_way:
            self.deliver()

    def _report(self, which: int, error: HaltereError | None) -> Record:
        record, token = self.under_way[which]
        del self.under_way[which]
        if not isinstance(token, Batched):
            self._reported.append(Report(token, error))
        elif error is None:
            self._done.append(token.token)
        else:
            self._reported.append(Report(token.token, error, record))
        if error is None:
            self.delivered.append(record)
        return record


class FakeConnection(Connection):
    """Hands out deliveries, records their acks; records publishes, acknowledges when told."""

    def __init__(self) -> None:
        self._asked = set()
        self.acked: list[int] = []  # numbers of messages, in order
        self._inbox = Inbox(self.acked.extend, 1_000_000, 1 << 40)
        self.published: list[tuple[str, bytes]] = []
        self._tokens_out: deque[object] = deque()
        self._pubacks: list[object] = []
        self._refusals: list[tuple[object, str]] = []

    # Towards us.

    def delivery(self, number: int, topic: str, payload: bytes) -> Batch:
        """A batch of one message, which came in as number so and so."""
        message = Message(topic, payload, RECEIVED)
        return Batch([message], [number], 0, self._inbox.epoch, self._inbox)

    def arrive(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._inbox.put(batch.messages, batch.mids)

    def receive(self, maximum: int, timeout_s: float) -> Batch:
        return self._inbox.take(maximum)

    def waiting(self) -> int:
        """Messages that nobody took yet."""
        return sum(len(arrival.messages) for arrival in self._inbox._arrivals)

    def reconnect(self) -> None:
        """The connection was lost and has come back."""
        self._inbox.clear()

    # Towards the devices.

    def publish(self, topic: str, payload: bytes, token: object) -> None:
        self.published.append((topic, payload))
        self._tokens_out.append(token)

    def acknowledge(self, which: int = 0) -> None:
        """PUBACK for the message that stands there among those under way."""
        self._pubacks.append(self._tokens_out[which])
        del self._tokens_out[which]

    def refuse(self, reason: str) -> None:
        """A PUBACK with a failure for the oldest."""
        self._refusals.append((self._tokens_out.popleft(), reason))

    def acknowledged(self) -> list[object]:
        pubacks, self._pubacks = self._pubacks, []
        return pubacks

    def refused(self) -> list[tuple[object, str]]:
        refusals, self._refusals = self._refusals, []
        return refusals

    def connected(self) -> bool:
        return True
