"""What a text in a message is: a number, a number with its unit, a word, or nothing. No I/O."""

import re
from functools import lru_cache
from typing import Any

import orjson

from bridge.formats.sample import MAX_BYTES, MAX_TEXT
from bridge.formats.scalars import instant, number
from bridge.units import unit_of

_NO_VALUE = (
    " null none nil nan na n/a unknown unavailable undefined inf -inf infinity -infinity - --"
)
_MISSING = frozenset(_NO_VALUE.split(" "))
_WITH_UNIT = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(?:\s+|(?=[^\w\s.]))(\D.{0,15})")
_COMMA = re.compile(r"\A([+-]?[0-9]+),([0-9]{1,2}|[0-9]{4,12})\Z")  # for a decimal point
_TOO_LONG = (None, "", f"a text of more than {MAX_TEXT} characters is no state")


def read_text(text: str) -> tuple[float | None, str, str]:
    """The number in a text and its unit, or why it is no state either.

    >>> read_text("21.5 °C"), read_text("eco"), read_text("n/a")
    ((21.5, '°C', ''), (None, '', ''), (None, '', "'n/a': the channel is missing"))
    """
    return _read(text) if len(text) <= MAX_TEXT else _TOO_LONG


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[float | None, str, str]:
    if text.lower() in _MISSING:
        return None, "", f"{text!r}: the channel is missing"
    value = number(_COMMA.sub(r"\1.\2", text))
    measured = _WITH_UNIT.fullmatch(text) if value is None else None
    if measured and unit_of(measured[2]):
        sent = number(measured[1])
        return sent, measured[2], "no number" if sent is None else ""
    timed = value is None and text[:1].isdigit() and instant(text) is not None
    return value, "", "a time that is not the message's" if timed else ""


def embedded(text: str) -> Any:
    """The JSON object or list that a text is; None of any other text.

    >>> embedded('{"a": 1}'), embedded("{a}"), embedded("12")
    ({'a': 1}, None, None)
    """
    if text[:1] not in ("{", "[") or len(text) > MAX_BYTES:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
