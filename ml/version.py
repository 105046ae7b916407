"""A version of a model: what travels in a `ModelCard`, and what it does to evidence. No I/O."""

import io
from dataclasses import asdict, fields, replace

import keras
import numpy as np

from ml import decide, model
from ml.observe import Observation


def pack(trained: keras.Model, usual: decide.Usual) -> bytes:
    """Weights and what is usual in the class, as one npz."""
    out = io.BytesIO()
    np.savez(
        out,
        weights=np.frombuffer(model.weights(trained), np.uint8),
        **asdict(usual),
    )
    return out.getvalue()


def corrected(trained: keras.Model, usual: decide.Usual, seen: Observation) -> decide.Evidence:
    """The evidence of an observation with a model's forecast taken off."""
    evidence = seen.evidence
    expected = model.forecast(trained, seen.context)
    level = np.where(evidence.scored, evidence.level - expected, 0.0)
    return replace(evidence, level=level, usual=usual)


def unpack(built: keras.Model, data: bytes) -> decide.Usual:
    """Put the weights of `pack` into a model of the same channels; what is usual in the class."""
    with np.load(io.BytesIO(data)) as stored:
        model.load(built, stored["weights"].tobytes())
        return decide.Usual(**{f.name: stored[f.name] for f in fields(decide.Usual)})
