"""One run of the demo, top to bottom: brokers, services, fleet, wait, settle, stop, ledger."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from bridge.brokers import Brokers, embedded
from bridge.errors import Unavailable
from bridge.fleet import Plan
from bridge.replay import open_recording
from bridge.settings import Settings, load
from demo import ledger
from demo.ledger import Report
from demo.screen import Headless, Screen
from demo.services import Service, Troupe, configuration, empty_folder, say

LOOPS = ("ingest", "train", "score", "egress")
READY_S = 90.0  # for all services to connect; TensorFlow takes its time
SETTLE_S = 45.0  # after the last message, for all verdicts to arrive
STEADY = 4  # looks without change after which everything has arrived
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Play:
    """What the devices do."""

    minutes: float
    devices: int
    rate: float
    seed: int
    replay: Path | None = None
    speed: float = 1.0

    def validate(self) -> None:
        """Refuse at once what ``haltere simulate`` would refuse later.

        Raises:
            Misconfigured: a number out of range, or a file that is no recording.
        """
        if self.replay:
            open_recording(self.replay, "replay-1").pace(self.speed, 0)
        else:
            Plan(self.seed, self.devices, 0, 60 * self.minutes, self.rate)

    def arguments(self, out: Path) -> tuple[str, ...]:
        """The arguments of ``haltere simulate``."""
        common = ("--out", str(out), "--listen", "1e9")
        if self.replay:
            where = str(self.replay.absolute())
            return (*common, "--replay", where, "--speed", str(self.speed))
        return (
            *common,
            *("--minutes", str(self.minutes), "--devices", str(self.devices)),
            *("--rate", str(self.rate), "--seed", str(self.seed)),
        )


def run(play: Play, folder: Path | None, headless: bool, stop: Event) -> Report:
    """Play it all and hold it to account.

    Raises:
        HaltereError: a broker could not be had, or a service could not start.
    """
    play.validate()
    begun = time.monotonic()
    with TemporaryDirectory(prefix="haltere-demo-") as temporary:
        where = (folder or Path(temporary)).absolute()
        empty_folder("demo", where)
        with embedded(where / "brokers", say) as brokers:
            report = _perform(play, where, brokers, (headless, stop))
    report.figures["seconds"] = round(time.monotonic() - begun, 1)
    return report


def _perform(play: Play, where: Path, brokers: Brokers, how: tuple[bool, Event]) -> Report:
    headless, stop = how
    settings, services = _services(where, brokers)
    out = where / "fleet"
    fleet = Service(
        "simulate", where, ("--config", str(where / "fleet.toml"), *play.arguments(out))
    )
    troupe = Troupe(services)
    with _ended([*services.values(), fleet]):
        troupe.launch()
        say("waiting for ingest, train, score and egress")
        _await_ready(troupe, stop)
        fleet.launch()
        with Headless(say) if headless else Screen(play.devices) as screen:
            while not stop.is_set() and not _published(out, fleet):
                troupe.watch()
                screen.show(troupe, out)
                stop.wait(LOOK_S)
        say("the devices stop; waiting for what is under way")
        _finish(out, fleet)
        _settle(troupe)
        return _account(troupe, fleet, settings, out)


def _services(where: Path, brokers: Brokers) -> tuple[Settings, dict[str, Service]]:
    at = brokers.mqtt.endpoint
    tree: dict[str, Any] = {
        "mqtt": {
            "host": at.host,
            "port": at.port,
            "version": brokers.mqtt.version,
            "filters": ["fleet/#"],
        },
        "kafka": {"bootstrap_servers": brokers.kafka.bootstrap_servers},
        "train": {"checkpoint": str(where / "train"), "every_s": 15},
    }
    services: dict[str, Service] = {}
    for name in LOOPS:
        file = where / f"{name}.toml"
        service = services[name] = Service(name, where, ("--config", str(file)))
        port = service.endpoint.port
        file.write_text(configuration(tree | {"metrics": {"port": port}}), "utf-8")
    (where / "fleet.toml").write_text(configuration(tree), "utf-8")
    return load(where / "fleet.toml", {}), services


def _await_ready(troupe: Troupe, stop: Event) -> None:
    deadline = time.monotonic() + READY_S
    while not troupe.ready():
        for name, service in troupe.services.items():
            if not service.alive():
                raise Unavailable(f"haltere {name}", "a running service", service.last_words())
        if time.monotonic() > deadline:
            late = ", ".join(troupe.unhealthy())
            raise Unavailable("haltere demo", f"all services ready in {READY_S:.0f} s", late)
        if stop.wait(0.1):
            raise KeyboardInterrupt


def _published(out: Path, fleet: Service) -> bool:
    """Whether the devices have sent everything and had it acknowledged."""
    if not fleet.alive():
        raise Unavailable("haltere simulate", "a running fleet", fleet.last_words())
    return (out / "done").exists()


def _finish(out: Path, fleet: Service) -> None:
    """The devices publish no more, but go on listening to their alerts."""
    fleet.tell(signal.SIGUSR1)
    deadline = time.monotonic() + SETTLE_S
    while not _published(out, fleet) and time.monotonic() < deadline:
        time.sleep(0.1)


def _settle(troupe: Troupe) -> None:
    """Wait until nothing moves any more."""
    deadline, steady, before = time.monotonic() + SETTLE_S, 0, None
    while steady < STEADY and time.monotonic() < deadline:
        time.sleep(LOOK_S)
        troupe.watch()
        now = _moved(troupe)
        steady = steady + 1 if now == before and troupe.ready() else 0
        before = now


def _moved(troupe: Troupe) -> tuple[float, ...]:
    names = {
        "ingest": ("haltere_ingest_acknowledged_total", "haltere_ingest_in_flight"),
        "score": ("haltere_score_scores_total", "haltere_score_late_total"),
        "egress": ("haltere_egress_acknowledged_total", "haltere_egress_in_flight"),
    }
    return tuple(
        troupe.counters[service].total(name) for service, all_ in names.items() for name in all_
    )


def _account(troupe: Troupe, fleet: Service, settings: Settings, out: Path) -> Report:
    """Stop everything, the fleet last, and read Kafka back."""
    say("stopping, and reading Kafka back")
    sick = troupe.unhealthy()
    unclean = troupe.leave()
    if not fleet.leave():
        unclean.append("simulate")
    report = ledger.report(ledger.read_fleet(out), ledger.read_kafka(settings.kafka))
    ignored = troupe.counters["ingest"].total("haltere_ingest_messages_total", outcome="ignored")
    report.figures["ignored"] = int(ignored)
    report.figures["restarts"] = sum(troupe.restarts.values())
    if sick:
        report.problems.append(f"not healthy at the end: {', '.join(sick)}")
    if unclean:
        report.problems.append(f"did not leave cleanly in 5 s: {', '.join(unclean)}")
    return report


@contextmanager
def _ended(services: list[Service]) -> Iterator[None]:
    try:
        yield
    finally:
        for service in services:
            service.kill()
