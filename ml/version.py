"""A version of a model: what travels in a `ModelCard`, and what it does to evidence. No I/O."""

import io
from dataclasses import asdict, fields, replace
from zipfile import BadZipFile

import keras
import numpy as np

from bridge.errors import Malformed
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


def corrected(
    trained: keras.Model, usual: decide.Usual, seen: Observation, columns: list[int]
) -> decide.Evidence:
    """The evidence of an observation with a model's forecast taken off.

    Args:
        trained: the model.
        usual: what is usual in the class, by the model's channels.
        seen: the observation, whose table may have further channels, in any order.
        columns: of the table, for each channel of the model.
    """
    evidence = seen.evidence
    expected = np.zeros_like(evidence.level)
    expected[:, columns] = model.forecast(trained, seen.context[:, :, columns])
    level = np.where(evidence.scored, evidence.level - expected, 0.0)
    return replace(evidence, level=level, usual=_spread_out(usual, columns, level.shape[1]))


def _spread_out(usual: decide.Usual, columns: list[int], channels: int) -> decide.Usual:
    """What is usual, by the table's channels; NaN for those that the model does not know."""
    values = {}
    for name, known in asdict(usual).items():
        values[name] = np.full(channels, np.nan)
        values[name][columns] = known
    return decide.Usual(**values)


def unpack(built: keras.Model, data: bytes) -> decide.Usual:
    """Put the weights of `pack` into a model of the same channels; what is usual in the class.

    Raises:
        Malformed: the bytes are no version of such a model.
    """
    try:
        with np.load(io.BytesIO(data)) as stored:
            model.load(built, stored["weights"].tobytes())
            return decide.Usual(**{f.name: stored[f.name] for f in fields(decide.Usual)})
    except (ValueError, KeyError, EOFError, OSError, BadZipFile) as error:
        raise Malformed("weights of a ModelCard", "those of this model", f"{error!r}") from None
