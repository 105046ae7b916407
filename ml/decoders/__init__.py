"""Kafka values -> columns, a batch at a time and at compiled speed. No I/O, no clock."""

from collections.abc import Callable
from difflib import get_close_matches

from bridge.errors import Misconfigured
from ml.decoders.avro import AvroDecoder
from ml.decoders.decoder import Decoded, Decoder, Framing
from ml.decoders.fields import MISSING, Field, Fields, normalised, signature
from ml.decoders.json import JsonDecoder
from ml.decoders.protobuf import ProtobufDecoder

__all__ = [
    "MISSING",
    "Decoded",
    "Decoder",
    "Field",
    "Fields",
    "Framing",
    "build",
    "normalised",
    "signature",
]

_KINDS: dict[str, Callable[[Fields | None, object, Framing], Decoder]] = {
    "json": JsonDecoder,
    "avro": AvroDecoder,
    "protobuf": ProtobufDecoder,
}


def build(kind: str, fields: Fields | None, schema: object, framing: Framing) -> Decoder:
    """The decoder of a topic whose values are ``json``, ``avro`` or ``protobuf``.

    >>> decoder = build("json", {"t": "float32"}, None, Framing())
    >>> decoder.decode([b'{"t": 21.5}', None]).fits
    array([ True, False])

    Raises:
        Misconfigured: an unknown kind, or fields that it or the schema cannot give.
    """
    if kind not in _KINDS:
        near = get_close_matches(kind, _KINDS, 1, 0.5)
        remedy = f"did you mean {near[0]}?" if near else ""
        raise Misconfigured("decoder", f"one of {', '.join(_KINDS)}", repr(kind), remedy)
    return _KINDS[kind](fields, schema, framing)
