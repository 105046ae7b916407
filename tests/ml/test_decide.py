"""Decisions: seven tests, one limit, episodes. The residuals are made here, by a seed."""

import re
from pathlib import Path

import numpy as np
import pytest

from bridge.contracts import MICROS
from bridge.settings import Score
from ml import decide
from ml.decide import LIMITS, REASONS, Evidence, Usual, Verdicts
from ml.observe import FIELDS
from ml.state import Table

DOCUMENT = Path(__file__).parents[2] / "docs" / "detection.md"
TO = Score(warmup=60, episode_s=20.0)
WHITE = Usual(*(np.full(1, value) for value in (1.0, 1.0, 1.3, 2.0, 3.0)))


class Device:
    """One device of one channel, whose residuals are given one by one."""

    def __init__(self, count: int = 200, usual: Usual | None = None) -> None:
        self.table = Table(FIELDS, ["x"])
        self.at = self.table.rows(["device"])
        self.table["count"][self.at] = count
        self.table["innovation_spread"][self.at] = 1.0
        self.usual = usual
        self.time = 0

    def see(
        self,
        innovation: float = 0.0,
        level: float = 0.0,
        left: float = 0.0,
        *,
        known: bool = True,
        same: bool = False,
    ) -> Verdicts:
        self.time += MICROS
        self.table["count"][self.at] += 1

        def one(value: float) -> np.ndarray:
            return np.array([[value]])

        evidence = Evidence(
            known=one(known),
            missing=one(not known),
            repeats=one(known and same),
            scored=one(known),
            innovation=one(innovation),
            level=one(level),
            left=one(left),
            usual=self.usual,
        )
        return decide.decide(self.table, self.at, evidence, np.array([self.time]), TO)

    def live(self, readings: int, seed: int = 1) -> None:
        """A life without anything to tell."""
        for value in np.random.default_rng(seed).normal(0.0, 0.7, readings):
            self.see(value, value)


def told(verdicts: Verdicts) -> str:
    return REASONS[int(verdicts.reason[0])] if verdicts.anomalous[0] else ""


def first(device: Device, level: float, readings: int = 60) -> tuple[int, str]:
    """After how many readings of this level something is told, and what."""
    for n in range(1, readings + 1):
        reason = told(device.see(0.0, level))
        if reason:
            return n, reason
    return readings + 1, ""


def test_the_document_states_the_limits() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == list(REASONS)
    assert [float(limit) for _, limit in rows] == pytest.approx(list(LIMITS))


@pytest.mark.parametrize(
    ("residuals", "reason"),
    [
        ((5.5, 0.0, 0.0), "spike"),
        ((-5.5, 0.0, 0.0), "spike"),
        ((0.0, 7.0, 0.0), "level"),
        ((0.0, 0.0, 2.0), "range"),
    ],
)
def test_one_reading_beyond_its_limit_is_told(
    residuals: tuple[float, float, float], reason: str
) -> None:
    device = Device()
    device.live(40)
    assert told(device.see(*residuals)) == reason


def test_readings_without_a_channel_are_judged_as_nothing() -> None:
    table = Table(FIELDS)
    at = table.rows(["a", "b"])
    none = np.zeros((2, 0))
    flags = none.astype(bool)
    evidence = Evidence(flags, flags, flags, flags, none, none, none)
    found = decide.decide(table, at, evidence, np.array([1, 2]), TO)
    assert found.score.tolist() == [0.0, 0.0]
    assert not found.opens.any()


def test_a_life_within_the_limits_is_not_told() -> None:
    device = Device(usual=WHITE)
    rng = np.random.default_rng(3)
    assert not any(told(device.see(v, v)) for v in rng.normal(0.0, 1.0, 600).clip(-3, 3))


def test_a_stuck_channel_is_told_after_a_few_repeats() -> None:
    device = Device()
    device.live(40)
    reasons = [told(device.see(same=True)) for _ in range(6)]
    assert reasons[0] == ""
    assert reasons[-1] == "stuck"


def test_a_missing_channel_is_told_after_a_few_readings() -> None:
    device = Device()
    device.live(40)
    reasons = [told(device.see(known=False)) for _ in range(6)]
    assert reasons[0] == ""
    assert reasons[-1] == "dropout"


def test_a_channel_that_often_repeats_is_not_told_for_it() -> None:
    device = Device()
    for n in range(100):  # in runs of four
        device.see(same=n % 5 != 0)
    assert not any(told(device.see(same=True)) for _ in range(6))


def test_a_sensor_that_was_stuck_once_is_told_again() -> None:
    device = Device()
    device.live(40)
    for _ in range(2):
        assert "stuck" in [told(device.see(same=True)) for _ in range(20)]
        device.live(60)


def test_a_burst_of_noise_is_told_though_no_reading_is() -> None:
    device = Device()
    device.live(40)
    assert "noise" in [told(device.see(4.5 * (-1) ** n)) for n in range(12)]


def test_version_0_is_more_careful_with_drift() -> None:
    with_class, without = Device(usual=WHITE), Device()
    for device in (with_class, without):
        device.live(100)
    early, late = first(with_class, 1.5), first(without, 1.5)
    assert early[1] == "drift"
    assert early[0] < late[0]


def test_a_channel_that_wanders_in_its_class_has_no_drift_test() -> None:
    wild = Usual(*(np.full(1, value) for value in (1.0, 1.2, (decide.WILD + 0.1) ** 2, 2.0, 3.0)))
    device = Device(usual=wild)
    device.live(100)
    assert first(device, 3.0) == (61, "")


def test_what_the_class_does_not_know_yet_has_no_drift_test() -> None:
    device = Device(usual=Usual(*(np.full(1, np.nan) for _ in range(5))))
    device.live(100)
    assert first(device, 3.0) == (61, "")


def test_a_suspected_drift_holds_the_mean_of_a_channel_that_stands_alone() -> None:
    for share, held in ((0.9, 1.0), (2.0, 0.0)):
        usual = Usual(*(np.full(1, value) for value in (1.0, 1.0, 1.3, share, 3.0)))
        device = Device(usual=usual)
        device.live(100)
        for _ in range(12):
            device.see(0.0, 1.2)
        assert device.table["held"][device.at][0, 0] == held


def test_an_episode_gives_one_alert() -> None:
    device = Device()
    device.live(40)
    opened = [bool(device.see(9.0).opens[0])]
    opened += [bool(device.see(9.0 if n % 10 == 0 else 0.0).opens[0]) for n in range(1, 31)]
    assert sum(opened) == 1
    for _ in range(25):
        device.see()
    assert device.see(9.0).opens[0]


def test_nothing_is_told_before_the_warm_up_ends() -> None:
    device = Device(count=10)
    verdicts = device.see(50.0)
    assert not verdicts.anomalous[0]
    assert verdicts.score[0] < 1.0


def test_the_limit_rises_for_a_device_that_comes_close_to_it() -> None:
    calm, lively = Device(), Device()
    for n in range(400):
        calm.see(0.0, 0.5 * (-1) ** n)
        lively.see(0.0, 5.6 * (-1) ** n)
    assert calm.see(0.0, 6.5).anomalous[0]
    assert not lively.see(0.0, 6.5).anomalous[0]


def test_usual_is_what_most_devices_show() -> None:
    table = Table(FIELDS, ["x"])
    rows = table.rows([f"device-{n}" for n in range(11)])
    table["judged"][rows[:-1]] = 50
    table["restless"][rows] = np.arange(1.0, 12.0)[:, None]
    table["level_spread"][rows], table["alone_spread"][rows] = 2.0, 3.0
    found = decide.usual(table)
    assert found.restless[0] == pytest.approx(5.5)
    assert found.wild[0] == pytest.approx(9.1)
    assert found.alone[0] == pytest.approx(1.5)


def test_nothing_is_usual_before_a_device_is_judged() -> None:
    table = Table(FIELDS, ["x"])
    table.rows(["device"])
    assert np.isnan(decide.usual(table).restless).all()
