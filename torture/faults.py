"""The faults, each a script: wait until so much is in Kafka, break something, mend it.

A fault that did not bite is a problem of its own: it would prove nothing.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.brokers import Brokers
from torture.trial import FENCED, LOOK_S, Stuck, Trial, Worker

KILLS = (0.15, 0.35, 0.55, 0.75)  # of the messages in Kafka
MESSAGE_TIMEOUT_MS = 2000  # in kafka-down
DOWN_S = 2.0 * MESSAGE_TIMEOUT_MS / 1000  # and how long it is down
SLOW_S, AWAKE_S, ASLEEP_S = 8.0, 0.1, 0.6  # slow-kafka: for so long, in turns
RIVAL_S = 1.5  # how long a rival stays
CONTEST_S = 15.0  # for two ingest of one id to come to terms
LEAVE_S = 30.0  # to drain and leave for good
GROUP = "torture"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done, and what it needs."""

    what: str
    inflict: Callable[[Trial], None]
    own: bool = False  # stops a broker, so it must be ours
    session: bool = True  # needs a broker that keeps the session of a client that is gone
    settings: dict[str, str] = field(default_factory=dict)
    workers: tuple[tuple[str, dict[str, str]], ...] = (("ingest", {}),)


def kill_ingest(trial: Trial) -> None:
    """SIGKILL ingest in the middle, several times."""
    for share in KILLS:
        trial.reach(share + trial.random.uniform(-0.04, 0.04))
        if not trial.busy():
            break
        trial.crash().launch()
    else:
        return
    trial.problem("ingest had carried everything before it was killed")


def restart_mqtt(trial: Trial) -> None:
    """SIGTERM Mosquitto under load and start it again; it saves its queues."""
    broker = _ours(trial).mqtt
    for share in (0.3, 0.6):
        trial.reach(share)
        _bites(trial, broker.name)
        broker.restart()
        trial.note(f"{broker.name} stopped and started, {trial.position()}")
    trial.until(lambda: trial.load.reconnects > 0 or trial.settled(), "publishers that reconnect")
    if not trial.load.reconnects:
        trial.problem("no publisher lost its connection")


def restart_kafka(trial: Trial) -> None:
    """Stop and start Kafka under load."""
    kafka = _ours(trial).kafka
    trial.reach(0.3)
    _bites(trial, kafka.name)
    kafka.restart()
    trial.note(f"Kafka stopped and started, {trial.position()}")


def kafka_down(trial: Trial) -> None:
    """Kafka is away for longer than a record may wait in the producer."""
    kafka = _ours(trial).kafka
    trial.reach(0.3)
    _bites(trial, kafka.name)
    kafka.interrupt()
    trial.note(f"Kafka stopped, {trial.position()}")
    began = time.monotonic()
    trial.rest(DOWN_S)
    pending = trial.tally.pending(trial.load.numbers)
    kafka.start()
    trial.note(f"Kafka started after {time.monotonic() - began:.1f} s, {pending} waited")
    if not pending:
        trial.problem("nothing waited while Kafka was down")


def slow_kafka(trial: Trial) -> None:
    """The Kafka process runs a small part of the time."""
    kafka = _ours(trial).kafka
    trial.reach(0.2)
    _bites(trial, kafka.name)
    trial.note(f"Kafka runs {AWAKE_S:g} s of {AWAKE_S + ASLEEP_S:g} s, {trial.position()}")
    end, turns = time.monotonic() + SLOW_S, 0
    try:
        while time.monotonic() < end and trial.busy():
            os.kill(kafka.pid, signal.SIGSTOP)
            trial.rest(ASLEEP_S)
            os.kill(kafka.pid, signal.SIGCONT)
            trial.rest(AWAKE_S)
            turns += 1
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    trial.note(f"Kafka runs as before, after {turns} stops, {trial.position()}")


def takeover(trial: Trial) -> None:
    """Another client comes under ingest's id: a bare one that leaves again, then an ingest.

    One that lost its session ends with an explanation, then it is started again; or it reconnects.
    """
    trial.expected.add(FENCED)
    ingest = trial.workers["ingest"]
    trial.reach(0.2)
    _bites(trial, "ingest")
    connection, welcome = trial.dial(clean=False)
    trial.note(f"a bare client came as {trial.client_id}, {trial.position()}")
    if not welcome.session_present:
        trial.problem(f"there was no session of {trial.client_id} to take")
    _pause(trial, RIVAL_S)
    connection.close()
    trial.note("the bare client left")
    trial.reach(0.5)
    rival = trial.expect("rival")
    rival.launch()
    trial.until(lambda: rival.is_ready() or not rival.alive(), "a rival", watched=False)
    trial.note(f"a second ingest came under the same id, {trial.position()}")
    _contest(trial, ingest, rival)


def poison(trial: Trial) -> None:
    """Garbage of many kinds is mixed in from the first message on."""
    trial.reach(1.0)
    if not trial.tally.dead_lettered:
        trial.problem("nothing became a dead letter")


def rebalance(trial: Trial) -> None:
    """Members of a shared subscription join, leave for good, stop, and are killed."""
    second = trial.workers["worker-1"]
    trial.reach(0.15)
    third = trial.hire("worker-2", HALTERE_MQTT_MEMBER="2")
    trial.note(f"worker-2 joined, {trial.position()}")
    trial.reach(0.3)
    _bites(trial, "the group")
    trial.crash("worker-1").launch()
    trial.ready(second)
    trial.reach(0.5)
    _dismiss(trial, "worker-0", signal.SIGUSR1, "left for good")
    del trial.workers["worker-0"]
    trial.reach(0.7)
    _dismiss(trial, "worker-2", signal.SIGTERM, "stopped")
    third.launch()
    trial.note("worker-2 started again")


def _dismiss(trial: Trial, name: str, how: signal.Signals, what: str) -> None:
    code = trial.workers[name].dismiss(how, LEAVE_S)
    trial.note(f"{name} {what} with {how.name}: exit code {code}, {trial.position()}")
    if code != 0:
        trial.problem(f"{name}: expected exit code 0 after {how.name}, received {code}")


def _contest(trial: Trial, ingest: Worker, rival: Worker) -> None:
    """Until one has ended by itself, or for a while; one stays, whichever it is."""
    both = {"ingest": ingest, "rival": rival}
    end = time.monotonic() + CONTEST_S
    while time.monotonic() < end and all(worker.alive() for worker in both.values()):
        _pause(trial, LOOK_S)
    left = {name: worker for name, worker in both.items() if not _ended(trial, name, worker)}
    if len(left) > 1:
        trial.note("both go on; the second is told to stop")
        left.popitem()[1].dismiss(signal.SIGTERM, LEAVE_S)
    if not left:
        left["ingest"] = ingest
        ingest.launch()
        trial.note("both have ended; ingest is started again")
    trial.workers = left
    trial.note(f"{', '.join(left)} carries on, {trial.position()}")


def _ended(trial: Trial, name: str, worker: Worker) -> bool:
    """Whether it has ended by itself; it may do so for this one reason."""
    code = worker.code()
    if code is None:
        return False
    tell = trial.note if code == FENCED else trial.problem
    tell(f"{name} ended by itself with exit code {code}: {worker.last_words()}")
    worker.kill()
    return True


def _ours(trial: Trial) -> Brokers:
    if trial.ground.brokers is None:
        raise Stuck("this fault needs brokers that may be stopped")
    return trial.ground.brokers


def _bites(trial: Trial, whom: str) -> None:
    if not trial.busy():
        trial.problem(f"everything was in Kafka before {whom} was hit")


def _pause(trial: Trial, seconds: float) -> None:
    end = time.monotonic() + seconds
    trial.until(lambda: time.monotonic() >= end, "a pause", watched=False)


MEMBERS = tuple((f"worker-{n}", {"HALTERE_MQTT_MEMBER": str(n)}) for n in range(2))
FAULTS = {
    "kill-ingest": Fault("ingest is killed with SIGKILL, several times", kill_ingest),
    "restart-mqtt": Fault("Mosquitto stops and starts under load", restart_mqtt, own=True),
    "restart-kafka": Fault(
        "Kafka stops and starts under load", restart_kafka, own=True, session=False
    ),
    "kafka-down": Fault(
        f"Kafka is away for {DOWN_S:g} s, records time out after {MESSAGE_TIMEOUT_MS / 1000:g} s",
        kafka_down,
        own=True,
        session=False,
        settings={"HALTERE_KAFKA_MESSAGE_TIMEOUT_MS": str(MESSAGE_TIMEOUT_MS)},
    ),
    "slow-kafka": Fault("Kafka runs a small part of the time", slow_kafka, own=True, session=False),
    "takeover": Fault("another client takes ingest's session, twice", takeover),
    "poison": Fault("one message in four is garbage", poison, session=False),
    "rebalance": Fault(
        "members of a shared subscription come and go",
        rebalance,
        settings={"HALTERE_MQTT_GROUP": GROUP},
        workers=MEMBERS,
    ),
}
