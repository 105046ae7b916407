"""What the MQTT broker keeps for a client identifier, remembered over restarts: its filters.

MQTT cannot list the subscriptions of a session. A filter that left the configuration would go on
filling its queue, so what was subscribed is noted in a file of ``ingest.state``.
"""

import json
import logging
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from bridge.errors import Misconfigured

log = logging.getLogger(__name__)

SUFFIX = ".filters.json"


class Session:
    """The note of one session.

    Args:
        folder: ``ingest.state``.
        client_id: the session's name.
        broker: host and port; a note of another broker says nothing.
    """

    def __init__(self, folder: Path, client_id: str, broker: str) -> None:
        self.path = folder / f"{quote(client_id, safe='')[:200]}{SUFFIX}"
        self._broker = broker
        self._wanted: set[str] | None = None  # what stands there once the broker has answered

    def filters(self) -> set[str]:
        """What the session may have subscribed to."""
        try:
            note = json.loads(self.path.read_text("utf-8"))
            return set(note["filters"]) if note["broker"] == self._broker else set()
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s: begun anew: expected a note of filters, received %r", self.path, error)
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
        text = json.dumps({"broker": self._broker, "filters": sorted(filters)})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".new")
            fresh.write_text(text, "utf-8")
            fresh.replace(self.path)
        except OSError as error:
            raise Misconfigured(
                f"ingest.state {self.path.parent}",
                "a folder that can be written",
                str(error.strerror),
                "name another as ingest.state",
            ) from None

    def forget(self) -> None:
        """The session is ended."""
        with suppress(FileNotFoundError):
            self.path.unlink()
