"""A record that does not fit ends the dataset, is counted, or is a dead letter; none is lost."""

import time
from typing import Any

import pytest
import tensorflow as tf
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bridge import wire
from bridge.contracts import DeadLetter
from bridge.errors import HaltereError, Malformed
from bridge.settings import Kafka
from ml import CommitCallback, KafkaDataset, OutputCallback
from tests.ml.model import echo, learner
from tests.ml.topic import committed, fill, offsets, read, topic, values

pytestmark = [
    pytest.mark.broker,
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
]

BAD = b'{"t": "hot"}'
HOT = "record field t: expected a number, received 'hot'"


def lines(count: int, *bad: int) -> list[bytes | None]:
    """JSON of the numbers from 0 on, some of them words."""
    return [BAD if n in bad else b'{"t": %d}' % n for n in range(count)]


def filled(kafka: Kafka, records: list[bytes | None], partition: int = 0) -> str:
    name = topic(kafka, partition + 1)
    fill(kafka, name, records, partition)
    return name


def dataset(name: str, kafka: Kafka, **options: Any) -> KafkaDataset:
    """By tens, of one field that is a number."""
    told: dict[str, Any] = {"eof": True, "batch_rows": 10, "decode": "json"}
    return KafkaDataset(name, kafka, **(told | {"fields": {"t": "float32"}} | options))


def letters(name: str, kafka: Kafka) -> list[DeadLetter]:
    return [wire.decode(DeadLetter, value) for value in values(read(name, kafka))]


def test_what_does_not_fit_ends_the_dataset_and_says_where(kafka_settings: Kafka) -> None:
    name = filled(kafka_settings, lines(30, 25, 26), 2)
    found = dataset(name, kafka_settings)
    seen, rows = [], iter(found)
    told = f"topic {name} partition 2 offset 25: {HOT}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=told.partition("'")[0]) as raised:
        while True:
            seen.append(next(rows))
    assert f"Malformed: {told}" in str(raised.value).replace("\\'", "'")
    assert isinstance(found.failure, Malformed)
    assert str(found.failure) == told
    assert offsets(seen) == list(range(20))
    assert found.misfits == 0


def test_what_ended_a_dataset_is_not_committed(kafka_settings: Kafka) -> None:
    name = filled(kafka_settings, lines(30, 25))
    found = dataset(name, kafka_settings, group=name)
    with pytest.raises(tf.errors.InvalidArgumentError):
        for batch in found:
            found.commit(batch)
    found.commit()
    assert committed(kafka_settings, name, [(name, 0)]) == [20]
    again = dataset(name, kafka_settings, group=name, misfit="drop")
    assert offsets(again) == [*range(20, 25), *range(26, 30)]
    again.close()


def test_what_is_dropped_is_counted(kafka_settings: Kafka) -> None:
    name = filled(kafka_settings, lines(30, 0, 9, 10, 29))
    found = dataset(name, kafka_settings, misfit="drop")
    assert found.misfits == 0
    for n in (1, 2):
        assert offsets(found) == [*range(1, 9), *range(11, 29)]
        assert found.misfits == 4 * n
    assert found.failure is None


MISFITS = {
    "a tombstone": None,
    "nothing": b"",
    "no JSON": b"\xff",
    "a list": b"[]",
    "null": b"null",
    "a text": BAD,
    "too large": b'{"t": 1e39}',
}


@pytest.mark.parametrize("case", MISFITS)
def test_whatever_the_value_is_its_neighbours_are_read(kafka_settings: Kafka, case: str) -> None:
    records = [b'{"t": 0}', MISFITS[case], b'{"t": 2}']
    name = filled(kafka_settings, records)
    found = dataset(name, kafka_settings, misfit="drop")
    assert [t for b in found for t in b["value"]["t"].numpy().tolist()] == [0.0, 2.0]
    assert found.misfits == 1


def test_a_tombstone_is_told_from_an_empty_value(kafka_settings: Kafka) -> None:
    for value, said in ((None, "null, a tombstone"), (b"", "b''")):
        name = filled(kafka_settings, [value])
        found = dataset(name, kafka_settings)
        with pytest.raises(tf.errors.InvalidArgumentError, match="offset 0: Kafka value: "):
            list(found)
        assert isinstance(found.failure, Malformed)
        assert found.failure.received.startswith(said)


# Committed: all before the next record that is not done, those that were dropped too.

COMMITS: dict[str, tuple[list[bytes | None], int]] = {
    "at the end of a batch": (lines(20, 8, 9, 19), 20),
    "at its beginning": (lines(20, 0, 1, 10), 20),
    "a last batch of which no row fits": (lines(25, *range(20, 25)), 25),
    "batches of which no row fits in between": (lines(40, *range(10, 30)), 40),
    "a first batch of which no row fits": (lines(20, *range(10)), 20),
    "no row fits at all": (lines(15, *range(15)), 15),
}


@pytest.mark.parametrize("case", COMMITS)
@pytest.mark.parametrize("misfit", ["drop", "dead letter"])
def test_what_is_behind_dropped_records_is_committed(
    kafka_settings: Kafka, case: str, misfit: str
) -> None:
    records, end = COMMITS[case]
    name = filled(kafka_settings, records)
    options = {"group": name, "misfit": misfit}
    if misfit == "dead letter":
        options["dead_letters"] = topic(kafka_settings)
    found = dataset(name, kafka_settings, **options)
    for batch in found:
        found.commit(batch)
    found.commit()
    assert committed(kafka_settings, name, [(name, 0)]) == [end]
    assert found.misfits == records.count(BAD)
    if misfit == "dead letter":
        assert len(letters(options["dead_letters"], kafka_settings)) == found.misfits


@pytest.mark.parametrize("case", [case for case in COMMITS if case != "no row fits at all"])
def test_fit_commits_behind_dropped_records(kafka_settings: Kafka, case: str) -> None:
    records, end = COMMITS[case]
    name = filled(kafka_settings, records)
    source = dataset(name, kafka_settings, group=name, misfit="drop")
    train = source.map(lambda b: (b["value"]["t"][:, None],) * 2)
    learner().fit(train, verbose=0, callbacks=[CommitCallback(train)])
    assert committed(kafka_settings, name, [(name, 0)]) == [end]


def test_a_dropped_record_does_not_commit_what_comes_before_it(kafka_settings: Kafka) -> None:
    name = filled(kafka_settings, lines(40, 15, *range(20, 30)))
    found = dataset(name, kafka_settings, group=name, misfit="drop")
    batches = list(found)
    assert committed(kafka_settings, name, [(name, 0)])[0] < 0
    found.commit(batches[0])
    assert committed(kafka_settings, name, [(name, 0)]) == [10]
    found.commit(batches[1])
    assert committed(kafka_settings, name, [(name, 0)]) == [30]
    found.close()


def test_a_partition_of_which_no_row_fits_is_committed_too(kafka_settings: Kafka) -> None:
    name = topic(kafka_settings, 3)
    for partition, bad in enumerate(((), range(12), (0, 11))):
        fill(kafka_settings, name, lines(12, *bad), partition)
    found = dataset(name, kafka_settings, group=name, misfit="drop")
    for batch in found:
        found.commit(batch)
    found.commit()
    assert committed(kafka_settings, name, [(name, p) for p in range(3)]) == [12, 12, 12]
    assert found.misfits == 14


def test_predictions_have_the_keys_of_the_rows_that_fit(kafka_settings: Kafka) -> None:
    name, out = filled(kafka_settings, lines(25, 3, *range(10, 20), 24)), topic(kafka_settings)
    source = dataset(name, kafka_settings, group=name, misfit="drop")
    inputs = source.map(lambda batch: batch["value"]["t"][:, None])
    sending = OutputCallback(
        10, out, kafka_settings, source=inputs, encode=lambda row: f"{row[0]:g}"
    )
    echo().predict(inputs, verbose=0, callbacks=[sending])
    (batch,) = read(out, kafka_settings)
    sent = zip(batch["key"].numpy().tolist(), batch["value"].numpy().tolist(), strict=True)
    fitting = [n for n in range(25) if n not in (3, *range(10, 20), 24)]
    assert list(sent) == [(b"k%d" % n, b"%d" % n) for n in fitting]
    assert committed(kafka_settings, name, [(name, 0)]) == [25]


def test_a_dead_letter_has_the_value_the_place_and_the_reason(kafka_settings: Kafka) -> None:
    name = filled(kafka_settings, [b'{"t": 1}', BAD, None, b"\xff\0"], 1)
    dead = topic(kafka_settings)
    before = time.time_ns() // 1000
    found = dataset(name, kafka_settings, misfit="dead letter", dead_letters=dead)
    assert offsets(found) == [0]
    sent = letters(dead, kafka_settings)
    assert [letter.payload for letter in sent] == [BAD, b"", b"\xff\0"]
    assert {letter.topic for letter in sent} == {name}
    places = [f"topic {name} partition 1 offset {n}" for n in (1, 2, 3)]
    assert [letter.path.partition(": ")[0] for letter in sent] == places
    first = sent[0]
    assert f"{first.path}: expected {first.expected}, received {first.received}" == (
        f"{places[0]}: {HOT}"
    )
    assert sent[1].received == "null, a tombstone"
    assert all(before <= letter.time <= time.time_ns() // 1000 for letter in sent)
    keys = [key for b in read(dead, kafka_settings) for key in b["key"].numpy().tolist()]
    assert sorted(keys) == [place.encode() for place in places]


def test_dead_letters_are_in_kafka_before_their_batch_is_handed_out(kafka_settings: Kafka) -> None:
    name, dead = topic(kafka_settings), topic(kafka_settings)
    options = {"misfit": "dead letter", "dead_letters": dead, "eof": False}
    rows = iter(dataset(name, kafka_settings, **options))
    for n in range(5):
        fill(kafka_settings, name, [BAD, b'{"t": %d}' % n])  # in one batch, or in two
        assert next(rows)["value"]["t"].numpy().tolist() == [n]
        assert len(letters(dead, kafka_settings)) == n + 1


def test_the_topic_of_dead_letters_is_made_if_need_be(kafka_settings: Kafka) -> None:
    name, dead = filled(kafka_settings, lines(3, 1)), f"{kafka_settings.prefix}-dead"
    found = dataset(name, kafka_settings, misfit="dead letter", dead_letters=dead)
    assert offsets(found) == [0, 2]
    assert [letter.payload for letter in letters(dead, kafka_settings)] == [BAD]


def admin(kafka: Kafka) -> Any:
    return AdminClient({"bootstrap.servers": kafka.bootstrap_servers})


def narrow(kafka: Kafka) -> str:
    """A topic for records of 100 bytes: no dead letter is so short."""
    name = f"{kafka.prefix}-narrow"
    client = admin(kafka)  # its requests end with it
    made = NewTopic(name, 1, 1, config={"max.message.bytes": "100"})
    client.create_topics([made])[name].result()
    return name


@pytest.mark.parametrize("case", ["in a batch with others", "a batch of its own"])
def test_where_kafka_takes_no_dead_letters_nothing_is_lost(
    kafka_settings: Kafka, case: str
) -> None:
    bad = (12,) if case == "in a batch with others" else range(10, 20)
    name = filled(kafka_settings, lines(40, *bad))
    options = {"group": name, "misfit": "dead letter"}
    found = dataset(name, kafka_settings, dead_letters=narrow(kafka_settings), **options)
    seen, rows = [], iter(found)
    with pytest.raises(tf.errors.InvalidArgumentError, match="MSG_SIZE_TOO_LARGE"):
        while True:
            seen.append(next(rows))
            found.commit(seen[-1])
    found.commit()
    assert isinstance(found.failure, HaltereError)
    assert offsets(seen) == list(range(10))
    assert found.misfits == 0
    assert committed(kafka_settings, name, [(name, 0)]) == [10]
    dead = topic(kafka_settings)
    again = dataset(name, kafka_settings, dead_letters=dead, **options)
    assert offsets(again) == [n for n in range(10, 40) if n not in bad]
    assert [letter.payload for letter in letters(dead, kafka_settings)] == [BAD] * len(bad)
    again.close()


def test_a_topic_of_dead_letters_that_goes_ends_the_dataset(kafka_settings: Kafka) -> None:
    name, dead = topic(kafka_settings), topic(kafka_settings)
    hasty = kafka_settings.model_copy(update={"message_timeout_ms": 1000})
    options = {"group": name, "misfit": "dead letter", "dead_letters": dead, "eof": False}
    found = dataset(name, hasty, **options)
    rows = iter(found)
    fill(kafka_settings, name, lines(3, 1))
    while found.misfits == 0 or committed(kafka_settings, name, [(name, 0)]) != [3]:
        found.commit(next(rows))
    client = admin(kafka_settings)
    client.delete_topics([dead])[dead].result()
    fill(kafka_settings, name, lines(3, 1))
    with pytest.raises(tf.errors.InvalidArgumentError):
        while True:
            found.commit(next(rows))
    found.commit()
    assert isinstance(found.failure, HaltereError)
    assert committed(kafka_settings, name, [(name, 0)])[0] in (3, 4)  # 3 may come by itself


def test_an_error_says_which_topic_takes_no_dead_letters(kafka_settings: Kafka) -> None:
    name, dead = filled(kafka_settings, lines(1, 0)), narrow(kafka_settings)
    found = dataset(name, kafka_settings, misfit="dead letter", dead_letters=dead)
    with pytest.raises(tf.errors.InvalidArgumentError, match=dead):
        list(found)
