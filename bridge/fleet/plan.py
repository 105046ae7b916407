"""What a fleet is to be, and when each of its messages is due. No I/O, no clock."""

from dataclasses import dataclass
from random import Random

from bridge.contracts import MICROS
from bridge.errors import Misconfigured

MILLIS = 1000  # microseconds in a millisecond


@dataclass(frozen=True, slots=True)
class Plan:
    """A fleet: half pumps, half vehicles. The same plan gives the same bytes.

    >>> plan = Plan(devices=4)
    >>> plan.pumps, plan.vehicles
    (('pump-0001', 'pump-0002'), ('vehicle-0001', 'vehicle-0002'))
    """

    seed: int = 1
    devices: int = 20
    start: int = 0  # microseconds since 1970
    duration_s: float = 180.0
    rate_hz: float = 1.0
    warmup_s: float = 70.0  # no fault before
    faults: float = 0.25  # for each device in three minutes; 0 is a fleet without faults

    def __post_init__(self) -> None:
        for name, low, high in (
            ("devices", 1, 100_000),
            ("duration_s", 0.001, 366 * 86_400.0),
            ("rate_hz", 0.001, 1000.0),
            ("warmup_s", 0.0, 366 * 86_400.0),
            ("faults", 0.0, 4.0),
            ("start", 0, 2**62),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise Misconfigured(f"simulate: {name}", f"{low} to {high}", repr(value))

    @property
    def pumps(self) -> tuple[str, ...]:
        return tuple(f"pump-{i + 1:04}" for i in range((self.devices + 1) // 2))

    @property
    def vehicles(self) -> tuple[str, ...]:
        return tuple(f"vehicle-{i + 1:04}" for i in range(self.devices // 2))

    @property
    def ticks(self) -> int:
        """How many messages each device sends."""
        return max(1, round(self.duration_s * self.rate_hz))

    @property
    def step_s(self) -> float:
        return 1.0 / self.rate_hz

    def order(self) -> tuple[str, ...]:
        """The devices in the order in which they send within a tick, mixed by the seed."""
        names = [*self.pumps, *self.vehicles]
        Random(f"{self.seed}/order").shuffle(names)
        return tuple(names)

    def due(self, rank: int, tick: int) -> int:
        """When the device of this rank sends for the tick-th time, in whole milliseconds."""
        ticks = tick + rank / self.devices
        return self.start // MILLIS * MILLIS + int(ticks * self.step_s * MICROS) // MILLIS * MILLIS
