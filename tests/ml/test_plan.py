"""The plan of a dataset: what may be asked for, and what is told of what may not."""

from datetime import UTC, datetime
from typing import Any

import pytest
import tensorflow as tf

from bridge.errors import Misconfigured
from bridge.kafka import Wanted
from bridge.settings import Kafka
from bridge.spans import Span
from ml.plan import OURS, Decoding, Options, Plan, cluster, plan, signature

OFFSET = "an offset of 0 or more, a datetime, or one of earliest, latest, committed"

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BATCH = ("value", "key", "topic", "partition", "offset", "timestamp")
DEFAULT = "127.0.0.1:9092"


def planned(topics: Any = "cars", group: str = "", eof: bool = False, **options: Any) -> Plan:
    return plan(topics, "", group, eof, Options(**options))  # type: ignore[typeddict-item]


def refusal(**options: Any) -> tuple[str, str, str, str]:
    with pytest.raises(Misconfigured) as raised:
        planned(**options)
    error = raised.value
    return error.where, error.expected, error.received, error.remedy


def test_topics_alone_are_single_records_of_their_values() -> None:
    assert planned() == Plan(
        Kafka(bootstrap_servers=DEFAULT),
        group="",
        wanted=Wanted((Span("cars"),)),
        rows=1000,
        wait_s=0.1,
        columns=("value",),
        headers=(),
        is_records=True,
        decoding=Decoding(),
    )


FACES: dict[str, tuple[dict[str, Any], bool, tuple[str, ...], int, float]] = {
    "nothing": ({}, True, ("value",), 1000, 0.1),
    "keys": ({"message_key": True}, True, ("value", "key"), 1000, 0.1),
    "no keys": ({"message_key": False}, True, ("value",), 1000, 0.1),
    "rows": ({"batch_rows": 32}, False, BATCH, 32, 0.1),
    "time": ({"batch_ms": 5}, False, BATCH, 1000, 0.005),
    "half a millisecond": ({"batch_ms": 0.5}, False, BATCH, 1000, 0.0005),
    "both": ({"batch_rows": 1, "batch_ms": 1}, False, BATCH, 1, 0.001),
    "the most": ({"batch_rows": 1_000_000, "batch_ms": 3_600_000}, False, BATCH, 1_000_000, 3600),
    "rows and keys": ({"batch_rows": 32, "message_key": True}, False, BATCH, 32, 0.1),
}


@pytest.mark.parametrize("case", FACES)
def test_rows_or_a_time_make_batches_of_it(case: str) -> None:
    options, is_records, columns, rows, wait_s = FACES[case]
    found = planned(**options)
    assert (found.is_records, found.columns) == (is_records, columns)
    assert (found.rows, found.wait_s) == (rows, wait_s)


def test_what_is_wanted_is_what_was_said() -> None:
    found = planned(["cars:0:5", "bus:1"], "g", True, start="latest", stop=NOON)
    spans = (Span("cars", 0, 5), Span("bus", 1))
    assert (found.wanted, found.group) == (Wanted(spans, "latest", NOON, True), "g")


def test_how_values_are_decoded_is_what_was_said() -> None:
    how: dict[str, Any] = {"fields": {"t": "float32"}, "schema": "{}", "framing": "registry"}
    how |= {"registry": "http://r", "misfit": "dead letter", "dead_letters": "cars.dead"}
    expected = Decoding(kind="avro", **how)
    assert planned(batch_rows=1, decode="avro", **how).decoding == expected


NEAREST = {
    "batch_row": "did you mean batch_rows?",
    "batchrows": "did you mean batch_rows?",
    "header": "did you mean headers?",
    "dead_letter": "did you mean dead_letters?",
    "config": "did you mean configuration?",
    "decoder": "did you mean decode?",
    "Start": "did you mean start?",
    "zzz": "help(KafkaDataset) explains them all",
}


@pytest.mark.parametrize("name", NEAREST)
def test_an_unknown_option_is_told_the_nearest(name: str) -> None:
    expected = ("KafkaDataset", "a known option", repr(name), NEAREST[name])
    assert refusal(**{name: 1}) == expected


TO_A_MILLION = "a number above 0, up to 1000000"
TO_AN_HOUR = "a number above 0, up to 3600000"
A_MISFIT = "one of 'raise', 'drop', 'dead letter'"
A_FRAMING = "one of 'auto', 'registry', 'single', 'bare'"
TOGETHER = "misfit='dead letter' and dead_letters='a topic' together, or neither"
BY_THE_BATCH = "batch_rows= or batch_ms=: columns come by the batch"

WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    *(
        ({"batch_rows": n}, "batch_rows", TO_A_MILLION, repr(n))
        for n in (0, -1, 1_000_001, True, "32", None, float("nan"), float("inf"))
    ),
    *(
        ({"batch_ms": n}, "batch_ms", TO_AN_HOUR, repr(n))
        for n in (0, -0.5, 3_600_001, False, "100", float("nan"))
    ),
    ({"misfit": "ignore"}, "misfit", A_MISFIT, "'ignore'"),
    ({"misfit": ""}, "misfit", A_MISFIT, "''"),
    ({"framing": "magic"}, "framing", A_FRAMING, "'magic'"),
    (
        {"decode": "avro", "batch_rows": 1, "misfit": "dead letter"},
        "misfit",
        TOGETHER,
        "'dead letter', ''",
    ),
    ({"decode": "avro", "batch_rows": 1, "dead_letters": "d"}, "misfit", TOGETHER, "'raise', 'd'"),
    (
        {"decode": "avro", "batch_rows": 1, "misfit": "drop", "dead_letters": "d"},
        "misfit",
        TOGETHER,
        "'drop', 'd'",
    ),
    ({"decode": "json"}, "decode 'json'", BY_THE_BATCH, "neither"),
    ({"decode": "avro", "message_key": True}, "decode 'avro'", BY_THE_BATCH, "neither"),
    ({"headers": ["model"]}, "headers", "batch_rows= or batch_ms= with them", "neither"),
    ({"decode": "xml"}, "decode", "one of 'raw', 'json', 'avro', 'protobuf'", "'xml'"),
    (
        {"decode": "json", "batch_rows": 1, "fields": ["a"]},
        "fields",
        "a mapping of names to dtypes or Field",
        "['a']",
    ),
    ({"group": True}, "group", "a name", "True"),
    ({"eof": "yes"}, "eof", "True or False", "'yes'"),
    ({"topics": 5}, "topics", "a text, or several", "5"),
    ({"start": 5, "stop": 4}, "stop", "an offset behind the start, 5", "4"),
    ({"topics": "cars:0:5:4"}, "stop", "an offset behind the start, 5", "4"),
    ({"topics": "cars:0:5", "stop": 4}, "stop", "an offset behind the start, 5", "4"),
    ({"start": -1}, "start", OFFSET, "-1"),
    ({"stop": True}, "stop", OFFSET, "True"),
    ({"topics": []}, "topics", "at least one topic", "none"),
    ({"topics": "cars:x"}, "topics 'cars:x' partition", "a number", "'x'"),
]


@pytest.mark.parametrize(("options", "where", "expected", "received"), WRONG, ids=repr)
def test_a_value_that_cannot_be_is_refused_by_its_name(
    options: dict[str, Any], where: str, expected: str, received: str
) -> None:
    assert refusal(**options)[:3] == (where, expected, received)


@pytest.mark.parametrize("name", ["start", "stop"])
def test_a_bound_is_checked_at_the_door(name: str) -> None:
    soon: dict[str, Any] = {name: "soon"}
    zoneless: dict[str, Any] = {name: NOON.replace(tzinfo=None)}
    with pytest.raises(Misconfigured, match=f"^{name}: expected .*one of earliest, latest"):
        planned(**soon)
    with pytest.raises(Misconfigured, match=f"^{name}: expected a datetime with a time zone"):
        planned(**zoneless)


CONFIGURATIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "none": ({}, {}),
    "an empty list": ([], {}),
    "a mapping": ({"a": 1, "b": True, "c": 0.5}, {"a": 1, "b": True, "c": 0.5}),
    "a list": (["fetch.min.bytes=1"], {"fetch.min.bytes": "1"}),
    "a tuple": (("a=1", "b=2"), {"a": "1", "b": "2"}),
    "values that hold =": (["sasl.password=ab==", "x=a=b"], {"sasl.password": "ab==", "x": "a=b"}),
    "an empty value": (["client.rack="], {"client.rack": ""}),
    "tensorflow-io's prefix": (["conf.topic.request.timeout.ms=9"], {"request.timeout.ms": "9"}),
    "the last of a name": (["a=1", "a=2"], {"a": "2"}),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_configuration_is_a_mapping_or_a_list(case: str) -> None:
    given, expected = CONFIGURATIONS[case]
    assert planned(configuration=given).kafka.options == expected


def test_a_configuration_goes_over_the_settings_and_leaves_them_alone() -> None:
    kafka = Kafka(bootstrap_servers="k:1", options={"a": "settings", "b": "settings"})
    found = cluster(kafka, {"a": "given"})
    assert found.options == {"a": "given", "b": "settings"}
    assert kafka.options == {"a": "settings", "b": "settings"}
    assert found.bootstrap_servers == "k:1"


@pytest.mark.parametrize("reset", ["earliest", "latest", "largest"])
def test_where_to_begin_without_a_word_is_librdkafkas_setting(reset: str) -> None:
    assert planned(configuration={"auto.offset.reset": reset}).wanted.reset == reset
    kafka = Kafka(options={"auto.offset.reset": reset})
    assert plan("cars", kafka, "", False, {}).wanted.reset == reset
    assert planned().wanted.reset == "earliest"


WHY = {
    "enable.auto.commit": "offsets are committed when a batch is reported done",
    "enable.auto.offset.store": "offsets are committed when a batch is reported done",
    "enable.partition.eof": "say eof=True to end at the end",
    "group.id": "say group=",
    "metadata.broker.list": "say servers=",
    "bootstrap.servers": "say servers=",
}


@pytest.mark.parametrize("name", sorted(WHY | OURS))
def test_what_would_break_a_promise_is_refused_and_why(name: str) -> None:
    expected = (f"configuration {name}", "nothing", "'x'", WHY[name])
    assert refusal(configuration={name: "x"}) == expected
    assert refusal(configuration=[f"{name}=x"]) == expected
    assert refusal(configuration=[f"conf.topic.{name}=x"]) == expected


def test_the_cluster_is_an_address_or_settings_or_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kafka = Kafka(bootstrap_servers="k:1", prefix="plant")
    assert cluster("a:1,b:2").bootstrap_servers == "a:1,b:2"
    assert cluster(kafka) == kafka
    assert cluster("").bootstrap_servers == DEFAULT
    monkeypatch.setenv("HALTERE_KAFKA_BOOTSTRAP_SERVERS", "env:9")
    monkeypatch.setenv("HALTERE_KAFKA_PREFIX", "works")
    assert (cluster("").bootstrap_servers, cluster("").prefix) == ("env:9", "works")
    assert cluster("a:1").bootstrap_servers == "a:1"
    assert cluster(kafka) == kafka
    assert planned(configuration=["a=1"]).kafka.bootstrap_servers == "env:9"


def test_an_environment_that_is_wrong_is_said_only_where_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HALTERE_KAFKA_BOOTSTRAP_SERVER", "env:9")
    with pytest.raises(Misconfigured, match="HALTERE_KAFKA_BOOTSTRAP_SERVER"):
        cluster("")
    assert cluster("a:1").bootstrap_servers == "a:1"


def test_an_element_has_the_columns_of_the_plan() -> None:
    value = {"t": tf.TensorSpec((None,), tf.float32)}
    text, whole = tf.TensorSpec((None,), tf.string), tf.TensorSpec((None,), tf.int64)
    batch = signature(planned(batch_rows=3, headers=["a", "b"]), value)
    assert batch == {
        "value": value,
        "key": text,
        "topic": text,
        "partition": tf.TensorSpec((None,), tf.int32),
        "offset": whole,
        "timestamp": whole,
        "headers": {"a": text, "b": text},
    }
    assert signature(planned(message_key=True), text) == {"value": text, "key": text}
    assert signature(planned(), text) == {"value": text}
