"""What Kafka has deleted meanwhile, or never had, on a real broker: it is told."""

import confluent_kafka as ck
import pytest
import tensorflow as tf
from confluent_kafka.admin import AdminClient

from bridge.kafka import Consumer, Producer, Record
from bridge.settings import Kafka
from ml import KafkaDataset
from tests.ml.topic import fill, numbered, offsets, read, topic

pytestmark = pytest.mark.broker


@pytest.fixture
def name(kafka_settings: Kafka) -> str:
    """A topic of 100 records."""
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(100))
    return name


def delete_before(kafka: Kafka, name: str, offset: int) -> None:
    """As retention does."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    (done,) = admin.delete_records([ck.TopicPartition(name, 0, offset)]).values()
    done.result(30)


def test_a_start_that_was_deleted_is_told(
    kafka_settings: Kafka, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    delete_before(kafka_settings, name, 70)
    assert offsets(read(name, kafka_settings, start=40)) == list(range(70, 100))
    assert f"topic {name} partition 0: expected offset 40, received 70 to 100" in caplog.text


def test_a_group_whose_records_were_deleted_is_told_and_goes_on(
    kafka_settings: Kafka, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=20)
    for batch in dataset.take(2):
        dataset.commit(batch)
    dataset.close()
    delete_before(kafka_settings, name, 70)
    assert offsets(read(name, kafka_settings, group=name)) == list(range(70, 100))
    assert "expected offset 40, received 70 to 100" in caplog.text


def test_an_epoch_that_lost_its_first_records_says_so(
    kafka_settings: Kafka, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = KafkaDataset(name, kafka_settings, start=40, eof=True, batch_rows=20)
    assert offsets(dataset) == list(range(40, 100))
    assert caplog.text == ""
    delete_before(kafka_settings, name, 70)
    assert offsets(dataset) == list(range(70, 100))
    assert "expected offset 40, received 70 to 100" in caplog.text


@pytest.mark.parametrize("grouped", [False, True])
def test_what_is_deleted_before_a_slow_reader_comes_to_it_is_told(
    kafka_settings: Kafka, caplog: pytest.LogCaptureFixture, grouped: bool
) -> None:
    name = topic(kafka_settings)
    with Producer(kafka_settings, "test") as producer:
        for n in range(60):  # a batch of Kafka each, and so much is fetched at once
            producer.produce_and_wait([Record(name, b"k", b"%1000d" % n, 0)] * 10)
    little = {"queued.min.messages": 1, "fetch.message.max.bytes": 1000, "fetch.max.bytes": 1000}
    dataset = KafkaDataset(
        name,
        kafka_settings,
        group=name if grouped else "",
        eof=True,
        batch_rows=10,
        configuration=little | {"message.max.bytes": 1000},
    )
    found = list[int]()
    for batch in dataset:
        found += batch["offset"].numpy().tolist()
        if len(found) == 10:
            delete_before(kafka_settings, name, 500)
    end_of_first = found.index(500)
    assert found == [*range(end_of_first), *range(500, 600)]
    assert end_of_first < 400
    assert f"expected offset {end_of_first}, received 500 to 600" in caplog.text


def test_a_topic_that_was_emptied_ends_at_once(kafka_settings: Kafka, name: str) -> None:
    dataset = KafkaDataset(name, kafka_settings, eof=True, batch_rows=20)
    assert offsets(dataset) == list(range(100))
    delete_before(kafka_settings, name, 100)
    assert offsets(dataset) == []


def test_a_start_behind_the_end_is_not_the_first_record(kafka_settings: Kafka, name: str) -> None:
    dataset = KafkaDataset(f"{name}:0:500", kafka_settings, batch_rows=20)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a start from 0 to 100, received 500"):
        list(dataset)


def test_a_group_that_committed_within_an_open_transaction_reads_nothing_again(
    kafka_settings: Kafka, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Producer(kafka_settings, "test", transactional_id=name) as producer:
        producer.begin()
        for _ in range(10):
            producer.produce(Record(name, b"k", b"open", 0))
        while producer.in_flight():
            producer.poll(0.01)
        with Consumer(kafka_settings, name) as consumer:
            consumer.commit({(name, 0): 105})  # as one that reads uncommitted may
        assert offsets(read(name, kafka_settings, group=name)) == []
        producer.commit(None, {})
    assert offsets(read(name, kafka_settings, group=name)) == list(range(105, 110))
    assert "expected offset" not in caplog.text
