"""Home gateways."""

from bridge.formats.format import Format

FORMATS: tuple[Format, ...] = ()
