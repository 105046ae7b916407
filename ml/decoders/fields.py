"""What a user asks of a record: the fields, their types and shapes. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

import tensorflow as tf

from bridge.errors import Misconfigured


class Missing:
    """The type of `MISSING`: no default was given, or no value came."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
FLOATS = ("float16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = (*FLOATS, *INTS, "bool", "string")


@dataclass(frozen=True, slots=True)
class Field:
    """One column, and where in a record its values stand.

    Args:
        dtype: of the column, a `tf.DType` or its name.
        path: names from the top of the record, with dots between; "" is the column's own name.
        shape: ``()`` a scalar; ``(n,)`` an array of n; ``(None,)`` an array of any length, padded
            to the longest of the batch.
        default: for what is null or missing, and for padding. Without one a float is NaN there,
            and anything else makes the record not fit; padding is then NaN, 0, false or "".
    """

    dtype: tf.DType | str = "float32"
    path: str = ""
    shape: tuple[int | None, ...] = ()
    default: object = MISSING


Fields = Mapping[str, Field | tf.DType | str]


def normalised(fields: Fields) -> dict[str, Field]:
    """The fields with every type resolved and every path filled in.

    >>> normalised({"time": "int64"})["time"]
    Field(dtype=tf.int64, path='time', shape=(), default=MISSING)

    Raises:
        Misconfigured: a type, shape or path that no column can have.
    """
    if not fields:
        raise Misconfigured("fields", "at least one field", "none")
    return {name: _normal(name, said) for name, said in fields.items()}


def signature(fields: Mapping[str, Field]) -> dict[str, tf.TensorSpec]:
    """What a batch of the fields looks like to TensorFlow.

    >>> signature(normalised({"v": Field("float32", shape=(3,))}))
    {'v': TensorSpec(shape=(None, 3), dtype=tf.float32, name=None)}
    """
    return {n: tf.TensorSpec((None, *f.shape), f.dtype) for n, f in normalised(fields).items()}


def _normal(name: str, said: Field | tf.DType | str) -> Field:
    field = said if isinstance(said, Field) else Field(said)
    path = field.path or name
    if not all(path.split(".")):
        raise Misconfigured(f"fields.{name}", "names with dots between", repr(path))
    if not _servable(field.shape):
        expected = "a shape (), (n,) or (None,)"
        raise Misconfigured(f"fields.{name}", expected, repr(field.shape), "take one level")
    return replace(field, dtype=_dtype(name, field.dtype), path=path, shape=tuple(field.shape))


def _servable(shape: tuple[int | None, ...]) -> bool:
    sizes = list(shape)
    if len(sizes) > 1:
        return False
    return all(size is None or (type(size) is int and size > 0) for size in sizes)


def _dtype(name: str, said: object) -> tf.DType:
    try:
        dtype = tf.as_dtype(said)
    except TypeError:
        dtype = None
    if dtype is not None and dtype.name in DTYPES:
        return dtype
    near = get_close_matches(dtype.name if dtype is not None else str(said), DTYPES, 1, 0.5)
    remedy = f"did you mean {near[0]}?" if near else ""
    raise Misconfigured(f"fields.{name}", f"one of {', '.join(DTYPES)}", repr(said), remedy)
