"""A batch of Avro bodies walked side by side: one step of the schema, all records at once. No I/O.

Each record has its own place in the joined bytes, and a step moves all the places: a thousand
records cost one numpy call where a reader in Python takes a thousand. What is broken moves no
other record: it is marked, and its place stays within the bytes.

Avro 1.12, "Binary Encoding".
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from ml.decoders.avro_bodies import Bodies
from ml.decoders.avro_schema import Leaf, Schema, Type
from ml.decoders.cells import Cells, Doubt, Lists
from ml.decoders.decoder import Array

Path = tuple[str, ...]
FEW, LONG = 16, 64  # records of a batch, and items of them, for which walking costs too much
_SIZES = {"float": 4, "double": 8, "boolean": 1, "null": 0}  # bytes
_NUMBERS = {"float": "<f4", "double": "<f8"}


class Many(NamedTuple):
    """How to take the items of an array's block at once."""

    size: int  # bytes of an item
    take: Callable[[Array, Array, Array], None]  # places, rows, how many items of each


class Walk:
    """One batch.

    Args:
        schema: the writer's.
        leaves: what is asked for, by its path.
        values: the records, framed alike.
        skip: bytes of the frame.
    """

    def __init__(
        self, schema: Schema, leaves: Mapping[Path, Leaf], values: Sequence[bytes], skip: int
    ) -> None:
        self._schema = schema
        self._leaves = leaves
        self._above = {path[:n] for path in leaves for n in range(len(path))}
        self._bodies = Bodies(values)
        self._read: dict[Path, list[tuple[Array, Cells | Lists]]] = {}
        self._all = np.arange(len(values))
        at = self._bodies.starts + skip
        self._record(schema.root, (), at, self._all)
        self.broken: Array = self._bodies.broken | (at != self._bodies.ends)

    def cells(self, path: Path) -> Cells | Lists:
        """What stands at a path; null where a record has nothing there."""
        parts = self._read.get(path, [])
        if len(parts) == 1 and len(parts[0][0]) == len(self._all):
            return parts[0][1]
        return _scattered(parts, len(self._all), self._leaves[path])

    # A step: moves the places, and keeps what is asked for.

    def _step(self, said: Type, path: Path | None, at: Array, rows: Array) -> None:
        type_ = self._schema.look(said)
        if type_ == "null" or not len(at):
            return
        leaf = self._leaves.get(path) if path else None
        if isinstance(type_, list):
            self._union(type_, path, at, rows)
        elif isinstance(type_, dict) and type_["type"] in ("record", "error"):
            self._record(type_, path if path in self._above else None, at, rows)
        elif leaf is None or path is None:
            self._pass(type_, at, rows)
        elif isinstance(type_, dict) and type_["type"] == "array":
            self._keep(path, rows, self._list(type_["items"], leaf, at, rows))
        else:
            self._keep(path, rows, self._scalar(type_, leaf, at, rows))

    def _record(self, record: Type, path: Path | None, at: Array, rows: Array) -> None:
        for said in record["fields"]:
            below = None if path is None else (*path, said["name"])
            self._step(said["type"], below, at, rows)

    def _union(self, branches: list[Type], path: Path | None, at: Array, rows: Array) -> None:
        index = self._bodies.long(at, rows)
        self._bodies.mark((index < 0) | (index >= len(branches)), rows)
        for n, branch in enumerate(branches):
            here = np.flatnonzero(index == n)
            if len(here) == len(at):
                self._step(branch, path, at, rows)
            elif len(here):
                some = at[here]
                self._step(branch, path, some, rows[here])
                at[here] = some

    def _pass(self, type_: Type, at: Array, rows: Array) -> None:
        """Over what nobody asks for."""
        kind = type_ if isinstance(type_, str) else type_["type"]
        if kind in _SIZES or kind == "fixed":
            self._bodies.move(at, type_["size"] if kind == "fixed" else _SIZES[kind])
        elif kind in ("string", "bytes", "decimal"):
            self._bodies.move(at, self._bodies.length(at, rows))
        elif kind == "array":
            items = type_["items"]
            step = partial(self._step, items, None)
            self._blocks(at, rows, step, self._over(items))
        elif kind == "map":
            self._blocks(at, rows, partial(self._pair, type_["values"]))
        elif kind == "enum":
            index = self._bodies.long(at, rows)
            self._bodies.mark((index < 0) | (index >= len(type_["symbols"])), rows)
        else:
            self._bodies.long(at, rows)

    def _pair(self, values: Type, at: Array, rows: Array) -> None:
        self._bodies.move(at, self._bodies.length(at, rows))
        self._step(values, None, at, rows)

    def _keep(self, path: Path, rows: Array, read: Cells | Lists) -> None:
        self._read.setdefault(path, []).append((rows, read))

    # What is asked for.

    def _scalar(self, type_: Type, leaf: Leaf, at: Array, rows: Array) -> Cells:
        match leaf.kind:
            case "float" | "double":
                values = self._bodies.gather(at, 1, _NUMBERS[leaf.kind])[:, 0]
                self._bodies.move(at, _SIZES[leaf.kind])
                return Cells(values)
            case "boolean":
                byte = self._bodies.byte(at)
                return Cells(byte != 0, None, byte > 1)
            case "int":
                number = self._bodies.long(at, rows)
                return Cells(number, None, (number >> 31 != 0) & (number >> 31 != -1))
            case "long":
                return Cells(self._bodies.long(at, rows))
            case "enum":
                return _symbols(leaf, self._bodies.long(at, rows))
        return self._texts(type_, leaf, at, rows)

    def _texts(self, type_: Type, leaf: Leaf, at: Array, rows: Array) -> Cells:
        length = type_["size"] if leaf.kind == "fixed" else self._bodies.length(at, rows)
        values = self._bodies.slices(at, length)
        if leaf.kind != "string" or b"".join(values).isascii():
            return Cells(values)
        return Cells(values, None, np.asarray([not _is_text(text) for text in values], np.bool_))

    def _list(self, items: Type, leaf: Leaf, at: Array, rows: Array) -> Lists:
        found: list[tuple[Array, Cells]] = []

        def take(some: Array, of: Array) -> None:
            found.append((of, self._item(items, leaf, some, of)))

        if leaf.kind in _NUMBERS and self._schema.look(items) == leaf.kind:
            self._blocks(at, rows, take, self._numbers(leaf.kind, found))
        else:
            self._blocks(at, rows, take)
        if len(rows) < len(self._all):
            found = [(np.searchsorted(rows, of), cells) for of, cells in found]
        return _joined(found, len(at))

    def _item(self, items: Type, leaf: Leaf, at: Array, rows: Array) -> Cells:
        plain, _ = self._schema.some(items)
        type_ = self._schema.look(items)
        if not isinstance(type_, list):
            return self._scalar(plain, leaf, at, rows)
        index = self._bodies.long(at, rows)
        self._bodies.mark((index < 0) | (index >= len(type_)), rows)
        here = np.asarray([self._schema.look(branch) != "null" for branch in type_])
        there = np.flatnonzero(here[np.clip(index, 0, len(type_) - 1)])
        some = at[there]
        cells = self._scalar(plain, leaf, some, rows[there])
        at[there] = some
        whole = _scattered([(there, cells)], len(at), leaf)
        return whole if isinstance(whole, Cells) else whole.items

    def _numbers(self, kind: str, found: list[tuple[Array, Cells]]) -> Many:
        size, dtype = _SIZES[kind], _NUMBERS[kind]

        def take(some: Array, of: Array, count: Array) -> None:
            if (count == count[0]).all():
                values = self._bodies.gather(some, int(count[0]), dtype)
            else:
                nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
                values = self._bodies.gather(np.repeat(some, count) + nth * size, 1, dtype)
            self._bodies.move(some, count * size)
            found.append((np.repeat(of, count), Cells(values.reshape(-1))))

        return Many(size, take)

    def _over(self, items: Type) -> Many | None:
        """Steps over items that are all of one size."""
        type_ = self._schema.look(items)
        if isinstance(type_, list):
            return None
        size = type_.get("size") if isinstance(type_, dict) else _SIZES.get(type_)
        if not size:
            return None
        return Many(size, lambda some, _, count: self._bodies.move(some, count * size))

    def _blocks(
        self,
        at: Array,
        rows: Array,
        item: Callable[[Array, Array], None],
        many: Many | None = None,
    ) -> None:
        """An array's or a map's blocks, up to the empty one."""
        live = np.arange(len(at))
        for n in count():
            whole = len(live) == len(at)
            some, of = (at, rows) if whole else (at[live], rows[live])
            items = self._bodies.count(some, of, many.size if many else 1)
            if many and items.any():
                many.take(some, of, items)
            elif not many:
                self._items(some, of, items, item)
            if not whole:
                at[live] = some
            live = live[items > 0]
            if not len(live) or self._left_alone(n, rows[live]):
                break

    def _items(
        self, at: Array, rows: Array, items: Array, item: Callable[[Array, Array], None]
    ) -> None:
        least = int(items.min())
        for n in range(int(items.max())):
            if n < least and len(at) > FEW:
                item(at, rows)
                continue
            here = np.flatnonzero(items > n)
            if self._left_alone(n, rows[here]):
                break
            some = at[here]
            item(some, rows[here])
            at[here] = some

    def _left_alone(self, n: int, rows: Array) -> bool:
        """The few longest arrays of a batch cost less one by one."""
        if n < LONG or len(rows) > FEW:
            return False
        self._bodies.broken[rows] = True
        return True


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _symbols(leaf: Leaf, index: Array) -> Cells:
    words = np.empty(len(leaf.symbols), object)
    words[:] = [None if symbol is None else symbol.encode() for symbol in leaf.symbols]
    known = np.asarray([symbol is not None for symbol in leaf.symbols], np.bool_)
    inside = np.clip(index, 0, len(words) - 1)
    return Cells(words[inside], None, (inside != index) | ~known[inside])


def _joined(found: list[tuple[Array, Cells]], count: int) -> Lists:
    """Items that were taken item by item, of all rows; here row by row."""
    if not found:
        return Lists(Cells(np.empty(0, np.int64)), np.zeros(count, np.int64))
    rows = np.concatenate([of for of, _ in found])
    lengths = np.bincount(rows, minlength=count)
    cells = _concatenated([cells for _, cells in found])
    if len(found) > 1:
        order = np.argsort(rows, kind="stable")
        null, strange = (None if mask is None else mask[order] for mask in cells[1:])
        cells = Cells(cells.values[order], null, strange)
    return Lists(cells, lengths)


def _concatenated(cells: Sequence[Cells]) -> Cells:
    if len(cells) == 1:
        return cells[0]
    masks: list[Doubt] = []
    for parts in ([c.null for c in cells], [c.strange for c in cells]):
        if all(part is None for part in parts):
            masks.append(None)
            continue
        sizes = [len(c.values) for c in cells]
        full = [
            np.zeros(n, np.bool_) if p is None else p for p, n in zip(parts, sizes, strict=True)
        ]
        masks.append(np.concatenate(full))
    return Cells(np.concatenate([c.values for c in cells]), *masks)


def _scattered(parts: list[tuple[Array, Any]], count: int, leaf: Leaf) -> Cells | Lists:
    """What some rows have, among all; the others are null."""
    null = np.ones(count, np.bool_)
    for rows, _ in parts:
        null[rows] = False
    if leaf.array and parts and isinstance(parts[0][1], Lists):
        lengths = np.zeros(count, np.int64)
        lengths[parts[0][0]] = parts[0][1].lengths
        return Lists(parts[0][1].items, lengths, null)
    if not parts:
        none = Cells(np.zeros(count if not leaf.array else 0, np.int64), null)
        return Lists(Cells(none.values), np.zeros(count, np.int64), null) if leaf.array else none
    return _spread(parts, count, null)


def _spread(parts: list[tuple[Array, Cells]], count: int, null: Array) -> Cells:
    rows, cells = parts[0]
    values = np.zeros(count, cells.values.dtype)
    values[rows] = cells.values
    if cells.strange is None:
        return Cells(values, null)
    strange = np.zeros(count, np.bool_)
    strange[rows] = cells.strange
    return Cells(values, null, strange)
