"""What was wrong with tensorflow-io's Kafka datasets, a to l, is right here.

The letters are those of docs/coming-from-tensorflow-io.md, which names each of these tests.
"""

import threading
import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bridge.errors import Misconfigured
from bridge.kafka import Producer, Record
from bridge.settings import Kafka
from ml import KafkaDataset, KafkaOutputSequence
from tests.ml.topic import committed, fill, numbered, offsets, read, topic, values
from tests.poll import quickest, until

pytestmark = pytest.mark.broker


def test_a_start_is_where_it_begins(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(3000))
    assert offsets(read(name, kafka_settings, start=1000)) == list(range(1000, 3000))
    assert offsets(KafkaDataset(f"{name}:0:1000:2000", kafka_settings, batch_rows=64)) == list(
        range(1000, 2000)
    )


@pytest.mark.parametrize("count", [1, 1025, 2049])
def test_b_the_last_record_is_there(kafka_settings: Kafka, count: int) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(count))

    def seconds() -> float:
        begun = time.monotonic()
        assert values(read(name, kafka_settings)) == numbered(count)
        return time.monotonic() - begun

    assert quickest(seconds, 2.5) < 2.5  # it took 10.7 s there; with the connection here


def test_c_gaps_in_the_offsets_double_and_drop_nothing(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    with Producer(kafka_settings, "test", transactional_id=name) as producer:
        for begin in range(0, 3000, 100):  # a marker behind each hundred
            producer.begin()
            for value in numbered(100, begin):
                producer.produce(Record(name, b"k", value, 0))
            producer.commit(None, {})
    assert values(read(name, kafka_settings)) == numbered(3000)


def test_c_a_compacted_topic_is_read_whole(kafka_settings: Kafka, unique: str) -> None:
    compacted = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.01",
        "segment.bytes": str(1024 * 1024),
        "segment.ms": "100",
    }
    admin = AdminClient({"bootstrap.servers": kafka_settings.bootstrap_servers})
    admin.create_topics([NewTopic(unique, 1, 1, config=compacted)])[unique].result()

    def wrote() -> list[int]:
        with Producer(kafka_settings, "test") as producer:
            producer.produce_and_wait(
                Record(unique, b"k%d" % (n % 50), b"v" * 2000, 0) for n in range(500)
            )
        return offsets(read(unique, kafka_settings))

    def is_compacted() -> bool:
        found = wrote()
        assert found == sorted(set(found))
        assert found[-1] - found[0] >= 49
        return len(found) < found[-1] + 1 - 400

    until(is_compacted, 60)


def test_d_after_catching_up_a_record_waits_for_milliseconds(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(10))
    batches = iter(KafkaDataset(name, kafka_settings, group=name, batch_ms=50))
    assert len(next(batches)["value"]) == 10

    def seconds() -> float:
        fill(kafka_settings, name, [b"late"])
        begun = time.monotonic()
        assert next(batches)["value"].numpy().tolist() == [b"late"]
        return time.monotonic() - begun

    took = [seconds() for _ in range(3)]
    assert max(took) < 1
    assert min(took) < 0.3


def test_e_what_was_prefetched_is_not_committed(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(1000))
    dataset = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=10)
    for _ in dataset.prefetch(50).take(5):
        time.sleep(0.01)
    dataset.close()
    assert committed(kafka_settings, name, [(name, 0)])[0] < 0


def test_f_a_setting_that_cannot_count_is_refused_and_the_end_is_no_end(
    kafka_settings: Kafka,
) -> None:
    with pytest.raises(Misconfigured, match="say eof=True to end at the end"):
        KafkaDataset("t", kafka_settings, configuration={"enable.partition.eof": False})
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(1))
    batches = iter(KafkaDataset(name, kafka_settings, batch_ms=10))
    assert next(batches)["value"].numpy() == [b"v0"]
    threading.Timer(0.5, fill, (kafka_settings, name, [b"v1"])).start()
    assert next(batches)["value"].numpy() == [b"v1"]


@pytest.mark.parametrize("as_list", [False, True])
def test_g_a_value_of_the_configuration_may_hold_an_equals_sign(
    kafka_settings: Kafka, as_list: bool
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(3))
    configuration = ["client.id=a=b=="] if as_list else {"client.id": "a=b=="}
    assert values(read(name, kafka_settings, configuration=configuration)) == numbered(3)


def test_h_predictions_have_partition_key_and_headers(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings, 2)
    with KafkaOutputSequence(f"{name}:1", kafka_settings) as sequence:
        sequence.setitem(0, "cat", key="image-7", headers=[("model", b"3")])
    (batch,) = read(name, kafka_settings, headers=["model"])
    assert batch["partition"].numpy() == [1]
    assert batch["key"].numpy() == [b"image-7"]
    assert batch["headers"]["model"].numpy() == [b"3"]


def test_i_one_producer_with_a_configuration_for_all_values(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    begun = time.monotonic()
    with KafkaOutputSequence(name, kafka_settings, {"client.id": "x", "linger.ms": 5}) as sequence:
        for value in enumerate(numbered(20_000)):
            sequence.setitem(*value)
    assert values(read(name, kafka_settings)) == numbered(20_000)
    assert time.monotonic() - begun < 10  # a producer for each would take minutes


def test_j_a_batch_has_partition_offset_timestamp_and_headers(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    with Producer(kafka_settings, "test") as producer:
        producer.produce_and_wait([Record(name, b"k", b"v", 0, (("trace", b"1"),))])
    (batch,) = read(name, kafka_settings, headers=["trace"])
    assert set(batch) == {
        *("value", "key", "topic", "partition", "offset", "timestamp", "headers"),
    }
    assert batch["timestamp"].numpy()[0] > 1_700_000_000_000


def test_k_a_hundred_thousand_records_go_in_and_come_out(kafka_settings: Kafka) -> None:
    """Crashes and rebalances: tests/e2e/test_datasets.py; logins: tests/bridge."""
    name = topic(kafka_settings)
    with KafkaOutputSequence(name, kafka_settings) as sequence:
        for index, value in enumerate(numbered(100_000)):
            sequence.setitem(index, value)
    dataset = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=1000)
    assert values(dataset) == numbered(100_000)


def test_l_two_groups_in_one_process_do_not_disturb_each_other(kafka_settings: Kafka) -> None:
    names = [topic(kafka_settings, partitions) for partitions in (1, 4)]
    for name in names:
        fill(kafka_settings, name, numbered(500))
    one, other = (
        KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=7) for name in names
    )
    pairs = list(zip(one, other, strict=True))
    for side in range(2):
        assert values(pair[side] for pair in pairs) == numbered(500)
