"""The laws that every format passes, whatever it reads. A test module gives its examples."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bridge.contracts import DeadLetter, Message, Reading
from bridge.normalise import Accepted, Ignored, Normaliser

RECEIVED = 1_700_000_000_000_000  # us
CPU_LIMIT_S = 0.010


def message(topic: str, payload: bytes, **more: Any) -> Message:
    return Message(topic, payload, received=RECEIVED, **more)


def readings(topic: str, payload: object) -> tuple[Reading, ...]:
    """The readings of a payload (bytes, or what is to be JSON); fails where there are none."""
    sent = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    outcome = Normaliser(())(message(topic, sent))
    assert isinstance(outcome, Accepted), outcome
    return outcome.readings


def ends_well(topic: str, payload: bytes) -> Accepted | Ignored | DeadLetter:
    """Law: any bytes end as readings that hold, ignored with a reason, or a full dead letter."""
    outcome = Normaliser(())(message(topic, payload))
    if isinstance(outcome, Accepted):
        assert outcome.readings
        for reading in outcome.readings:
            holds(reading)
    elif isinstance(outcome, Ignored):
        assert outcome.reason
    else:
        assert "our fault" not in outcome.received, outcome
        assert outcome.path
        assert outcome.expected
        assert outcome.received
        assert (outcome.topic, outcome.payload) == (topic, payload)
    return outcome


def holds(reading: Reading) -> None:
    """Law: a reading is complete, its names are distinct and its numbers finite."""
    assert reading.device
    assert reading.device_class
    assert len(reading.channels) == len(reading.values) == len(reading.units)
    assert len(set(reading.channels)) == len(reading.channels)
    assert list(reading.channels) == sorted(reading.channels)
    assert len(set(reading.states)) == len(reading.states) == len(reading.state_values)
    assert all(type(v) is float and abs(v) < float("inf") for v in reading.values)
    assert reading.channels or reading.states or reading.position
    assert len(reading.id) == 16


def same_in_same_out(topic: str, payload: bytes) -> None:
    """Law: what was normalised before changes nothing, nor is the message changed."""
    sent = message(topic, payload)
    copy = sent._replace()
    normaliser = Normaliser(())
    first = normaliser(sent)
    assert normaliser(sent) == first == Normaliser(())(sent)
    assert sent == copy


def survives_truncation(topic: str, payload: bytes) -> None:
    """Law: a message cut at any byte ends well."""
    for end in range(len(payload)):
        ends_well(topic, payload[:end])


def order_is_irrelevant(topic: str, payload: bytes) -> None:
    """Law: the order of the fields of a JSON object says nothing (but the id is the bytes')."""
    tree = json.loads(payload) if payload[:1] in (b"{", b"[") else None
    if isinstance(tree, dict):
        turned = json.dumps(_turned(tree)).encode()
        same = json.dumps(tree).encode()
        assert _without_id(topic, turned) == _without_id(topic, same)


def explains_what_it_does(topic: str, payload: bytes) -> None:
    """Law: the explanation tells of the same values, and never fails."""
    normaliser = Normaliser(())
    explanation = normaliser.explain(message(topic, payload))
    assert explanation.outcome == normaliser(message(topic, payload))
    if isinstance(explanation.outcome, Accepted) and len(explanation.outcome.readings) == 1:
        told = {e.name: e.value for e in explanation.fields if e.name}
        (reading,) = explanation.outcome.readings
        assert told == {
            **dict(zip(reading.channels, reading.values, strict=True)),
            **dict(zip(reading.states, reading.state_values, strict=True)),
        }


def is_cheap(topic: str, payload: bytes) -> None:
    """Law: no message costs more than 10 ms of CPU."""
    spent = []
    for _ in range(3):
        normaliser = Normaliser(())
        start = time.process_time()
        normaliser(message(topic, payload))
        spent.append(time.process_time() - start)
    assert min(spent) < CPU_LIMIT_S, f"{min(spent) * 1e3:.1f} ms"


LAWS: tuple[Callable[[str, bytes], object], ...] = (
    ends_well,
    same_in_same_out,
    survives_truncation,
    order_is_irrelevant,
    explains_what_it_does,
    is_cheap,
)


def _turned(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _turned(tree[key]) for key in reversed(tree)}
    return [_turned(item) for item in tree] if isinstance(tree, list) else tree


def _without_id(topic: str, payload: bytes) -> object:
    outcome = Normaliser(())(message(topic, payload))
    if isinstance(outcome, Accepted):
        return [reading._replace(id="") for reading in outcome.readings]
    return outcome if isinstance(outcome, Ignored) else replace(outcome, payload=b"", received="")
