"""Teltonika AVL, binary."""

from bridge.formats.format import Format

FORMATS: tuple[Format, ...] = ()
