"""Laws of the line: released in order, each once, and never before it is done."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bridge.inflight import Line, Place

parts = st.lists(st.integers(0, 4), max_size=20)


@given(parts, st.randoms(use_true_random=False))
def test_items_leave_in_order_each_once_and_never_before_they_are_done(
    counts: list[int], chance: Random
) -> None:
    line = Line[int]()
    places = [line.enter(n, count) for n, count in enumerate(counts)]
    confirmations = [place for place in places for _ in range(place.parts)]
    chance.shuffle(confirmations)
    released = line.release()
    for place in confirmations:
        place.done()
        released += line.release()
        undone = [p.item for p in places if p.parts > 0]
        assert released == list(range(min(undone, default=len(counts))))
        assert len(line) == len(counts) - len(released)
    assert released == list(range(len(counts)))
    assert line.release() == []


@given(st.lists(st.sampled_from(["enter", "done", "more", "release"]), max_size=60))
def test_whatever_happens_the_line_releases_a_prefix(steps: list[str]) -> None:
    line, open_, entered, released = Line[int](), list[Place[int]](), 0, list[int]()
    for step in steps:
        if step == "enter":
            open_.append(line.enter(entered))
            entered += 1
        elif step == "release":
            released += line.release()
        elif open_ and step == "more":
            open_[-1].more()
        elif open_:
            open_[0].done()
            if open_[0].parts == 0:
                open_.pop(0)
    assert released == list(range(len(released)))
    assert len(line) == entered - len(released)


def test_an_item_without_parts_still_waits_for_those_before_it() -> None:
    line = Line[str]()
    first = line.enter("first")
    line.enter("nothing to wait for", parts=0)
    assert line.release() == []
    first.done()
    assert line.release() == ["first", "nothing to wait for"]


def test_further_parts_hold_an_item_back() -> None:
    line = Line[str]()
    place = line.enter("a")
    place.more(2)
    place.done()
    place.done()
    assert line.release() == []
    place.done()
    assert line.release() == ["a"]


def test_what_was_dropped_is_not_released_although_its_parts_come() -> None:
    line = Line[str]()
    old, new = line.enter("old"), line.enter("new")
    line.drop(lambda item: item == "old")
    old.done()
    assert (len(line), line.release()) == (1, [])
    new.done()
    assert line.release() == ["new"]
