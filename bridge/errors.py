"""What can go wrong, by what the caller can do about it. No I/O, no imports.

::

    HaltereError
    |- Malformed       theirs: this message or record is wrong; it becomes a dead letter
    |- Misconfigured   ours: a setting is wrong; stop and say which
    |- Unavailable     wait: a broker is away or slow; the same call may succeed later
    `- Fenced          stop: another instance has taken this one's place

Every error says where, what was expected and what came; ``remedy`` says what to do.
"""


class HaltereError(Exception):
    """The root; ``str()`` reads ``where: expected ..., received ... (remedy)``."""

    def __init__(self, where: str, expected: str, received: str, remedy: str = "") -> None:
        super().__init__(where, expected, received, remedy)
        self.where = where
        self.expected = expected
        self.received = received
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: expected {self.expected}, received {self.received}"
        return f"{text} ({self.remedy})" if self.remedy else text


class Malformed(HaltereError):
    """This message or record is wrong; it becomes a dead letter."""


class Misconfigured(HaltereError):
    """A setting is wrong; nothing was started."""


class Unavailable(HaltereError):
    """A broker is away or slow; the same call may succeed later."""


class Fenced(HaltereError):
    """Another instance has taken this one's place; stop, do not retry."""
