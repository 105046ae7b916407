"""What a newcomer does wrong, on a real broker: each is said soon, and what to do."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from bridge.brokers import KafkaBroker
from bridge.errors import Misconfigured, Unavailable
from bridge.settings import Kafka
from ml import KafkaDataset, KafkaOutputSequence, OutputCallback, sink
from tests.ml.model import echo, number
from tests.ml.topic import fill, numbered, read, topic, values

pytestmark = [
    pytest.mark.broker,
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]
SOON_S = 25.0  # 12 s on a quiet machine


def failure(dataset: KafkaDataset) -> BaseException:
    with pytest.raises(Exception, match="expected"):
        list(dataset)
    assert dataset.failure is not None
    return dataset.failure


@pytest.mark.parametrize("group", ["", "g"])
def test_without_a_broker_the_reason_is_said_and_no_flood(
    group: str, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    error = failure(KafkaDataset("cars", "127.0.0.1:1", group=group, eof=True))
    assert time.monotonic() - begun < SOON_S
    assert isinstance(error, Unavailable)
    assert "Connection refused" in error.received
    assert "servers=" in error.remedy
    assert capfd.readouterr().err.count("Connection refused") < 5


@pytest.mark.parametrize(
    "servers", ["http://localhost:9092", "localhost:port", "localhost:9092/", "a b"]
)
def test_an_address_that_is_none_is_refused_at_once(servers: str) -> None:
    with pytest.raises(Misconfigured, match="servers: expected host:port, several with commas"):
        KafkaDataset("cars", servers)
    with pytest.raises(Misconfigured, match="servers: expected host:port"):
        KafkaOutputSequence("cars", servers)


@pytest.mark.parametrize("group", ["", "g"])
def test_a_pattern_without_a_topic_ends_and_says_so(
    kafka_settings: Kafka, unique: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(f"^{unique}-.*", kafka_settings, group=group and unique) == []
    assert f"expected a topic that matches ^{unique}-.*, received none" in caplog.text


def test_a_group_that_has_read_it_all_says_so(
    kafka_settings: Kafka, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(10))
    dataset = KafkaDataset(name, kafka_settings, group=unique, eof=True, batch_rows=10)
    for batch in dataset:
        dataset.commit(batch)
    assert "nothing new" not in caplog.text
    assert read(name, kafka_settings, group=unique) == []
    assert f"nothing new for this member behind what group {unique} has committed" in caplog.text


def test_a_predict_of_nothing_is_an_error_of_ours_not_of_keras(
    kafka_settings: Kafka, unique: str
) -> None:
    name = topic(kafka_settings)
    inputs = KafkaDataset(name, kafka_settings, eof=True, batch_rows=10).map(number)
    callback = OutputCallback(10, unique, kafka_settings, source=inputs)
    with pytest.raises(Unavailable, match="expected records to predict, received none"):
        echo().predict(inputs, verbose=0, callbacks=[callback])


def test_what_was_set_before_an_error_is_in_kafka(
    kafka_settings: Kafka, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    def give_up() -> None:
        with KafkaOutputSequence(unique, kafka_settings) as sequence:
            for index in range(2000):
                sequence.setitem(index, f"v{index}")
            sequence.setitem(2001, "behind a gap")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert values(read(unique, kafka_settings)) == numbered(2000)
    assert "index 2000 was not set, so the 1 set behind it were not sent" in caplog.text


def test_a_block_that_ends_by_an_error_does_not_wait_for_kafka_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sink, "SETTLE_S", 0.5)
    with KafkaBroker(tmp_path / "kafka") as broker:

        def give_up() -> None:
            with KafkaOutputSequence("out", broker.bootstrap_servers) as sequence:
                broker.kill()
                sequence.setitem(0, "lost")
                raise KeyboardInterrupt

        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            give_up()
        assert time.monotonic() - begun < SOON_S
    assert "Kafka did not take the last 1 within 0.5 s" in caplog.text


def test_a_value_is_bytes_or_text_and_headers_may_be_a_mapping(
    kafka_settings: Kafka, unique: str
) -> None:
    with KafkaOutputSequence(unique, kafka_settings) as sequence:
        for value in ({"a": 1}, 1.5):
            with pytest.raises(Misconfigured, match="value: expected bytes or text, received"):
                sequence.setitem(0, value)  # type: ignore[arg-type]
        with pytest.raises(Misconfigured, match="key: expected bytes or text, received int"):
            sequence.setitem(0, b"v", key=7)  # type: ignore[arg-type]
        sequence.setitem(0, b"v", headers={"model": b"7"})
    (batch,) = read(unique, kafka_settings, headers=["model"])
    assert batch["headers"]["model"].numpy() == [b"7"]
    with pytest.raises(Misconfigured, match="expected a partition 7, received 1 partitions"):
        KafkaOutputSequence(f"{unique}:7", kafka_settings)


def test_a_callback_without_its_rows_is_refused(kafka_settings: Kafka) -> None:
    with pytest.raises(Misconfigured, match="expected a number of rows, then a topic"):
        OutputCallback("y_pred", "localhost")  # type: ignore[arg-type]
    with pytest.raises(Misconfigured, match=r"did you mean source\?"):
        OutputCallback(1, "y", kafka_settings, sources=None)  # type: ignore[call-arg]


@pytest.mark.parametrize("rows", [30, 500])
def test_a_float_that_no_record_has_is_told_once(
    kafka_settings: Kafka, rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, [b'{"temp_C": 20.5}'] * 1000)
    fields: dict[str, Any] = {"temp_c": "float32", "temp_C": "float32"}
    options: dict[str, Any] = {"decode": "json", "fields": fields, "batch_rows": rows}
    for _ in KafkaDataset(name, kafka_settings, eof=True, **options):
        pass
    (told,) = [r.getMessage() for r in caplog.records if "NaN" in r.getMessage()]
    assert told.endswith("NaN in each: temp_c")


def test_of_many_misfits_there_are_few_lines(
    kafka_settings: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, [b"no JSON"] * 1500)
    fields = {"a": "float32"}
    options: dict[str, Any] = {"decode": "json", "fields": fields, "misfit": "drop"}
    caplog.set_level(logging.WARNING, "ml.feed")
    dataset = KafkaDataset(name, kafka_settings, eof=True, batch_rows=10, **options)
    assert list(dataset) == []
    assert dataset.misfits == 1500
    assert caplog.text.count("do not fit") == 3  # at 10, 100, 1000


def test_a_commit_of_what_is_no_batch_is_refused(kafka_settings: Kafka, unique: str) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(10))
    dataset = KafkaDataset(name, kafka_settings, group=unique, eof=True)
    for record in dataset:
        with pytest.raises(Misconfigured, match="a batch, a dict as it was read"):
            dataset.commit(record)
        break
    batches = KafkaDataset(name, kafka_settings, group=unique, eof=True, batch_rows=10)
    for batch in batches:
        batches.commit(batch)
        with pytest.raises(Misconfigured, match="report each batch once"):
            batches.commit(batch)
