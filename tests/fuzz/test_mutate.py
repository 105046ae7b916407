"""A short run of what ``make fuzz`` does at length."""

import pytest

from bridge.contracts import Message
from bridge.normalise import Normaliser, Outcome
from tests.fuzz.check import Broken, Check
from tests.fuzz.mutate import messages, run


def test_some_thousand_changed_messages_end_well() -> None:
    report = run(seed=7, count=5000)
    outcomes = report["outcomes"]
    assert isinstance(outcomes, dict)
    assert sum(outcomes.values()) == 5000
    assert set(outcomes) == {"Accepted", "DeadLetter", "Ignored"}


def test_the_same_seed_gives_the_same_messages() -> None:
    assert list(messages(3, 50)) == list(messages(3, 50)) != list(messages(4, 50))


def test_a_message_that_breaks_the_law_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Normaliser, message: Message) -> Outcome:
        raise ZeroDivisionError

    check = Check()
    monkeypatch.setattr(Normaliser, "__call__", broken)
    with pytest.raises(Broken, match=r"ZeroDivisionError.*topic 'x', payload b'1'"):
        check("x", b"1")
