"""What a Kafka dataset was asked for: checked at the door, then a frozen value. No I/O but the
environment's settings.
"""

import difflib
import operator
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypedDict

import numpy as np
import tensorflow as tf

from bridge.errors import Misconfigured
from bridge.kafka import Wanted
from bridge.settings import Kafka, load
from bridge.spans import Bound, Span, bound, spans

ROWS, WAIT_MS = 1000, 100
MOST = 1_000_000  # rows of a batch that librdkafka gives at once
COLUMNS = ("value", "key", "topic", "partition", "offset", "timestamp")
NAMED = ("topics", "servers", "group", "eof")
DECODE = ("raw", "json", "avro", "protobuf")
RENAMED = {  # options of tensorflow-io
    "timeout": "batch_ms= bounds how long a record waits, eof=True ends; leave it out",
    "config_global": "configuration=",
    "config_topic": "configuration=",
    "message_offset": "batch_rows= gives batches with their offsets",
}
ADDRESS = re.compile(
    r"(?!https?://)([a-z_]+://)?(\[[0-9a-f:.]+\]|[^:/\[\]\s]+)(:[0-9]{1,5})?", re.IGNORECASE
)
MISFIT = ("raise", "drop", "dead letter")
DECODED = {"dead_letters", "fields", "framing", "misfit", "registry", "schema"}
FRAMING = ("auto", "registry", "single", "bare")
OURS = {  # librdkafka names that would break a promise
    "enable.auto.commit": "offsets are committed when a batch is reported done",
    "enable.auto.offset.store": "offsets are committed when a batch is reported done",
    "enable.partition.eof": "say eof=True to end at the end",
    "group.id": "say group=",
    "bootstrap.servers": "say servers=",
    "metadata.broker.list": "say servers=",
}
Configuration = Mapping[str, str | int | float | bool] | Sequence[str]


class Options(TypedDict, total=False):
    """What `KafkaDataset` takes by name; its docstring explains each."""

    start: Bound
    stop: Bound
    batch_rows: int
    batch_ms: float
    message_key: bool
    columns: Sequence[str]
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
    registry: str = field(default="", repr=False)  # it may hold a login
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

    @property
    def nothing(self) -> str:
        """What to say of a pass without a record."""
        topics = ", ".join(span.topic for span in self.wanted.spans)
        if not self.group:
            return f"{topics}: no record between start and end"
        return f"{topics}: nothing new for this member behind what group {self.group} has committed"


def plan(
    topics: str | Sequence[str], servers: str | Kafka, group: str, eof: bool, options: Options
) -> Plan:
    """The plan of a dataset.

    Raises:
        Misconfigured: an option is unknown, or its value is none that can be.
    """
    see_that_known("KafkaDataset", options, (*NAMED, *Options.__annotations__))
    _see_types(group, eof)
    kafka = cluster(servers, options.get("configuration", ()))
    start, stop = bound("start", options.get("start")), bound("stop", options.get("stop"))
    reset = str(kafka.options.get("auto.offset.reset", "earliest")).lower()
    wanted = Wanted(spans(topics), start, stop, eof, reset)
    for span in wanted.spans:
        _see_order(wanted.said(span, "start"), wanted.said(span, "stop"))
    said = {start, stop, *(b for span in wanted.spans for b in (span.start, span.stop))}
    if "committed" in said and not group:
        raise Misconfigured("group", "a group, of which offsets are committed", "none")
    is_records = not {"batch_rows", "batch_ms"} & options.keys()
    decoding = _decoding(options)
    _see_face(is_records, options, decoding)
    headers = options.get("headers", ())
    records = ("value", "key") if options.get("message_key") else ("value",)
    return Plan(
        kafka,
        group,
        wanted,
        _whole("batch_rows", options.get("batch_rows", ROWS), MOST),
        _number("batch_ms", options.get("batch_ms", WAIT_MS), 3_600_000) / 1000,
        records if is_records else _columns(options.get("columns", COLUMNS)),
        (headers,) if isinstance(headers, str) else tuple(headers),
        is_records,
        decoding,
    )


def cluster(servers: str | Kafka, configuration: Configuration = ()) -> Kafka:
    """The cluster: settings, or an address; none is what ``HALTERE_KAFKA_*`` say.

    ``configuration`` goes over it: librdkafka's names, as a mapping or as ``"name=value"``.

    >>> cluster("localhost", ["sasl.password=ab=="]).options
    {'sasl.password': 'ab=='}
    """
    options = _given(configuration or ())
    if isinstance(servers, Kafka):
        kafka = servers
    elif not isinstance(servers, str):
        expected = "host:port, several with commas, or a Kafka"
        raise Misconfigured("servers", expected, repr(servers))
    else:
        for address in filter(None, map(str.strip, servers.split(","))):
            if not ADDRESS.fullmatch(address):
                raise Misconfigured("servers", "host:port, several with commas", repr(servers))
        kafka = Kafka(bootstrap_servers=servers) if servers else load(None, os.environ).kafka
    options = kafka.options | options
    for name in sorted(OURS.keys() & options.keys()):
        raise Misconfigured(f"configuration {name}", "nothing", repr(options[name]), OURS[name])
    return kafka.model_copy(update={"options": options})


def _given(configuration: Configuration) -> dict[str, Any]:
    """tensorflow-io had a prefix for topics' options, which librdkafka does not need."""
    pairs: list[tuple[str, Any]] = []
    if isinstance(configuration, Mapping):
        pairs = list(configuration.items())
    else:
        for text in [configuration] if isinstance(configuration, str) else configuration:
            name, sign, value = text.partition("=")
            if not sign:
                raise Misconfigured("configuration", "name=value", repr(name))
            pairs.append((name, value))
    return {name.removeprefix("conf.topic."): value for name, value in pairs}


def _decoding(options: Options) -> Decoding:
    decoding = Decoding(
        _one_of("decode", options.get("decode", "raw"), DECODE),
        _fields(options.get("fields")),
        options.get("schema"),
        _one_of("framing", options.get("framing", "auto"), FRAMING),
        options.get("registry", ""),
        _one_of("misfit", options.get("misfit", "raise"), MISFIT),
        options.get("dead_letters", ""),
    )
    asked = sorted(DECODED & options.keys())
    if decoding.kind == "raw" and asked:
        raise Misconfigured(asked[0], "decode= with it: 'json', 'avro' or 'protobuf'", "'raw'")
    if (decoding.misfit == "dead letter") != bool(decoding.dead_letters):
        expected = "misfit='dead letter' and dead_letters='a topic' together, or neither"
        raise Misconfigured("misfit", expected, f"{decoding.misfit!r}, {decoding.dead_letters!r}")
    if decoding.dead_letters:
        Span.parse(decoding.dead_letters)
    return decoding


def _fields(fields: Any) -> Mapping[str, Any] | None:
    if fields is None or isinstance(fields, Mapping):
        return fields
    raise Misconfigured("fields", "a mapping of names to dtypes or Field", repr(fields))


def _columns(wanted: Sequence[str]) -> tuple[str, ...]:
    """In one order, whatever theirs is."""
    chosen = {wanted} if isinstance(wanted, str) else set(wanted)
    if unknown := sorted(chosen - set(COLUMNS)):
        raise Misconfigured("columns", f"some of {', '.join(COLUMNS)}", ", ".join(unknown))
    if not chosen:
        raise Misconfigured("columns", f"some of {', '.join(COLUMNS)}", "none")
    return tuple(name for name in COLUMNS if name in chosen)


def see_that_known(who: str, options: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise Misconfigured for a name that is none of these, with the nearest."""
    names = list(known)
    for name in sorted(options.keys() - names):
        close = difflib.get_close_matches(name, names, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"help({who}) explains them all"
        raise Misconfigured(who, "a known option", repr(name), RENAMED.get(name, remedy))


def _see_types(group: object, eof: object) -> None:
    if not isinstance(group, str):
        raise Misconfigured("group", "a name", repr(group))
    if not isinstance(eof, bool | np.bool_):
        raise Misconfigured("eof", "True or False", repr(eof))


def _see_order(start: Bound, stop: Bound) -> None:
    if isinstance(start, int) and isinstance(stop, int) and start > stop:
        raise Misconfigured("stop", f"an offset behind the start, {start}", f"{stop}")


def _see_face(is_records: bool, options: Options, decoding: Decoding) -> None:
    """Single records or batches: whether what is asked for goes with it."""
    if is_records and decoding.kind != "raw":
        expected = "batch_rows= or batch_ms=: columns come by the batch"
        raise Misconfigured(f"decode {decoding.kind!r}", expected, "neither")
    for name in ("headers", "columns"):
        if is_records and options.get(name):
            raise Misconfigured(name, "batch_rows= or batch_ms= with them", "neither")


def _number(name: str, value: float, most: int) -> Any:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value <= most:
        raise Misconfigured(name, f"a number above 0, up to {most}", repr(value))
    return value


def _whole(name: str, value: Any, most: int) -> int:
    try:
        return int(_number(name, value if isinstance(value, bool) else operator.index(value), most))
    except TypeError:
        raise Misconfigured(name, f"a number above 0, up to {most}", repr(value)) from None


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
