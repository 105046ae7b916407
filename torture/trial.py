"""One fault's run: its ingest, its load, its reader, and what was done when.

A fault is a function that takes a trial, waits until some share of the messages is in Kafka, and
breaks something. Every wait has a deadline, so that the ledger comes in the end.
"""

import contextlib
import signal
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from threading import Event

from bridge.brokers import Brokers
from bridge.child import Launch
from bridge.packets import Welcome
from bridge.publisher import Load, Messages, Pace, dial, hello
from bridge.settings import Settings
from demo.services import Service
from torture.ledger import Account, Tally
from torture.numbers import Numbers
from torture.watch import Watch

LOOK_S = 0.05
READY_S = 30.0
PATIENCE_S = 45.0  # without anything new in Kafka or at the publishers, then it is given up
LONGEST_S, SLOWEST = 120.0, 500  # a fault takes no longer than this and a second for so many
BIRTHS = 3  # of an ingest that ends by itself
FENCED = 4  # exit code of an ingest whose session another has taken


class Stuck(Exception):
    """A wait came to its deadline."""


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Dose:
    """How much of everything."""

    messages: int = 20_000
    publishers: int = 50
    seed: int = 1

    def pace(self) -> Pace:
        """So that the load lasts while things break."""
        seconds = min(12.0, 6.0 + self.messages / 5000)
        return Pace(self.publishers, window=1000, rate=self.messages / seconds)


@dataclass(frozen=True, slots=True)
class Ground:
    """What the faults stand on; `brokers` are ours to stop, or none are."""

    settings: Callable[[Mapping[str, str]], Settings]  # those in force, and these variables on top
    arguments: tuple[str, ...]  # of each haltere process
    folder: Path
    prefix: str
    brokers: Brokers | None
    say: Callable[[str], None] = field(default=print)
    tls: ssl.SSLContext | None = None  # for our own MQTT clients


class Worker(Service):
    """A ``haltere ingest`` with variables of its own."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], told: Mapping[str, str]) -> None:
        super().__init__("ingest", folder, arguments)
        port = {"HALTERE_METRICS_HOST": "127.0.0.1", "HALTERE_METRICS_PORT": self.endpoint.port}
        self._told = dict(told) | {key: str(value) for key, value in port.items()}

    def prepare(self) -> Launch:
        return replace(super().prepare(), environment=self._told)

    def code(self) -> int | None:
        """The exit code of one that has ended by itself."""
        return self._process.poll() if self._process else None

    def dismiss(self, how: signal.Signals, limit_s: float) -> int | None:
        """Send a signal and wait for the end; its exit code, or nothing when it did not end."""
        self.tell(how)
        deadline = time.monotonic() + limit_s
        while self.alive() and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        code = self.code()
        self.kill()
        return code


class Trial:
    """A context manager; on leaving it, nothing of it runs any more."""

    def __init__(
        self, name: str, ground: Ground, dose: Dose, told: Mapping[str, str], stop: Event
    ) -> None:
        self.ground = ground
        self.random = Random(f"{dose.seed}:{name}")  # noqa: S311
        self.account = Account(name, logs=str(ground.folder / name))
        self.workers: dict[str, Worker] = {}
        self.expected: set[int] = set()  # exit codes with which ingest may end by itself
        self.told = dict(told)
        self.settings = ground.settings(told)
        self._stop = stop
        self._births = 0
        self._over = Event()
        self._threads = ThreadPoolExecutor(2, name)
        self._dose = dose
        self._begun = time.monotonic()
        start_ms = time.time_ns() // 1_000_000 - dose.messages
        root = f"{ground.prefix}/{name}/{start_ms:x}"
        poison = {"": 0, "poison": 17_500_000 if ground.brokers else 150_000}
        large = poison.get(name, 0)
        self.numbers = Numbers(root, dose.messages, start_ms, dose.seed, large)
        self.tally = Tally(self.numbers, self.numbers.ignored(self.settings.route))
        messages = Messages(dose.messages, self.numbers.topic, self.numbers.payload)
        self.load = Load(self.settings.mqtt, messages, dose.pace(), ground.tls)
        self.watch = Watch(self.settings.kafka, self.tally, lambda: self.load.numbers)
        self._ignored = sum(self.tally.ignored)
        self._loading: Future[None] | None = None
        self._running: list[Future[None]] = []

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.abandoned = True
        self._over.set()
        for worker in self.workers.values():
            worker.kill()
        self._threads.shutdown()

    def begin(self) -> None:
        """Start the reader and the load; ingest is ready."""
        begun = Event()
        self._running = [self._threads.submit(self.watch.run, begun, self._over)]
        self.until(begun.is_set, "a reader of Kafka")
        self._begun = self.watch.grown_at = time.monotonic()
        self._loading = self._threads.submit(self.load.run, self._over)
        self._running.append(self._loading)
        rate = self.load.pace.rate
        self.note(f"{self.load.pace.publishers} publishers, {rate:.0f} messages a second")

    def hire(self, name: str = "ingest", **told: str) -> Worker:
        """One more ``haltere ingest``, ready."""
        worker = self.expect(name, **told)
        worker.launch()
        self.ready(worker)
        return worker

    def expect(self, name: str = "ingest", **told: str) -> Worker:
        """One that is not yet started."""
        folder = self.ground.folder / self.account.fault / name
        worker = Worker(folder, self.ground.arguments, self.told | told)
        self.workers[name] = worker
        return worker

    def ready(self, worker: Worker) -> None:
        """Wait until it is connected to its brokers."""
        self.until(worker.is_ready, "an ingest that is ready", READY_S)

    def crash(self, name: str = "ingest") -> Worker:
        """SIGKILL; it was alive and had work, or the fault was none."""
        worker = self.workers[name]
        if not worker.alive():
            self.problem(f"{name} had ended before it was killed")
        worker.kill()
        self.note(f"{name} killed with SIGKILL, {self.position()}")
        return worker

    def reach(self, share: float) -> None:
        """Wait until Kafka has this share of the messages."""
        wanted = share * self.numbers.count
        self.until(lambda: self.tally.known + self._ignored >= wanted, f"{share:.0%} in Kafka")

    def settle(self) -> None:
        """Wait until all is sent, acknowledged and in Kafka."""
        self.until(self.settled, "every message in Kafka")

    def settled(self) -> bool:
        """Whether all of it is."""
        sent = self._loading is not None and self._loading.done()
        return sent and not self.tally.pending(self.load.numbers)

    def rest(self, seconds: float) -> None:
        """Let this much time pass."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, "some time", seconds + 1)

    def until(
        self, done: Callable[[], bool], what: str, limit_s: float = 0.0, watched: bool = True
    ) -> None:
        """Wait, with an eye on everything.

        Raises:
            Stuck: a deadline passed.
            Stopped: it was told to stop.
            HaltereError: a thread ended with it.
        """
        begun = time.monotonic()
        while not done():
            if self._stop.is_set():
                raise Stopped
            for thread in self._running:
                if thread.done():
                    thread.result()
            if watched:
                self._revive()
            self._patience(what, begun, limit_s)
            time.sleep(LOOK_S)

    def leave(self) -> None:
        """Stop ingest as one should, members for good, and read what is left in Kafka."""
        how = signal.SIGUSR1 if self.grouped else signal.SIGTERM
        for name, worker in self.workers.items():
            if worker.alive() and (code := worker.dismiss(how, READY_S)) != 0:
                self.problem(f"{name} left with exit code {code} after {how.name}")
        self._over.set()
        for thread in self._running:
            with contextlib.suppress(TimeoutError):
                thread.result(READY_S)

    def forget(self) -> None:
        """End the session that ingest keeps at the broker, so that it queues nothing more.

        Members of a group end theirs when they leave for good.
        """
        if self.grouped:
            return
        self.dial(clean=True)[0].close()

    def dial(self, clean: bool) -> tuple[socket.socket, Welcome]:
        """A bare client under ingest's name."""
        mqtt = self.settings.mqtt
        return dial(mqtt, hello(mqtt, self.client_id, clean), self.ground.tls)

    @property
    def grouped(self) -> bool:
        """Whether several share one subscription."""
        return bool(self.told.get("HALTERE_MQTT_GROUP"))

    @property
    def client_id(self) -> str:
        """Of ingest, as it calls itself at the broker."""
        return f"{self.settings.mqtt.client_id}-ingest"

    def note(self, what: str) -> None:
        """One line of what was done, for the ledger and for who watches."""
        at = round(time.monotonic() - self._begun, 1)
        self.account.done.append((at, what))
        self.ground.say(f"{self.account.fault} {at:.1f} s: {what}")

    def problem(self, what: str) -> None:
        """Why this fault was not survived, or was none."""
        if what in self.account.problems:
            return
        self.account.problems.append(what)
        self.ground.say(f"{self.account.fault}: PROBLEM: {what}")

    def position(self) -> str:
        """How far it has come."""
        return (
            f"{self.load.sent} sent, {self.load.acknowledged} acknowledged,"
            f" {self.tally.known} in Kafka, {self.tally.pending(self.load.numbers)} on the way"
        )

    def busy(self) -> bool:
        """Whether there is anything that a fault could hit."""
        return not self.settled()

    def close(self, whole: bool) -> Account:
        """The account of it all; of a part, nothing is lost that was on the way."""
        account, tally = self.account, self.tally
        account.seconds = round(self.watch.grown_at - self._begun, 3)
        account.sent, account.puback = self.load.sent, self.load.acknowledged
        account.in_kafka, account.dead_lettered = tally.in_kafka, tally.dead_lettered
        account.ignored, account.duplicated = self._ignored, tally.duplicated
        account.longest_stall_s = round(self.watch.stall.longest, 3)
        if whole:
            account.missing = tally.lost(self.load.numbers)
        if whole and (account.puback < account.sent or not account.sent):
            what = f"{account.sent - account.puback} of {account.sent} messages were sent"
            account.problems.append(f"{what} and never acknowledged to the publisher")
        return account

    def _revive(self) -> None:
        """Start again what has ended by itself, and say so."""
        for name, worker in self.workers.items():
            if (code := worker.code()) is None:
                continue
            tell = self.note if code in self.expected else self.problem
            tell(f"{name} ended by itself with exit code {code}: {worker.last_words()}")
            self._births += 1
            if self._births > BIRTHS:
                raise Stuck(f"{name} ends again and again")
            worker.kill()
            worker.launch()

    def _patience(self, what: str, begun: float, limit_s: float) -> None:
        now = time.monotonic()
        if limit_s and now - begun > limit_s:
            raise Stuck(f"{what}: not so after {limit_s:.0f} s; {self.position()}")
        if now - max(begun, self.watch.grown_at) > PATIENCE_S:
            raise Stuck(f"{what}: nothing new for {PATIENCE_S:.0f} s; {self.position()}")
        longest = LONGEST_S + self.numbers.count / SLOWEST
        if now - self._begun > longest:
            raise Stuck(f"{what}: not so {longest:.0f} s after the begin; {self.position()}")
