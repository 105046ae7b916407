"""Step 1: the images and their labels go to Kafka, a record each.

    python examples/mnist/produce.py --servers 127.0.0.1:9092

Each topic has one partition, so that record n of `x_train` and record n of `y_train` belong
together: the pixels of an image as 784 bytes, and its label as one.
"""

from collections.abc import Iterable
from pathlib import Path

import console
import data
from console import say

from bridge.errors import Misconfigured
from ml import KafkaOutputSequence


def produce(digits: data.Digits, prefix: str, servers: str) -> None:
    """Fill the three topics. They must be new: a second run would append to the first.

    Raises:
        Unavailable: no broker answers.
        Misconfigured: one of the topics is there.
    """
    parts = {f"{prefix}-{part}": part for part in ("x_train", "y_train", "x_test")}
    if old := sorted(parts.keys() & console.topics(servers)):
        raise Misconfigured("--prefix", "a new one", f"one with a topic {old[0]}", "choose another")
    for topic, part in parts.items():
        rows = getattr(digits, part)
        say(f"{len(rows):,} records into {topic}")
        send(topic, (row.tobytes() for row in rows), servers)


def send(topic: str, values: Iterable[bytes], servers: str) -> None:
    """The values in their order; the key of each is its number."""
    with KafkaOutputSequence(topic, servers=servers) as records:  # it makes the topic
        for number, value in enumerate(values):
            records.setitem(number, value, key=str(number))
    # here Kafka has them all


def main() -> None:
    parser = console.options(__doc__)
    parser.add_argument("--data", type=Path, help="an mnist.npz")
    parser.add_argument("--rows", type=int, help="at most so many images of each kind")
    told = parser.parse_args()
    produce(data.load(told.data, told.rows), told.prefix, told.servers)


if __name__ == "__main__":
    console.run(main)
