"""Avro records for the tests: schemas in one line, and both ways of reading their bytes."""

import io
from typing import Any

import fastavro
import numpy as np

from bridge.contracts import Position, Reading
from ml.decoders import Decoded, Fields, Framing
from ml.decoders.avro import AvroDecoder
from ml.decoders.frames import Group
from tests.ml.decoders import ways
from tests.ml.decoders.ways import same


def reading(n: int) -> Reading:
    return Reading(
        device=f"d{n}",
        device_class="pump",
        time=1_700_000_000_000_000 + n,
        received=1_700_000_000_000_500 + n,
        channels=tuple("abcde"[: n % 3 + 1]),
        values=(1.5 * n, -n / 3, float(n), 1e-9, -1e30),
        units=("Cel", "mm/s"),
        source=f"t/{n}",
        id=f"{n:016x}",
        states=("mode",) if n % 2 else (),
        state_values=("on",) if n % 2 else (),
        position=Position(1.0 + n, 2.0, speed=3.0 if n % 3 else None) if n % 4 else None,
        quality=n,
    )


def record(name: str = "R", /, **types: Any) -> dict[str, Any]:
    fields = [{"name": key, **type_} for key, type_ in types.items()]
    return {"type": "record", "name": name, "fields": fields}


def of(type_: Any, **more: Any) -> dict[str, Any]:
    return {"type": type_, **more}


def encode(schema: Any, *rows: Any) -> list[bytes]:
    parsed = fastavro.parse_schema(schema)
    values = []
    for row in rows:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, row)
        values.append(out.getvalue())
    return values


def decode(schema: Any, fields: Fields | None, values: list[bytes]) -> Decoded:
    """Bare ones, both ways."""
    decoder = AvroDecoder(fields, schema, Framing("bare"))
    two = decoder.ways(Group(b"", np.arange(len(values)), values))
    found = ways.fast(two, values)
    same(found, ways.slow(two, values))
    return found


def told(found: Decoded) -> list[str]:
    return [str(error) for _, error in found.misfits]
