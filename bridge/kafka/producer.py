"""Records out: idempotent, all in-sync replicas, murmur2 by key; transactions."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Self

import confluent_kafka as ck

from bridge.errors import HaltereError, Misconfigured
from bridge.kafka.client import REQUEST_S, build, common, translate, translated
from bridge.kafka.consumer import Consumer
from bridge.records import Record, Report, Row, Token
from bridge.settings import Kafka
from bridge.topics import LARGEST

log = logging.getLogger(__name__)

QUEUE = 100_000  # records of a producer under way
TRANSACTION_MS = 10_000


class Producer:
    """Idempotent, all in-sync replicas, murmur2 by key; transactional where an id is given.

    Args:
        kafka: the cluster.
        client_id: a name for the broker's logs.
        transactional_id: stable for one worker; a second producer under it fences the first.
    """

    def __init__(self, kafka: Kafka, client_id: str, transactional_id: str = "") -> None:
        config = common(kafka, client_id) | {
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 10,  # latency for larger batches: a tenth less work for Kafka
            "message.max.bytes": LARGEST + 1024 * 1024,
            "message.timeout.ms": kafka.message_timeout_ms,
            "queue.buffering.max.messages": QUEUE,
            "queue.buffering.max.kbytes": 2_097_151,  # the caller bounds the bytes
        }
        if transactional_id:
            config |= {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": TRANSACTION_MS,
                "message.timeout.ms": TRANSACTION_MS,
                "linger.ms": 0,  # the commit flushes at once
                "retry.backoff.ms": 5,  # the last commit may still be under way: 133 -> 42 ms
            }
        self.where = f"kafka {kafka.bootstrap_servers}"
        for name in ("acks", "request.required.acks"):
            if str(kafka.options.get(name, "all")) not in ("all", "-1"):
                said = repr(kafka.options[name])
                raise Misconfigured(f"kafka.options {name}", "all: less loses messages", said)
        if "delivery.report.only.error" in kafka.options:
            where = "kafka.options delivery.report.only.error"
            raise Misconfigured(where, "nothing: haltere waits for each report", "an option")
        self._reports: deque[Report] = deque()
        self._producer = build(ck.Producer, config | kafka.options, self.where)
        if transactional_id:
            with translated(self.where):
                self._producer.init_transactions(REQUEST_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ck.KafkaException):  # that it was fenced has been said
            self._producer.purge()
            self._producer.flush(1.0)

    def produce(self, record: Record, token: object = None) -> bool:
        """Queue a record; False when the queue is full. A `Report` with the token follows.

        Raises:
            Malformed: librdkafka refuses the record at once, for instance for its size.
        """

        def delivered(error: ck.KafkaError | None, _: ck.Message) -> None:
            place = f"{self.where} topic {record.topic}"
            failure = None if error is None else translate(place, error)
            self._reports.append(Report(token, failure))

        what = (record.topic, record.value, record.key, record.partition)
        headers = list(record.headers) or None
        try:
            self._producer.produce(*what, on_delivery=delivered, headers=headers)
        except BufferError:
            return False
        except ck.KafkaException as error:
            raise self._refused(record.topic, error) from None
        return True

    def produce_batch(self, topic: str, rows: list[Row], token: Token) -> int:
        """Queue records of one topic, from the first on as many as there is room for; how many.

        ``token.done()`` is called, in `poll`, for each record that is delivered; a `Report` with
        the token and the record follows for each that is not.

        Raises:
            HaltereError: this producer is of no use any more.
        """
        rows = rows[: max(0, QUEUE - len(self._producer))]
        done = token.done

        def delivered(error: ck.KafkaError | None, message: ck.Message) -> None:
            if error is None:
                done()
            else:
                record = Record(topic, message.key() or b"", message.value())
                self._reports.append(Report(token, translate(self.where, error), record))

        try:
            queued = self._producer.produce_batch(topic, rows, on_delivery=delivered)
        except ck.KafkaException as error:
            raise self._refused(topic, error) from None
        if queued < len(rows):
            self._refuse_some(topic, rows, token)
        return len(rows)

    def _refuse_some(self, topic: str, rows: list[Row], token: Token) -> None:
        """librdkafka refused these at once, for instance for their size, and took the others."""
        for row in rows:
            error = row.pop("_error", None)  # type: ignore[typeddict-item]
            if error is not None:
                record = Record(topic, row["key"], row["value"])
                self._reports.append(Report(token, translate(self.where, error), record))

    def _refused(self, topic: str, error: ck.KafkaException) -> HaltereError:
        if error.args[0].name() == "_FATAL":
            with translated(self.where):
                self._producer.poll(0)  # raises the cause, for instance that it was fenced
        return translate(f"{self.where} topic {topic}", error.args[0])

    def poll(self, timeout_s: float) -> list[Report]:
        """The delivery reports since the last call; waits up to the time for the first.

        Raises:
            HaltereError: this producer is of no use any more, for instance because it was fenced.
        """
        with translated(self.where):
            self._producer.poll(timeout_s)
        reports, self._reports = self._reports, deque()
        return list(reports)

    def produce_and_wait(self, records: Iterable[Record]) -> None:
        """Produce these and wait until Kafka has every one.

        Raises:
            HaltereError: the first failure; of the others nothing is known.
        """
        reports: list[Report] = []
        for record in records:
            while not self.produce(record):
                reports += self.poll(0.01)
        while self.in_flight():
            reports += self.poll(0.1)
        failures = [report.error for report in [*reports, *self.poll(0)] if report.error]
        if failures:
            raise failures[0]

    def in_flight(self) -> int:
        """Records that have no report yet."""
        return len(self._producer)

    def begin(self) -> None:
        """Begin a transaction."""
        with translated(self.where):
            self._producer.begin_transaction()

    def commit(self, consumer: "Consumer | None", offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit the transaction with the consumer's next offsets in it.

        Raises:
            HaltereError: it was aborted; nothing of it is visible, and the offsets stand.
        """
        positions = [ck.TopicPartition(t, p, offset) for (t, p), offset in offsets.items()]
        try:
            if positions and consumer:
                group = consumer._consumer.consumer_group_metadata()
                self._producer.send_offsets_to_transaction(positions, group, REQUEST_S)
            self._producer.commit_transaction(REQUEST_S)
        except ck.KafkaException as error:
            self.abort()
            raise translate(self.where, error.args[0]) from None
        failed = next((r.error for r in self.poll(0) if r.error), None)
        if failed:
            raise failed

    def abort(self) -> None:
        """Abort the transaction, if there is one that can be."""
        try:
            self._producer.abort_transaction(REQUEST_S)
        except ck.KafkaException as error:
            log.warning("%s: abort: %s", self.where, error.args[0].str())
        self.poll(0)
