"""Plain JSON as people send it, and bare values: what no other format claims."""

import re

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import measured, samples_of, value_named
from bridge.formats.sample import MAX_ITEMS, MAX_TEXT, Decoded, Nothing, Sample
from bridge.formats.scalars import describe, parse_json

_OPENS = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]").match
_OBJECT = re.compile(rb"\s*\{.*\}\s*").fullmatch
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_-]{0,31}")


def decode_json(topic: str, payload: bytes) -> Decoded:
    """The samples of JSON, or of lines of JSON: one for each device and time stated in them."""
    try:
        return measured(samples_of(parse_json(payload)))
    except Malformed:
        lines = payload.strip().splitlines()
        if not 1 < len(lines) <= MAX_ITEMS or not all(map(_OBJECT, lines)):
            raise
    return measured(samples_of([parse_json(line) for line in lines]))


def decode_value(topic: str, payload: bytes) -> Decoded:
    """A bare number, boolean or word; the topic names it."""
    text = payload.strip(b"\0 \t\r\n")
    if not text:
        return Nothing("the payload is empty")
    if text[:1] == text[-1:] == b'"':
        text = text[1:-1].strip()
    sample = Sample()
    if len(text) <= MAX_TEXT and text.lower() not in (b"nan", b"inf", b"infinity"):
        word = text.decode("utf-8", "replace")
        switch = {"true": 1, "false": 0}.get(word.lower(), word)
        value_named(sample, "payload", "", switch)
        if sample.fields or (sample.states and _WORD.fullmatch(text)):
            return [sample]
        if not sample.states:
            return Nothing("a bare word that is no value", (("payload", repr(word)),))
    raise Malformed("payload", "JSON, a finite number, a boolean or a word", describe(payload))


JSON = (Format("json", "the payload begins like a JSON object or list", decode_json, shape=_OPENS),)
VALUES = (Format("plain", "no other format took it: a bare value", decode_value),)
