"""Handwritten digits: MNIST where it is on this machine, else the small ones in `digits.npz`.

Nothing is downloaded. MNIST is 70,000 images of 28x28 pixels. `digits.npz` holds 1,797 images of
8x8 pixels (README.md says whose); they are blown up to 28x28, so that whatever follows is the same
for both.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from console import say

from bridge.errors import Misconfigured

CACHE = Path.home() / ".keras" / "datasets" / "mnist.npz"  # where Keras keeps it
BUNDLED = Path(__file__).with_name("digits.npz")
PARTS = ("x_train", "y_train", "x_test", "y_test")


class Digits(NamedTuple):
    """Images and what they show."""

    name: str  # "mnist" or "digits"
    x_train: np.ndarray  # (n, 28, 28), uint8
    y_train: np.ndarray  # (n,), uint8
    x_test: np.ndarray
    y_test: np.ndarray


def load(path: Path | None = None, rows: int | None = None) -> Digits:
    """At most so many images to learn from, and at most so many to be tested with.

    Raises:
        Misconfigured: the file that was named is not an mnist.npz.
    """
    if path is None and not CACHE.exists():
        say("no MNIST here, so 1,797 smaller digits instead; --data PATH names an mnist.npz")
        x_train, y_train, x_test, y_test = (part[:rows] for part in _read(BUNDLED))
        return Digits("digits", _enlarged(x_train), y_train, _enlarged(x_test), y_test)
    return Digits("mnist", *(part[:rows] for part in _read(path or CACHE)))


def _read(path: Path) -> list[np.ndarray]:
    try:
        with np.load(path) as arrays:
            return [arrays[name] for name in PARTS]
    except FileNotFoundError:
        raise Misconfigured(f"--data {path}", "an mnist.npz", "no such file") from None
    except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise Misconfigured(f"--data {path}", f"an npz of {', '.join(PARTS)}", str(error)) from None


def _enlarged(images: np.ndarray) -> np.ndarray:
    """(n, 8, 8), 0 to 16 -> (n, 28, 28), 0 to 240: of each pixel 3x3, and a margin of 2."""
    large = images.repeat(3, axis=1).repeat(3, axis=2) * np.uint8(15)
    return np.pad(large, ((0, 0), (2, 2), (2, 2)))
