"""Where partitions begin and end; the cluster is a fake that writes down what it is asked."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from bridge.errors import Misconfigured
from bridge.kafka import Ranges, Wanted
from bridge.kafka.bounds import Bounds, Range
from bridge.spans import Bound, Place, spans

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NOON_MS = 1_767_355_200_000
CARS_0, CARS_1, BUS_0 = ("cars", 0), ("cars", 1), ("bus", 0)


class Cluster:
    """Topics with first and next offsets, times and what is committed."""

    where = "kafka fake:1"

    def __init__(self) -> None:
        self.held = {CARS_0: (10, 100), CARS_1: (0, 50), BUS_0: (0, 7)}
        self.times: dict[Place, int] = {}  # of the first record that is not older; else -1
        self.committed: dict[Place, int] = {}
        self.open: dict[Place, int] = {}  # the next offset behind an open transaction
        self.asked: list[object] = []

    def known(self) -> dict[str, list[int]]:
        topics: dict[str, list[int]] = {}
        for topic, partition in sorted(self.held):
            topics.setdefault(topic, []).append(partition)
        return topics

    def ends(self, topic: str) -> dict[Place, tuple[int, int]]:
        self.asked.append(f"ends {topic}")
        return {place: ends for place, ends in self.held.items() if place[0] == topic}

    def last(self, place: Place) -> int:
        self.asked.append(("last", place))
        return self.open.get(place, self.held[place][1])

    def since(self, places: Sequence[Place], ms: int) -> dict[Place, int]:
        self.asked.append(("since", *places, ms))
        return {place: self.times.get(place, -1) for place in places}

    def committed_offsets(self, places: Sequence[Place]) -> dict[Place, int]:
        self.asked.append(("committed", *places))
        return {place: self.committed.get(place, -1001) for place in places}


class Pass(Bounds):
    """One pass that is settled."""

    def __init__(
        self,
        cluster: Cluster,
        wanted: Wanted,
        ranges: Ranges | None = None,
        is_member: bool = False,
    ) -> None:
        self.ranges = Ranges() if ranges is None else ranges
        super().__init__(cluster, wanted, self.ranges, is_member)
        self.settle()

    def begin(self) -> dict[Place, int]:
        return self.starts(self.places())


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


STARTS: dict[str, tuple[Bound, int]] = {
    "nothing said": (None, 10),
    "an offset": (42, 42),
    "the first offset": (0, 10),
    "the earliest": ("earliest", 10),
    "the latest": ("latest", 100),
    "a time": (NOON, 60),
    "what is committed": ("committed", 33),
}


@pytest.mark.parametrize("case", STARTS)
def test_it_begins_where_it_is_told(cluster: Cluster, case: str) -> None:
    start, expected = STARTS[case]
    cluster.times, cluster.committed = {CARS_0: 60}, {CARS_0: 33}
    assert Pass(cluster, Wanted(spans("cars:0"), start)).begin() == {CARS_0: expected}


@pytest.mark.parametrize("case", STARTS)
def test_the_name_of_a_topic_says_it_over_what_is_said_for_all(cluster: Cluster, case: str) -> None:
    start, expected = STARTS[case]
    cluster.times, cluster.committed = {CARS_0: 60}, {CARS_0: 33}
    wanted = Wanted(spans(["cars:0:17", "cars:1"]), start)
    assert Pass(cluster, wanted).starts([CARS_0]) == {CARS_0: 17}
    assert Pass(cluster, Wanted(spans(["bus:0:7", "cars:0"]), start)).begin()[CARS_0] == expected


STOPS: dict[str, tuple[Bound, bool, int]] = {
    "an offset": (42, False, 42),
    "an offset that is not there yet": (500, False, 500),
    "an offset that is not there yet, and eof": (500, True, 100),
    "the end": (None, True, 100),
    "the earliest": ("earliest", False, 10),
    "the latest": ("latest", False, 100),
    "a time": (NOON, False, 60),
    "a time and eof": (NOON, True, 60),
    "what is committed": ("committed", False, 33),
}


@pytest.mark.parametrize("case", STOPS)
def test_it_ends_where_it_is_told(cluster: Cluster, case: str) -> None:
    stop, eof, expected = STOPS[case]
    cluster.times, cluster.committed = {CARS_0: 60}, {CARS_0: 33}
    one = Pass(cluster, Wanted(spans("cars:0"), None, stop, eof))
    assert one.ranges.stops == {CARS_0: expected}
    one.begin()
    assert one.ranges.of == {CARS_0: Range(10, expected)}


def test_a_time_after_the_last_record_is_the_end(cluster: Cluster) -> None:
    one = Pass(cluster, Wanted(spans("cars:0"), NOON, NOON))
    assert one.ranges.stops == {CARS_0: 100}
    assert one.begin() == {CARS_0: 100}
    assert ("since", CARS_0, NOON_MS) in cluster.asked


def test_what_is_read_ends_only_if_something_says_so(cluster: Cluster) -> None:
    assert not Wanted(spans("cars")).is_bounded
    assert Wanted(spans("cars"), eof=True).is_bounded
    assert Wanted(spans("cars"), stop=0).is_bounded
    assert Wanted(spans(["cars:0:0:5", "bus:0::5"])).is_bounded
    assert not Wanted(spans("cars:0:5")).is_bounded
    one = Pass(cluster, Wanted(spans("cars")))
    assert one.ranges.stops is None
    one.begin()
    assert one.ranges.of == {CARS_0: Range(10, None), CARS_1: Range(0, None)}


def test_each_name_says_its_own_bounds(cluster: Cluster) -> None:
    one = Pass(cluster, Wanted(spans(["cars:0:20:30", "cars:1::5", "bus:0"]), 3, eof=True))
    assert one.begin() == {CARS_0: 20, CARS_1: 3, BUS_0: 3}
    assert one.ranges.stops == {CARS_0: 30, CARS_1: 5, BUS_0: 7}


def test_a_name_without_a_partition_says_it_for_all_of_them(cluster: Cluster) -> None:
    one = Pass(cluster, Wanted(spans(["cars::20:30", "bus"]), "latest", eof=True))
    assert one.begin() == {CARS_0: 20, CARS_1: 20, BUS_0: 7}
    assert one.ranges.stops == {CARS_0: 30, CARS_1: 30, BUS_0: 7}


def test_a_pattern_is_every_topic_that_it_matches_as_they_are_now(cluster: Cluster) -> None:
    one = Pass(cluster, Wanted(spans("^(car|tram)"), eof=True))
    assert one.places() == [CARS_0, CARS_1]
    cluster.held["tram", 0] = (0, 5)
    assert one.places() == [CARS_0, CARS_1, ("tram", 0)]
    assert one.begin()["tram", 0] == 0
    assert ("tram", 0) not in (one.ranges.stops or {})  # it came after the ends were settled


def test_a_pattern_that_matches_nothing_is_not_wrong(cluster: Cluster) -> None:
    one = Pass(cluster, Wanted(spans("^ship"), eof=True))
    assert (one.places(), one.begin(), one.ranges.stops) == ([], {}, {})


def test_what_is_named_twice_is_read_once(cluster: Cluster) -> None:
    assert Pass(cluster, Wanted(spans(["cars", "^c"]))).places() == [CARS_0, CARS_1]


MISSING = {
    "ship": ("kafka fake:1", "the topic ship", "no topic of that name"),
    "car": ("kafka fake:1", "the topic car", "no topic of that name"),
    "cars:2": ("kafka fake:1 topic cars", "a partition 2", "2 partitions, from 0 on"),
    "bus:1": ("kafka fake:1 topic bus", "a partition 1", "1 partitions, from 0 on"),
}


@pytest.mark.parametrize("text", MISSING)
@pytest.mark.parametrize("eof", [False, True])
def test_what_is_not_there_is_said(cluster: Cluster, text: str, eof: bool) -> None:
    with pytest.raises(Misconfigured) as raised:
        Pass(cluster, Wanted(spans(text), eof=eof)).places()
    error = raised.value
    assert (error.where, error.expected, error.received) == MISSING[text]


@pytest.mark.parametrize("is_member", [False, True])
def test_a_second_pass_begins_where_the_first_began_and_ends_where_it_ended(
    cluster: Cluster, is_member: bool
) -> None:
    wanted = Wanted(spans("cars"), eof=True)
    first = Pass(cluster, wanted, is_member=is_member)
    begun = first.begin()
    cluster.held |= {CARS_0: (10, 300), CARS_1: (0, 300)}
    cluster.committed = {CARS_0: 100, CARS_1: 50}
    cluster.asked.clear()
    second = Pass(cluster, wanted, first.ranges, is_member)
    assert second.begin() == begun == {CARS_0: 10, CARS_1: 0}
    assert second.ranges.stops == {CARS_0: 100, CARS_1: 50}
    assert cluster.asked == ["ends cars"]  # whether it is still there


def test_without_an_end_a_second_pass_goes_on_where_it_is_told(cluster: Cluster) -> None:
    wanted = Wanted(spans("cars:0"), "latest")
    first = Pass(cluster, wanted)
    assert first.begin() == {CARS_0: 100}
    cluster.held[CARS_0] = (10, 300)
    assert Pass(cluster, wanted, first.ranges).begin() == {CARS_0: 300}


def test_a_partition_that_comes_back_within_a_pass_goes_on_at_what_is_committed(
    cluster: Cluster,
) -> None:
    one = Pass(cluster, Wanted(spans("cars"), eof=True), is_member=True)
    assert one.starts([CARS_0]) == {CARS_0: 10}
    cluster.committed = {CARS_0: 70}
    assert one.starts([CARS_0, CARS_1]) == {CARS_0: 70, CARS_1: 0}
    assert one.ranges.of[CARS_0] == Range(10, 100)  # a next pass begins there all the same


def test_one_that_comes_back_with_nothing_committed_begins_again(cluster: Cluster) -> None:
    one = Pass(cluster, Wanted(spans("cars"), "latest"), is_member=True)
    assert one.starts([CARS_0]) == {CARS_0: 100}
    cluster.held[CARS_0] = (10, 120)  # 20 came meanwhile, and may not have been read
    assert one.starts([CARS_0]) == {CARS_0: 100}


@pytest.mark.parametrize("start", [None, 5, "earliest", "latest", NOON])
def test_in_a_group_what_is_committed_goes_before_a_start(cluster: Cluster, start: Bound) -> None:
    cluster.committed = {CARS_0: 33, CARS_1: 0}
    one = Pass(cluster, Wanted(spans("cars"), start), is_member=True)
    assert one.begin() == {CARS_0: 33, CARS_1: 0}
    assert cluster.asked == [("committed", CARS_0, CARS_1), "ends cars"]


def test_in_a_group_a_start_counts_where_nothing_is_committed(cluster: Cluster) -> None:
    cluster.committed = {CARS_1: 20}
    one = Pass(cluster, Wanted(spans("cars::60")), is_member=True)
    assert one.begin() == {CARS_0: 60, CARS_1: 20}


def test_who_is_no_member_asks_for_what_is_committed_only_when_told_to(cluster: Cluster) -> None:
    cluster.committed = {CARS_0: 33, CARS_1: 20}
    one = Pass(cluster, Wanted(spans(["cars:0:committed", "cars:1"])))
    assert one.begin() == {CARS_0: 33, CARS_1: 0}
    assert ("committed", CARS_0) in cluster.asked


@pytest.mark.parametrize("start", [None, "committed"])
@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        *(("earliest", 10), ("smallest", 10), ("beginning", 10)),
        *(("latest", 100), ("largest", 100), ("end", 100)),
    ],
)
def test_where_nothing_is_said_or_committed_it_begins_as_reset_says(
    cluster: Cluster, start: Bound, reset: str, expected: int
) -> None:
    wanted = Wanted(spans("cars:0"), start, reset=reset)
    assert Pass(cluster, wanted).begin() == {CARS_0: expected}
    in_group = Wanted(spans("cars"), start, reset=reset)
    assert Pass(cluster, in_group, is_member=True).begin()[CARS_0] == expected


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_reset_changes_no_word_that_was_said(cluster: Cluster, start: str) -> None:
    for reset in ("earliest", "latest"):
        wanted = Wanted(spans("cars:0"), start, reset=reset)
        assert Pass(cluster, wanted).begin() == {CARS_0: 10 if start == "earliest" else 100}


def test_the_ends_of_a_topic_are_asked_once_a_pass(cluster: Cluster) -> None:
    one = Pass(cluster, Wanted(spans(["cars", "bus"]), eof=True))
    one.begin()
    one.starts([CARS_1])
    assert cluster.asked == ["ends cars", "ends bus"]


GONE: dict[str, tuple[str, Bound, int, str, int]] = {  # span, start, committed, reset, begins at
    "deleted below a start that was said": ("cars:0:5", None, -1, "latest", 10),
    "deleted below what is committed": ("cars:0", "committed", 5, "earliest", 10),
    "committed in a topic that was made anew": ("cars:0", "committed", 500, "earliest", 10),
    "the same, and new records are wanted": ("cars:0", "committed", 500, "latest", 100),
}


@pytest.mark.parametrize("case", GONE)
def test_an_offset_that_is_not_there_any_more_is_told(
    cluster: Cluster, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    text, start, cluster.committed[CARS_0], reset, expected = GONE[case]
    one = Pass(cluster, Wanted(spans(text), start, reset=reset))
    assert one.begin() == {CARS_0: expected}
    told = f"deleted, made anew or not there yet; reading from {expected}"
    assert f"received 10 to 100: {told}" in caplog.text
    assert one.ranges.of[CARS_0].start == expected  # told once, not in every pass


@pytest.mark.parametrize(("text", "start"), [("cars:0:5", None), ("cars:0", "committed")])
def test_it_is_an_error_where_reset_says_so(cluster: Cluster, text: str, start: Bound) -> None:
    cluster.committed[CARS_0] = 500
    with pytest.raises(Misconfigured, match=r"received 10 to 100 \(auto.offset.reset says"):
        Pass(cluster, Wanted(spans(text), start, reset="error")).begin()


@pytest.mark.parametrize("eof", [False, True])
def test_a_start_behind_the_end_of_a_partition_that_is_named_is_an_error(
    cluster: Cluster, eof: bool
) -> None:
    with pytest.raises(Misconfigured, match="expected a start from 10 to 100, received 101"):
        Pass(cluster, Wanted(spans("cars:0:101"), eof=eof)).begin()
    assert Pass(cluster, Wanted(spans("cars:0:100"), eof=eof)).begin() == {CARS_0: 100}


@pytest.mark.parametrize("eof", [False, True])
def test_a_start_for_all_begins_at_the_end_of_those_that_are_shorter(
    cluster: Cluster, eof: bool, caplog: pytest.LogCaptureFixture
) -> None:
    one = Pass(cluster, Wanted(spans("cars"), 60, eof=eof))
    assert one.begin() == {CARS_0: 60, CARS_1: 50}
    assert "partition 1: expected offset 60, received 0 to 50" in caplog.text
    assert "partition 0" not in caplog.text


def test_what_came_since_the_ends_were_asked_for_is_there(cluster: Cluster) -> None:
    one = Pass(cluster, Wanted(spans("cars")), is_member=True)
    one.starts([CARS_0])
    cluster.held[CARS_0], cluster.committed[CARS_0] = (10, 900), 800
    assert one.starts([CARS_0]) == {CARS_0: 800}


def test_a_commit_behind_the_end_is_told_where_it_ends_as_well(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.committed[CARS_0] = 500
    one = Pass(cluster, Wanted(spans("cars:0"), "committed", eof=True))
    assert one.begin() == {CARS_0: 10}
    assert "expected offset 500, received 10 to 100" in caplog.text


def test_a_start_of_0_is_the_first_offset_and_later_what_was_deleted_is_told(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.held[CARS_0] = (0, 100)
    wanted = Wanted(spans("cars:0:0"), eof=True)
    first = Pass(cluster, wanted)
    assert first.begin() == {CARS_0: 0}
    cluster.held[CARS_0] = (70, 100)
    assert first.again(CARS_0, 0) == 70
    assert Pass(cluster, wanted, first.ranges).begin() == {CARS_0: 70}
    assert caplog.text.count("expected offset 0, received 70 to 100") == 2


@pytest.mark.parametrize("text", ["cars:0:105", "cars:0:committed"])
def test_what_stands_in_an_open_transaction_is_not_behind_the_end(
    cluster: Cluster, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.open[CARS_0], cluster.committed[CARS_0] = 110, 105
    assert Pass(cluster, Wanted(spans(text))).begin() == {CARS_0: 105}
    assert Pass(cluster, Wanted(spans(text), eof=True)).begin() == {CARS_0: 105}
    assert caplog.text == ""
