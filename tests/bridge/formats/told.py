"""What a message gives, in the few words that a table of tests has."""

import json
from typing import Any

from bridge.contracts import Quality
from bridge.normalise import Outcome
from tests import laws

T = 1_700_000_000_000_000  # us, 2023-11-14T22:13:20Z
Told = tuple[str, int | None, dict[str, Any]]  # device, stated time, channels


def told(topic: str, sent: object) -> list[Told]:
    """Device, stated time, and channels of each reading of a message."""
    return [
        (
            r.device,
            None if r.quality & Quality.TIME_ESTIMATED else r.time,
            dict(zip(r.channels, r.values, strict=True)),
        )
        for r in laws.readings(topic, sent)
    ]


def outcome(topic: str, sent: object) -> Outcome:
    """How a message ends."""
    return laws.ends_well(topic, sent if isinstance(sent, bytes) else json.dumps(sent).encode())
