"""The Kafka edge on a real cluster: reports, murmur2, transactions, fencing, and clear errors."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bridge.child import free_endpoint
from bridge.contracts import Topics
from bridge.errors import Fenced, Malformed, Misconfigured, Unavailable
from bridge.kafka import (
    EARLIEST,
    LATEST,
    Consumer,
    Fetched,
    Producer,
    Record,
    Report,
    ensure_topics,
)
from bridge.settings import Kafka
from tests.poll import until

pytestmark = pytest.mark.broker
WAIT_S = 20.0


@pytest.fixture
def readings(cluster: Kafka) -> str:
    return Topics(cluster.prefix).readings


def reports(producer: Producer, count: int) -> list[Report]:
    found: list[Report] = []

    def all_there() -> bool:
        found.extend(producer.poll(0.1))
        return len(found) >= count

    until(all_there)
    return found


def fetched(consumer: Consumer, count: int) -> list[Fetched]:
    found: list[Fetched] = []

    def all_there() -> bool:
        found.extend(consumer.fetch(count - len(found), 0.2))
        return len(found) == count

    until(all_there)
    return found


def read(cluster: Kafka, topic: str) -> list[Fetched]:
    with Consumer(cluster) as consumer:
        return consumer.read_all(topic, range(cluster.partitions))


@contextmanager
def group(cluster: Kafka, topic: str) -> Iterator[Consumer]:
    """A member of the one group of this test, with all partitions."""
    with Consumer(cluster, f"{cluster.prefix}-group") as consumer:
        consumer.subscribe([topic])
        assigned: set[tuple[str, int]] = set()

        def all_there() -> bool:
            assert consumer.fetch(1, 0.05) == []  # that a group begins with its own first record
            assigned.update(consumer.changes().assigned)
            return len(assigned) == cluster.partitions

        until(all_there)
        yield consumer


def test_what_is_produced_is_reported_and_read_back_whole(cluster: Kafka, readings: str) -> None:
    record = Record(readings, b"pump-1", bytes(range(256)), headers=(("a", b"b"),))
    before = time.time_ns() // 1_000_000
    with Producer(cluster, "test") as producer:
        assert producer.produce(record, "token")
        assert producer.in_flight() == 1
        assert reports(producer, 1) == [Report("token", None)]
        assert producer.in_flight() == 0
    (found,) = read(cluster, readings)
    assert (found.topic, found.key, found.value) == (readings, b"pump-1", bytes(range(256)))
    assert found.offset == 0
    assert before <= found.timestamp <= time.time_ns() // 1_000_000


def test_a_deleted_record_has_no_value(cluster: Kafka) -> None:
    state = Topics(cluster.prefix).state
    with Producer(cluster, "test") as producer:
        producer.produce(Record(state, b"gone", None, partition=1))
        reports(producer, 1)
    (found,) = read(cluster, state)
    assert (found.partition, found.value) == (1, None)


def murmur2(key: bytes) -> int:
    """As org.apache.kafka.common.utils.Utils.murmur2 has it."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if rest := key[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


@pytest.mark.parametrize(
    ("key", "expected"),
    [  # of Kafka's own UtilsTest
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_our_murmur2_is_that_of_kafka(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected % 2**32


def test_a_key_goes_to_the_partition_that_a_java_producer_would_choose(
    kafka_settings: Kafka,
) -> None:
    wide = kafka_settings.model_copy(update={"partitions": 5})
    ensure_topics(wide)
    keys = [b"pump-%d" % n for n in range(100)] + [b"site/device", "Käse".encode(), b"a" * 33]
    names = Topics(wide.prefix)
    with Producer(wide, "test") as producer:
        for key in keys:
            producer.produce(Record(names.readings, key, b""))
        reports(producer, len(keys))
    found = {record.key: record.partition for record in read(wide, names.readings)}
    assert found == {key: (murmur2(key) & 0x7FFFFFFF) % 5 for key in keys}


def test_committed_transactions_are_read_with_their_offsets_and_aborted_ones_are_not(
    cluster: Kafka, readings: str
) -> None:
    names = Topics(cluster.prefix)
    with Producer(cluster, "test") as producer:
        for n in range(4):
            producer.produce(Record(readings, b"p", b"%d" % n, partition=0))
        reports(producer, 4)
    with Producer(cluster, "worker", f"{cluster.prefix}-tx") as worker:
        with Consumer(cluster, f"{cluster.prefix}-group") as consumer:
            consumer.subscribe([readings])
            first = fetched(consumer, 4)
            assert [record.value for record in first] == [b"0", b"1", b"2", b"3"]
            worker.begin()
            worker.produce(Record(names.scores, b"p", b"committed"))
            worker.commit(consumer, {(readings, 0): 2})
            worker.begin()
            worker.produce(Record(names.scores, b"p", b"aborted"))
            worker.abort()
        with Consumer(cluster, f"{cluster.prefix}-group") as consumer:
            consumer.subscribe([readings])
            assert [record.value for record in fetched(consumer, 2)] == [b"2", b"3"]
    assert [record.value for record in read(cluster, names.scores)] == [b"committed"]


def test_an_open_transaction_is_not_read_and_the_end_is_before_it(
    cluster: Kafka, readings: str
) -> None:
    with Producer(cluster, "worker", f"{cluster.prefix}-tx") as worker, Consumer(cluster) as none:
        worker.begin()
        worker.produce(Record(readings, b"p", b"done", partition=0))
        worker.commit(none, {})
        worker.begin()
        worker.produce(Record(readings, b"p", b"open", partition=0))
        until(lambda: worker.poll(0.05) or not worker.in_flight())
        assert [record.value for record in read(cluster, readings)] == [b"done"]
        worker.abort()
    with Producer(cluster, "test") as producer:
        producer.produce(Record(readings, b"p", b"after", partition=0))
        reports(producer, 1)
    assert [record.value for record in read(cluster, readings)] == [b"done", b"after"]


def test_a_second_producer_of_the_same_name_fences_the_first(cluster: Kafka, readings: str) -> None:
    name = f"{cluster.prefix}-tx"
    with Producer(cluster, "old", name) as old, Consumer(cluster) as none:
        old.begin()
        old.produce(Record(readings, b"p", b"old"))
        with Producer(cluster, "new", name) as new:
            new.begin()
            new.produce(Record(readings, b"p", b"new"))
            new.commit(none, {})
        with pytest.raises(Fenced, match="another instance"):
            old.commit(none, {})
        with pytest.raises(Fenced):
            old.begin()
    assert [record.value for record in read(cluster, readings)] == [b"new"]


def test_a_fenced_producer_says_so_when_it_produces(cluster: Kafka, readings: str) -> None:
    name = f"{cluster.prefix}-tx"
    with Producer(cluster, "old", name) as old, Producer(cluster, "new", name):
        old.begin()
        assert old.produce(Record(readings, b"p", b"old"))
        with pytest.raises(Fenced):
            until(lambda: not old.produce(Record(readings, b"p", b"old")))


def test_a_fenced_producer_says_so_when_it_is_polled(cluster: Kafka, readings: str) -> None:
    name = f"{cluster.prefix}-tx"
    with Producer(cluster, "old", name) as old, Producer(cluster, "new", name):
        old.begin()
        old.produce(Record(readings, b"p", b"old"))
        with pytest.raises(Fenced):
            until(lambda: old.poll(0.1))


def test_read_all_ends_at_the_end_of_a_transactional_topic_and_can_be_repeated(
    cluster: Kafka, readings: str
) -> None:
    with Producer(cluster, "worker", f"{cluster.prefix}-tx") as worker, Consumer(cluster) as none:
        for n in range(5):
            worker.begin()
            for partition in range(2):
                worker.produce(Record(readings, b"%d" % n, b"", partition))
            if n % 2:
                worker.abort()
            else:
                worker.commit(none, {})
    with Consumer(cluster) as consumer:
        for _ in range(3):
            found = consumer.read_all(readings, range(2))
            assert sorted(record.key for record in found) == sorted([b"0", b"2", b"4"] * 2)
        assert consumer.read_all(Topics(cluster.prefix).alerts, range(2)) == []


def test_a_group_goes_on_after_what_was_committed_and_repeats_what_was_not(
    cluster: Kafka, readings: str
) -> None:
    with group(cluster, readings) as consumer:
        with Producer(cluster, "test") as producer:
            for n in range(6):
                producer.produce(Record(readings, b"p", b"%d" % n, partition=1))
            reports(producer, 6)
        fetched(consumer, 6)
        assert consumer.lag() == 0
        consumer.commit({(readings, 1): 4})
    with Consumer(cluster, f"{cluster.prefix}-group") as again:
        again.subscribe([readings])
        assert [record.offset for record in fetched(again, 2)] == [4, 5]


def test_a_partition_that_goes_to_another_member_is_revoked(cluster: Kafka, readings: str) -> None:
    with (
        group(cluster, readings) as first,
        Consumer(cluster, f"{cluster.prefix}-group") as second,
    ):
        second.subscribe([readings])
        revoked: set[tuple[str, int]] = set()
        given: set[tuple[str, int]] = set()

        def shared() -> bool:
            first.fetch(1, 0.05)
            second.fetch(1, 0.05)
            revoked.update(first.changes().revoked)
            given.update(second.changes().assigned)
            return bool(revoked and given)

        until(shared)
        assert given <= revoked


def test_reading_begins_at_the_offset_that_was_assigned(cluster: Kafka, readings: str) -> None:
    with Producer(cluster, "test") as producer:
        for n in range(6):
            producer.produce(Record(readings, b"p", b"%d" % n, partition=1))
        reports(producer, 6)
    with Consumer(cluster) as consumer:
        assert consumer.ends(readings) == {(readings, 0): (0, 0), (readings, 1): (0, 6)}
        consumer.assign({(readings, 1): 3})
        assert [record.offset for record in fetched(consumer, 3)] == [3, 4, 5]
        consumer.assign({(readings, 1): LATEST})
        assert consumer.fetch(1, 0.3) == []
        consumer.assign({(readings, 1): EARLIEST})
        assert [record.offset for record in fetched(consumer, 1)] == [0]


def test_a_topic_that_is_missing_has_no_ends(cluster: Kafka) -> None:
    with Consumer(cluster) as consumer, pytest.raises(Unavailable, match="nothing-here"):
        consumer.ends("nothing-here")


@pytest.mark.parametrize("client", [Producer, Consumer])
def test_an_option_that_librdkafka_does_not_know_is_misconfigured(
    kafka_settings: Kafka, client: type[Producer] | type[Consumer]
) -> None:
    told = kafka_settings.model_copy(update={"options": {"no.such.option": 1}})
    with pytest.raises(Misconfigured, match="no.such.option"):
        client(told, "test")


def test_a_record_too_large_for_its_topic_is_malformed_and_the_next_ones_pass(
    cluster: Kafka, readings: str
) -> None:
    with Producer(cluster, "test") as producer:
        producer.produce(Record(readings, b"p", _noise(3_000_000), partition=0), "large")
        producer.produce(Record(readings, b"p", b"small", partition=0), "small")
        said = {report.token: report.error for report in reports(producer, 2)}
        assert isinstance(said["large"], Malformed)
        assert said["small"] is None
        deadletters = Topics(cluster.prefix).deadletters
        producer.produce(Record(deadletters, b"t", _noise(3_000_000)))
        assert reports(producer, 1)[0].error is None


def test_a_record_too_large_for_librdkafka_is_refused_at_once(
    cluster: Kafka, readings: str
) -> None:
    with Producer(cluster, "test") as producer:
        with pytest.raises(Malformed, match=f"{readings}.*MSG_SIZE_TOO_LARGE"):
            producer.produce(Record(readings, b"p", bytes(18 * 1024 * 1024)))
        assert producer.in_flight() == 0


def test_a_full_queue_takes_no_record(cluster: Kafka, readings: str) -> None:
    away = cluster.model_copy(
        update={
            "bootstrap_servers": str(free_endpoint()),
            "options": {"queue.buffering.max.messages": 2},
        }
    )
    with Producer(away, "test") as producer:
        assert [producer.produce(Record(readings, b"p", b"")) for _ in range(3)] == [
            *(True, True, False)
        ]


def test_where_nobody_listens_a_record_is_reported_unavailable_in_time() -> None:
    nobody = Kafka(bootstrap_servers=str(free_endpoint()), message_timeout_ms=1000)
    with Producer(nobody, "test") as producer:
        producer.produce(Record("iot.readings", b"p", b""), "token")
        (report,) = reports(producer, 1)
        assert report.token == "token"
        assert isinstance(report.error, Unavailable)


def _noise(size: int) -> bytes:
    """Bytes that do not compress."""

    return random.Random(1).randbytes(size)
