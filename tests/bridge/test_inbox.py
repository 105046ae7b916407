"""Laws of the inbox: order is kept, what is held is known, and an old connection gets no PUBACK."""

import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import Message
from bridge.inbox import OVERHEAD, PIECE, Batch, Inbox

LONG_S, JOIN_S = 20.0, 30.0


def message(number: int, size: int = 1) -> Message:
    return Message(f"t/{number:03}", b"x" * size, received=number)


EACH = OVERHEAD + len("t/001")  # bytes of a message beside its payload


class Bench:
    """An inbox, and the PUBACKs that it wrote."""

    def __init__(self, count: int = 1000, size: int = 1_000_000) -> None:
        self.acked: list[int] = []
        self.inbox = Inbox(self._acks, count, size)
        self.number = 0

    def _acks(self, mids: Sequence[int]) -> None:
        self.acked.extend(mids)

    def arrive(self, count: int, size: int = 1) -> None:
        numbers = range(self.number + 1, self.number + count + 1)
        self.inbox.put([message(n, size) for n in numbers], list(numbers))
        self.number += count

    def take(self, maximum: int = 1000) -> Batch:
        with self.inbox.lock:
            return self.inbox.take(maximum)

    def held(self) -> tuple[int, int]:
        """Messages, and bytes of their payloads."""
        count, size = self.inbox._held
        return count, size - count * EACH


# Order.


@given(st.lists(st.integers(0, 9), max_size=20), st.lists(st.integers(1, 13), max_size=40))
def test_order_is_kept_however_messages_arrive_and_are_taken(
    arrivals: list[int], maxima: list[int]
) -> None:
    bench = Bench()
    for count in arrivals:
        bench.arrive(count)
    batches = [bench.take(maximum) for maximum in maxima]
    for batch, maximum in zip(batches, maxima, strict=True):
        assert len(batch) == len(batch.mids) <= maximum
    batches.append(bench.take())
    mids = [mid for batch in batches for mid in batch.mids]
    assert mids == list(range(1, sum(arrivals) + 1))
    assert [m.received for batch in batches for m in batch.messages] == mids
    assert not bench.inbox.waiting()


@given(st.lists(st.sampled_from(["arrive", "take", "ack", "clear"]), max_size=60))
def test_what_is_held_is_what_came_and_was_neither_acknowledged_nor_cleared(
    steps: list[str],
) -> None:
    bench, open_, promised = Bench(), list[Batch](), list[int]()
    held = 0
    for step in steps:
        if step == "arrive":
            bench.arrive(3, size=7)
            held += 3
        elif step == "take":
            open_.append(bench.take(2))
        elif step == "clear":
            bench.inbox.clear()
            held = 0
        elif open_:
            batch = open_.pop(0)
            if not batch.stale():
                promised += batch.mids
                held -= len(batch)
            batch.ack()
        assert bench.held() == (held, 7 * held)
        assert bench.acked == promised
    for batch in (*open_, bench.take()):
        batch.ack()
    assert bench.held() == (0, 0)


def test_an_empty_inbox_gives_an_empty_batch() -> None:
    bench = Bench()
    assert len(bench.take()) == 0
    assert not bench.inbox.waiting()
    bench.arrive(1)
    assert bench.inbox.waiting()


# The epoch.


def test_an_acknowledgment_of_a_connection_that_is_gone_is_dropped() -> None:
    bench = Bench()
    bench.arrive(2)
    old = bench.take(1)
    bench.inbox.clear()
    assert old.stale()
    assert not bench.inbox.waiting()  # the broker sends the other one again, too
    bench.arrive(2)
    new = bench.take()
    assert not new.stale()
    old.ack()
    assert (bench.acked, bench.held()) == ([], (2, 2))
    new.ack()
    assert (bench.acked, bench.held()) == ([3, 4], (0, 0))


def test_a_packet_identifier_that_came_again_is_acknowledged_once() -> None:
    bench = Bench()
    bench.inbox.put([message(1)], [7])
    old = bench.take()
    bench.inbox.clear()
    bench.inbox.put([message(2)], [7])
    new = bench.take()
    for batch in (old, new):
        batch.ack()
    assert bench.acked == [7]


def test_the_connection_does_not_change_between_the_check_and_the_writing() -> None:
    """An acknowledgment waits for a change of the connection that is under way, and sees it."""
    bench = Bench()
    bench.arrive(1)
    batch = bench.take()
    with bench.inbox.lock:
        thread = threading.Thread(target=batch.ack)
        thread.start()
        bench.inbox.clear()
    thread.join(JOIN_S)
    assert bench.acked == []


def test_a_batch_of_large_messages_is_a_short_one() -> None:
    bench = Bench()
    bench.arrive(5, size=PIECE // 2)
    assert [len(bench.take()) for _ in range(3)] == [2, 2, 1]
    bench.arrive(1, size=3 * PIECE)
    bench.arrive(40, size=PIECE // 10)
    sizes = [len(bench.take()) for _ in range(7)]
    assert sizes[0] == 1 and sum(sizes) == 41 and max(sizes) <= 10


# Room.


@pytest.mark.parametrize(
    ("count", "size", "arrive", "has_room"),
    [
        (3, 100, (2, 1), True),
        (3, 100, (3, 1), False),
        (3, 100, (4, 1), False),
        (1000, 10, (9, 1), True),
        (1000, 10, (10, 1), False),
        (1000, 10, (1, 11), False),
        (1000, 10, (100, 0), True),  # nothing in them
        (1000, 1000 - 1000 * EACH, (5, 0), False),  # but they are there
    ],
)
def test_there_is_room_below_both_limits(
    count: int, size: int, arrive: tuple[int, int], has_room: bool
) -> None:
    bench = Bench(count, size + (arrive[0] * EACH if size == 10 else 1000 * EACH))
    bench.arrive(*arrive)
    assert bench.inbox.room(0) is has_room
    batch = bench.take()
    assert bench.inbox.room(0) is has_room  # taken is not acknowledged
    batch.ack()
    assert bench.inbox.room(0)


@pytest.mark.parametrize("limits", [(2, 1_000_000), (1000, 2)])
@pytest.mark.parametrize("wake", ["ack", "clear"])
def test_who_waits_for_room_is_woken(limits: tuple[int, int], wake: str) -> None:
    bench = Bench(*limits)
    bench.arrive(2)
    batch = bench.take()
    found = list[bool]()
    thread = threading.Thread(target=lambda: found.append(bench.inbox.room(LONG_S)))
    start = time.monotonic()
    thread.start()
    bench.take()  # neither of these makes room
    assert bench.inbox.room(0.01) is False
    assert found == []
    if wake == "ack":
        batch.ack()
    else:
        bench.inbox.clear()
    thread.join(JOIN_S)
    assert found == [True]
    assert time.monotonic() - start < LONG_S / 2


def test_an_old_acknowledgment_makes_no_room() -> None:
    bench = Bench(count=2)
    bench.arrive(2)
    old = bench.take()
    bench.inbox.clear()
    bench.arrive(2)
    old.ack()
    assert not bench.inbox.room(0)


def test_who_waits_for_messages_is_woken() -> None:
    bench = Bench()
    thread = threading.Thread(target=bench.arrive, args=(1,))
    with bench.inbox.lock:
        thread.start()
        assert bench.inbox.lock.wait_for(bench.inbox.waiting, LONG_S)
        assert bench.inbox.take(5).mids == [1]
    thread.join(JOIN_S)


# Threads.


def _reader(bench: Bench, total: int) -> None:
    """The network thread: reads only where there is room."""
    while bench.number < total:
        if bench.inbox.room(LONG_S):
            bench.arrive(min(7, total - bench.number), size=3)


def test_a_reader_and_a_loop_lose_nothing_and_hold_no_more_than_was_said() -> None:
    bench, total, most, mids = Bench(count=50), 20_000, 0, list[int]()
    thread = threading.Thread(target=_reader, args=(bench, total), daemon=True)
    thread.start()
    while len(mids) < total:
        with bench.inbox.lock:
            assert bench.inbox.lock.wait_for(bench.inbox.waiting, LONG_S)
            batch = bench.inbox.take(20)
        most = max(most, bench.held()[0])
        mids += batch.mids
        batch.ack()
    thread.join(JOIN_S)
    assert mids == bench.acked == list(range(1, total + 1))
    assert bench.held() == (0, 0)
    assert most < 50 + 7


def test_while_connections_come_and_go_no_message_of_an_old_one_is_acknowledged() -> None:
    """Packet identifiers only grow here: an ack of an old connection would name a lower one."""
    bench, stop, gone = Bench(count=100), threading.Event(), list[int]()
    acked: list[tuple[int, int]] = []  # epoch, packet identifier

    def send(mids: Sequence[int]) -> None:
        acked.extend([(bench.inbox.epoch, mid) for mid in mids])

    bench.inbox = Inbox(send, 100, 1_000_000)

    def network() -> None:
        for _ in range(300):
            for _ in range(5):
                if bench.inbox.room(0.001):
                    bench.arrive(4)
            bench.inbox.clear()
            gone.append(bench.number)  # up to here all are of connections that are gone
        stop.set()

    thread = threading.Thread(target=network, daemon=True)
    thread.start()
    while not stop.is_set():
        with bench.inbox.lock:
            bench.inbox.lock.wait_for(bench.inbox.waiting, 0.001)
            batches = [bench.inbox.take(3), bench.inbox.take(3)]
        for batch in batches:
            batch.ack()
    thread.join(JOIN_S)
    assert all(mid > gone[epoch - 1] for epoch, mid in acked if epoch)
    assert [mid for _, mid in acked] == sorted({mid for _, mid in acked})
    assert bench.held() == (0, 0)
