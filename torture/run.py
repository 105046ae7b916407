"""All faults, one after the other, on brokers of our own or on the user's."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from bridge.brokers import Brokers, embedded
from bridge.errors import HaltereError, Misconfigured
from bridge.kafka import partitions
from bridge.publisher import dial, hello
from bridge.settings import PREFIX as SETTING
from bridge.settings import Settings, load
from bridge.tls import context
from demo.services import empty_folder, say
from torture.faults import FAULTS, Fault
from torture.ledger import Account, Report
from torture.trial import Dose as Dose
from torture.trial import Ground, Stopped, Stuck, Trial

PREFIX = re.compile(r"[a-zA-Z0-9_-]{1,60}")  # good for an MQTT topic and for a Kafka topic
CONNECT_S = 5.0  # to the user's brokers, before anything is begun
SESSION_S = 3600  # how long the broker keeps what a run that was killed leaves behind


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for."""

    dose: Dose
    faults: tuple[str, ...] = ()  # none: all that can be had
    folder: Path | None = None
    prefix: str = "torture"
    own: bool = False  # the brokers of these settings, instead of embedded ones
    config: Path | None = None


def command(order: Order, default: Path, stop: Event) -> Report:
    """With the settings in force, or, on embedded brokers, with none of them."""
    if order.own:
        config = order.config or (default if default.exists() else None)
        return run(replace(order, config=config), os.environ, stop)
    if told := sorted(name for name in os.environ if name.startswith(SETTING)):
        say(f"embedded brokers: {', '.join(told)} left aside; --own-brokers uses them")
        for name in told:
            del os.environ[name]
    return run(order, os.environ, stop)


def run(order: Order, environment: Mapping[str, str], stop: Event) -> Report:
    """Inflict them all.

    Raises:
        HaltereError: what is asked for cannot be had; nothing was sent.
    """
    _check(order)
    begun, report = time.monotonic(), Report()
    folder = (order.folder or Path(tempfile.mkdtemp(prefix="haltere-torture-"))).absolute()
    try:
        with ExitStack() as stack:
            brokers = None
            if not order.own:
                brokers = stack.enter_context(embedded(folder / "brokers", say))
            ground = _ground(order, environment, folder, brokers)
            names = _chosen(order, brokers, report)
            for name in names:
                if not stop.is_set():
                    report.accounts.append(endure(name, ground, order.dose, stop))
            if stop.is_set():
                report.problems.append("stopped before the end")
        report.facts = _facts(order, brokers, time.monotonic() - begun)
        return report
    finally:
        if order.folder is None:
            _tidy(folder, keep=bool(report.accounts) and not report.good())


def endure(name: str, ground: Ground, dose: Dose, stop: Event) -> Account:
    """One fault, from a fresh session and fresh topics to its account."""
    fault, told = FAULTS[name], _told(name, ground)
    ground.say(f"{name}: {FAULTS[name].what}")
    with Trial(name, ground, dose, told | FAULTS[name].settings, stop) as trial:
        try:
            _perform(fault, trial)
        except Stopped:
            trial.problem("stopped before its end: what was on the way is not counted as lost")
            return trial.close(whole=False)
        except (Stuck, HaltereError) as error:
            trial.problem(str(error))
        return trial.close(whole=True)


def _perform(fault: Fault, trial: Trial) -> None:
    brokers = trial.ground.brokers
    for broker in (brokers.mqtt, brokers.kafka) if brokers else ():
        if not broker.alive():  # an earlier fault failed
            broker.start()
    trial.forget()
    for name, told in fault.workers:
        trial.expect(name, **told).launch()
    for worker in trial.workers.values():
        trial.ready(worker)
    trial.begin()
    try:
        fault.inflict(trial)
        trial.settle()
        trial.note(f"all is there, {trial.position()}")
    except (Stuck, HaltereError) as error:
        trial.problem(str(error))
    trial.leave()
    trial.forget()


def _ground(
    order: Order, environment: Mapping[str, str], folder: Path, brokers: Brokers | None
) -> Ground:
    def settings(told: Mapping[str, str]) -> Settings:
        return load(order.config, {**environment, **told})

    secure = context(settings({}).mqtt)
    arguments = ("--config", str(order.config.absolute())) if order.config else ()
    if brokers is None:
        told = settings({})
        if told.mqtt.transport != "tcp":
            raise Misconfigured("mqtt.transport", "tcp, for torture", told.mqtt.transport)
        say(
            f"MQTT {told.mqtt.host}:{told.mqtt.port}, topics {order.prefix}/#; Kafka"
            f" {told.kafka.bootstrap_servers}, topics {order.prefix}.*, which stay when it ends"
        )
        partitions(told.kafka, CONNECT_S)
        dial(told.mqtt, hello(told.mqtt, f"{order.prefix}-check"), secure)[0].close()
    return Ground(settings, arguments, folder, order.prefix, brokers, say, secure)


def _told(fault: str, ground: Ground) -> dict[str, str]:
    """The variables of every process of this fault."""
    told = {
        "HALTERE_MQTT_CLIENT_ID": f"{ground.prefix}-{fault}",
        "HALTERE_MQTT_FILTERS": f"{ground.prefix}/{fault}/#",
        "HALTERE_MQTT_SESSION_EXPIRY_S": str(SESSION_S),
        "HALTERE_KAFKA_PREFIX": f"{ground.prefix}.{fault}",
        "HALTERE_KAFKA_RETENTION_HOURS": "1",
        "HALTERE_MQTT_GROUP": "",
        "HALTERE_MQTT_MEMBER": "",
    }
    if ground.brokers:
        at = ground.brokers.mqtt.endpoint
        told |= {
            "HALTERE_MQTT_HOST": at.host,
            "HALTERE_MQTT_PORT": str(at.port),
            "HALTERE_MQTT_VERSION": ground.brokers.mqtt.version,
            "HALTERE_KAFKA_BOOTSTRAP_SERVERS": ground.brokers.kafka.bootstrap_servers,
        }
    return told


def _why_not(name: str, own: bool, sessions: bool) -> str:
    """Why a fault cannot be had."""
    fault = FAULTS[name]
    if own and fault.own:
        return "it stops a broker, and these are not ours"
    if fault.session and not sessions:
        return "amqtt forgets the session of a client that is gone; install mosquitto"
    return ""


def _chosen(order: Order, brokers: Brokers | None, report: Report) -> Sequence[str]:
    """The faults to inflict; those that are left out of all go to the report.

    Raises:
        Misconfigured: one was asked for that cannot be had.
    """
    sessions = brokers is None or brokers.mqtt.name == "mosquitto"
    reasons = {name: _why_not(name, order.own, sessions) for name in order.faults or FAULTS}
    for name, why in reasons.items():
        if why and order.faults:
            raise _refused(name, why)
        if why:
            report.left_out[name] = why
            say(f"left out: {name}: {why}")
    return [name for name, why in reasons.items() if not why]


def _refused(name: str, why: str) -> Misconfigured:
    possible = "leave it out, or leave --own-brokers out" if "not ours" in why else "leave it out"
    return Misconfigured(f"torture --fault {name}", "a fault that can be had here", why, possible)


def _check(order: Order) -> None:
    for name in order.faults:
        if name not in FAULTS:
            raise Misconfigured(f"torture --fault {name}", ", ".join(FAULTS), name)
        if why := _why_not(name, order.own, sessions=True):
            raise _refused(name, why)
    if not PREFIX.fullmatch(order.prefix) or order.prefix == "haltere":
        expected = "up to 60 letters, digits, - and _, and not haltere, which ingest never reads"
        raise Misconfigured("torture --prefix", expected, repr(order.prefix))
    for option, number in (
        ("messages", order.dose.messages),
        ("publishers", order.dose.publishers),
    ):
        if number < 1:
            raise Misconfigured(f"torture --{option}", "at least 1", str(number))
    if order.folder:
        empty_folder("torture", order.folder)


def _facts(order: Order, brokers: Brokers | None, seconds: float) -> dict[str, object]:
    return {
        "messages": order.dose.messages,
        "publishers": order.dose.publishers,
        "seed": order.dose.seed,
        "brokers": f"embedded Kafka and {brokers.mqtt.name}" if brokers else "the user's",
        "seconds": round(seconds, 1),
    }


def _tidy(folder: Path, keep: bool) -> None:
    """Remove what nobody will read; after a failure the logs stay."""
    if keep:
        shutil.rmtree(folder / "brokers" / "kafka" / "data", ignore_errors=True)
        say(f"the logs stay in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
