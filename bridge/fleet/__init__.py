"""A seeded fleet with labelled faults, as a value. No I/O, no clock, only the standard library.

>>> fleet = Fleet(Plan(seed=7, devices=2, duration_s=3))
>>> [(message.due, message.device) for message in fleet.messages()][:2]
[(0, 'pump-0001'), (500000, 'vehicle-0001')]
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from bridge.contracts import MICROS
from bridge.fleet.city import City
from bridge.fleet.faults import Fault, Injection, Kind
from bridge.fleet.placement import place
from bridge.fleet.plan import MILLIS, Plan
from bridge.fleet.pump import Pump
from bridge.fleet.vehicle import Vehicle

__all__ = ["Fault", "Fleet", "Kind", "Plan", "Telemetry"]


class Telemetry(NamedTuple):
    """One message of a device."""

    due: int  # microseconds; also its `ts`, there in milliseconds
    device: str
    topic: str
    payload: bytes


class Fleet:
    """The devices of a plan, their faults and their messages."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._city = City(f"{plan.seed}/city")
        self.faults = place(plan, self._city)
        self._by_device: dict[str, list[Fault]] = {}
        for fault in self.faults:
            self._by_device.setdefault(fault.device, []).append(fault)

    @property
    def devices(self) -> tuple[str, ...]:
        return (*self.plan.pumps, *self.plan.vehicles)

    def fault_at(self, device: str, time: int) -> Fault | None:
        """The fault that the message of this time carries."""
        faults = self._by_device.get(device)
        if faults is None:
            return None
        n = bisect_right(faults, time, key=lambda fault: fault.start)
        return faults[n - 1] if n and time < faults[n - 1].end else None

    def messages(self) -> Iterator[Telemetry]:
        """All messages in order of time; each call begins anew."""
        plan = self.plan
        senders = [self._sender(rank, device) for rank, device in enumerate(plan.order())]
        for tick in range(plan.ticks):
            for sender in senders:
                yield sender.send(tick)

    def _sender(self, rank: int, device: str) -> "_Sender":
        plan, seed = self.plan, f"{self.plan.seed}/{device}"
        machine: Pump | Vehicle
        if device.startswith("pump"):
            machine = Pump(seed, plan.start / MICROS, plan.step_s)
        else:
            machine = Vehicle(seed, self._city, plan.step_s)
        return _Sender(plan, rank, device, machine, self._by_device.get(device, []))


class _Sender:
    """One device: its machine, and the fault that is at work."""

    def __init__(
        self, plan: Plan, rank: int, device: str, machine: Pump | Vehicle, faults: list[Fault]
    ) -> None:
        self._plan = plan
        self._rank = rank
        self._device = device
        self._machine = machine
        self._topic = f"fleet/{device.partition('-')[0]}/{device}/telemetry"
        self._template = _template(machine, "")
        self._before: list[float] | None = None
        self._coming = iter(faults)
        self._next = next(self._coming, None)
        self._injection: Injection | None = None

    def send(self, tick: int) -> Telemetry:
        plan = self._plan
        due = plan.due(self._rank, tick)
        values = self._machine.measure((due - plan.start) / MICROS)
        template = self._template
        if self._next and due >= self._next.start:
            template = self._faulty(due, values)
        self._before = values
        payload = template % (due // MILLIS, *values)
        return Telemetry(due, self._device, self._topic, payload.encode())

    def _faulty(self, due: int, values: list[float]) -> str:
        """Distort the values if the fault still lasts; the template of the message."""
        fault = self._next
        if fault is None or due >= fault.end:
            self._next, self._injection = next(self._coming, None), None
            return self._template
        if self._injection is None:
            seed = f"{self._plan.seed}/{self._device}/fault"
            self._injection = Injection(fault, self._machine, seed, self._plan.step_s)
        self._injection.distort(due, values, self._before or values)
        return _template(self._machine, self._injection.missing)


def _template(machine: Pump | Vehicle, missing: str) -> str:
    """How the message is written; a missing channel is cut to nothing.

    The field of a missing channel is written with no characters: ``%.0s``.
    """
    fields = [
        "%.0s" if channel == missing else f',"{channel}":%.{decimals}f'
        for channel, decimals in zip(machine.channels, machine.decimals, strict=True)
    ]
    return '{"ts":%d' + "".join(fields) + "}"
