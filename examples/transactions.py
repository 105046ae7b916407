"""Web transactions: a model learns online which are fraud, and says so before it is told.

    python examples/transactions.py [--json]

Day after day: the transactions go to Kafka as JSON, the model scores them into a topic, then it
learns from them. Two consumer groups remember how far it has scored and how far it has learned:
each day it sees what is new, and it would after a crash or on another machine as well.

The transactions are made up, from a seed: 4 in 100 are fraud, with larger amounts, further from
home, more often at night and from a new device; but all this happens to honest people too. Of real
fraud the numbers say nothing, and there the answer, `fraud`, comes weeks later.
"""

import argparse
import json
from typing import Any

import frame
import keras
import numpy as np
import tensorflow as tf

from ml import CommitCallback, KafkaDataset, KafkaOutputSequence, OutputCallback

SEED = 1
FRAUDS = 0.04  # of all
FLAGGED = 0.5  # from this probability on
FIELDS = {
    "amount": tf.float32,  # euros
    "km": tf.float32,  # from home
    "hour": tf.float32,  # of the day
    "device": tf.string,  # "known" or "new"
    "fraud": tf.int32,  # 0 or 1
}


def transactions(rows: int, chance: np.random.Generator) -> list[dict[str, Any]]:
    """What people and thieves do on one day."""
    made = []
    for fraud in chance.random(rows) < FRAUDS:
        amount, km, hour, new = (5.0, 5.5, 2.0, 0.6) if fraud else (3.3, 2.5, 15.0, 0.05)
        made.append(
            {
                "amount": round(chance.lognormal(amount, 0.9), 2),
                "km": round(chance.lognormal(km, 1.3), 1),
                "hour": round(chance.normal(hour, 4.0) % 24, 2),
                "device": "new" if chance.random() < new else "known",
                "fraud": int(fraud),
            }
        )
    return made


def send(rows: list[dict[str, Any]], day: int, told: argparse.Namespace) -> None:
    """As JSON, each under a key of its own."""
    with KafkaOutputSequence(f"{told.prefix}-transactions", servers=told.servers) as records:
        for number, row in enumerate(rows):
            records.setitem(number, json.dumps(row), key=f"{day}/{number}")


def news(what: str, rows: int, told: argparse.Namespace) -> KafkaDataset:
    """Batches of what this group has not had yet, up to what is there now."""
    return KafkaDataset(
        f"{told.prefix}-transactions",
        servers=told.servers,
        group=f"{told.prefix}-{what}",
        eof=True,
        batch_rows=rows,
        decode="json",
        fields=FIELDS,
    )


def features(of: dict[str, tf.Tensor]) -> tf.Tensor:
    """The columns of a batch -> (rows, 5), each about as large as 1."""
    angle = of["hour"] * (2 * np.pi / 24)
    is_new = tf.cast(of["device"] == "new", tf.float32)
    sizes = tf.math.log1p(of["amount"]) / 4, tf.math.log1p(of["km"]) / 4
    return tf.stack([*sizes, tf.sin(angle), tf.cos(angle), is_new], axis=1)


def build() -> keras.Model:
    keras.utils.set_random_seed(SEED)
    hidden = keras.layers.Dense(16, activation="relu")
    answer = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((5,)), hidden, answer])
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    return model


def score(model: keras.Model, told: argparse.Namespace) -> None:
    """How probable is fraud? The callback commits what Kafka has the scores of."""
    batches = news("score", 256, told).map(lambda batch: features(batch["value"]))
    out = OutputCallback(
        *(256, f"{told.prefix}-scores", told.servers),
        source=batches,
        encode=lambda row: f"{row[0]:.4f}",
    )
    model.predict(batches, callbacks=[out], verbose=0)
    out.close()


def learn(model: keras.Model, told: argparse.Namespace) -> float:
    """Once through, each batch committed when it was learned from; the mean loss."""
    batches = news("learn", 32, told).map(
        lambda batch: (features(batch["value"]), batch["value"]["fraud"])
    )
    commits = CommitCallback(batches)
    history = model.fit(batches, callbacks=[commits], shuffle=False, verbose=0)
    return float(history.history["loss"][0])


def run(told: argparse.Namespace) -> dict[str, Any]:
    """All days, and how well the last one went."""
    chance, model = np.random.default_rng(SEED), build()
    truth: dict[str, int] = {}
    losses = []
    for day in range(told.days):
        today = transactions(told.rows, chance)
        truth |= {f"{day}/{number}": row["fraud"] for number, row in enumerate(today)}
        send(today, day, told)
        score(model, told)
        losses.append(round(learn(model, told), 4))
        frame.say(f"day {day + 1} of {told.days}: loss {losses[-1]:.3f}")
    records = KafkaDataset(
        f"{told.prefix}-scores", servers=told.servers, eof=True, message_key=True
    )
    scores = [(key.decode(), float(value)) for value, key in records.as_numpy_iterator()]
    last = [(truth[key], value >= FLAGGED) for key, value in scores[-told.rows :]]
    return {
        "transactions": len(truth),
        "loss_by_day": losses,
        "left_to_learn": sum(len(batch["key"]) for batch in news("learn", 1000, told)),
        "predictions": len(scores),
        "keys_kept": [key for key, _ in scores] == list(truth),
        "last_day": {
            "frauds": sum(fraud for fraud, _ in last),
            "caught": sum(bool(fraud) and flagged for fraud, flagged in last),
            "false_alarms": sum(flagged and not fraud for fraud, flagged in last),
        },
    }


if __name__ == "__main__":
    parser = frame.options(__doc__, "shop")
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2000, help="transactions a day")
    frame.play(run, parser.parse_args())
