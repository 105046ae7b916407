"""Where and when the faults happen, by the seed. No I/O, no clock."""

import math
from bisect import bisect
from collections.abc import Callable
from random import Random

from bridge.contracts import MICROS
from bridge.fleet import faults, pump, vehicle
from bridge.fleet.city import City, Drive
from bridge.fleet.faults import POSITION, Fault, Kind
from bridge.fleet.plan import Plan
from bridge.fleet.signals import smooth

LEAST_OF_A_KIND = 5
REMAIN_S = 30.0  # a fault starts this long before the end of the run
APART_S = 45.0  # between two faults of a device
PERIOD_S = 180.0  # `Plan.faults` counts in this time
TRIES = 200  # for one fault

ANALOG = (
    *pump.CHANNELS,
    vehicle.CHANNELS[vehicle.ENGINE],
    vehicle.CHANNELS[vehicle.FUEL],
)
CHANNELS: dict[Kind, tuple[str, ...]] = {
    Kind.SPIKE: ANALOG,
    Kind.DRIFT: ANALOG,
    Kind.STUCK: (*pump.CHANNELS, *vehicle.CHANNELS[vehicle.SPEED : vehicle.FUEL]),
    Kind.DROPOUT: (*pump.CHANNELS, *vehicle.CHANNELS[vehicle.SPEED :]),
    Kind.NOISE: ANALOG,
    Kind.DECOUPLE: tuple(pump.CHANNELS[i] for i in pump.FOLLOW_AT_ONCE),
    Kind.GPS_JUMP: (POSITION,),
    Kind.GPS_FREEZE: (POSITION,),
}
SECONDS: dict[Kind, float] = {
    Kind.DRIFT: faults.DRIFT_S,
    Kind.STUCK: faults.STUCK_S,
    Kind.DROPOUT: faults.DROPOUT_S,
    Kind.NOISE: faults.NOISE_S,
    Kind.DECOUPLE: faults.DECOUPLE_S,
    Kind.GPS_FREEZE: faults.GPS_FREEZE_S,
}


def place(plan: Plan, city: City) -> tuple[Fault, ...]:
    """All faults of the plan in order of time; fewer than wanted where they do not fit."""
    if not plan.faults:
        return ()
    kinds = list(Kind) if plan.vehicles else [k for k in Kind if CHANNELS[k] != (POSITION,)]
    usual = round(plan.faults * plan.devices * plan.duration_s / PERIOD_S)
    wanted = max(LEAST_OF_A_KIND * len(kinds), usual)
    placing = _Placing(plan, city)
    for n in range(wanted):
        placing.one(kinds[n % len(kinds)])
    return tuple(sorted(placing.placed, key=lambda fault: (fault.start, fault.device)))


class _Placing:
    """The faults so far, and the search for the place of the next."""

    def __init__(self, plan: Plan, city: City) -> None:
        self.placed: list[Fault] = []
        self._plan = plan
        self._city = city
        self._rng = Random(f"{plan.seed}/faults")
        self._ranks = {device: rank for rank, device in enumerate(plan.order())}
        self._taken: dict[str, list[tuple[int, int]]] = {}

    def one(self, kind: Kind) -> None:
        for _ in range(TRIES):
            fault = self._candidate(kind)
            if fault is None:
                return  # the run is too short for this kind
            if self._free(fault) and VISIBLE.get(kind, _always)(fault, self._plan, self._city):
                times = self._taken.setdefault(fault.device, [])
                times.insert(bisect(times, (fault.start, fault.end)), (fault.start, fault.end))
                self.placed.append(fault)
                return

    def _candidate(self, kind: Kind) -> Fault | None:
        plan, rng = self._plan, self._rng
        messages = self._messages(kind)
        first = math.ceil(plan.warmup_s * plan.rate_hz)
        last = plan.ticks - max(messages, math.ceil(REMAIN_S * plan.rate_hz))
        if last < first:
            last = plan.ticks - messages
        if last < first:
            return None
        tick = rng.randint(first, last)
        device, channel = self._where(kind)
        rank = self._ranks[device]
        size = _size(kind, rng)
        return Fault(
            device, kind.value, channel, plan.due(rank, tick), plan.due(rank, tick + messages), size
        )

    def _messages(self, kind: Kind) -> int:
        if kind is Kind.SPIKE:
            return self._rng.randint(*faults.SPIKE_MESSAGES)
        if kind is Kind.GPS_JUMP:
            return faults.GPS_JUMP_MESSAGES
        return max(1, round(SECONDS[kind] * self._plan.rate_hz))

    def _where(self, kind: Kind) -> tuple[str, str]:
        """Any device that has such a channel, and one of these channels."""
        plan, rng = self._plan, self._rng
        on_pump = [c for c in CHANNELS[kind] if c in pump.CHANNELS]
        on_vehicle = [c for c in CHANNELS[kind] if c not in pump.CHANNELS] if plan.vehicles else []
        pumps = len(plan.pumps) if on_pump else 0
        n = rng.randrange(pumps + (len(plan.vehicles) if on_vehicle else 0))
        if n < pumps:
            return plan.pumps[n], rng.choice(on_pump)
        return plan.vehicles[n - pumps], rng.choice(on_vehicle)

    def _free(self, fault: Fault) -> bool:
        gap = int(APART_S * MICROS)
        times = self._taken.get(fault.device, [])
        at = bisect(times, (fault.start, fault.end))
        after = at == len(times) or times[at][0] - fault.end >= gap
        return after and (at == 0 or fault.start - times[at - 1][1] >= gap)


def _size(kind: Kind, rng: Random) -> float:
    sign = rng.choice((-1.0, 1.0))
    return {
        Kind.SPIKE: sign * faults.SPIKE_SIGMA,
        Kind.DRIFT: sign * faults.DRIFT_SIGMA,
        Kind.NOISE: faults.NOISE_SIGMA,
        Kind.DECOUPLE: sign * faults.DECOUPLE_LOAD,
        Kind.GPS_JUMP: faults.GPS_JUMP_M,
    }.get(kind, 0.0)


def _always(fault: Fault, plan: Plan, city: City) -> bool:
    return True


def _seconds(fault: Fault, plan: Plan) -> list[float]:
    """The fault, second by second, since the start of the run."""
    begin, end = (fault.start - plan.start) / MICROS, (fault.end - plan.start) / MICROS
    return [begin + n for n in range(math.ceil(end - begin))]


def _apart(fault: Fault, plan: Plan, city: City) -> bool:
    """Whether the channel's own load stays a load, and leaves that of the pump."""
    profile = pump.Profile(f"{plan.seed}/{fault.device}/motion")
    loads = [profile.at(t) for t in _seconds(fault, plan)]
    rise = faults.DECOUPLE_RISE_S
    own = [loads[0] + fault.size * smooth(age / rise) for age in range(len(loads))]
    distance = max(abs(a - b) for a, b in zip(loads, own, strict=True))
    goal = loads[0] + fault.size
    return pump.LOWEST <= goal <= pump.HIGHEST and distance >= faults.DECOUPLE_APART


def _moving(fault: Fault, plan: Plan, city: City) -> bool:
    """Whether the vehicle moves all the time."""
    drive = Drive(f"{plan.seed}/{fault.device}/motion", city)
    speeds = [drive.at(t)[2] for t in _seconds(fault, plan)]
    return min(speeds) >= faults.GPS_FREEZE_MOVES_M_S


VISIBLE: dict[Kind, Callable[[Fault, Plan, City], bool]] = {
    Kind.DECOUPLE: _apart,
    Kind.GPS_FREEZE: _moving,
}
