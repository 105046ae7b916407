"""What a Kafka dataset was asked for: checked at the door, then a frozen value. No I/O but the
environment's settings.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import tensorflow as tf

from bridge.errors import Misconfigured
from bridge.kafka import Wanted
from bridge.settings import Kafka, load
from bridge.spans import Bound, bound, spans

ROWS, WAIT_MS = 1000, 100
MOST = 1_000_000  # rows of a batch that librdkafka gives at once
MISFIT = ("raise", "drop", "dead letter")
FRAMING = ("auto", "registry", "single", "bare")
OURS = {  # librdkafka names that would break a promise
    "enable.auto.commit": "offsets are committed when a batch is reported done",
    "enable.auto.offset.store": "offsets are committed when a batch is reported done",
    "enable.partition.eof": "say eof=True to end at the end",
    "group.id": "say group=",
    "bootstrap.servers": "say servers=",
}
Configuration = Mapping[str, str | int | float | bool] | Sequence[str]


class Options(TypedDict, total=False):
    """What `KafkaDataset` takes by name; its docstring explains each."""

    start: Bound
    stop: Bound
    batch_rows: int
    batch_ms: float
    message_key: bool
    headers: Sequence[str]
    decode: str
    fields: Mapping[str, Any] | None
    schema: object
    framing: str
    registry: str
    misfit: str
    dead_letters: str
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Decoding:
    """How values become columns, and what becomes of those that do not fit."""

    kind: str = "raw"
    fields: Mapping[str, Any] | None = None
    schema: object = None
    framing: str = "auto"
    registry: str = ""
    misfit: str = "raise"
    dead_letters: str = ""  # topic


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it."""

    kafka: Kafka
    group: str
    wanted: Wanted
    rows: int
    wait_s: float
    columns: tuple[str, ...]  # of the batch, beside headers
    headers: tuple[str, ...]
    is_records: bool  # one element a record, not a batch
    decoding: Decoding


def plan(
    topics: str | Sequence[str], servers: str | Kafka, group: str, eof: bool, options: Options
) -> Plan:
    """The plan of a dataset.

    Raises:
        Misconfigured: an option is unknown, or its value is none that can be.
    """
    _see_that_known(options)
    kafka = cluster(servers, options.get("configuration", {}))
    wanted = Wanted(
        spans(topics),
        bound("start", options.get("start")),
        bound("stop", options.get("stop")),
        eof,
        str(kafka.options.get("auto.offset.reset", "earliest")),
    )
    is_records = not {"batch_rows", "batch_ms"} & options.keys()
    decoding = _decoding(options)
    if is_records and decoding.kind != "raw":
        expected = "batch_rows= or batch_ms=: columns come by the batch"
        raise Misconfigured(f"decode {decoding.kind!r}", expected, "neither")
    if is_records and options.get("headers"):
        raise Misconfigured("headers", "batch_rows= or batch_ms= with them", "neither")
    records = ("value", "key") if options.get("message_key") else ("value",)
    batches = ("value", "key", "topic", "partition", "offset", "timestamp")
    return Plan(
        kafka,
        group,
        wanted,
        _number("batch_rows", options.get("batch_rows", ROWS), MOST),
        _number("batch_ms", options.get("batch_ms", WAIT_MS), 3_600_000) / 1000,
        records if is_records else batches,
        tuple(options.get("headers", ())),
        is_records,
        decoding,
    )


def cluster(servers: str | Kafka, configuration: Configuration = ()) -> Kafka:
    """The cluster: settings, or an address; none is what ``HALTERE_KAFKA_*`` say.

    ``configuration`` goes over it: librdkafka's names, as a mapping or as ``"name=value"``.

    >>> cluster("localhost", ["sasl.password=ab=="]).options
    {'sasl.password': 'ab=='}
    """
    if isinstance(configuration, Mapping):
        given = dict(configuration)
    else:
        pairs = [text.partition("=") for text in configuration]
        given = {name.removeprefix("conf.topic."): value for name, _, value in pairs}
    for name in OURS.keys() & given.keys():
        raise Misconfigured(f"configuration {name}", "nothing", repr(given[name]), OURS[name])
    if isinstance(servers, Kafka):
        kafka = servers
    elif servers:
        kafka = Kafka(bootstrap_servers=servers)
    else:
        kafka = load(None, os.environ).kafka
    return kafka.model_copy(update={"options": kafka.options | given})


def _decoding(options: Options) -> Decoding:
    decoding = Decoding(
        options.get("decode", "raw"),
        options.get("fields"),
        options.get("schema"),
        _one_of("framing", options.get("framing", "auto"), FRAMING),
        options.get("registry", ""),
        _one_of("misfit", options.get("misfit", "raise"), MISFIT),
        options.get("dead_letters", ""),
    )
    if (decoding.misfit == "dead letter") != bool(decoding.dead_letters):
        expected = "misfit='dead letter' and dead_letters='a topic' together, or neither"
        raise Misconfigured("misfit", expected, f"{decoding.misfit!r}, {decoding.dead_letters!r}")
    return decoding


def _see_that_known(options: Options) -> None:
    for name in options.keys() - Options.__annotations__.keys():
        close = difflib.get_close_matches(name, Options.__annotations__, n=1)
        remedy = f"did you mean {close[0]}?" if close else "help(KafkaDataset) explains them all"
        raise Misconfigured("KafkaDataset", "a known option", repr(name), remedy)


def _number(name: str, value: float, most: int) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise Misconfigured(name, f"a number above 0, up to {most}", repr(value))
    return value


def _one_of(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise Misconfigured(name, f"one of {', '.join(map(repr, known))}", repr(value))
    return value


def signature(plan: Plan, value: Any) -> dict[str, Any]:
    """What an element of a batch dataset is; ``value`` is what values are decoded to."""
    text, whole = tf.TensorSpec((None,), tf.string), tf.TensorSpec((None,), tf.int64)
    known: dict[str, Any] = {"value": value, "key": text, "topic": text}
    known |= {"partition": tf.TensorSpec((None,), tf.int32), "offset": whole, "timestamp": whole}
    found = {name: known[name] for name in plan.columns}
    return found | ({"headers": dict.fromkeys(plan.headers, text)} if plan.headers else {})
