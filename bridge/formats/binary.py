"""CBOR and MessagePack: the data model of JSON in bytes, read as JSON is.

RFC 8949, and the MessagePack specification. Only maps and lists with maps are taken for messages.
Tags 0 and 1 are times; what JSON does not have, bytes for instance, is missing. No I/O, no clock.
"""

import math
import re
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import cbor2
import msgpack

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import measured, samples_of
from bridge.formats.sample import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, Decoded
from bridge.formats.scalars import describe

_TEXT = re.compile(rb"[\t\r\n\x20-\x7e]*").fullmatch
_TAGS = frozenset({0, 1, 2, 3, 4, 5, 55799})  # times, large numbers, decimals, "this is CBOR"
_SELF_DESCRIBED = b"\xd9\xd9\xf7"  # tag 55799: "this is CBOR" (RFC 8949, 3.4.6)
_INDEFINITE = 31
_BYTES, _STRING, _ARRAY, _MAP, _TAG = range(2, 7)  # major types (RFC 8949, 3.1)
_HOLDING = {_BYTES: 1, _STRING: 1, _ARRAY: 1, _MAP: 2}  # bytes or members for each of their count


def decode_cbor(topic: str, payload: bytes) -> Decoded:
    """The samples of a CBOR map or list."""
    return measured(samples_of(_plain(load_cbor(payload), 0)))


def decode_msgpack(topic: str, payload: bytes) -> Decoded:
    """The samples of a MessagePack map or list."""
    return measured(samples_of(_plain(_load_msgpack(payload), 0)))


def load_cbor(payload: bytes) -> Any:
    """One CBOR item that is all of the payload.

    Raises:
        Malformed: it is not, or holds what a message does not need.
    """
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    payload = payload.removeprefix(_SELF_DESCRIBED)
    _well_formed(payload)
    try:
        return cbor2.loads(payload)
    except Exception as error:  # the decoder raises whatever the bytes lead to
        raise Malformed(
            "payload", "CBOR", f"{describe(payload)} ({type(error).__name__})"
        ) from None


def _well_formed(payload: bytes) -> None:
    """Walk over the heads (RFC 8949, appendix C): bounded depth and count, no strange tags."""
    stack: list[int] = [1]  # items still to come at each level; -1: until a break
    at, items, end = 0, 0, len(payload)
    while stack:
        if stack[-1] == 0:
            stack.pop()
            continue
        if at >= end:
            raise Malformed(f"byte {at}", "CBOR that goes on", "the end")
        major, low = payload[at] >> 5, payload[at] & 31
        if payload[at] == 0xFF and stack[-1] < 0:  # noqa: PLR2004  break
            stack.pop()
            at += 1
            continue
        value, size = _head(payload, at, low)
        at += 1 + size
        items += 1
        if items > 4 * MAX_ITEMS or len(stack) > 2 * MAX_DEPTH:
            raise Malformed(
                f"byte {at}", f"at most {4 * MAX_ITEMS} items, {2 * MAX_DEPTH} levels", "more"
            )
        if stack[-1] > 0:
            stack[-1] -= 1
        at = _below(stack, (major, low, value), at, end)
    if at != end:
        raise Malformed(f"byte {at}", "the end", f"{end - at} more bytes")


def _head(payload: bytes, at: int, low: int) -> tuple[int, int]:
    if low < 24:  # noqa: PLR2004
        return low, 0
    if low < 28:  # noqa: PLR2004
        size = 1 << (low - 24)
        if at + 1 + size > len(payload):
            raise Malformed(f"byte {at}", "CBOR that goes on", "the end")
        return int.from_bytes(payload[at + 1 : at + 1 + size]), size
    if low == _INDEFINITE and payload[at] >> 5 in (2, 3, 4, 5):
        return 0, 0
    raise Malformed(f"byte {at}", "a CBOR item", f"{payload[at]:#04x}")


def _below(stack: list[int], item: tuple[int, int, int], at: int, end: int) -> int:
    """What an item holds: its bytes are passed, its members are still to come."""
    major, low, value = item
    if major in _HOLDING and low == _INDEFINITE:
        stack.append(-1)
        return at
    size = value * _HOLDING.get(major, 0)  # bytes at least
    if size > end - at:
        raise Malformed(f"byte {at}", f"{size} bytes", f"{end - at}")
    if major in (_BYTES, _STRING):
        return at + size
    if major in (_ARRAY, _MAP):
        stack.append(size)
    elif major == _TAG:
        if value not in _TAGS:
            raise Malformed(f"byte {at}", "a tag of times or numbers", f"tag {value}")
        stack.append(1)
    return at


def _load_msgpack(payload: bytes) -> Any:
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    try:
        return msgpack.unpackb(
            payload,
            strict_map_key=False,
            timestamp=3,
            raw=False,
            unicode_errors="replace",
            max_array_len=4 * MAX_ITEMS,
            max_map_len=4 * MAX_ITEMS,
        )
    except Exception as error:  # the decoder raises whatever the bytes lead to
        said = f"{describe(payload)} ({type(error).__name__})"
        raise Malformed("payload", "MessagePack", said) from None


def _plain(value: Any, depth: int) -> Any:
    """The same in the types of JSON."""
    if depth > MAX_DEPTH:
        raise Malformed("payload", f"at most {MAX_DEPTH} levels", "more")
    if value is None or isinstance(value, (bool, str, int)):
        return value if not isinstance(value, int) or abs(value) < 2**1000 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(k): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo else None
    if isinstance(value, (Decimal, Fraction)):
        try:
            found = float(value)
        except (OverflowError, ValueError, ArithmeticError):
            return None
        return found if math.isfinite(found) else None
    return None


def _key(key: Any) -> str:
    if isinstance(key, bytes):
        return key[:64].decode("utf-8", "replace")
    return key if isinstance(key, str) else str(key)[:64]


def _binary(payload: bytes) -> bool:
    return len(payload) > 1 and len(payload) <= MAX_BYTES and not _TEXT(payload[:256])


def _is_cbor(payload: bytes) -> bool:
    if (
        not _binary(payload)
        or payload[0] not in range(0x81, 0xC0)
        and not payload.startswith(_SELF_DESCRIBED)
    ):
        return False
    try:
        return _holds(load_cbor(payload))
    except Malformed:
        return False


def _is_msgpack(payload: bytes) -> bool:
    if not _binary(payload) or payload[0] not in (*range(0x81, 0xA0), *range(0xDC, 0xE0)):
        return False
    try:
        return _holds(_load_msgpack(payload))
    except Malformed:
        return False


def _holds(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value)
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


FORMATS: tuple[Format, ...] = (
    Format(
        "cbor", "the payload is a map or a list in CBOR", decode_cbor, ("#",), _is_cbor, frozenset()
    ),
    Format(
        "msgpack",
        "the payload is a map or a list in MessagePack",
        decode_msgpack,
        ("#",),
        _is_msgpack,
        frozenset(),
    ),
)
