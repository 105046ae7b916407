"""Tables in JSON: names beside rows, or times beside columns of values. No I/O, no clock."""

from typing import Any

from bridge.formats.keys import Keys
from bridge.formats.scalars import instant

_COLUMNS = {"columns", "names", "fields", "channels", "headers", "dsnames", "keys", "labels"}
_ROWS = {"values", "data", "rows", "points", "records"}


def rows_of(tree: dict[str, Any], shape: Keys) -> list[Any]:
    """The objects that lists of columns stand for; none where the lists are no columns.

    >>> rows_of({"columns": ["a", "b"], "values": [[1, 2]]}, Keys())
    [{'a': 1, 'b': 2}]
    """
    if list in map(type, tree.values()):
        return _named_rows(tree) or _timed_columns(tree, shape)
    return []


def _named_rows(tree: dict[str, Any]) -> list[Any]:
    lists = {key: value for key, value in tree.items() if isinstance(value, list) and value}
    heads = [
        k for k in lists if k.lower() in _COLUMNS and all(isinstance(x, str) for x in lists[k])
    ]
    bodies = [k for k in lists if k.lower() in _ROWS and k not in heads]
    if len(heads) != 1 or len(bodies) != 1:
        return []
    head, body = lists[heads[0]], lists[bodies[0]]
    rest = {key: value for key, value in tree.items() if key not in (heads[0], bodies[0])}
    rows = body if isinstance(body[0], list) else [body]
    if any(not isinstance(row, list) or len(row) != len(head) for row in rows):
        return []
    return [rest | dict(zip(head, row, strict=True)) for row in rows]


def _timed_columns(tree: dict[str, Any], shape: Keys) -> list[Any]:
    times = tree[shape.time[0]] if shape.time else None
    if not isinstance(times, list) or not times or instant(times[0]) is None:
        return []
    columns = {
        key: value
        for key, value in tree.items()
        if isinstance(value, list) and len(value) == len(times)
    }
    rest = {key: value for key, value in tree.items() if key not in columns}
    cells = zip(*columns.values(), strict=True)
    return [rest | dict(zip(columns, row, strict=True)) for row in cells]
