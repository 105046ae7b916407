"""Trackers that speak JSON."""

from bridge.formats.format import Format

FORMATS: tuple[Format, ...] = ()
