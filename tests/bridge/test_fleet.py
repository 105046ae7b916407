"""The fleet: the same plan gives the same bytes, and the faults are what their labels say."""

import json
import math
import statistics
from collections import Counter
from functools import cache

import pytest

from bridge.contracts import MICROS
from bridge.errors import Misconfigured
from bridge.fleet import Fault, Fleet, Kind, Plan, faults, pump, vehicle
from bridge.fleet.placement import APART_S, LEAST_OF_A_KIND, REMAIN_S

SEEDS = (1, 2)
START = 1_700_000_000 * MICROS


def plan(seed: int, rate: float = 0.25) -> Plan:
    return Plan(seed=seed, devices=200, start=START, faults=rate)


@cache
def fleet(seed: int) -> Fleet:
    return Fleet(plan(seed))


@cache
def sent(seed: int, rate: float = 0.25) -> dict[tuple[str, int], dict[str, float]]:
    messages = Fleet(plan(seed, rate)).messages()
    return {(m.device, m.due): json.loads(m.payload) for m in messages}


@cache
def tracks(seed: int, rate: float = 0.25) -> dict[str, dict[int, dict[str, float]]]:
    """What each device sends, by its time."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for (device, due), body in sent(seed, rate).items():
        found.setdefault(device, {})[due] = body
    return found


def vehicles(seed: int) -> list[list[dict[str, float]]]:
    """The messages of each vehicle of a fleet without faults."""
    names = Plan(devices=200).vehicles
    return [list(tracks(seed, 0.0)[name].values()) for name in names]


def pairs(kind: Kind) -> list[tuple[Fault, list[dict[str, float]], list[dict[str, float]]]]:
    """Each fault of a kind with its messages, and what a fleet without faults sends there."""
    found = []
    for seed in SEEDS:
        for fault in fleet(seed).faults:
            if fault.kind == kind:
                faulty, clean = tracks(seed)[fault.device], tracks(seed, 0.0)[fault.device]
                keys = [time for time in faulty if fault.start <= time < fault.end]
                found.append((fault, [faulty[k] for k in keys], [clean[k] for k in keys]))
    assert len(found) >= LEAST_OF_A_KIND * len(SEEDS)
    return found


def own_noise(fault: Fault) -> float:
    """The typical noise of the channel; a device's own is within 20 % of it."""
    if fault.channel in pump.CHANNELS:
        return pump.NOISE[pump.CHANNELS.index(fault.channel)]
    return {"engine_temperature_C": vehicle.ENGINE_C, "fuel_percent": vehicle.FUEL_PERCENT}[
        fault.channel
    ]


def metres(a: dict[str, float], b: dict[str, float]) -> float:
    north = (a["lat"] - b["lat"]) * vehicle.M_PER_DEG_LAT
    return math.hypot(north, (a["lon"] - b["lon"]) * vehicle.M_PER_DEG_LON)


def test_the_same_plan_gives_the_same_bytes() -> None:
    small = Plan(seed=5, devices=30, duration_s=120.0)
    fleet = Fleet(small)
    assert list(fleet.messages()) == list(fleet.messages()) == list(Fleet(small).messages())
    assert fleet.faults == Fleet(small).faults


def test_another_seed_gives_another_fleet() -> None:
    assert sent(1) != sent(2)
    assert fleet(1).faults != fleet(2).faults


def test_half_are_pumps_and_half_are_vehicles() -> None:
    kinds = Counter(device.partition("-")[0] for device in fleet(1).devices)
    assert kinds == {"pump": 100, "vehicle": 100}


def test_messages_are_in_order_of_time_and_each_device_sends_each_tick() -> None:
    messages = list(fleet(1).messages())
    assert [m.due for m in messages] == sorted(m.due for m in messages)
    assert set(Counter(m.device for m in messages).values()) == {180}


def test_devices_are_spread_over_the_tick() -> None:
    first = [m.due for m, _ in zip(fleet(1).messages(), range(200), strict=False)]
    assert [b - a for a, b in zip(first, first[1:], strict=False)] == [5000] * 199


def test_ts_is_the_due_time_in_milliseconds() -> None:
    assert all(body["ts"] * 1000 == due for (_, due), body in sent(1).items())


def test_topics_and_keys_are_those_that_the_documentation_says() -> None:
    for m in list(fleet(1).messages())[:400]:
        kind = m.device.partition("-")[0]
        channels = pump.CHANNELS if kind == "pump" else vehicle.CHANNELS
        assert m.topic == f"fleet/{kind}/{m.device}/telemetry"
        assert tuple(json.loads(m.payload)) == ("ts", *channels)


def test_a_plan_that_makes_no_sense_is_refused_by_name() -> None:
    with pytest.raises(Misconfigured, match=r"simulate: devices: expected 1 to 100000, received 0"):
        Plan(devices=0)
    with pytest.raises(Misconfigured, match="rate_hz"):
        Plan(rate_hz=float("nan"))


@pytest.mark.parametrize("seed", SEEDS)
def test_at_least_five_faults_of_each_kind(seed: int) -> None:
    kinds = Counter(fault.kind for fault in fleet(seed).faults)
    assert set(kinds) == set(Kind)
    assert min(kinds.values()) >= LEAST_OF_A_KIND
    assert sum(kinds.values()) == 50  # 0.25 for each device


@pytest.mark.parametrize("seed", SEEDS)
def test_no_fault_in_the_warm_up_or_too_near_the_end(seed: int) -> None:
    end = START + 180 * MICROS
    for fault in fleet(seed).faults:
        assert fault.start >= START + 70 * MICROS
        assert fault.start <= end - (REMAIN_S - 1) * MICROS  # within a tick
        assert fault.end <= end + MICROS


def test_faults_of_a_device_are_apart() -> None:
    plan = Plan(seed=3, devices=20, start=START, duration_s=900.0, faults=1.0)
    by_device: dict[str, list[Fault]] = {}
    for fault in Fleet(plan).faults:
        by_device.setdefault(fault.device, []).append(fault)
    gaps = [
        b.start - a.end for them in by_device.values() for a, b in zip(them, them[1:], strict=False)
    ]
    assert len(gaps) > 30
    assert min(gaps) >= APART_S * MICROS


def test_no_faults_on_request_and_none_in_a_run_shorter_than_the_warm_up() -> None:
    assert Fleet(plan(1, 0.0)).faults == ()
    assert Fleet(Plan(devices=10, duration_s=60.0)).faults == ()


def test_a_lone_pump_has_only_faults_of_a_pump() -> None:
    kinds = {fault.kind for fault in Fleet(Plan(devices=1, duration_s=7200.0)).faults}
    assert kinds == set(Kind) - {Kind.GPS_JUMP, Kind.GPS_FREEZE}


def test_messages_without_a_fault_are_those_of_a_fleet_without_faults() -> None:
    faulty, clean = sent(1), sent(1, 0.0)
    differ = {key for key in clean if faulty[key] != clean[key]}
    labelled = {key for key in clean if fleet(1).fault_at(*key)}
    assert differ <= labelled
    assert len(differ) > 0.9 * len(labelled)  # a message of a fault may look sound


def test_a_spike_is_six_sigma_of_the_channels_own_noise() -> None:
    for fault, faulty, clean in pairs(Kind.SPIKE):
        assert 1 <= len(faulty) <= 3
        off = [f[fault.channel] - c[fault.channel] for f, c in zip(faulty, clean, strict=True)]
        assert max(off) - min(off) <= 0.11  # one rounding step of the fuel
        assert abs(abs(off[0]) / own_noise(fault) - 6.0) <= 6.0 * 0.2 + 0.11 / own_noise(fault)
        assert (off[0] > 0) == (fault.size > 0)


def test_a_drift_rises_to_four_sigma_in_sixty_seconds_and_stays() -> None:
    for fault, faulty, clean in pairs(Kind.DRIFT):
        assert len(faulty) == 75
        off = [f[fault.channel] - c[fault.channel] for f, c in zip(faulty, clean, strict=True)]
        assert abs(abs(off[-1]) / own_noise(fault) - 4.0) <= 4.0 * 0.2 + 0.11 / own_noise(fault)
        assert off[30] == pytest.approx(off[-1] / 2, abs=0.11)
        assert off[60:] == pytest.approx([off[-1]] * 15, abs=0.11)


def test_a_stuck_sensor_repeats_the_value_before_the_fault() -> None:
    for fault, faulty, _ in pairs(Kind.STUCK):
        assert len(faulty) == 20
        assert len({body[fault.channel] for body in faulty}) == 1
        others = [c for c in faulty[0] if c not in ("ts", fault.channel)]
        assert len({tuple(body[c] for c in others) for body in faulty}) == 20


def test_a_dropout_is_a_missing_field_and_the_others_stay() -> None:
    for fault, faulty, clean in pairs(Kind.DROPOUT):
        assert len(faulty) == 20
        for f, c in zip(faulty, clean, strict=True):
            assert fault.channel in c
            assert f == {k: v for k, v in c.items() if k != fault.channel}


def test_a_noise_burst_is_five_times_the_channels_own_noise() -> None:
    added = []
    for fault, faulty, clean in pairs(Kind.NOISE):
        assert len(faulty) == 20
        added += [
            (f[fault.channel] - c[fault.channel]) / own_noise(fault)
            for f, c in zip(faulty, clean, strict=True)
        ]
    whole = math.sqrt(statistics.pvariance(added) + 1.0)
    assert whole == pytest.approx(5.0, rel=0.2)
    assert statistics.fmean(added) == pytest.approx(0.0, abs=1.0)


def test_a_decoupled_channel_leaves_the_load_slowly_and_alone() -> None:
    for fault, faulty, clean in pairs(Kind.DECOUPLE):
        assert len(faulty) == 40
        off = [f[fault.channel] - c[fault.channel] for f, c in zip(faulty, clean, strict=True)]
        assert abs(off[0]) < 2.0 * own_noise(fault)  # no step at the start
        assert max(map(abs, off)) > 2.0 * own_noise(fault)
        for f, c in zip(faulty, clean, strict=True):
            assert {k: v for k, v in f.items() if k != fault.channel} == {
                k: v for k, v in c.items() if k != fault.channel
            }


def test_a_gps_jump_is_four_hundred_metres_for_three_messages() -> None:
    for _, faulty, clean in pairs(Kind.GPS_JUMP):
        assert len(faulty) == 3
        for f, c in zip(faulty, clean, strict=True):
            assert metres(f, c) == pytest.approx(400.0, abs=0.1)


def test_a_gps_freeze_repeats_the_position_while_the_vehicle_moves() -> None:
    for _, faulty, clean in pairs(Kind.GPS_FREEZE):
        assert len({(body["lat"], body["lon"]) for body in faulty}) == 1
        assert min(body["speed_m_s"] for body in faulty) > faults.GPS_FREEZE_MOVES_M_S - 0.6
        assert metres(clean[0], clean[-1]) > 15.0


def test_the_position_moves_as_far_as_the_speed_says() -> None:
    gone, said = 0.0, 0.0
    for way in vehicles(1):
        for a, b in zip(way[::5], way[5::5], strict=False):
            gone += metres(a, b)
        said += sum(body["speed_m_s"] for body in way[:-4])
    assert gone == pytest.approx(said, rel=0.1)  # corners are cut, noise adds


def test_vehicles_stop_and_a_standing_vehicle_shows_gps_noise() -> None:
    errors = []
    standing = 0
    for way in vehicles(1):
        for a, b in zip(way, way[1:], strict=False):
            if a["speed_m_s"] < 0.3 and b["speed_m_s"] < 0.3:
                standing += 1
                errors.append((b["lat"] - a["lat"]) * vehicle.M_PER_DEG_LAT)
    assert 0.1 < standing / (100 * 179) < 0.6
    fix = math.sqrt(2.0) * vehicle.GPS_FIX_M
    assert statistics.pstdev(errors) == pytest.approx(fix, rel=0.15)


def test_no_vehicle_accelerates_harder_than_a_car() -> None:
    for way in vehicles(1):
        speeds = [body["speed_m_s"] for body in way]
        changes = [abs(b - a) for a, b in zip(speeds, speeds[1:], strict=False)]
        assert max(speeds) < 17.0
        assert max(changes) < 3.5  # m/s2, noise included


def test_equal_values_in_a_row_are_rare_on_analog_channels() -> None:
    for device, channels in (
        ("pump-0001", pump.CHANNELS),
        ("vehicle-0001", vehicle.CHANNELS[: vehicle.FUEL]),
    ):
        bodies = tracks(1, 0.0)[device].values()
        for channel in channels:
            values = [body[channel] for body in bodies]
            same = sum(a == b for a, b in zip(values, values[1:], strict=False))
            assert same <= 10, channel


def test_flow_follows_the_load_and_pressure_its_square() -> None:
    machine = pump.Pump("1/pump-0001", 0.0, 1.0)
    full, half = machine.responses(1.0), machine.responses(0.5)
    still = machine.responses(0.0)
    assert half[3] == pytest.approx(full[3] / 2)
    for channel, share in ((0, 0.25), (1, 0.25), (2, 0.125)):
        assert half[channel] - still[channel] == pytest.approx(
            share * (full[channel] - still[channel])
        )


def test_devices_differ_in_their_levels() -> None:
    means = [
        statistics.fmean(body["pressure_kPa"] for body in tracks(1, 0.0)[name].values())
        for name in Plan(devices=20).pumps
    ]
    assert statistics.pstdev(means) > 20.0
