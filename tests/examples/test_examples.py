"""The examples, run as their reader runs them: from elsewhere, and told only which Kafka."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge import kafka
from bridge.child import free_endpoint
from bridge.kafka import Consumer, Fetched
from bridge.settings import Kafka
from tests.poll import until
from tests.real import Brokers

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 120.0  # with one of them, on a busy machine


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a folder, a Kafka, and names for topics that nobody else has."""

    folder: Path
    servers: str
    prefix: str

    def start(self, script: str, *options: str) -> subprocess.Popen[str]:
        """In a home of its own, for Keras may keep MNIST in the developer's."""
        told = ("--servers", self.servers, "--prefix", self.prefix, *options)
        return subprocess.Popen(
            [sys.executable, str(EXAMPLES / script), *told],
            cwd=self.folder,
            env=os.environ | {"HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *options: str) -> tuple[int, str, str]:
        """Its exit code, what it printed and what it said."""
        with self.start(script, *options) as process:
            try:
                out, said = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
        return process.returncode, out, said

    def found(self, script: str, *options: str) -> dict[str, Any]:
        """The one object that a run prints; it is all that it prints."""
        code, out, said = self.run(script, "--json", *options)
        assert code == 0, said
        found: dict[str, Any] = json.loads(out)
        return found

    def mistake(self, script: str, *options: str) -> str:
        """The one line that it ends with."""
        code, out, said = self.run(script, *options)
        assert (code, out) == (1, ""), said
        assert "Traceback" not in said
        return said.splitlines()[-1]

    def records(self, topic: str) -> list[Fetched]:
        """All that a topic of one partition holds; none where there is no topic."""
        cluster = Kafka(bootstrap_servers=self.servers)
        name = f"{self.prefix}-{topic}"
        if name not in kafka.partitions(cluster, 10.0):
            return []
        with Consumer(cluster) as consumer:
            consumer.assign({(name, 0): kafka.EARLIEST})
            found: list[Fetched] = []
            while (name, 0) not in consumer.ended():
                found += consumer.fetch(1000, 0.1)
        return found


@pytest.fixture
def user(brokers: Brokers, unique: str, tmp_path: Path) -> User:
    return User(tmp_path, brokers.bootstrap_servers, unique)


@pytest.fixture
def lonely(unique: str, tmp_path: Path) -> User:
    """Without a Kafka."""
    return User(tmp_path, str(free_endpoint()), unique)


def mnist(folder: Path) -> Path:
    """A file in the form of MNIST: an image is as bright as its label says."""
    y = np.arange(300, dtype=np.uint8) % 10
    x = np.broadcast_to((y * 25)[:, None, None], (300, 28, 28))
    np.savez(folder / "my.npz", x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])
    return folder / "my.npz"


@pytest.mark.broker
def test_what_is_learned_from_kafka_is_what_is_learned_from_memory(user: User) -> None:
    found = user.found("mnist/run.py", "--epochs", "2", "--rows", "600")
    assert (found["data"], found["train_rows"], found["test_rows"]) == ("digits", 600, 297)
    assert found["accuracy_kafka"] == found["accuracy_memory"] > 0.5
    assert found["same_weights"]
    assert (found["predictions"], found["keys_kept"]) == (297, True)


@pytest.mark.broker
def test_mnist_goes_step_by_step_and_follows_what_comes(user: User) -> None:
    data = ("--data", str(mnist(user.folder)), "--rows", "200")
    code, _, said = user.run("mnist/produce.py", *data)
    assert code == 0, said
    code, _, said = user.run("mnist/train.py", "--epochs", "1")
    assert code == 0, said
    with user.start("mnist/infer.py", "--follow") as process:
        try:
            until(lambda: len(user.records("y_pred")) >= 50)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert [r.key for r in user.records("y_pred")] == [b"%d" % n for n in range(50)]
    assert {r.value for r in user.records("y_pred")} <= {b"%d" % n for n in range(10)}


@pytest.mark.broker
def test_fraud_is_learned_online_each_transaction_once(user: User) -> None:
    found = user.found("transactions.py", "--days", "3", "--rows", "1500")
    losses = found["loss_by_day"]
    assert losses[0] > losses[1] > losses[2]
    assert (found["transactions"], found["left_to_learn"]) == (4500, 0)
    assert (found["predictions"], found["keys_kept"]) == (4500, True)
    last = found["last_day"]
    assert last["false_alarms"] < last["caught"] < last["frauds"]


@pytest.mark.broker
def test_updates_are_told_apart(user: User) -> None:
    found = user.found("social.py", "--rows", "1000", "--epochs", "3")
    losses = found["loss_by_epoch"]
    assert losses[0] > losses[1] > losses[2]
    assert (found["learned"], found["predictions"], found["keys_kept"]) == (800, 200, True)
    assert found["accuracy"] > 0.8
    assert "choose another" in user.mistake("social.py")


def test_a_file_that_is_not_there_is_named(lonely: User) -> None:
    told = lonely.mistake("mnist/run.py", "--data", "none.npz")
    assert told == "error: --data none.npz: expected an mnist.npz, received no such file"


def test_a_file_that_is_no_mnist_is_named(lonely: User) -> None:
    told = lonely.mistake("mnist/run.py", "--data", __file__)
    assert told.startswith(f"error: --data {__file__}: expected an npz of x_train, y_train, ")


@pytest.mark.parametrize("script", ["mnist/train.py", "social.py"])
def test_a_kafka_that_is_not_there_is_named(script: str, lonely: User) -> None:
    told = lonely.mistake(script)
    assert told.startswith(f"error: kafka {lonely.servers}: expected a Kafka broker that answers")
