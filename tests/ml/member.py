"""A process that reads a topic as one member of a group: ``python -m tests.ml.member ...``.

SERVERS TOPIC GROUP FILE HOW: what it has done stands in FILE, a line ``partition offset`` each,
written before it is committed. HOW is ``loop`` (commits each batch), or ``sink``: predictions go to
the topic ``GROUP-out`` exactly once under the transactional id that is the name of FILE.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from bridge.settings import Kafka
from ml import KafkaDataset

ROWS, SLOW_S = 20, 0.02  # of a batch, and the work on it


def main(servers: str, topic: str, group: str, file: str, how: str) -> None:
    options = {"session.timeout.ms": 6000}
    dataset = KafkaDataset(topic, servers, group=group, batch_rows=ROWS, configuration=options)
    with Path(file).open("a", buffering=1) as done:
        if how == "loop":
            for batch in dataset.prefetch(2):
                time.sleep(SLOW_S)
                pairs = zip(batch["partition"].numpy(), batch["offset"].numpy(), strict=True)
                done.write("".join(f"{p} {o}\n" for p, o in pairs))
                dataset.commit(batch)
        else:
            predict(dataset, Kafka(bootstrap_servers=servers), f"{group}-out", Path(file).name)


def predict(dataset: KafkaDataset, kafka: Kafka, out: str, name: str) -> None:
    from ml import OutputCallback
    from tests.ml.model import echo, number

    class Slow(OutputCallback):
        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            time.sleep(SLOW_S)
            super().on_predict_batch_end(batch, logs)

    inputs = dataset.map(number)
    callback = Slow(ROWS, out, kafka, source=inputs, transactional_id=name)
    echo().predict(inputs, verbose=0, callbacks=[callback])


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    main(*sys.argv[1:])
