"""A broker as our child process, on one port and in one folder: start, kill, restart, stop.

It dies with us: on Linux the kernel signals it when we are gone, even by kill -9; elsewhere it is
ended at our exit. It has a session of its own, so that Ctrl-C reaches us alone and we can drain
before it goes. Not promised: a temporary folder is removed after our own kill -9.
"""

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bridge.errors import Misconfigured, Unavailable

PATIENCE_S = 120.0  # until a start has failed
GRACE_S = 10.0  # between SIGTERM and SIGKILL
TAIL_LINES = 8  # of the log in an error
PORTS = range(20000, 30000)  # below the ephemeral ones: there a client could meet its own port

_given: deque[int] = deque(maxlen=len(PORTS) // 2)  # ports that may be listened on only later

# The kernel ties the death signal to the thread that forked, so one thread, which lives until we
# end, starts every child. A preexec_fn would warn of our threads; this little program does not.
_nursery = ThreadPoolExecutor(1, "children")
_PRELUDE = """
import ctypes, os, sys
parent, parting, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(1, int(parting), 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def answers(self) -> bool:
        """Whether a TCP connection is accepted."""
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def require_free(self, what: str) -> None:
        """Raise Misconfigured when somebody listens there already."""
        try:
            _bind(self)
        except OSError as error:
            raise Misconfigured(
                f"the port of {what}",
                f"{self} to be free",
                error.strerror or str(error),
                "end the program that listens there, or choose another port",
            ) from None


def free_endpoint() -> Endpoint:
    """A port of this machine that nobody listens on now, and that was not given before."""
    while True:
        endpoint = Endpoint("127.0.0.1", secrets.choice(PORTS))
        with contextlib.suppress(OSError):
            if endpoint.port not in _given:
                _bind(endpoint)
                _given.append(endpoint.port)
                return endpoint


def _bind(endpoint: Endpoint) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((endpoint.host, endpoint.port))


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a child: what to run in its folder, and what it logs there."""

    command: tuple[str, ...]  # the program by its absolute path
    log: Path
    parting: signal.Signals = signal.SIGKILL  # what the kernel sends when we are gone
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of ours


class Child(ABC):
    """A broker; a context manager. Without a folder it gets one that stop removes."""

    name: str

    def __init__(self, folder: Path | None = None, port: int | None = None) -> None:
        self._temporary = folder is None
        self.folder = (folder or Path(tempfile.mkdtemp(prefix="haltere-"))).absolute()
        self.endpoint = Endpoint("127.0.0.1", port) if port else free_endpoint()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.folder / "log"
        self._log_start = 0

    @abstractmethod
    def prepare(self) -> Launch:
        """Write the configuration; the folder is there."""

    def is_ready(self) -> bool:
        """Whether clients can work now."""
        return self.endpoint.answers()

    @property
    def pid(self) -> int:
        """Of the running broker; 0 when there is none."""
        return self._process.pid if self._process else 0

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Launch and wait.

        Raises:
            Misconfigured: the port is taken, or something that it needs is not installed.
            Unavailable: it could not be had, or ended or was not ready in time.
        """
        try:
            self.launch()
            self.wait()
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Start it and return at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.endpoint.require_free(self.name)
        plan = self.prepare()
        self._log = plan.log
        self._log_start = plan.log.stat().st_size if plan.log.exists() else 0
        self._process = _nursery.submit(_spawn, plan, self.folder).result()
        if sys.platform != "linux":
            atexit.register(self.kill)

    def wait(self) -> None:
        """Until it is ready."""
        deadline = time.monotonic() + PATIENCE_S
        while not (self.alive() and self.is_ready()):
            if not self.alive():
                raise self._failed(f"the end of its process: {self.last_words()}")
            if time.monotonic() > deadline:
                raise self._failed(f"none after {PATIENCE_S:.0f} s: {self.last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it cleanly; harmless when it has ended already."""
        self._end(signal.SIGTERM)
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL: as a crash would end it; the folder stays."""
        self._end(signal.SIGKILL)

    def interrupt(self) -> None:
        """End it cleanly, to be started again: the folder stays."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """On the same port and data, after a clean end if it runs."""
        self._end(signal.SIGTERM)
        self.start()

    def logged(self) -> str:
        """What it has logged since it was launched."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def last_words(self) -> str:
        """The last lines of its log, on one line, without stack traces."""
        lines = [line for line in self.logged().splitlines() if line.strip()]
        told = [line for line in lines if not line.startswith(("\tat ", "\t... "))]
        return " | ".join(told[-TAIL_LINES:]) or "it logged nothing"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _failed(self, received: str) -> Unavailable:
        remedy = "" if self._temporary else f"its log is {self._log}"
        return Unavailable(
            f"embedded {self.name}", f"an answer on {self.endpoint}", received, remedy
        )

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(how)  # nothing is sent to one that has ended
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None


def tied(command: Sequence[str], parting: signal.Signals) -> tuple[str, ...]:
    """A command that gets this signal when the thread that starts it is gone; on Linux alone."""
    if sys.platform != "linux":
        return tuple(command)
    prelude = (sys.executable, "-I", "-S", "-c", _PRELUDE)
    return (*prelude, str(os.getpid()), str(parting.value), *command)


def _spawn(plan: Launch, folder: Path) -> subprocess.Popen[bytes]:
    command = tied(plan.command, plan.parting)
    with plan.log.open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **plan.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
