"""Ruuvi."""

from bridge.formats.format import Format

FORMATS: tuple[Format, ...] = ()
