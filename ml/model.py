"""The Keras model of one device class, on one page. Owns Keras.

It forecasts, for each channel, the level residual that the statistics leave over (`ml.detectors.
statistics`), from the window of all *other* channels: what is nonlinear or lags, learned over all
devices of the class. Version 0 forecasts nothing; version n takes its forecast off before the
drift and level tests.
"""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.state import STEPS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's own word for: warnings

import keras  # noqa: E402
from keras import layers, ops  # noqa: E402

HIDDEN = 32
BATCH = 256  # readings; every call is padded to it, so that a score depends on its reading alone
CLIP = 6.0  # spreads; a target further out is no lesson


@dataclass(frozen=True, slots=True)
class Lesson:
    """Readings that a model learns from."""

    context: np.ndarray  # (n, STEPS, channels), float32, standard deviations
    level: np.ndarray  # (n, channels), float32, spreads: the target
    scored: np.ndarray  # (n, channels), float32: 1 where the target is known


def build(channels: int, seed: int) -> keras.Model:
    """An untrained forecaster; it starts at 0 everywhere, like version 0."""
    keras.utils.set_random_seed(seed)
    context = keras.Input((STEPS, channels))  # (n, steps, channels)
    others = 1.0 - np.eye(channels, dtype="float32")  # (asked, channels): blank the one asked for
    blanked = ops.expand_dims(context, 1) * others[None, :, None, :]  # (n, asked, steps, channels)
    flat = ops.reshape(blanked, (-1, channels, STEPS * channels))  # (n, asked, steps * channels)
    which = ops.zeros_like(flat[..., :channels]) + np.eye(channels, dtype="float32")
    x = ops.concatenate((flat, which), axis=-1)  # (n, asked, steps * channels + channels)
    x = layers.Dense(HIDDEN, activation="gelu")(x)  # (n, asked, hidden)
    x = layers.Dense(HIDDEN, activation="gelu")(x)  # (n, asked, hidden)
    forecast = layers.Dense(1, kernel_initializer="zeros")(x)  # (n, asked, 1)
    model = keras.Model(context, forecast)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="huber")
    return model


def train(model: keras.Model, lesson: Lesson, epochs: int, stop: Callable[[], bool]) -> None:
    """Fit a shuffled lesson; leaves it after the batch in which ``stop`` says so."""
    target = np.clip(lesson.level, -CLIP, CLIP)[..., None]  # (n, channels, 1)
    model.fit(
        *(lesson.context, target),
        sample_weight=lesson.scored,
        batch_size=BATCH,
        epochs=epochs,
        callbacks=[_Stop(stop)],
        verbose=0,
    )


class _Stop(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, stop: Callable[[], bool]) -> None:
        super().__init__()
        self._stop = stop

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.model.stop_training = self._stop()


def forecast(model: keras.Model, context: np.ndarray) -> np.ndarray:
    """The level residual to expect: (n, STEPS, channels) -> (n, channels), spreads."""
    parts = [_padded(model, context[i : i + BATCH]) for i in range(0, len(context), BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, context.shape[2]))


def loss(model: keras.Model | None, lesson: Lesson) -> float:
    """Mean square of what the forecast leaves, in spreads; ``None`` forecasts nothing."""
    expected = forecast(model, lesson.context) if model else 0.0
    left = np.clip(lesson.level, -CLIP, CLIP) - expected
    return float((lesson.scored * left**2).sum() / max(1.0, lesson.scored.sum()))


def weights(model: keras.Model) -> bytes:
    """The weights as npz, in the order of the layers."""
    out = io.BytesIO()
    np.savez(out, *model.get_weights())
    return out.getvalue()


def load(model: keras.Model, data: bytes) -> None:
    """Take weights as `weights` gave them."""
    with np.load(io.BytesIO(data)) as arrays:
        model.set_weights(_ordered(arrays))


def optimizer_state(model: keras.Model) -> list[np.ndarray]:
    """The optimiser's variables, so that training goes on where it stood."""
    return [np.asarray(variable) for variable in model.optimizer.variables]


def restore_optimizer(model: keras.Model, variables: Sequence[np.ndarray]) -> None:
    """Take the optimiser's variables as `optimizer_state` gave them."""
    if len(variables) > len(model.optimizer.variables):  # it had been fitted
        model.optimizer.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, variables, strict=True):
        variable.assign(value)


def _padded(model: keras.Model, context: np.ndarray) -> np.ndarray:
    full = np.zeros((BATCH, *context.shape[1:]), "float32")
    full[: len(context)] = context
    return np.asarray(model.predict_on_batch(full))[: len(context), :, 0]


def _ordered(arrays: Any) -> list[np.ndarray]:
    return [arrays[f"arr_{n}"] for n in range(len(arrays.files))]
