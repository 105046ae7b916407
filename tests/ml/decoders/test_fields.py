"""What can be asked for, and what TensorFlow is told of it."""

from typing import Any

import pytest
import tensorflow as tf

from bridge.errors import Misconfigured
from ml.decoders import MISSING, Field, Fields, Framing, build, normalised, signature


def test_a_field_has_its_columns_name_for_a_path() -> None:
    fields = normalised({"a.b": tf.int8, "c": "string", "d": Field("bool", "e.f", (None,), True)})
    assert fields == {
        "a.b": Field(tf.int8, "a.b"),
        "c": Field(tf.string, "c"),
        "d": Field(tf.bool, "e.f", (None,), True),
    }
    assert normalised(fields) == fields
    assert repr(fields["c"].default) == repr(MISSING) == "MISSING"


def test_the_signature_is_that_of_a_batch() -> None:
    fields = normalised(
        {"a": "float32", "b": Field("int64", shape=(3,)), "c": Field("string", "", (None,))}
    )
    assert signature(fields) == {
        "a": tf.TensorSpec((None,), tf.float32),
        "b": tf.TensorSpec((None, 3), tf.int64),
        "c": tf.TensorSpec((None, None), tf.string),
    }


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "fields: expected at least one field, received none"),
        ({"t": "flaot32"}, r"fields.t: .*, received 'flaot32' \(did you mean float32"),
        ({"t": "str"}, r"received 'str' \(did you mean string\?\)"),
        ({"t": tf.bfloat16}, r"received tf.bfloat16 \(did you mean float16\?\)"),
        ({"t": tf.complex64}, "received tf.complex64"),
        ({"t": Field(path="a..b")}, "fields.t: expected names with dots between, received 'a..b'"),
        ({"t": Field(shape=(2, 3))}, r"fields.t: expected a shape \(\), \(n,\) or \(None,\)"),
        ({"t": Field(shape=(0,))}, r"fields.t: expected a shape .*, received \(0,\)"),
        ({"t": Field("int8", default=300)}, "fields.t.default: expected a whole number from -128"),
        ({"t": Field("string", default=5)}, "fields.t.default: expected a text, received 5"),
        ({"t": Field("int8", default=None)}, "fields.t.default: expected a whole number"),
        ({"t": Field("int8", shape=(2,), default=[1])}, "fields.t.default: expected an array of 2"),
    ],
    ids=str,
)  # fmt: skip
def test_what_no_column_can_be_is_refused(fields: Any, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        build("json", fields, None, Framing())


def test_a_kind_that_there_is_not_is_refused() -> None:
    fields: Fields = {"t": "int8"}
    with pytest.raises(Misconfigured, match=r"received 'arvo' \(did you mean avro\?\)"):
        build("arvo", fields, None, Framing())
