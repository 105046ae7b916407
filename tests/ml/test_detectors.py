"""The laws that every detector passes: input unchanged, the same for the same, rows apart."""

from collections.abc import Callable

import numpy as np
import pytest

from ml.detectors import envelope, runs, statistics
from ml.observe import FIELDS
from ml.state import STEPS, Table

Judge = Callable[[Table, np.ndarray, np.ndarray], np.ndarray]


def by_statistics(table: Table, at: np.ndarray, x: np.ndarray) -> np.ndarray:
    line = np.asarray(np.einsum("nsc->nc", table["window"][at]) / STEPS)
    residuals = statistics.judge(table, at, x, line)
    statistics.learn(table, at, line, residuals)
    table["window"][at] = np.concatenate(
        (table["window"][at][:, 1:], residuals.cleaned[:, None]), axis=1
    )
    return np.concatenate((residuals.innovation, residuals.level), axis=1)


def by_runs(table: Table, at: np.ndarray, x: np.ndarray) -> np.ndarray:
    table["count"][at] += 1
    found = runs.surprise(table, at, "repeat", x == table["last"][at])
    table["last"][at] = x
    return found


DETECTORS: list[Judge] = [by_statistics, by_runs, envelope.leave]


def series(devices: int, readings: int) -> np.ndarray:
    """(readings, devices, 2): a shared walk, noise of their own, some gaps and repeats."""
    rng = np.random.default_rng(5)
    walk = rng.normal(0, 0.1, (readings, devices, 1)).cumsum(axis=0)
    x = np.round(walk * [1.0, -2.0] + rng.normal(0, 0.3, (readings, devices, 2)), 1)
    x[rng.random(x.shape) < 0.02] = np.nan
    return x


def play(judge: Judge, x: np.ndarray, table: Table | None = None) -> np.ndarray:
    table = table or Table(FIELDS, ["a", "b"])
    at = table.rows([f"d{n}" for n in range(x.shape[1])])
    return np.stack([judge(table, at, row) for row in x])


@pytest.mark.parametrize("judge", DETECTORS)
def test_the_input_is_left_as_it_was(judge: Judge) -> None:
    x = series(3, 60)
    before = x.copy()
    play(judge, x)
    assert np.array_equal(x, before, equal_nan=True)


@pytest.mark.parametrize("judge", DETECTORS)
def test_a_device_is_judged_the_same_whoever_else_is_there(judge: Judge) -> None:
    x = series(4, 400)
    alone = play(judge, x[:, 2:3])
    assert np.allclose(play(judge, x)[:, 2:3], alone, atol=1e-9)


@pytest.mark.parametrize("judge", DETECTORS)
def test_a_snapshot_in_between_changes_nothing(judge: Judge) -> None:
    x = series(1, 400)
    whole = play(judge, x)
    first, second = (Table(FIELDS, ["a", "b"]) for _ in range(2))
    before = play(judge, x[:350], first)
    second.restore("d0", first.snapshot("d0"))
    assert np.array_equal(np.concatenate((before, play(judge, x[350:], second))), whole)


@pytest.mark.parametrize("judge", DETECTORS)
def test_the_order_of_the_channels_does_not_matter(judge: Judge) -> None:
    x = series(2, 200)
    found, turned = play(judge, x), play(judge, x[:, :, ::-1])
    halves = np.split(turned, turned.shape[2] // 2, axis=2)
    assert np.allclose(found, np.concatenate([h[:, :, ::-1] for h in halves], axis=2))


@pytest.mark.parametrize("judge", DETECTORS)
def test_no_score_is_ever_nan(judge: Judge) -> None:
    assert np.isfinite(play(judge, series(3, 400))).all()


def test_a_spike_of_one_channel_stands_out_in_that_channel() -> None:
    x = series(1, 200)
    x[-1, 0, 0] += 10 * np.nanstd(np.diff(x[:, 0, 0]))
    innovation = np.abs(play(by_statistics, x)[-1, 0, :2])
    assert innovation[0] > 5
    assert innovation[0] > 1.2 * innovation[1]


def surprises(happens: list[bool], what: str = "repeat") -> np.ndarray:
    table = Table(FIELDS, ["a"])
    at = table.rows(["d"])
    return np.array([runs.surprise(table, at, what, np.array([[h]]))[0, 0] for h in happens])


@pytest.mark.parametrize(
    "habit",
    [
        [False, *[True] * 500],  # a constant
        ([False] + [True] * 199) * 4,  # a door, opened now and then
        ([False] + [True] * 24) * 20,  # half a degree at a time
        ([False] + [True] * 59) * 40,  # a battery, sent once a minute
        [True] * 500,  # a channel of somebody else
    ],
)
def test_a_channel_is_not_told_for_its_habit(habit: list[bool]) -> None:
    assert surprises(habit).max() < 9


def test_a_run_that_never_was_is_a_surprise() -> None:
    assert surprises([False] * 60 + [True] * 4)[-1] > 13


def test_leaving_the_range_slowly_is_seen_though_each_step_is_small() -> None:
    rng = np.random.default_rng(1)
    life = rng.normal(0, 1, (500, 1, 2))
    life[400:, 0, 0] += np.linspace(0, 12, 100)
    left = play(envelope.leave, life)[:, 0]
    assert left[:400].max() < 0.5
    assert left[-1, 0] > 2
    assert left[-1, 1] < 0.5
