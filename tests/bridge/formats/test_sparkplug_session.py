"""What a host application knows of its nodes: births, gaps, deaths, a crash, invented nodes."""

from collections.abc import Callable

import pytest

from bridge.contracts import MICROS, Quality
from bridge.errors import Malformed
from bridge.formats.sample import Nothing, Sample
from bridge.formats.sparkplug import ASKED, DEVICES, NAMES, REBIRTH_EVERY, WAITING, Session, decode
from bridge.formats.sparkplug_payload import rebirth
from tests.sparkplug import (
    AT,
    BORN,
    DBIRTH,
    DDATA,
    DDEATH,
    DEVICE,
    NBIRTH,
    NCMD,
    NDATA,
    NDEATH,
    NODE,
    UNITS,
    Host,
    alive,
    data,
    metric,
    nbirth,
    ndeath,
    payload,
    states,
    values,
)


def test_a_message_without_a_gap_asks_for_nothing() -> None:
    host = alive()
    for seq in [*range(2, 256), 0, 1, 2]:
        host.hears(DDATA if seq % 2 else NDATA, payload(metric("Mode", "eco"), seq=seq))
    host.hears(DDEATH, payload(seq=3))
    host.hears(DBIRTH, payload(metric("x", 1.0), seq=4))
    host.hears(NDATA, payload(metric("x", 1.0)))  # without a number nothing is missed
    host.hears(NDATA, payload(metric("x", 1.0), seq=200))
    assert not host.asks()


def test_a_gap_asks_for_a_rebirth_once() -> None:
    host = alive()
    host.hears(DDATA, data(3))
    assert host.asks()
    host.hears(DDATA, data(4))
    assert not host.asks()
    host.hears(NBIRTH, nbirth())
    host.hears(DBIRTH, BORN)
    host.hears(DDATA, data(2))
    assert not host.asks()


def test_a_second_delivery_is_no_gap() -> None:
    host = alive()
    for seq in (2, 3, 4):
        host.hears(DDATA, data(seq))
    for seq in (2, 3, 4):
        assert values(host.sample(DDATA, data(seq), dup=True)) == {"Inputs/Temp": 70.0}
    host.hears(DDATA, data(5), dup=True)
    host.hears(DDATA, data(6))
    assert not host.asks()
    host.hears(DDATA, data(8), dup=True)
    assert host.asks()


UNKNOWN: list[tuple[str, Callable[[], Host], bytes]] = [
    (NDATA, Host, UNITS),
    (DDATA, Host, UNITS),
    (DBIRTH, Host, BORN),
    (DDEATH, Host, payload(seq=2)),
    ("spBv1.0/plant/DDATA/edge/valve", alive, UNITS),
]


@pytest.mark.parametrize(("topic", "known", "sent"), UNKNOWN)
def test_who_was_not_born_is_asked_for_a_rebirth(
    topic: str, known: Callable[[], Host], sent: bytes
) -> None:
    host = known()
    found = host.samples(topic, sent)
    assert all(s.quality == (Quality.STALE if topic == DDEATH else 0) for s in found)
    assert host.asks()


def test_an_alias_without_a_name_is_malformed_and_asks_for_a_rebirth() -> None:
    for host in (Host(), alive()):
        with pytest.raises(Malformed) as caught:
            host.hears(DDATA, payload(metric("a", 1.0), metric(None, 1.0, alias=99), seq=2))
        assert (caught.value.where, caught.value.received) == ("metrics.1.alias", "99")
        assert host.asks()


def test_a_metric_without_a_name_or_an_alias_is_malformed() -> None:
    for topic in (NDATA, NBIRTH):
        host = Host()
        with pytest.raises(Malformed) as caught:
            host.hears(topic, payload(metric(None, 1.0), seq=0))
        assert caught.value.where == "metrics.0.name"
        assert host.session.births() == []


def test_a_node_is_asked_once_in_half_a_minute() -> None:
    session, asked = Session(), []
    for second in range(0, 100, 10):
        session.now = (AT // 1000 + second) * MICROS
        decode(NDATA, UNITS, session)
        decode("spBv1.0/plant/NDATA/other", UNITS, session)
        asked.append(sorted(session.rebirths()))
    request = [(NCMD.replace("edge", node), rebirth(AT)) for node in ("edge", "other")]
    assert asked[0] == request
    assert [len(some) for some in asked] == [2, 0, 0, 2, 0, 0, 2, 0, 0, 2]


def test_a_clock_that_goes_back_does_not_silence_the_requests() -> None:
    session = Session()
    for now in (AT * 1000, AT * 1000 - REBIRTH_EVERY):
        session.now = now
        decode(NDATA, UNITS, session)
        assert len(session.rebirths()) == 1


def test_a_clock_that_goes_back_ends_no_session() -> None:
    host = Host()
    host.hears(NBIRTH, nbirth())
    host.now -= 5 * MICROS
    host.hears(DBIRTH, BORN)
    assert host.sample(DDATA, data(2)).quality == 0
    assert not host.asks()


def test_with_a_node_all_its_devices_are_dead() -> None:
    host = alive()
    found = host.samples(NDEATH, ndeath())
    assert [(s.device, states(s), s.quality, s.time) for s in found] == [
        (NODE, {"status": "offline"}, Quality.STALE, None),
        (DEVICE, {"status": "offline"}, Quality.STALE, None),
    ]
    assert not host.asks()
    for topic, sent in ((NDATA, payload(metric("x", 1.0), seq=2)), (DDATA, data(3))):
        assert host.sample(topic, sent).quality == Quality.STALE
        assert host.asks()
    for topic, sent in ((NBIRTH, nbirth(bdseq=1)), (DBIRTH, BORN), (DDATA, data(2))):
        assert host.sample(topic, sent).quality == 0
    assert not host.asks()


def test_a_late_death_is_none() -> None:
    host = alive()
    host.hears(NBIRTH, nbirth(bdseq=1))
    host.hears(DBIRTH, BORN)
    assert isinstance(host.hears(NDEATH, ndeath(0)), Nothing)
    assert isinstance(host.hears(NDEATH, payload(time=AT)), Nothing)
    assert host.sample(DDATA, data(2)).quality == 0
    assert len(host.samples(NDEATH, ndeath(1))) == 2


def test_a_node_without_a_session_number_dies_all_the_same() -> None:
    host = Host()
    host.hears(NBIRTH, payload(metric("x", 1.0), seq=0))
    assert len(host.samples(NDEATH, ndeath(3))) == 1


def test_a_dead_device_leaves_the_others_alive() -> None:
    host = alive()
    dead = host.sample(DDEATH, payload(seq=2, time=AT + 1))
    assert (dead.device, states(dead)) == (DEVICE, {"status": "offline"})
    assert (dead.quality, dead.time) == (Quality.STALE, (AT + 1) * 1000)
    assert host.sample(NDATA, payload(metric("x", 1.0), seq=3)).quality == 0
    assert not host.asks()
    assert host.sample(DDATA, data(4)).quality == Quality.STALE
    assert host.asks()
    assert host.sample(DBIRTH, payload(metric("x", 1.0, alias=1), seq=5)).quality == 0
    assert values(host.sample(DDATA, data(6))) == {"x": 70.0}
    assert not host.asks()


def test_a_death_that_was_heard_before_ends_nothing() -> None:
    host = alive()
    host.hears(DDEATH, payload(seq=2))
    host.hears(DBIRTH, payload(metric("x", 1.0, alias=1), seq=3))
    host.hears(DDEATH, payload(seq=2), dup=True)
    assert host.sample(DDATA, data(4)).quality == 0


def test_with_a_new_session_of_the_node_the_aliases_of_its_devices_mean_nothing() -> None:
    host = alive()
    host.hears(NBIRTH, nbirth(bdseq=1))
    with pytest.raises(Malformed, match="alias"):
        host.hears(DDATA, data(1))
    assert host.asks()
    named = host.sample(DDATA, payload(metric("Inputs/Temp", 70.0), seq=2))
    assert (named.quality, named.fields[0].unit) == (Quality.STALE, "")
    assert host.asks()
    assert len(host.samples(NDEATH, ndeath(1))) == 2


STREAM = [
    (NBIRTH, nbirth(metric("Uptime", 1, alias=9))),
    (DBIRTH, BORN),
    (DDATA, data(2)),
    (NDATA, payload(metric(None, 5, alias=9), seq=3)),
    (DDEATH, payload(seq=4)),
    (DBIRTH, payload(metric("Level", 3.0, alias=1, unit="cm"), seq=5)),
    (DDATA, data(6, value=4.0)),
    (NDATA, payload(metric(None, 6, alias=9), seq=7)),
]


def told(samples: list[list[Sample]], again: int) -> list[list[Sample]]:
    """What was heard from there on, but an alias that has meanwhile got another name."""
    renamed = {2} if 1 < again <= 2 else set()
    return [some for i, some in enumerate(samples) if i + again not in renamed]


@pytest.mark.parametrize("crash", range(len(STREAM) + 1))
@pytest.mark.parametrize("unacknowledged", range(len(STREAM)))
@pytest.mark.parametrize("turned", [False, True])
def test_a_crash_changes_no_sample(crash: int, unacknowledged: int, turned: bool) -> None:
    """State is a value: births that were kept make another session read the same."""
    kept: dict[str, tuple[bytes, int]] = {}
    host = Host()

    def reads(heard: list[tuple[str, bytes]], dup: bool = False) -> list[list[Sample]]:
        found = []
        for topic, sent in heard:
            found.append(host.samples(topic, sent, dup))
            kept.update({topic: (sent, host.now) for topic, sent in host.session.births()})
        return found

    expected = [Host.samples(twin, *item) for twin in [Host()] for item in STREAM]
    assert reads(STREAM[:crash]) == expected[:crash]
    host.session = Session()
    for topic, (sent, received) in sorted(kept.items(), reverse=turned):
        host.session.restore(topic, sent, received)
    again = max(0, crash - unacknowledged)
    found = reads(STREAM[again:crash], dup=True) + reads(STREAM[crash:])
    assert told(found, again) == told(expected[again:], again)
    assert not host.asks()


@pytest.mark.parametrize("again", range(len(STREAM)))
def test_a_second_delivery_of_the_last_messages_gives_the_same_samples(again: int) -> None:
    host = Host()
    expected = [host.samples(*item) for item in STREAM]
    found = [host.samples(*item, dup=True) for item in STREAM[again:]]
    assert told(found, again) == told(expected[again:], again)
    host.hears(NDATA, payload(metric("x", 1.0), seq=8))
    assert not host.asks()


def test_what_is_restored_asks_for_nothing_and_counts_from_what_comes() -> None:
    session = Session()
    session.restore(DBIRTH, BORN, AT * 1000)
    session.restore(NBIRTH, nbirth(), AT * 1000 - 1)
    assert (session.births(), session.rebirths()) == ([], [])
    session.now = AT * 1000
    for seq in (77, 78):
        (found,) = decode(DDATA, data(seq), session)  # type: ignore[misc]
        assert (values(found), found.quality) == ({"Inputs/Temp": 70.0}, 0)
    assert session.rebirths() == []
    decode(DDATA, data(80), session)
    assert len(session.rebirths()) == 1


def test_a_device_of_an_earlier_session_is_not_restored_as_alive() -> None:
    for order in (1, -1):
        session = Session()
        births = [(DBIRTH, BORN, AT), (NBIRTH, nbirth(), AT + 1)]
        for topic, sent, received in births[::order]:
            session.restore(topic, sent, received)
        with pytest.raises(Malformed, match="alias"):
            decode(DDATA, data(2), session)


@pytest.mark.parametrize(
    ("topic", "sent"),
    [(NDATA, UNITS), ("spBv1.0/STATE/scada", b"{}"), ("x", BORN), (NBIRTH, b"\xff")],
)
def test_what_is_no_birth_cannot_be_restored(topic: str, sent: bytes) -> None:
    with pytest.raises(Malformed):
        Session().restore(topic, sent, 0)


def test_births_are_handed_over_once() -> None:
    host = alive()
    assert host.session.births() == [(NBIRTH, nbirth()), (DBIRTH, BORN)]
    assert host.session.births() == []


def test_invented_nodes_fill_no_memory() -> None:
    session = Session()
    many = payload(*[metric(f"{i}", 1, alias=i) for i in range(990)], seq=1)
    names = NAMES // 1981 + 5
    for i in range(names):
        session.restore(f"spBv1.0/g/NBIRTH/{i}", many, i)
    assert len(session._nodes) == NAMES // 1981
    assert session._size == sum(
        b.size() for n in session._nodes.values() for b in n.births.values()
    )
    for i in range(ASKED + 5):
        decode(f"spBv1.0/invented/NDATA/{i}", UNITS, session)
    assert len(session._asked) == ASKED
    assert len(session.rebirths()) == WAITING
    assert f"g/{names - 1}" in session._nodes


def test_invented_devices_leave_the_node_and_the_youngest() -> None:
    session = Session()
    session.restore(NBIRTH, nbirth(), 0)
    for i in range(DEVICES + 5):
        session.restore(f"spBv1.0/plant/DBIRTH/edge/{i}", BORN, i)
    found = decode(NDEATH, ndeath(), session)
    assert isinstance(found, list)
    assert len(found) == DEVICES
    assert {found[0].device, found[-1].device} == {NODE, f"{NODE}/{DEVICES + 4}"}
    assert f"{NODE}/0" not in {s.device for s in found}


def test_who_is_heard_is_not_the_oldest() -> None:
    session = Session()
    many = payload(*[metric(f"{i}", 1, alias=i) for i in range(990)], seq=1)
    session.restore(NBIRTH, nbirth(), 0)
    for i in range(NAMES // 1981 + 5):
        session.restore(f"spBv1.0/g/NBIRTH/{i}", many, i)
        decode(NDATA, payload(metric("x", 1.0)), session)
    assert session.rebirths() == []
