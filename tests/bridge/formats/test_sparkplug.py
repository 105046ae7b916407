"""Sparkplug B: recognition, the laws, hostile bytes, and what measures nothing."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import DeadLetter
from bridge.errors import Malformed
from bridge.formats import recognise
from bridge.formats.sparkplug_payload import rebirth
from bridge.normalise import Accepted, Ignored, Normaliser
from tests import laws
from tests import sparkplug as sp
from tests.sparkplug import (
    AT,
    BORN,
    DBIRTH,
    DDATA,
    DDEATH,
    NBIRTH,
    NCMD,
    NDATA,
    NDEATH,
    POSITION,
    UNITS,
    Host,
    data,
    metric,
    nbirth,
    ndeath,
    payload,
)

EXAMPLES: list[tuple[str, bytes, str]] = [
    (NBIRTH, nbirth(metric("Supply Voltage", 12.1, time=AT)), "sparkplug_b"),
    (NDATA, UNITS, "sparkplug_b"),
    (NDATA, POSITION, "sparkplug_b"),
    (NDEATH, ndeath(), "sparkplug_b"),
    (DBIRTH, BORN, "sparkplug_b"),
    (DDATA, payload(metric("Inputs/Temp", 21.0, quality=500, time=AT), seq=2), "sparkplug_b"),
    (DDATA, payload(metric(None, 21.0, alias=1), seq=2), "sparkplug_b"),
    (DDATA, payload(metric("a", (sp.RAW, b"\1\0\2\0"), 23), seq=2), "sparkplug_b"),
    (DDEATH, payload(seq=3), "sparkplug_b"),
    (NCMD, rebirth(AT), "sparkplug_b"),
    ("spBv1.0/STATE/scada", b'{"online":true,"timestamp":1700000000000}', "sparkplug_b"),
    ("STATE/scada", b"ONLINE", "sparkplug_b"),
]
NUMBERED = [str(i) for i in range(len(EXAMPLES))]
END_WELL = st.sampled_from(EXAMPLES)


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "sent", "_name"), EXAMPLES, ids=NUMBERED)
def test_sparkplug_passes_the_laws(law: Any, topic: str, sent: bytes, _name: str) -> None:
    law(topic, sent)


@pytest.mark.parametrize(("topic", "sent", "name"), EXAMPLES, ids=NUMBERED)
def test_sparkplug_is_recognised(topic: str, sent: bytes, name: str) -> None:
    found = recognise(topic, sent)
    assert found.name == name
    assert found.why


@settings(max_examples=300)
@given(END_WELL, st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=4))
def test_any_mutation_ends_well(
    example: tuple[str, bytes, str], changes: list[tuple[int, int]]
) -> None:
    topic, sent, _ = example
    mutated = bytearray(sent)
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    laws.ends_well(topic, bytes(mutated))


@given(st.lists(st.tuples(END_WELL, st.booleans(), st.integers(0, 255)), max_size=12))
def test_any_order_of_messages_ends_well(
    heard: list[tuple[tuple[str, bytes, str], bool, int]],
) -> None:
    normaliser = Normaliser(())
    for (topic, sent, _), dup, cut in heard:
        outcome = normaliser(laws.message(topic, sent[: cut or None], dup=dup))
        if isinstance(outcome, Accepted):
            for reading in outcome.readings:
                laws.holds(reading)
        elif isinstance(outcome, DeadLetter):
            assert "our fault" not in outcome.received, outcome


IGNORED = [
    (NCMD, rebirth(AT)),
    ("spBv1.0/plant/DCMD/edge/pump", payload(metric("Outputs/E", True))),
    ("spBv1.0/STATE/scada", b'{"online":true,"timestamp":1700000000000}'),
    ("STATE/scada", b"OFFLINE"),
    ("spBv1.0/plant/NMETA/edge", b"?"),
    (NDATA, b""),
    (NDATA, payload(seq=2)),
    (NDEATH, ndeath()),
]


@pytest.mark.parametrize(("topic", "sent"), IGNORED)
def test_what_measures_nothing_is_ignored_with_a_reason(topic: str, sent: bytes) -> None:
    outcome = Normaliser(())(laws.message(topic, sent))
    assert isinstance(outcome, Ignored)
    assert outcome.format == "sparkplug_b"
    assert outcome.reason


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0",
        "spBv1.0/plant/NDATA",
        "spBv1.0/plant/NDATA/",
        "spBv1.0//NDATA/edge",
        "spBv1.0/plant/NDATA/edge/pump",
        "spBv1.0/plant/DDATA/edge",
        "spBv1.0/plant/DDATA/edge/pump/valve",
    ],
)
def test_a_topic_that_names_no_sender_is_malformed(topic: str) -> None:
    with pytest.raises(Malformed) as caught:
        Host().hears(topic, data(2))
    assert caught.value.where == "topic"


def test_two_hundred_metrics_take_less_than_ten_milliseconds() -> None:
    birth = nbirth(*[metric(f"Area {i % 9}/Tag {i}", float(i), alias=i) for i in range(198)])
    update = payload(*[metric(None, float(i), alias=i, time=AT) for i in range(198)], seq=1)
    for topic, sent in ((NBIRTH, birth), (NDATA, update)):
        spent = []
        for _ in range(3):
            normaliser = Normaliser(())
            normaliser(laws.message(NBIRTH, birth))
            start = time.process_time()
            outcome = normaliser(laws.message(topic, sent))
            spent.append(time.process_time() - start)
            assert isinstance(outcome, Accepted), outcome
        assert min(spent) < laws.CPU_LIMIT_S
