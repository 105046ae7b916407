"""What the MQTT broker keeps for a client identifier, remembered over restarts: its filters.

MQTT cannot list the subscriptions of a session. A filter that left the configuration would go on
filling its queue, so what was subscribed is noted in a file of ``ingest.state``.
"""

from contextlib import suppress
from pathlib import Path

from bridge import notes

EXPECTED = "a note of filters"


class Session:
    """The note of one session.

    Args:
        folder: ``ingest.state``.
        client_id: the session's name.
        broker: host and port; a note of another broker says nothing.
    """

    def __init__(self, folder: Path, client_id: str, broker: str) -> None:
        self.path = notes.place(folder, client_id, "filters.json")
        self._broker = broker
        self._wanted: set[str] | None = None  # what stands there once the broker has answered

    def filters(self) -> set[str]:
        """What the session may have subscribed to."""
        note = notes.read(self.path, dict, EXPECTED)
        try:
            return set(note["filters"]) if note and note["broker"] == self._broker else set()
        except (TypeError, KeyError) as error:
            notes.begun_anew(self.path, EXPECTED, error)
            return set()

    def follow(self, wanted: set[str]) -> set[str]:
        """It is about to subscribe to these; what it has to unsubscribe from.

        Raises:
            Misconfigured: the folder cannot be written.
        """
        former = self.filters() - wanted
        self._write(former | wanted)
        self._wanted = wanted if former else None
        return former

    def confirm(self) -> None:
        """The broker has answered: the session has what was wanted and nothing else."""
        if self._wanted is not None:
            self._write(self._wanted)
            self._wanted = None

    def _write(self, filters: set[str]) -> None:
        notes.write(self.path, {"broker": self._broker, "filters": sorted(filters)})

    def forget(self) -> None:
        """The session is ended."""
        with suppress(FileNotFoundError):
            self.path.unlink()
