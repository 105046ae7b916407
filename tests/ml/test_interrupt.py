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
for batch in dataset{derived}:
    print("read", flush=True)
"""


@pytest.mark.parametrize("derived", ["", '.map(lambda b: b["value"]).prefetch(2)'])
def test_ctrl_c_is_heard_on_a_quiet_topic(
    kafka_settings: Kafka, tmp_path: Path, derived: str
) -> None:
    name = topic(kafka_settings)
    fill(kafka_settings, name, numbered(1))
    out = tmp_path / "out"
    with out.open("wb") as file:
        command = (sys.executable, "-c", READ.format(derived=derived), name)
        process = subprocess.Popen(
            (*command, kafka_settings.bootstrap_servers), stdout=file, stderr=file
        )
        try:
            until(lambda: b"read" in out.read_bytes(), 60)
            process.send_signal(signal.SIGINT)
            process.wait(10)
        finally:
            process.kill()
            process.wait()
    assert b"KeyboardInterrupt" in out.read_bytes()
