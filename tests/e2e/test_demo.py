"""The whole way on real brokers, with every process killed once: nothing is lost, all is judged."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from bridge.brokers import find_mosquitto
from bridge.brokers import search_path as broker_path
from tests.poll import until

KILLED = ("ingest", "score", "train", "egress")
PATIENCE_S = 120.0


def child_of(parent: int, name: str) -> int:
    """The process that the demo runs as ``haltere NAME``; 0 when there is none."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            status = (folder / "status").read_text()
        except OSError:
            continue  # it has just ended
        if f"PPid:\t{parent}\n" in status and command[2:4] == [b"haltere", name.encode()]:
            return int(folder.name)
    return 0


def is_new(parent: int, name: str, before: int) -> bool:
    return child_of(parent, name) not in (0, before)


@pytest.mark.broker
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.skipif(
    find_mosquitto(broker_path()) is None,
    reason="amqtt forgets a session when its client is killed; only Mosquitto can show this",
)
def test_every_process_may_be_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    said = tmp_path / "said"
    command = [sys.executable, "-m", "haltere", "demo", "--headless", "--json"]
    command += ["--minutes", "1.4", "--devices", "24", "--rate", "2", "--seed", "5"]
    command += ["--folder", str(tmp_path / "run")]
    with (
        said.open("wb") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as demo,
    ):
        try:
            until(lambda: b"scored 4" in said.read_bytes(), PATIENCE_S)
            for name in KILLED:
                before = child_of(demo.pid, name)
                os.kill(before, signal.SIGKILL)
                until(partial(is_new, demo.pid, name, before), PATIENCE_S)
            output, _ = demo.communicate(timeout=200)
        finally:
            demo.kill()
    report = json.loads(output)
    assert report["problems"] == [], said.read_text()
    assert demo.returncode == 0
    assert report["lost"] == 0
    assert report["published"] == report["acknowledged"] == 24 * 168
    assert report["scores"] == report["readings"] - report["duplicated"] - report["late"]
    assert report["alerts_received"] == report["alerts"] > 0
    assert report["restarts"] == len(KILLED)
    assert report["model_versions"] > 0
