"""Ctrl-C is heard while a dataset waits for a record that does not come."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.settings import Kafka
from tests.ml.topic import fill, numbered, topic
from tests.poll import until

pytestmark = pytest.mark.broker

READ = """
import sys
from ml import KafkaDataset
dataset = KafkaDataset(sys.argv[1], sys.argv[2], batch_ms=50)
try:
    for batch in dataset{derived}:
        print("read", flush=True)
    print("ended")
except KeyboardInterrupt:
    print("interrupted")
"""
FIT = """
import sys
from ml import CommitCallback, KafkaDataset
from tests.ml.model import learner, pairs
data = pairs(KafkaDataset(sys.argv[1], sys.argv[2], group=sys.argv[1], batch_ms=50))
done = CommitCallback(data)
done.on_train_batch_end = lambda batch, logs=None: print("read", flush=True)
try:
    learner().fit(data, verbose=0, callbacks=[done])
    print("ended")
except KeyboardInterrupt:
    print("interrupted")
"""
EARLIER = """
import os, signal, sys, time
from ml import KafkaDataset
dataset = KafkaDataset(sys.argv[1], sys.argv[2], eof=True, batch_ms=50)
for batch in dataset:
    pass
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    for batch in dataset:
        print("interrupted\\nread")
"""
PROGRAMS = {
    "batches": READ.format(derived=""),
    "derived": READ.format(derived='.map(lambda b: b["value"]).prefetch(2)'),
    "single records": READ.format(derived="").replace(", batch_ms=50", ""),
    "fit": FIT,
    "one that was handled before": EARLIER,
}
WAITING = ("batches", "derived", "single records", "fit")


@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_is_heard_on_a_quiet_topic_and_is_what_python_says(
    kafka_settings: Kafka, tmp_path: Path, program: str
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(1))
    out = tmp_path / "out"
    with out.open("wb") as file:
        command = (sys.executable, "-c", PROGRAMS[program], name)
        process = subprocess.Popen(
            (*command, kafka_settings.bootstrap_servers), stdout=file, stderr=file
        )
        try:
            until(lambda: b"read" in out.read_bytes(), 60)
            if program in WAITING:
                process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
    said = out.read_bytes().splitlines()
    assert b"interrupted" in said
    assert b"ended" not in said
