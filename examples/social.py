"""Social updates: short texts become a vocabulary, a classifier and predictions, all over Kafka.

    python examples/social.py [--json]

One topic of JSON updates. From the first four fifths of it a Keras layer learns the words and a
model learns what an update is about; what it makes of the last fifth goes into a second topic,
each prediction under the key of its update.

The updates are made up, from a seed: three to eight words, two thirds of them of the subject and
the others chatter; 1 update in 20 is given a subject at random, so that about 96 % is the most
that can be had. Nobody wrote these, and of real language the numbers say nothing.
"""

import argparse
import json
from typing import Any

import frame
import keras
import numpy as np
import tensorflow as tf

from ml import KafkaDataset, KafkaOutputSequence, OutputCallback

SEED = 1
WRONG = 0.05  # of all labels
ON_SUBJECT = 0.67  # of all words
LENGTH = 8  # words, at most
WORDS = {
    "": "just so today really with my the and again finally love lol new best wow",
    "food": "pizza curry recipe lunch baked coffee spicy dessert kitchen hungry",
    "music": "album concert guitar song playlist drummer vinyl chorus festival encore",
    "sport": "match goal league coach marathon stadium penalty training finals team",
    "weather": "rain sunny storm forecast windy snow cloudy heatwave umbrella thunder",
}
SUBJECTS = ["food", "music", "sport", "weather"]
FIELDS = {"text": tf.string, "subject": tf.string}


def updates(rows: int) -> list[dict[str, str]]:
    """What people write, and what it is said to be about."""
    chance = np.random.default_rng(SEED)
    made = []
    for subject in chance.choice(SUBJECTS, rows):
        on_subject = chance.random(chance.integers(3, LENGTH + 1)) < ON_SUBJECT
        words = [chance.choice(WORDS[subject if on else ""].split()) for on in on_subject]
        said = chance.choice(SUBJECTS) if chance.random() < WRONG else subject
        made.append({"text": " ".join(words), "subject": str(said)})
    return made


def send(rows: list[dict[str, str]], told: argparse.Namespace) -> None:
    """As JSON; the key is the number of the update."""
    with KafkaOutputSequence(f"{told.prefix}-updates", servers=told.servers) as records:
        for number, row in enumerate(rows):
            records.setitem(number, json.dumps(row), key=str(number))


def part(start: int, stop: int, told: argparse.Namespace) -> KafkaDataset:
    """These offsets of the topic, by the batch, as columns."""
    return KafkaDataset(
        f"{told.prefix}-updates:0:{start}:{stop}",
        servers=told.servers,
        batch_rows=32,
        decode="json",
        fields=FIELDS,
    )


def build(texts: tf.data.Dataset) -> keras.Model:
    """A model that takes texts; its vocabulary is what the texts have."""
    keras.utils.set_random_seed(SEED)
    words = keras.layers.TextVectorization(max_tokens=1000, output_sequence_length=LENGTH)
    words.adapt(texts)
    model = keras.Sequential(
        [
            keras.Input((), dtype="string"),
            words,
            keras.layers.Embedding(words.vocabulary_size(), 16),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(len(SUBJECTS), activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    return model


def run(told: argparse.Namespace) -> dict[str, Any]:
    """Send, learn, predict, and look at what came out."""
    rows, split = updates(told.rows), told.rows * 4 // 5
    send(rows, told)
    number_of = keras.layers.StringLookup(vocabulary=SUBJECTS, num_oov_indices=0)
    learned = part(0, split, told)
    model = build(learned.map(lambda batch: batch["value"]["text"]))
    pairs = learned.map(
        lambda batch: (batch["value"]["text"], number_of(batch["value"]["subject"]))
    )
    tell = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: frame.say(f"epoch {epoch + 1}: loss {logs['loss']:.3f}")
    )
    history = model.fit(
        pairs, epochs=told.epochs, callbacks=[tell], shuffle=False, verbose=0
    ).history

    texts = part(split, told.rows, told).map(lambda batch: batch["value"]["text"])
    out = OutputCallback(
        *(32, f"{told.prefix}-subjects", told.servers),
        source=texts,
        encode=lambda row: SUBJECTS[row.argmax()],
    )
    model.predict(texts, callbacks=[out], verbose=0)
    out.close()

    topic = f"{told.prefix}-subjects"
    records = KafkaDataset(topic, servers=told.servers, eof=True, message_key=True)
    found = {int(key): value.decode() for value, key in records.as_numpy_iterator()}
    right = sum(rows[number]["subject"] == subject for number, subject in found.items())
    return {
        "updates": told.rows,
        "learned": split,
        "words": model.layers[0].vocabulary_size(),
        "loss_by_epoch": [round(loss, 4) for loss in history["loss"]],
        "predictions": len(found),
        "keys_kept": list(found) == list(range(split, told.rows)),
        "accuracy": round(right / len(found), 4),
    }


if __name__ == "__main__":
    parser = frame.options(__doc__, "social")
    parser.add_argument("--rows", type=int, default=2000, help="updates")
    parser.add_argument("--epochs", type=int, default=5)
    frame.play(run, parser.parse_args())
