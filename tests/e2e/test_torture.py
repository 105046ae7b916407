"""``haltere torture`` as a user runs it: short, with real kills; and what it refuses."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import haltere
from bridge.brokers import find_mosquitto, search_path
from bridge.errors import Misconfigured, Unavailable
from tests import real
from tests.poll import until
from torture import run as torture
from torture.ledger import Account, Report

COMMAND = [sys.executable, "-m", "haltere", "torture"]
needs_mosquitto = pytest.mark.skipif(
    find_mosquitto(search_path()) is None,
    reason="amqtt forgets a session when its client is killed; only Mosquitto can show this",
)


@pytest.mark.broker
@needs_mosquitto
def test_nothing_is_lost_when_ingest_is_killed_and_fed_garbage(tmp_path: Path) -> None:
    asked = ["--fault", "kill-ingest", "--fault", "poison", "--messages", "2000", "--json"]
    folder = ["--folder", str(tmp_path / "run"), "--seed", "7"]
    done = subprocess.run([*COMMAND, *asked, *folder], capture_output=True, timeout=170)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["lost"] == 0
    killed, poisoned = report["faults"]["kill-ingest"], report["faults"]["poison"]
    assert sum("SIGKILL" in step["what"] for step in killed["done"]) >= 2
    assert killed["in_kafka"] == killed["puback"] == killed["sent"] == 2000
    assert poisoned["dead_lettered"] > 300
    assert poisoned["ignored"] > 70
    assert sum(poisoned[k] for k in ("in_kafka", "dead_lettered", "ignored")) == 2000


@pytest.mark.broker
def test_on_the_users_brokers_only_ingest_is_hurt(
    brokers: real.Brokers, unique: str, tmp_path: Path
) -> None:
    """And Ctrl-C ends it, with the ledger of what was done."""
    file = tmp_path / "mine.toml"
    file.write_text(
        f'[mqtt]\nhost = "{brokers.mqtt_host}"\nport = {brokers.mqtt_port}\n'
        f'version = "{brokers.mqtt_version}"\n'
        f'[kafka]\nbootstrap_servers = "{brokers.bootstrap_servers}"\npartitions = 2\n'
    )
    asked = ["--config", str(file), "--prefix", unique, "--fault", "poison", "--messages", "50000"]
    said = tmp_path / "said"
    whole = [*COMMAND, *asked, "--folder", str(tmp_path / "run"), "--json"]
    with (
        said.open("wb") as stderr,
        subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=stderr) as command,
    ):
        try:
            until(lambda: b"messages a second" in said.read_bytes(), 60)
            command.send_signal(signal.SIGINT)
            output, _ = command.communicate(timeout=60)
        finally:
            command.kill()
    assert command.returncode == 1
    report = json.loads(output)
    assert report["lost"] == 0
    assert report["problems"] == ["stopped before the end"]
    assert report["brokers"] == "the user's"
    assert f"topics {unique}/#" in said.read_text()
    assert f"topics {unique}.*" in said.read_text()


def test_a_missing_number_makes_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = Account("poison", sent=3, puback=3, in_kafka=2, missing=[1], logs="the/logs")
    monkeypatch.setattr(torture, "command", lambda *_: Report([lossy]))
    result = CliRunner().invoke(haltere.app, ["torture"])
    assert result.exit_code == 1
    assert "LOST: 1" in result.output
    assert "the/logs" in result.output


REFUSED = {
    "unknown": (["--fault", "flood"], "kill-ingest, restart-mqtt"),
    "not ours": (["--own-brokers", "--fault", "kafka-down"], "these are not ours"),
    "prefix": (["--prefix", "a/b"], "up to 60 letters"),
    "never read": (["--prefix", "haltere"], "not haltere"),
    "messages": (["--messages", "0"], "at least 1"),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_had_is_refused_with_the_reason(arguments: str) -> None:
    asked, reason = REFUSED[arguments]
    result = CliRunner().invoke(haltere.app, ["torture", *asked])
    assert isinstance(result.exception, Misconfigured)
    assert reason in str(result.exception)


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    result = CliRunner().invoke(haltere.app, ["torture", "--folder", str(tmp_path)])
    assert isinstance(result.exception, Misconfigured)
    assert "an empty or new folder" in str(result.exception)


def test_brokers_that_are_away_are_said_before_it_begins(tmp_path: Path) -> None:
    file = tmp_path / "away.toml"
    file.write_text('[kafka]\nbootstrap_servers = "127.0.0.1:1"\n')
    result = CliRunner().invoke(haltere.app, ["torture", "--config", str(file)])
    assert isinstance(result.exception, Unavailable)
    assert "kafka 127.0.0.1:1" in str(result.exception)
