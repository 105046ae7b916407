"""A trial without brokers: who ends by itself is started again, and every wait has its end."""

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import cast

import pytest

from bridge.settings import Settings, load
from torture import faults, trial
from torture.faults import FAULTS
from torture.trial import Dose, Ground, Stopped, Stuck, Trial, Worker


class Actor:
    """A worker that ends with these codes, one after the other, each at its next look."""

    pid = 1

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.launched = 0
        self.dismissed: list[signal.Signals] = []

    def code(self) -> int | None:
        return self.codes[0] if self.codes else None

    def alive(self) -> bool:
        return not self.codes

    def kill(self) -> None:
        self.codes = self.codes[1:]

    def launch(self) -> None:
        self.launched += 1

    def last_words(self) -> str:
        return "mqtt: another client has taken this session"

    def dismiss(self, how: signal.Signals, limit_s: float) -> int:
        self.dismissed.append(how)
        return 0


def settings(told: Mapping[str, str]) -> Settings:
    return load(None, told)


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Trial]:
    ground = Ground(settings, (), tmp_path, "torture", None, lambda line: None)
    with Trial("takeover", ground, Dose(messages=10), {}, Event()) as made:
        yield made


def cast_in(tried: Trial, **actors: Actor) -> None:
    tried.workers = {name: cast(Worker, actor) for name, actor in actors.items()}


def look(tried: Trial) -> None:
    """One look of a wait."""
    looks = iter((False, True))
    tried.until(lambda: next(looks), "a look")


def test_one_that_ends_by_itself_is_a_problem_and_started_again(tried: Trial) -> None:
    actor = Actor(3)
    cast_in(tried, ingest=actor)
    look(tried)
    assert actor.launched == 1
    (problem,) = tried.account.problems
    assert "ingest ended by itself with exit code 3: mqtt: another" in problem


def test_one_that_was_fenced_is_started_again_where_that_is_expected(tried: Trial) -> None:
    actor = Actor(4)
    cast_in(tried, ingest=actor)
    tried.expected.add(4)
    look(tried)
    assert actor.launched == 1
    assert tried.account.problems == []
    assert "exit code 4" in tried.account.done[0][1]


def test_one_that_ends_again_and_again_is_given_up(tried: Trial) -> None:
    cast_in(tried, ingest=Actor(*[3] * 9))
    with pytest.raises(Stuck, match="again and again"):
        for _ in range(9):
            look(tried)


def test_a_wait_has_an_end(tried: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stuck, match=r"rain: not so after 0 s; 0 sent, .* 0 in Kafka"):
        tried.until(lambda: False, "rain", limit_s=0.01)
    monkeypatch.setattr(trial, "PATIENCE_S", 0.0)
    with pytest.raises(Stuck, match="rain: nothing new for 0 s"):
        tried.until(lambda: False, "rain")


def test_stop_ends_a_wait(tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    ground = Ground(settings, (), tmp_path, "torture", None, lambda line: None)
    with Trial("poison", ground, Dose(messages=10), {}, stop) as made, pytest.raises(Stopped):
        made.until(lambda: False, "rain")


# ingest, rival -> who carries on, launches of ingest, problems
CONTESTS = [
    (Actor(4), Actor(), "rival", 0, 0),
    (Actor(), Actor(4), "ingest", 0, 0),
    (Actor(4), Actor(4), "ingest", 1, 0),
    (Actor(3), Actor(), "rival", 0, 1),
]


@pytest.mark.parametrize(("ingest", "rival", "left", "launched", "problems"), CONTESTS)
def test_of_two_under_one_id_one_carries_on(  # noqa: PLR0913, PLR0917  a row of the table
    tried: Trial, ingest: Actor, rival: Actor, left: str, launched: int, problems: int
) -> None:
    faults._contest(tried, cast(Worker, ingest), cast(Worker, rival))
    assert list(tried.workers) == [left]
    assert ingest.launched == launched
    assert len(tried.account.problems) == problems


def test_where_both_go_on_the_second_is_told_to_stop(
    tried: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "CONTEST_S", 0.0)
    ingest, rival = Actor(), Actor()
    faults._contest(tried, cast(Worker, ingest), cast(Worker, rival))
    assert list(tried.workers) == ["ingest"]
    assert rival.dismissed == [signal.SIGTERM]


@pytest.mark.parametrize("messages", [1, 20_000, 200_000, 10_000_000])
def test_the_load_lasts_while_things_break(messages: int) -> None:
    assert 6.0 <= messages / Dose(messages).pace().rate <= 12.0


def test_every_fault_says_what_it_does() -> None:
    assert all(fault.what for fault in FAULTS.values())
    assert {name for name, fault in FAULTS.items() if not fault.own} == {
        *("kill-ingest", "takeover", "poison", "rebalance")
    }
