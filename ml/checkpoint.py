"""Everything of ``train`` that must survive, in one file, in one atomic step.

Weights, optimiser, device tables (the scaler), counters and offsets leave together or not at all:
the file is written beside the old one, flushed to the disk and then takes its name.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from bridge.errors import Misconfigured

VERSION = 1
NAME = "checkpoint.npz"


@dataclass(slots=True)
class Checkpoint:
    """What `save` keeps; arrays by name, everything else as JSON."""

    meta: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in this folder.

    Raises:
        Misconfigured: the folder cannot be written.
    """
    meta = np.frombuffer(json.dumps({"version": VERSION, **checkpoint.meta}).encode(), np.uint8)
    temporary = folder / f"{NAME}.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, meta=meta, **checkpoint.arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)
    except OSError as error:
        raise Misconfigured("train.checkpoint", "a folder to write to", str(error)) from None


def load(folder: Path) -> Checkpoint | None:
    """The checkpoint of this folder, or ``None`` where there is none.

    Raises:
        Misconfigured: it is of another version, or damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        if meta.pop("version") != VERSION:
            raise ValueError("another version")
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise Misconfigured(
            str(path), f"a checkpoint of version {VERSION}", str(error), "move it away"
        ) from None
    return Checkpoint(meta, arrays)
