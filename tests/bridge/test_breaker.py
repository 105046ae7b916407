"""A message that ends the process each time is taken out after so many attempts, and no other."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import notes
from bridge.breaker import MOST, REDELIVERED, SIZE, Breaker, decode, encode, fingerprint, verdict
from bridge.contracts import DeadLetter, Message
from bridge.errors import Misconfigured, Unavailable
from bridge.normalise import Normaliser
from bridge.settings import Ingest, Settings

AWAY = Unavailable("kafka", "an answer", "none")


def message(number: int = 0, dup: bool = True) -> Message:
    return Message("plant/7", b"payload %d" % number, received=1, dup=dup)


class Death(Exception):
    """The process ends here, as far as the breaker can see."""


def attempt(file: Path, one: Message, limit: int = 3) -> int:
    """A process of its own takes a message in hand and dies of it, unless that is not tried."""
    with Breaker(file, limit) as guard:
        try:
            with guard.handling(one) as ended:
                if ended:
                    return ended
                raise Death
        except Death:
            return 0


def handle(guard: Breaker, one: Message) -> int:
    """Take it in hand, and nothing happens."""
    with guard.handling(one) as ended:
        return ended


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "one.breaker"


# The rule.


@pytest.mark.parametrize("limit", [2, 3, 5])
def test_the_attempt_at_the_limit_is_not_made(file: Path, limit: int) -> None:
    assert [attempt(file, message(), limit) for _ in range(limit)] == [0] * (limit - 1) + [
        limit - 1
    ]


def test_the_first_delivery_is_not_on_record_and_costs_no_file(file: Path) -> None:
    for _ in range(10):
        assert attempt(file, message(dup=False)) == 0
        assert file.read_bytes() == b""


def test_what_is_on_record_counts_also_where_the_broker_forgot_the_flag(file: Path) -> None:
    assert attempt(file, message()) == 0
    assert attempt(file, message(dup=False)) == 0
    assert attempt(file, message(dup=False)) == 2


def test_a_message_that_was_handled_in_the_end_begins_anew(file: Path) -> None:
    assert attempt(file, message()) == 0
    with Breaker(file, 3) as guard:
        assert guard.attempts(message()) == 1
        assert handle(guard, message()) == 0
        assert guard.attempts(message()) == 0
    assert file.read_bytes() == b""
    assert attempt(file, message()) == 0


def test_the_others_are_handled_while_one_is_on_record(file: Path) -> None:
    attempt(file, message())
    attempt(file, message())
    with Breaker(file, 3) as guard:
        assert [handle(guard, message(n, dup=n % 2 == 0)) for n in range(1, 20)] == [0] * 19
        assert handle(guard, message()) == 2
        assert guard.attempts(message()) == 2  # until its dead letter is safe
        guard.forget(message())
        guard.forget(message())
    assert file.read_bytes() == b""


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt(), SystemExit(1)])
def test_what_is_not_the_fault_of_the_message_does_not_count(
    file: Path, error: BaseException
) -> None:
    with Breaker(file, 3) as guard:
        for _ in range(5):
            with pytest.raises(type(error)), guard.handling(message()):
                raise error
        assert guard.attempts(message()) == 0


def test_what_did_not_come_again_with_all_the_others_is_forgotten(file: Path) -> None:
    with Breaker(file, 3) as guard:
        for _ in range(10):
            handle(guard, message(1))
        with pytest.raises(Death), guard.handling(message()):
            raise Death
        for _ in range(REDELIVERED):
            handle(guard, message(1, dup=False))
        assert guard.attempts(message()) == 1
        handle(guard, message(1, dup=False))
        assert guard.attempts(message()) == 0


def test_the_file_is_of_one_size_and_holds_so_many_and_no_more(file: Path) -> None:
    for n in range(2 * MOST):
        attempt(file, message(n))
        assert len(file.read_bytes()) == SIZE
    with Breaker(file, 3) as guard:
        kept = [n for n in range(2 * MOST) if guard.attempts(message(n))]
    assert kept == list(range(MOST, 2 * MOST))


def test_without_a_file_nothing_is_ever_noted() -> None:
    guard = Breaker(None, 2)
    for _ in range(5):
        with pytest.raises(Death), guard.handling(message()) as ended:
            assert ended == 0
            raise Death
    assert guard.attempts(message()) == 0


def test_the_verdict_has_the_message_whole_and_says_why() -> None:
    assert verdict(Message("a/b", b"\xff", 7, qos=2, retain=True, dup=True), 2) == DeadLetter(
        topic="a/b",
        payload=b"\xff",
        stage="poison",
        path="payload",
        expected="a message that can be handled",
        received="handled 2 times without an end: the process died each time",
        time=7,
        qos=2,
        retain=True,
    )


# The file.


@given(st.dictionaries(st.integers(), st.integers(1, 100), max_size=MOST))
def test_what_was_noted_is_read(counts: dict[int, int]) -> None:
    notes = {fingerprint(message(n)): count for n, count in counts.items()}
    assert len(encode(notes)) == SIZE
    assert decode(encode(notes)) == notes


@given(st.binary(max_size=SIZE + 1))
def test_whatever_stands_in_the_file_is_read_or_refused(data: bytes) -> None:
    notes = decode(data)
    assert notes is None or len(encode(notes)) == SIZE


@pytest.mark.parametrize("data", [b"\0" * 10, b"[]", b'{"a": 1}', b"{}{}", b"x" * 5000])
def test_a_file_that_is_not_ours_is_begun_anew_with_a_warning(
    file: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.write_bytes(data)
    assert attempt(file, message()) == 0
    assert "begun anew" in caplog.text
    assert decode(file.read_bytes()) == {fingerprint(message()): 1}


def test_a_folder_that_cannot_be_written_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "one.breaker", tmp_path):
        with pytest.raises(Misconfigured, match=r"ingest\.state .*expected a folder"):
            Breaker(path, 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_does_not_stop_the_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with Breaker(Path("/dev/full"), 3) as guard:
        assert handle(guard, message()) == 0
    assert "not noted" in caplog.text


def test_each_worker_has_a_file_of_its_own_whatever_it_is_called() -> None:
    names = ["haltere-ingest", "a/b", "../a", "ä" * 500, "ä" * 499, "a" * 100]
    files = [notes.place(Path("state"), name, "breaker") for name in names]
    assert len(set(files)) == len(names)
    assert all(file.parent == Path("state") and len(file.name) < 120 for file in files)


def test_the_settings_give_a_limit_that_lets_a_message_live(file: Path) -> None:
    told = Settings(ingest=Ingest(state=file.parent)).ingest
    with Breaker(notes.place(told.state, "haltere-ingest", "breaker"), told.poison_limit) as guard:
        assert handle(guard, message()) == 0


# Real deaths.

WORKER = """
import os, signal, sys
from pathlib import Path
from bridge.breaker import Breaker, verdict
from bridge.contracts import Message
from bridge.normalise import Normaliser

state, out, dup, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "dup", sys.argv[4]
normalise = Normaliser(())

def handle(message):
    if b"poison" in message.payload:
        os._exit(9) if how == "exit" else os.kill(os.getpid(), signal.SIGKILL)
    return normalise(message)

with Breaker(state, 3) as breaker:
    for n in range(50):
        payload = b'{"temp_C": 1, "poison": 1}' if n in (20, 30) else b'{"temp_C": %d}' % n
        message = Message(f"plant/{n}", payload, received=n, dup=dup)
        with breaker.handling(message) as ended:
            outcome = verdict(message, ended) if ended else handle(message)
        with out.open("a") as lines:
            print(n, getattr(outcome, "stage", "reading"), ended, file=lines, flush=True)
"""


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_message_that_kills_the_process_is_taken_out_and_no_other(
    file: Path, tmp_path: Path, how: str
) -> None:
    out = tmp_path / "out"
    codes = []
    for life in range(20):
        dup = "first" if life == 0 else "dup"
        command = [sys.executable, "-c", WORKER, str(file), str(out), dup, how]
        codes.append(subprocess.run(command, check=False, timeout=60).returncode)
        if codes[-1] == 0:
            break
    died = 9 if how == "exit" else -signal.SIGKILL
    # The first of the two dies unrecorded and twice more; then the other, which comes again too.
    assert codes == [died] * 3 + [died] * 2 + [0]
    lines = {line for line in out.read_text("utf-8").splitlines()}
    assert {line for line in lines if "poison" in line} == {"20 poison 2", "30 poison 2"}
    assert lines >= {f"{n} reading 0" for n in range(50) if n not in (20, 30)}


def test_a_sound_message_stays_sound_however_often_its_process_is_killed_outside(
    file: Path,
) -> None:
    for _ in range(10):
        with Breaker(file, 3) as guard:
            assert handle(guard, message()) == 0  # and then the process is killed
    assert os.path.getsize(file) == 0


def test_a_poison_letter_can_be_read_again_as_a_message() -> None:
    letter = verdict(Message("plant/7/temp", b"21.5", 7), 2)
    assert Normaliser(())(Message(letter.topic, letter.payload, letter.time))
