"""Sparkplug B."""

from bridge.formats.format import Format


class Session:
    """What a host application knows of its edge nodes."""

    now = 0  # us, of the message in hand
    dup = False


FORMATS: tuple[Format, ...] = ()
