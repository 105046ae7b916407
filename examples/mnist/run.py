"""All steps, and the proof: what is learned from Kafka is what would be learned from memory.

    python examples/mnist/run.py [--json]

Without `--servers` it starts a Kafka of its own, which is gone afterwards.
"""

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import console
import data
import numpy as np
from console import say

from bridge.brokers import KafkaBroker


def run(digits: data.Digits, prefix: str, servers: str, epochs: int) -> dict[str, Any]:
    """Produce, train, infer; then train without Kafka, and compare."""
    say("loading TensorFlow")
    import infer
    import produce
    import tensorflow as tf
    import train

    produce.produce(digits, prefix, servers)
    rows = tf.data.Dataset.from_tensor_slices((digits.x_train, digits.y_train)).batch(train.BATCH)

    say("learning from Kafka")
    # Keras counts one step too many where it cannot know how many there are
    stream = train.stream(prefix, servers).apply(tf.data.experimental.assert_cardinality(len(rows)))
    learned = train.build()
    train.fit(learned, stream, epochs)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mnist.keras")
        learned.save(file)
        say("predicting from Kafka to Kafka")
        infer.infer(infer.load(file), prefix, servers)
    found = answers(prefix, servers)

    say("learning the same from memory")
    model = train.build()
    train.fit(model, rows, epochs)
    guesses = model.predict(digits.x_test, verbose=0).argmax(axis=1)
    weights = zip(learned.get_weights(), model.get_weights(), strict=True)

    truth = {str(n).encode(): int(label) for n, label in enumerate(digits.y_test)}
    right = sum(int(value) == truth.get(key) for key, value in found)
    return {
        "data": digits.name,
        "train_rows": len(digits.x_train),
        "test_rows": len(digits.x_test),
        "accuracy_kafka": round(right / len(truth), 4),
        "accuracy_memory": round(float(np.mean(guesses == digits.y_test)), 4),
        "same_weights": all(np.array_equal(one, other) for one, other in weights),
        "predictions": len(found),
        "keys_kept": [key for key, _ in found] == list(truth),
    }


def answers(prefix: str, servers: str) -> list[tuple[bytes, bytes]]:
    """What stands in `y_pred`: (key, digit), in the order of the topic."""
    from ml import KafkaDataset

    records = KafkaDataset(f"{prefix}-y_pred", servers=servers, eof=True, message_key=True)
    return [(key, value) for value, key in records.as_numpy_iterator()]


def main() -> None:
    parser = console.options(__doc__, servers="")
    parser.add_argument("--data", type=Path, help="an mnist.npz")
    parser.add_argument("--rows", type=int, help="at most so many images of each kind")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    told = parser.parse_args()
    begun = time.monotonic()
    digits = data.load(told.data, told.rows)
    with ExitStack() as stack:
        servers = told.servers
        if not servers:
            say("starting Kafka")
            servers = stack.enter_context(KafkaBroker(progress=say)).bootstrap_servers
        found = run(digits, told.prefix, servers, told.epochs)
    found["seconds"] = round(time.monotonic() - begun, 1)
    if told.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:16} {value}" for name, value in found.items()))


if __name__ == "__main__":
    console.run(main)
