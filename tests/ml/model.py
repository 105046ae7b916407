"""A model that says what it read: its one output is the number in the record."""

import keras
import tensorflow as tf

from ml import KafkaDataset


def number(batch: dict[str, tf.Tensor]) -> tf.Tensor:
    """The number of ``v12``, as a column."""
    digits = tf.strings.substr(batch["value"], 1, 20)
    return tf.strings.to_number(digits, tf.float32)[:, None]


def echo() -> keras.Model:
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile("sgd", "mse")
    return model


def learner() -> keras.Model:
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    return model


def pairs(dataset: KafkaDataset) -> tf.data.Dataset:
    """For `fit`: the number, and the number again."""
    return dataset.map(number).map(lambda x: (x, x))
