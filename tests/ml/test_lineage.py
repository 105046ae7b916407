"""From a dataset back to what it was made of; no Kafka is asked, for nothing is read."""

from typing import Any

import pytest
import tensorflow as tf

from bridge.errors import Misconfigured
from ml import KafkaDataset
from ml.ledger import ADVICE
from ml.lineage import Lineage, lineage

Dataset = Any  # tf.data.Dataset, which carries no types


def records(topic: str = "t") -> KafkaDataset:
    return KafkaDataset(topic, "127.0.0.1:1", group="g")


def batches(topic: str = "t", rows: int = 10) -> KafkaDataset:
    return KafkaDataset(topic, "127.0.0.1:1", group="g", batch_rows=rows)


def same(*columns: Any) -> Any:
    return columns[0] if len(columns) == 1 else columns


def value(batch: Any) -> Any:
    return batch["value"]


def always(*_: Any) -> Any:
    return tf.constant(True)


def loose() -> Any:
    options = tf.data.Options()
    options.deterministic = False
    return options


def rows(dataset: Dataset) -> list[int | None]:
    return [line.rows for line in lineage(dataset)]


RECORDS: dict[str, tuple[Any, int]] = {
    "as it is": (lambda d: d, 1),
    "map": (lambda d: d.map(same), 1),
    "parallel map": (lambda d: d.map(same, num_parallel_calls=2), 1),
    "parallel map in order": (
        lambda d: d.map(same, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True),
        1,
    ),
    "prefetch": (lambda d: d.prefetch(tf.data.AUTOTUNE), 1),
    "take": (lambda d: d.take(3), 1),
    "enumerate": (lambda d: d.enumerate(), 1),
    "zip with another": (lambda d: tf.data.Dataset.zip((d, tf.data.Dataset.range(3))), 1),
    "options": (lambda d: d.with_options(tf.data.Options()), 1),
    "batch": (lambda d: d.batch(4), 4),
    "batch of a tensor": (lambda d: d.batch(tf.constant(4, tf.int64)), 4),
    "parallel batch": (lambda d: d.batch(4, num_parallel_calls=2), 4),
    "batch of batches": (lambda d: d.batch(4).batch(3), 12),
    "map, batch, map, prefetch": (
        lambda d: d.map(same).batch(32).map(same, num_parallel_calls=2).prefetch(2),
        32,
    ),
    "batch, take": (lambda d: d.batch(4).take(2), 4),
}

BATCHES: dict[str, tuple[Any, int | None]] = {
    "as they are": (lambda d: d, None),
    "map": (lambda d: d.map(value), None),
    "parallel map": (lambda d: d.map(value, num_parallel_calls=2), None),
    "prefetch": (lambda d: d.prefetch(2), None),
    "take": (lambda d: d.take(2), None),
}

UNBATCHED: dict[str, tuple[Any, int]] = {
    "unbatch": (lambda d: d.unbatch(), 1),
    "unbatch, map": (lambda d: d.unbatch().map(value), 1),
    "unbatch, batch": (lambda d: d.unbatch().batch(32), 32),
    "map, unbatch, batch": (lambda d: d.map(value).unbatch().batch(32).prefetch(1), 32),
    "unbatch, batch, unbatch": (lambda d: d.unbatch().batch(4).unbatch(), 1),
    "unbatch, batch, unbatch, batch": (lambda d: d.unbatch().batch(4).unbatch().batch(3), 3),
}


@pytest.mark.parametrize("case", RECORDS)
def test_so_many_records_are_an_element(case: str) -> None:
    make, expected = RECORDS[case]
    source = records()
    assert lineage(make(source)) == [Lineage(source, expected)]


@pytest.mark.parametrize("case", BATCHES)
def test_batches_that_stay_as_they_are_have_the_rows_that_were_read(case: str) -> None:
    make, expected = BATCHES[case]
    source = batches()
    assert lineage(make(source)) == [Lineage(source, expected)]


@pytest.mark.parametrize("case", UNBATCHED)
def test_batches_that_are_grouped_anew_have_the_rows_of_the_last_grouping(case: str) -> None:
    make, expected = UNBATCHED[case]
    source = batches()
    assert lineage(make(source)) == [Lineage(source, expected)]


def test_an_element_without_a_number_of_its_own_has_the_rows_that_wait() -> None:
    source = batches()
    assert Lineage(source, None).due(17) == 17
    assert Lineage(source, 4).due(17) == 4


def test_datasets_that_are_zipped_are_found_in_their_order() -> None:
    a, b, c = records("a"), batches("b"), records("c")
    pairs = tf.data.Dataset.zip((a.batch(4), tf.data.Dataset.zip((b, c.batch(2).map(same)))))
    assert lineage(pairs) == [Lineage(a, 4), Lineage(b, None), Lineage(c, 2)]
    assert lineage(pairs.map(same).prefetch(1)) == lineage(pairs)


def test_a_batch_of_pairs_is_a_batch_of_each() -> None:
    pairs = tf.data.Dataset.zip((records("a"), records("b").batch(2)))
    assert rows(pairs.batch(3)) == [3, 6]


REFUSED: dict[str, tuple[Any, str]] = {
    "filter": (lambda d: d.filter(always), "filter"),
    "shuffle": (lambda d: d.shuffle(10), "shuffle"),
    "skip": (lambda d: d.skip(1), "skip"),
    "repeat": (lambda d: d.repeat(2), "repeat"),
    "cache": (lambda d: d.cache(), "cache"),
    "shard": (lambda d: d.shard(2, 0), "shard"),
    "window": (lambda d: d.window(2), "window"),
    "take while": (lambda d: d.take_while(always), "takewhile"),
    "padded batch": (lambda d: d.padded_batch(2), "paddedbatch"),
    "concatenate": (lambda d: d.concatenate(d), "concatenate"),
    "ignore errors": (lambda d: d.ignore_errors(), "ignoreerrors"),
    "flat map": (lambda d: d.flat_map(tf.data.Dataset.from_tensors), "flatmap"),
    "interleave": (lambda d: d.interleave(tf.data.Dataset.from_tensors), "interleave"),
    "sample": (
        lambda d: tf.data.Dataset.sample_from_datasets([d, records()]),
        "directedinterleave",
    ),
    "parallel map in any order": (
        lambda d: d.map(same, num_parallel_calls=2, deterministic=False),
        "elements that overtake each other",
    ),
    "parallel batch in any order": (
        lambda d: d.batch(2, num_parallel_calls=2, deterministic=False),
        "elements that overtake each other",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_adds_drops_or_reorders_rows_is_refused_by_its_name(case: str) -> None:
    make, received = REFUSED[case]
    with pytest.raises(Misconfigured) as raised:
        lineage(make(records()))
    error = raised.value
    assert (error.where, error.received, error.remedy) == ("dataset", received, ADVICE)
    assert error.expected == "rows as they were read, in their order"


@pytest.mark.parametrize("case", ["filter", "shuffle", "skip"])
def test_it_is_refused_wherever_it_stands(case: str) -> None:
    make, received = REFUSED[case]
    zipped = tf.data.Dataset.zip((records("a"), make(records("b")).batch(2)))
    for dataset in (make(records()).batch(2).prefetch(1), make(records().batch(2)), zipped):
        with pytest.raises(Misconfigured, match=f"received {received} "):
            lineage(dataset)


@pytest.mark.parametrize("parallel", [None, 2])
def test_a_last_batch_that_would_be_dropped_is_refused(parallel: int | None) -> None:
    dataset = records().batch(4, drop_remainder=True, num_parallel_calls=parallel)
    with pytest.raises(Misconfigured) as raised:
        lineage(dataset.map(same))
    assert raised.value.expected == "batch(..., drop_remainder=False)"
    assert raised.value.received == "rows that are dropped at the end"


@pytest.mark.parametrize("make", [same, lambda d: d.batch(2), lambda d: d.map(same).prefetch(1)])
def test_what_was_not_made_of_kafka_is_refused(make: Any) -> None:
    with pytest.raises(Misconfigured, match="^dataset: expected one that was made of a Kafka"):
        lineage(make(tf.data.Dataset.range(3)))
