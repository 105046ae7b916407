"""A small simulated fleet as readings, for the tests of ml."""

from bridge.contracts import MICROS, Message, Reading
from bridge.fleet import Fault, Fleet, Plan
from bridge.normalise import Accepted, Normaliser
from bridge.settings import Settings

START = 1_700_000_000 * MICROS


def readings(
    devices: int, seconds: float, faults: float = 0.0
) -> tuple[list[Reading], list[Fault]]:
    """What ingest would make of a fleet, in order of time, and its faults."""
    plan = Plan(seed=3, devices=devices, start=START, duration_s=seconds, faults=faults)
    fleet, normalise = Fleet(plan), Normaliser(Settings().route)
    found: list[Reading] = []
    for sent in fleet.messages():
        outcome = normalise(Message(sent.topic, sent.payload, sent.due + 5000))
        assert isinstance(outcome, Accepted)
        found += outcome.readings
    return found, list(fleet.faults)
