"""What is remembered of a session, what the settings promise, and when another attempt is made."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.errors import Misconfigured
from bridge.mqtt import Connection
from bridge.session import Session
from bridge.settings import Mqtt

BROKER = "mqtt 127.0.0.1:1883"


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], Session]:
    """A start of the process: what it knows it has from the folder."""
    return lambda: Session(tmp_path, "haltere-ingest", BROKER)


def test_filters_that_left_the_configuration_are_to_be_unsubscribed(
    start: Callable[[], Session],
) -> None:
    session = start()
    assert session.follow({"a/#", "b/#"}) == set()
    session.confirm()
    assert start().follow({"b/#", "c/#"}) == {"a/#"}


def test_they_are_until_the_broker_has_answered_and_no_longer(
    start: Callable[[], Session],
) -> None:
    start().follow({"a/#", "b/#"})
    assert start().follow({"b/#"}) == {"a/#"}  # and it died before the answer came
    last = start()
    assert last.follow({"b/#"}) == {"a/#"}
    last.confirm()
    assert start().follow({"b/#"}) == set()


def test_a_process_that_died_before_it_was_answered_may_have_subscribed(
    start: Callable[[], Session],
) -> None:
    first = start()
    first.follow({"a/#"})
    first.confirm()
    start().follow({"b/#"})  # it dies
    assert start().follow({"c/#"}) == {"a/#", "b/#"}


def test_a_filter_that_comes_back_is_not_unsubscribed(start: Callable[[], Session]) -> None:
    start().follow({"a/#", "b/#"})
    start().follow({"b/#"})
    assert start().follow({"a/#", "b/#"}) == set()


def test_a_confirmation_is_written_once_and_stands(start: Callable[[], Session]) -> None:
    session = start()
    session.follow({"a/#"})
    session.follow({"b/#"})
    session.confirm()
    before = session.path.stat().st_mtime_ns
    session.confirm()
    assert session.path.stat().st_mtime_ns == before
    assert session.filters() == {"b/#"}


def test_the_note_of_another_broker_and_of_another_client_say_nothing(tmp_path: Path) -> None:
    Session(tmp_path, "haltere-ingest", BROKER).follow({"a/#"})
    assert Session(tmp_path, "haltere-ingest", "mqtt elsewhere:1883").follow({"b/#"}) == set()
    assert Session(tmp_path, "haltere/ingest", BROKER).follow({"b/#"}) == set()


def test_an_ended_session_has_no_note(start: Callable[[], Session]) -> None:
    session = start()
    session.follow({"a/#"})
    session.forget()
    session.forget()
    assert start().filters() == set()


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"filters": ["a"]}'])
def test_a_note_that_is_no_note_is_begun_anew_and_said(
    start: Callable[[], Session], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = start()
    session.path.write_text(text)
    assert session.follow({"a/#"}) == set()
    assert "expected a note of filters" in caplog.text
    assert start().filters() == {"a/#"}


def test_a_folder_that_cannot_be_written_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    session = Session(tmp_path / "file" / "below", "x", BROKER)
    with pytest.raises(Misconfigured, match=r"ingest\.state"):
        session.follow({"a/#"})


WEAK: list[dict[str, object]] = [
    {"qos": 0},
    {"clean_session": True},
    {"client_id": ""},
    {"session_expiry_s": 0},
]


@pytest.mark.parametrize("weak", WEAK)
def test_what_may_lose_messages_has_to_be_meant(weak: dict[str, object]) -> None:
    (key,) = weak
    with pytest.raises(Misconfigured, match=rf"mqtt\.{key}.*mqtt\.at_most_once = true"):
        Mqtt.model_validate(weak)
    assert getattr(Mqtt.model_validate({**weak, "at_most_once": True}), key) == weak[key]


def test_a_client_without_a_name_has_another_one_each_time() -> None:
    nameless = Mqtt(client_id="", at_most_once=True)
    assert nameless.session("ingest") != nameless.session("ingest")
    assert Mqtt(client_id="x").session("ingest") == "x-ingest"


@pytest.mark.parametrize(
    ("failures", "shortest_s", "longest_s"),
    [
        (1, 0.5, 1.0),
        (2, 1.0, 2.0),
        (3, 2.0, 4.0),
        (5, 8.0, 16.0),
        (6, 15.0, 30.0),
        (40, 15.0, 30.0),
    ],
)
def test_the_next_attempt_is_later_each_time_and_not_together_with_all_others(
    failures: int, shortest_s: float, longest_s: float
) -> None:
    delays = set()
    random.seed(failures)
    for _ in range(50):
        connection = Connection(Mqtt(), "x")
        for _ in range(failures):
            connection._put_off()
        assert connection._client._reconnect_min_delay == connection._client._reconnect_max_delay
        delays.add(connection._client._reconnect_min_delay)
    assert shortest_s <= min(delays) < max(delays) <= longest_s
    assert len(delays) > 40
    assert max(delays) - min(delays) > (longest_s - shortest_s) / 2
