"""What a batch of readings leads to, without brokers: scores, alerts, late readings, states."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest

from bridge import wire
from bridge.contracts import (
    Alert,
    DeadLetter,
    DeviceState,
    ModelCard,
    Reading,
    Score,
    Topics,
)
from bridge.kafka import Record
from bridge.metrics import Telemetry
from bridge.settings import Settings
from ml.score import Places, Scoring
from tests.ml.fleet import START, readings

TOPICS = Topics("iot")
NOW = START + 1_000_000
ENCODE = wire.Encoder().encode


def scoring() -> Scoring:
    return Scoring(Settings(), lambda: NOW)


def judged(one: Scoring, batch: Sequence[Reading], first: int = 0) -> dict[str, list[Record]]:
    """Records by topic; offsets count from ``first``."""
    count = len(batch)
    places = Places(
        np.zeros(count, np.int32),
        np.arange(first, first + count),
        [ENCODE(reading) for reading in batch],
    )
    found: dict[str, list[Record]] = defaultdict(list)
    for record in one.judge(places, Telemetry("score")):
        found[record.topic].append(record)
    return found


def scores(records: dict[str, list[Record]]) -> list[Score]:
    return [wire.decode(Score, r.value or b"") for r in records[TOPICS.scores]]


@pytest.fixture(scope="module")
def fleet() -> list[Reading]:
    found, _ = readings(4, 100)
    return found


def test_each_reading_gets_one_score_that_names_it(fleet: list[Reading]) -> None:
    found = scores(judged(scoring(), fleet[:50]))
    assert {s.reading for s in found} == {r.id for r in fleet[:50]}
    assert len(found) == 50
    assert {(s.reading, s.offset) for s in found} == {(r.id, n) for n, r in enumerate(fleet[:50])}


def test_a_repeated_reading_gets_no_second_score(fleet: list[Reading]) -> None:
    again = scores(judged(_after(fleet[:20]), fleet[10:30], 20))
    once = scores(judged(_after(fleet[:20]), fleet[20:30], 30))
    assert {s.reading: s.score for s in again} == {s.reading: s.score for s in once}
    assert len(again) == 10


def _after(batch: Sequence[Reading]) -> Scoring:
    one = scoring()
    judged(one, batch)
    return one


def test_a_late_reading_goes_aside_as_it_came(fleet: list[Reading]) -> None:
    device = fleet[0].device
    mine = [r for r in fleet if r.device == device]
    one = scoring()
    judged(one, [mine[0], mine[50]])
    found = judged(one, [mine[1]])
    assert scores(found) == []
    assert [r.value for r in found[TOPICS.late]] == [ENCODE(mine[1])]


@pytest.mark.parametrize("cut", [1, 37, 200])
def test_a_crash_in_between_gives_the_same_scores(fleet: list[Reading], cut: int) -> None:
    whole = scores(judged(scoring(), fleet))
    first, second = scoring(), scoring()
    before = judged(first, fleet[:cut])
    for record in before[TOPICS.state]:
        second.restore(record.partition, wire.decode(DeviceState, record.value or b""))
    after = judged(second, fleet[cut:], cut)
    both = {s.reading: s for s in scores(before) + scores(after)}
    assert both == {s.reading: s for s in whole}


def test_the_size_of_the_batches_does_not_matter(fleet: list[Reading]) -> None:
    one = scoring()
    small = [s for n in range(0, len(fleet), 7) for s in scores(judged(one, fleet[n : n + 7], n))]
    whole = {s.reading: s.score for s in scores(judged(scoring(), fleet))}
    assert {s.reading: s.score for s in small} == pytest.approx(whole)


def test_every_device_that_moved_leaves_its_state_in_its_partition(fleet: list[Reading]) -> None:
    found = judged(scoring(), fleet[:10])
    states = [wire.decode(DeviceState, r.value or b"") for r in found[TOPICS.state]]
    assert {s.device for s in states} == {r.device for r in fleet[:10]}
    assert {r.partition for r in found[TOPICS.state]} == {0}


def test_a_wild_value_raises_one_alert_that_names_the_sensor(fleet: list[Reading]) -> None:
    device = next(r.device for r in fleet if r.device_class == "pump")
    mine = [r for r in fleet if r.device == device]
    wild = _changed(mine[-1], "current", 1e4)
    one = scoring()
    judged(one, mine[:-1])
    found = judged(one, [wild])
    (alert,) = (wire.decode(Alert, r.value or b"") for r in found[TOPICS.alerts])
    assert (alert.device, alert.channel, alert.value) == (device, "current", 1e4)
    assert alert.time == wild.time
    assert alert.valid_until == NOW + 300_000_000
    assert alert.score > 1
    assert scores(found)[0].anomalous


def test_a_young_device_raises_no_alert(fleet: list[Reading]) -> None:
    device = next(r.device for r in fleet if r.device_class == "pump")
    mine = [r for r in fleet if r.device == device][:50]
    one = scoring()
    judged(one, mine[:-1])
    found = judged(one, [_changed(mine[-1], "current", 1e4)])
    assert found[TOPICS.alerts] == []
    assert scores(found)[0].score < 1


HOSTILE = {
    "huge": {"values": (1e308, -1e308), "channels": ("a", "b"), "units": ("", "")},
    "no channels": {"values": (), "channels": (), "units": ()},
    "a channel twice": {"values": (1.0, 2.0), "channels": ("a", "a"), "units": ("", "")},
    "many channels": {
        "values": tuple(map(float, range(50))),
        "units": ("",) * 50,
        "channels": tuple(f"c{n}" for n in range(50)),
    },
    "long ago": {"time": -5},
    "in a while": {"time": 2**62},
    "no name": {"device": ""},
    "odd name": {"device": "a/+#\x01\N{GRINNING FACE}"},
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.filterwarnings("error")
def test_a_hostile_reading_is_judged_and_spoils_nothing(fleet: list[Reading], what: str) -> None:
    strange = fleet[0]._replace(id="strange", **HOSTILE[what])  # type: ignore[arg-type]
    one = scoring()
    found = judged(one, [*fleet[:100], strange, *fleet[100:], strange._replace(id="again")])
    late = {wire.decode(Reading, r.value or b"").id for r in found[TOPICS.late]}
    judged_ids = {s.reading for s in scores(found)}
    assert judged_ids | late == {r.id for r in fleet} | {"strange", "again"}
    assert all(np.isfinite(s.score) for s in scores(found))
    for table in one.observer.tables.values():
        assert not np.isinf(table["mean"]).any()


def test_what_is_no_reading_becomes_a_dead_letter(fleet: list[Reading]) -> None:
    one = scoring()
    places = Places(np.zeros(3, np.int32), np.arange(3), [ENCODE(fleet[0]), b"\xc3\x01junk", b""])
    records = one.judge(places, Telemetry("score"))
    letters = [wire.decode(DeadLetter, r.value or b"") for r in records if "deadletters" in r.topic]
    assert [letter.payload for letter in letters] == [b"\xc3\x01junk", b""]
    assert {letter.topic for letter in letters} == {TOPICS.readings}


def test_a_model_that_cannot_be_read_is_left_alone(fleet: list[Reading]) -> None:
    one = scoring()
    one.adopt(ModelCard(3, "pump", 0, ("current",), 0, 0.0, (), b"no archive"))
    assert one.champions == {}
    assert len(scores(judged(one, fleet[:10]))) == 10


def test_released_partitions_are_forgotten(fleet: list[Reading]) -> None:
    one = _after(fleet[:20])
    one.release(frozenset({0}))
    assert one.observer.homes.of == {}
    assert scores(judged(one, fleet[:1]))[0].reading == fleet[0].id


def _changed(reading: Reading, channel: str, value: float) -> Reading:
    at = reading.channels.index(channel)
    return reading._replace(values=(*reading.values[:at], value, *reading.values[at + 1 :]))
