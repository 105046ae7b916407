"""Numbers in lines of text: ``21.5;40``, ``temp=21.5,hum=40``, with or without a header.

What the cells mean is told by the same names as in JSON (`bridge.formats.general`). No I/O.
"""

import csv
import re
from itertools import islice

from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.general import measured, samples_of
from bridge.formats.sample import MAX_BYTES, MAX_ITEMS, MAX_TEXT, Decoded
from bridge.formats.scalars import describe, instant, number

_PAIR = re.compile(r"\s*([A-Za-z_][\w .%/()°-]{0,63}?)\s*[=:]\s*([^=]{0,128}?)\s*")
_BETWEEN = re.compile(r"[,;&|\n\t]+| (?=[A-Za-z_]\w*[=:])")
_BLANKS = re.compile(r"[^\S\n\t]+")  # are one
_NUMBER = r"[-+]?[0-9.][0-9.eE+-]{0,30}"
_PAIRS = re.compile(rb"\s*[A-Za-z_][\w .%%/()-]{0,63}[=:]\s*%s\D" % _NUMBER.encode())
_CELLS = re.compile(rb'(?:\A|[,;\t|\n]) ?"?%s"? ?(?:[,;\t|\r\n]|\Z)' % _NUMBER.encode())
_DATE = re.compile(r"\d{4}[-/]\d\d[-/]\d\d(?:[T ]|\Z)")
_DELIMITERS = "\t;,|"


def decode_pairs(topic: str, payload: bytes) -> Decoded:
    """One sample of ``name=value`` or ``name: value``, whatever stands between them."""
    text = _BLANKS.sub(" ", _text(payload).strip())
    parts = [part for part in _BETWEEN.split(text) if part.strip()]
    if len(parts) > MAX_ITEMS:
        raise Malformed("payload", f"at most {MAX_ITEMS} pairs", f"{len(parts)}")
    tree = {}
    for at, part in enumerate(parts):
        found = _PAIR.fullmatch(part) if len(part) <= 2 * MAX_TEXT else None
        if not found:
            raise Malformed(f"pair {at + 1}", "name=value", repr(part[:40]))
        tree[found[1]] = found[2]
    return measured(samples_of(tree))


def decode_csv(topic: str, payload: bytes) -> Decoded:
    """A sample for each line; a first line without numbers names the columns."""
    text = _text(payload)
    delimiter = max(_DELIMITERS, key=text.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    rows = [row for row in islice(reader, MAX_ITEMS) if row]
    width = len(rows[0]) if rows else 0
    for at, row in enumerate(rows):
        if len(row) != width or width < 2 or any(len(cell) > MAX_TEXT for cell in row):  # noqa: PLR2004
            expected = f"{max(width, 2)} cells of at most {MAX_TEXT} characters"
            raise Malformed(f"line {at + 1}", expected, f"{len(row)} cells")
    headed = len(rows) > 1 and not any(number(cell) is not None for cell in rows[0])
    if headed:
        head, body = rows[0], rows[1:]
        return measured(samples_of([dict(zip(head, row, strict=True)) for row in body]))
    return measured(samples_of([_unnamed(row) for row in rows] if rows[1:] else _unnamed(rows[0])))


def _unnamed(row: list[str]) -> dict[str, object]:
    """Cells without names; the first may be the time."""
    timed = _DATE.match(row[0]) is not None or instant(row[0]) is not None
    cells: dict[str, object] = {"value": row[timed:]}
    return ({"time": row[0]} | cells) if timed else cells


def _text(payload: bytes) -> str:
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    try:
        return payload.strip(b"\0 \t\r\n").removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        raise Malformed("payload", "UTF-8", describe(payload)) from None


def _pairs(payload: bytes) -> bool:
    """Whether the text begins with a name and a number, and holds at least one more pair."""
    return _PAIRS.match(payload) is not None and payload.count(b"=") + payload.count(b":") > 1


def _cells(payload: bytes) -> bool:
    head = payload[:512]
    return any(mark in head for mark in (b",", b";", b"\t", b"|")) and bool(_CELLS.search(head))


FORMATS: tuple[Format, ...] = (
    Format("pairs", "the payload is name=value pairs", decode_pairs, ("#",), _pairs, frozenset()),
    Format(
        "csv", "the payload is cells between delimiters", decode_csv, ("#",), _cells, frozenset()
    ),
)
