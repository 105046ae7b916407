"""A Kafka topic as a tf.data dataset: every record once, within its bounds and in time."""

import gc
import threading
import time
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
import tensorflow as tf

from bridge.errors import Misconfigured
from bridge.kafka import Producer, Record
from bridge.kafka.bounds import Bounds
from bridge.settings import Kafka
from bridge.spans import Place
from ml import KafkaDataset
from ml.feed import PATIENT_S
from tests.ml.topic import committed, fill, numbered, offsets, read, topic, values
from tests.poll import quickest

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("count", [0, 1, 2, 499, 500, 501, 1024, 1025, 2049])
@pytest.mark.parametrize("grouped", [False, True])
def test_every_record_comes_once(kafka_settings: Kafka, count: int, grouped: bool) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(count))
    batches = read(name, kafka_settings, group=name if grouped else "")
    assert values(batches) == numbered(count)
    assert offsets(batches) == list(range(count))


def test_a_batch_says_where_each_row_came_from(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    before = time.time_ns() // 1_000_000
    with Producer(kafka_settings, "test") as producer:
        producer.produce_and_wait(
            [
                Record(name, b"a", b"1", 0, (("model", b"old"), ("model", b"new"))),
                Record(name, None, None, 0),
            ]
        )
    (batch,) = read(name, kafka_settings, headers=["model", "none"])
    told = {k: v.numpy().tolist() for k, v in batch.items() if k not in ("headers", "timestamp")}
    assert told == {
        "value": [b"1", b""],
        "key": [b"a", b""],
        "topic": [name.encode()] * 2,
        "partition": [0, 0],
        "offset": [0, 1],
    }
    assert batch["headers"]["model"].numpy().tolist() == [b"new", b""]
    assert batch["headers"]["none"].numpy().tolist() == [b"", b""]
    assert before <= batch["timestamp"].numpy()[0] <= time.time_ns() // 1_000_000


def test_several_topics_and_patterns_are_read_together(kafka_settings: Kafka) -> None:
    names = sorted(topic(kafka_settings, 2) for _ in range(2))
    for name in names:
        for partition in range(2):
            fill(kafka_settings, name, [name.encode() + b"%d" % partition], partition)
    wanted = {name.encode() + b"%d" % p for name in names for p in range(2)}
    by_name = KafkaDataset(names, kafka_settings, eof=True, batch_ms=100)
    pattern = f"^({'|'.join(names)})$"
    by_pattern = KafkaDataset(pattern, kafka_settings, eof=True, batch_ms=100)
    in_group = KafkaDataset(pattern, kafka_settings, group=names[0], eof=True, batch_ms=100)
    for dataset in (by_name, by_pattern, in_group):
        batches = list(dataset)
        assert set(values(batches)) == wanted
        for batch in batches:
            for value, where in zip(batch["value"].numpy(), batch["topic"].numpy(), strict=True):
                assert value.startswith(where)


BOUNDS = {
    "offsets": ({"start": 10, "stop": 20}, range(10, 20)),
    "earliest": ({"start": "earliest"}, range(100)),
    "latest": ({"start": "latest"}, range(0)),
    "a stop behind the end, which eof ends": ({"start": 90, "stop": 500}, range(90, 100)),
    "nothing between": ({"start": 20, "stop": 20}, range(0)),
}


@pytest.mark.parametrize("case", BOUNDS)
def test_it_begins_and_ends_where_it_is_told(kafka_settings: Kafka, case: str) -> None:
    options, expected = BOUNDS[case]
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(100))
    assert offsets(read(name, kafka_settings, **options)) == list(expected)  # type: ignore[arg-type]


def test_a_span_says_it_in_the_name(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings, 2)
    fill(kafka_settings, name, numbered(100), 1)
    dataset = KafkaDataset(f"{name}:1:10:20", kafka_settings, batch_rows=7)
    assert values(dataset) == numbered(10, 10)


def test_it_begins_and_ends_at_a_time(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(10))
    time.sleep(0.05)
    between = datetime.now(UTC)
    time.sleep(0.05)
    fill(kafka_settings, name, numbered(10, 10))
    assert values(read(name, kafka_settings, start=between)) == numbered(10, 10)
    assert values(read(name, kafka_settings, stop=between)) == numbered(10)


def test_each_pass_sees_the_same_records(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(100))
    for group in ("", name):
        dataset = KafkaDataset(name, kafka_settings, group=group, eof=True, batch_rows=30)
        passes = [values(dataset)]
        fill(kafka_settings, name, [b"later"])
        passes += [values(dataset), values(dataset.repeat(2))]
        before = passes[0]
        assert passes == [before, before, before * 2]


def test_what_a_transaction_aborted_or_left_open_is_not_read(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(5))
    with Producer(kafka_settings, "test", transactional_id=name) as producer:
        for n, is_kept in enumerate((False, True)):
            producer.begin()
            producer.produce(Record(name, b"k", b"t%d" % n, 0))
            producer.commit(None, {}) if is_kept else producer.abort()
        assert values(read(name, kafka_settings)) == [*numbered(5), b"t1"]
        producer.begin()
        producer.produce(Record(name, b"k", b"open", 0))
        while producer.in_flight():
            producer.poll(0.01)

        def seconds() -> float:
            begun = time.monotonic()
            assert values(read(name, kafka_settings)) == [*numbered(5), b"t1"]
            return time.monotonic() - begun

        assert quickest(seconds, 2) < 2
        producer.abort()


def test_uncommitted_records_are_read_when_asked_for(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    with Producer(kafka_settings, "test", transactional_id=name) as producer:
        producer.begin()
        producer.produce(Record(name, b"k", b"open", 0))
        while producer.in_flight():
            producer.poll(0.01)
        options = {"isolation.level": "read_uncommitted"}
        assert values(read(name, kafka_settings, configuration=options)) == [b"open"]
        producer.abort()


def test_a_quiet_topic_holds_no_record_back(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    dataset = KafkaDataset(name, kafka_settings, batch_rows=1000, batch_ms=100)
    late: list[float] = []
    sent = [0.0] * 8

    def trickle() -> None:
        with Producer(kafka_settings, "test") as producer:
            for n in range(8):
                sent[n] = time.monotonic()
                producer.produce_and_wait([Record(name, b"k", b"%d" % n, 0)])
                gone.wait(0.4)

    gone = threading.Event()
    thread = threading.Thread(target=trickle)
    batches = iter(dataset)
    thread.start()
    while len(late) < 8:
        for value in next(batches)["value"].numpy():
            late.append(time.monotonic() - sent[int(value)])
    thread.join()
    assert sorted(late)[3] < 0.1 + 0.15  # the batch_ms, and what Kafka takes for itself
    dataset.close()


@pytest.mark.parametrize("grouped", [False, True])
def test_a_small_topic_is_whole_half_a_second_after_its_assignment(
    kafka_settings: Kafka, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(1025))
    assigned: list[float] = []
    starts = Bounds.starts

    def noted(bounds: Bounds, places: Sequence[Place]) -> dict[Place, int]:
        assigned.append(time.monotonic())  # it is assigned what comes next
        return starts(bounds, places)

    monkeypatch.setattr(Bounds, "starts", noted)

    def seconds() -> float:
        assigned.clear()
        group = f"{name}-{time.monotonic_ns()}" if grouped else ""
        assert len(values(read(name, kafka_settings, group=group))) == 1025
        return time.monotonic() - assigned[0]

    assert quickest(seconds, 0.5) < 0.5


def test_records_face_is_scalars_that_batch_as_usual(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(10))
    values_alone = KafkaDataset([f"{name}:0"], kafka_settings, group="x", eof=True)
    assert values_alone.element_spec == tf.TensorSpec((), tf.string)
    assert [v.numpy() for v in values_alone] == numbered(10)
    assert [len(b) for b in values_alone.batch(4)] == [4, 4, 2]
    pairs = KafkaDataset([f"{name}:0"], kafka_settings, eof=True, message_key=True)
    assert next(iter(pairs))[1].numpy() == b"k0"


def test_it_is_a_dataset_that_derives_interleaves_and_zips(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings, 2)
    for partition in range(2):
        fill(kafka_settings, name, [b"%d-%d" % (partition, n) for n in range(50)], partition)
    parts = [KafkaDataset(f"{name}:{p}", kafka_settings, eof=True) for p in range(2)]
    assert isinstance(parts[0], tf.data.Dataset)
    both = tf.data.Dataset.zip((parts[0], parts[1])).map(lambda a, b: a + b" " + b)
    assert [v.numpy() for v in both.take(2)] == [b"0-0 1-0", b"0-1 1-1"]
    mixed = tf.data.Dataset.sample_from_datasets(parts, seed=1)
    assert len(list(mixed)) == 100
    choices = tf.data.Dataset.range(2).interleave(
        lambda n: tf.data.Dataset.choose_from_datasets(parts, tf.data.Dataset.from_tensors(n)),
        cycle_length=2,
    )
    assert len(list(choices)) == 2


def reading() -> int:
    """Passes that are under way."""
    return sum(thread.name == "haltere-feed" for thread in threading.enumerate())


def test_an_iterator_can_be_left_at_any_time(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(3000))
    for quiet in (False, True):
        dataset = KafkaDataset(name, kafka_settings, eof=not quiet, batch_rows=100)
        for derived in (dataset, dataset.prefetch(3), dataset.map(len, num_parallel_calls=2)):
            for _ in derived.take(2):
                pass
            for _ in derived:
                break
    until = time.monotonic() + 5
    while reading() and time.monotonic() < until:
        time.sleep(0.01)
    assert reading() == 0


def test_what_is_wrong_is_said(kafka_settings: Kafka) -> None:
    dataset = KafkaDataset("no-such-topic", kafka_settings, batch_rows=10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected the topic no-such-topic"):
        list(dataset)
    assert isinstance(dataset.failure, Misconfigured)
    waiting = KafkaDataset("no-such-topic", kafka_settings, group="g", batch_rows=10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected the topic no-such-topic"):
        next(iter(waiting))
    name = topic(kafka_settings)
    with pytest.raises(tf.errors.InvalidArgumentError, match="1 partitions, from 0 on"):
        list(KafkaDataset(f"{name}:7", kafka_settings))


def test_offsets_are_committed_when_reported_and_not_before(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(1000))
    dataset = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=100)
    for n, batch in enumerate(dataset.prefetch(4)):
        if n == 4:
            assert committed(kafka_settings, name, [(name, 0)])[0] < 0
            dataset.commit(batch)
            assert committed(kafka_settings, name, [(name, 0)]) == [500]
            break
    again = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=100)
    assert values(again) == numbered(500, 500)


def test_rows_that_were_reordered_or_dropped_are_not_committed(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(100))
    dataset = KafkaDataset(name, kafka_settings, group=name, eof=True, batch_rows=100)
    (batch,) = list(dataset)
    backwards = list(range(100))[::-1]
    for rows in (backwards, list(range(0, 100, 2)), [*range(50), *range(49, 100)]):
        with pytest.raises(Misconfigured, match="as it was read|that were read|at most 100 rows"):
            dataset.commit({n: tf.gather(column, rows) for n, column in batch.items()})
    with pytest.raises(Misconfigured, match="a batch with topic, partition, offset"):
        dataset.commit({"value": batch["value"]})
    assert committed(kafka_settings, name, [(name, 0)])[0] < 0
    dataset.commit(batch)
    assert committed(kafka_settings, name, [(name, 0)]) == [100]
    dataset.close()


def test_a_strategy_gives_each_worker_a_consumer_of_its_own(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings, 2)
    for partition in range(2):
        fill(kafka_settings, name, numbered(20, 20 * partition), partition)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])

    def worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        mine = [f"{name}:{p}" for p in range(2) if p % context.num_input_pipelines == 0]
        return KafkaDataset(mine, kafka_settings, eof=True, batch_rows=10)

    spread = strategy.distribute_datasets_from_function(worker)
    assert sorted(values(spread)) == sorted(numbered(40))


def test_a_dataset_that_is_dropped_leaves_nothing_behind(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(10))
    feeds = []
    for _ in range(12):
        dataset = KafkaDataset(name, kafka_settings, eof=True, batch_rows=10)
        assert values(dataset.map(lambda b: b)) == numbered(10)
        feeds.append(weakref.ref(dataset._feed))
        del dataset
    gc.collect()
    assert len([feed for feed in feeds if feed()]) <= 9  # the last ones are kept for a while


def test_one_who_had_no_room_goes_on_after_a_rebalance(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings, 2)
    for partition in range(2):
        fill(kafka_settings, name, numbered(300, 300 * partition), partition)
    slow = KafkaDataset(name, kafka_settings, group=name, batch_rows=10)
    batches = iter(slow)
    first = next(batches)
    time.sleep(PATIENT_S + 0.3)  # by now it has told Kafka to send no more
    other = KafkaDataset(name, kafka_settings, group=name, batch_rows=10)
    taken = next(iter(other))
    other.close()
    slow.commit(first)
    seen = {*values([first, taken])}
    while len(seen) < 600:
        batch = next(batches)
        seen |= {*values([batch])}
        slow.commit(batch)
    slow.close()
