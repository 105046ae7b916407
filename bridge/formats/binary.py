"""CBOR and MessagePack."""

from bridge.formats.format import Format

FORMATS: tuple[Format, ...] = ()
