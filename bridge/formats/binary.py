"""CBOR and MessagePack: the data model of JSON in bytes, read as JSON is.

RFC 8949, and the MessagePack specification. Only maps with text keys, and lists of them, are taken
for messages. What JSON does not have becomes what it has: times are what `instant` reads, large
numbers and decimals are numbers, a few bytes are hex, everything else is missing. What a decoder
would do for a tag beyond that (references, patterns, mails) is not done. No I/O, no clock.
"""

import io
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cbor2
import msgpack

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import measured, samples_of
from bridge.formats.sample import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, Decoded, bounded
from bridge.formats.scalars import describe, instant, iso

HEADS = 4 * MAX_ITEMS  # items of a payload, keys and what holds them included
_OPENS_CBOR = re.compile(rb"(?:\xd9\xd9\xf7)?[\x81-\x9b\x9f\xa1-\xbb\xbf]").match
_OPENS_MSGPACK = re.compile(rb"[\x81-\x9f\xdc-\xdf]").match
_LONGEST_INT = 1000  # bits: what a float holds
_LONGEST_EXPONENT = 400
_SHORT = 16  # bytes that are told as hex
_SECONDS, _NANOS, _MICROS, _MILLIS = 1, -9, -6, -3  # keys of an extended time (RFC 9581, 3.1)


class _Steps(NamedTuple):
    """How far it is from one item to the next; what an item holds is not passed over."""

    fixed: bytes  # by the first byte; 0: a length follows
    lengths: Mapping[int, tuple[int, int]]  # by the first byte: bytes of the length, and behind it


def _cbor_steps() -> _Steps:
    """RFC 8949, 3: three bits of major type, five of a number or of the size of one."""
    fixed = bytearray([1] * 256)
    for head in range(256):
        major, low = head >> 5, head & 31
        if 24 <= low < 28:  # noqa: PLR2004
            fixed[head] = 0 if major in (2, 3) else 1 + (1 << low - 24)
        elif major in (2, 3) and low < 24:  # noqa: PLR2004
            fixed[head] = 1 + low
    strings = [h for h in range(256) if fixed[h] == 0]
    return _Steps(bytes(fixed), {h: (1 << (h & 31) - 24, 0) for h in strings})


def _msgpack_steps() -> _Steps:
    """https://github.com/msgpack/msgpack/blob/master/spec.md, the table of formats."""
    fixed = bytearray([1] * 256)
    for head in range(0xA0, 0xC0):
        fixed[head] = 1 + (head & 31)
    sizes = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4}
    sizes |= {0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
    sizes |= {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
    for head, size in sizes.items():
        fixed[head] = 1 + size
    lengths = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
    lengths |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
    for head in lengths:
        fixed[head] = 0
    return _Steps(bytes(fixed), lengths)


_CBOR, _MSGPACK = _cbor_steps(), _msgpack_steps()


def decode_cbor(topic: str, payload: bytes) -> Decoded:
    """The samples of a CBOR map or list."""
    return _samples(load_cbor(payload))


def decode_msgpack(topic: str, payload: bytes) -> Decoded:
    """The samples of a MessagePack map or list."""
    return _samples(_load_msgpack(payload))


def load_cbor(payload: bytes) -> Any:
    """One CBOR item that is all of the payload; its numbers are int and float.

    Raises:
        Malformed: it is not, or it has too many items or levels.
    """
    _few(payload, _CBOR)
    stream = io.BytesIO(payload)
    try:
        found = cbor2.CBORDecoder(
            stream, tag_hook=_unknown, semantic_decoders=_TAGS, max_depth=MAX_DEPTH
        ).decode()
    except Exception as error:  # the decoder raises whatever the bytes lead to
        raise _refused("CBOR", payload, error) from None
    if stream.tell() != len(payload):
        raise Malformed(f"byte {stream.tell()}", "the end of the CBOR", "more bytes")
    return found


def _load_msgpack(payload: bytes) -> Any:
    _few(payload, _MSGPACK)
    try:
        return msgpack.unpackb(
            payload,
            strict_map_key=False,
            timestamp=0,
            unicode_errors="replace",
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )
    except Exception as error:  # the decoder raises whatever the bytes lead to
        raise _refused("MessagePack", payload, error) from None


def _refused(what: str, payload: bytes, error: Exception) -> Malformed:
    return Malformed("payload", what, f"{describe(payload)} ({type(error).__name__})")


def _few(payload: bytes, steps: _Steps) -> None:
    """Count items before they are decoded: what they cost grows with their number."""
    fixed, lengths = steps
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    at, end = 0, len(payload)
    for _ in range(HEADS):
        if at >= end:
            return
        head = payload[at]
        step = fixed[head]
        if not step:
            size, behind = lengths[head]
            step = 1 + size + behind + int.from_bytes(payload[at + 1 : at + 1 + size])
        at += step
    raise Malformed(f"byte {at}", f"at most {HEADS} items", "more")


def _samples(tree: Any) -> Decoded:
    bounded(tree)
    return measured(samples_of(_plain(tree, 0)))


def _plain(value: Any, depth: int) -> Any:
    """The same in the types of JSON."""
    if depth > MAX_DEPTH:
        raise Malformed("payload", f"at most {MAX_DEPTH} levels", "more")
    if isinstance(value, dict):
        return {_key(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, msgpack.Timestamp):
        return _moment({"seconds": value.seconds, "nanos": value.nanoseconds}, False)
    if isinstance(value, bytes):
        return f"0x{value.hex()}" if 0 < len(value) <= _SHORT else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int)) else None


def _key(key: Any) -> str:
    if isinstance(key, bytes):
        return key[:_SHORT].hex() if not key.isascii() else key.decode("ascii")
    if isinstance(key, str):
        return key
    if isinstance(key, (int, float)) and abs(key) < 2**64:
        return str(key)
    raise Malformed("payload", "keys that are texts or numbers", type(key).__name__)


def _missing(value: Any, _immutable: bool) -> None:
    """A tag of which nothing is to be read."""


def _itself(value: Any, _immutable: bool) -> Any:
    """A tag that leaves a value what it is."""
    return value


def _unknown(tag: Any, _immutable: bool) -> Any:
    return tag.value


def _bignum(value: Any, _immutable: bool) -> int | None:
    short = isinstance(value, bytes) and 8 * len(value) <= _LONGEST_INT
    return int.from_bytes(value) if short else None


def _negative(value: Any, _immutable: bool) -> int | None:
    found = _bignum(value, _immutable)
    return None if found is None else -1 - found


def _scaled(value: Any, base: int) -> float | None:
    """Mantissa times base to the power of the exponent (RFC 8949, 3.4.4), if a float holds it."""
    exponent, mantissa = value if isinstance(value, (list, tuple)) and len(value) == 2 else (0, "")  # noqa: PLR2004
    if type(exponent) is not int or type(mantissa) is not int:
        return None
    most = _LONGEST_EXPONENT if base == 10 else 4 * _LONGEST_EXPONENT  # noqa: PLR2004
    if mantissa.bit_length() > _LONGEST_INT or abs(exponent) > most:
        return None
    try:
        return float(f"{mantissa}e{exponent}") if base == 10 else math.ldexp(mantissa, exponent)  # noqa: PLR2004
    except OverflowError:
        return None


def _decimal(value: Any, _immutable: bool) -> float | None:
    return _scaled(value, 10)


def _bigfloat(value: Any, _immutable: bool) -> float | None:
    return _scaled(value, 2)


def _rational(value: Any, _immutable: bool) -> float | None:
    over, under = value if isinstance(value, (list, tuple)) and len(value) == 2 else (0, 0)  # noqa: PLR2004
    if type(over) is not int or type(under) is not int or under == 0:
        return None
    small = max(over.bit_length(), under.bit_length()) <= _LONGEST_INT
    return over / under if small else None


def _moment(value: Any, _immutable: bool) -> str | None:
    """A time as text, which no reader takes for a number."""
    micros = instant(value)
    return None if micros is None else iso(micros)


def _extended_time(value: Any, _immutable: bool) -> str | None:
    parts = value if isinstance(value, Mapping) else {}
    for key, nanos in ((_NANOS, 1), (_MICROS, 1000), (_MILLIS, 1_000_000)):
        if type(parts.get(key)) is int:
            return _moment({"seconds": parts.get(_SECONDS), "nanos": parts[key] * nanos}, False)
    return _moment(parts.get(_SECONDS), False)


_TAGS: dict[int, Callable[[Any, bool], Any]] = {
    0: _itself,  # a time as text
    1: _moment,  # a time in seconds
    2: _bignum,
    3: _negative,
    4: _decimal,
    5: _bigfloat,
    25: _missing,  # a reference to a text
    28: _itself,  # what may be referred to
    29: _missing,  # a reference to it
    30: _rational,
    35: _itself,  # a pattern
    36: _itself,  # a mail
    37: _itself,  # a UUID
    52: _itself,  # an address of the Internet
    54: _itself,
    100: _missing,  # a day
    256: _itself,  # texts that may be referred to
    258: _itself,  # a set
    260: _itself,  # addresses
    261: _itself,
    1001: _extended_time,
    1004: _itself,  # a day as text
    43000: _itself,  # a complex number
    55799: _itself,  # "this is CBOR"
}


def _is_cbor(payload: bytes) -> bool:
    if not _OPENS_CBOR(payload):
        return False
    try:
        return _is_message(load_cbor(payload))
    except Malformed:
        return False


def _is_msgpack(payload: bytes) -> bool:
    if not _OPENS_MSGPACK(payload):
        return False
    try:
        return _is_message(_load_msgpack(payload))
    except Malformed:
        return False


def _is_message(tree: Any) -> bool:
    """Whether it is an object, or a list with one, whose keys are texts that people can read."""
    if isinstance(tree, list):
        tree = next((item for item in tree if isinstance(item, dict)), None)
    return bool(tree) and all(isinstance(key, str) and key.isprintable() for key in tree)


FORMATS: tuple[Format, ...] = (
    Format(
        "cbor",
        "the payload is a map or a list in CBOR",
        decode_cbor,
        shape=_is_cbor,
        marks=frozenset(),
    ),
    Format(
        "msgpack",
        "the payload is a map or a list in MessagePack",
        decode_msgpack,
        shape=_is_msgpack,
        marks=frozenset(),
    ),
)
