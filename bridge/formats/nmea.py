"""NMEA 0183."""

from bridge.formats.format import Format

FORMATS: tuple[Format, ...] = ()
