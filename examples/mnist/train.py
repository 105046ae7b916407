"""Step 2: a Keras model learns straight from Kafka.

    python examples/mnist/train.py --servers 127.0.0.1:9092 --model mnist.keras

A `KafkaDataset` is a `tf.data.Dataset`: it is zipped, batched and mapped like any other, and each
epoch reads the topics again. No file and no database stands between Kafka and the model.
"""

from pathlib import Path

import console
import keras
import tensorflow as tf
from console import say

from ml import KafkaDataset

BATCH = 32
SEED = 1


def stream(prefix: str, servers: str) -> tf.data.Dataset:
    """Batches of images with their labels, from two topics. ``eof``: it ends where they end."""
    images = KafkaDataset(f"{prefix}-x_train", servers=servers, eof=True)
    answers = KafkaDataset(f"{prefix}-y_train", servers=servers, eof=True)
    pairs = tf.data.Dataset.zip((images, answers)).batch(BATCH)
    return pairs.map(lambda image, answer: (pixels(image), labels(answer)))


def pixels(values: tf.Tensor) -> tf.Tensor:
    """(n,) records of 784 bytes -> (n, 28, 28), uint8."""
    return tf.reshape(tf.io.decode_raw(values, tf.uint8), (-1, 28, 28))


def labels(values: tf.Tensor) -> tf.Tensor:
    """(n,) records of one byte -> (n,), uint8."""
    return tf.reshape(tf.io.decode_raw(values, tf.uint8), (-1,))


def build() -> keras.Model:
    """An untrained model, the same at every call. It takes the bytes as they are."""
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model: keras.Model, dataset: tf.data.Dataset, epochs: int) -> None:
    """As always in Keras, with a line for each epoch."""

    def tell(epoch: int, logs: dict[str, float]) -> None:
        loss, accuracy = logs["loss"], logs["accuracy"]
        say(f"epoch {epoch + 1} of {epochs}: loss {loss:.3f}, accuracy {accuracy:.3f}")

    told = keras.callbacks.LambdaCallback(on_epoch_end=tell)
    model.fit(dataset, epochs=epochs, callbacks=[told], shuffle=False, verbose=0)


def main() -> None:
    parser = console.options(__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--model", type=Path, default=Path("mnist.keras"), help="file to write")
    told = parser.parse_args()
    console.need(told.servers, f"{told.prefix}-x_train", f"{told.prefix}-y_train")
    model = build()
    fit(model, stream(told.prefix, told.servers), told.epochs)
    model.save(told.model)
    say(f"saved as {told.model}")


if __name__ == "__main__":
    console.run(main)
