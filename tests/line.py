"""A line between a client and the MQTT broker that can be cut, mended and muted."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bridge.child import free_endpoint
from bridge.settings import Mqtt

JOIN_S = 20.0


class Line:
    """Listens on a port of its own and carries bytes both ways."""

    def __init__(self, mqtt: Mqtt) -> None:
        self._broker = (mqtt.host, mqtt.port)
        self.port = free_endpoint().port
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._muted = threading.Event()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._run(self._accept, self._listener)

    def cut(self) -> None:
        """Cut what is connected now; new connections pass."""
        for end in self._ends:
            _hang_up(end)
        self._ends.clear()

    def mute(self) -> None:
        """The client hears nothing any more; what it says still arrives."""
        self._muted.set()

    def unmute(self) -> None:
        """It hears again, from the next bytes on."""
        self._muted.clear()

    def close(self) -> None:
        if self._listener:
            _hang_up(self._listener)
        self.cut()
        for thread in self._threads:
            thread.join(JOIN_S)
        if self._listener:
            self._listener.close()

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._broker)
            self._ends += [near, far]
            self._run(self._carry, near, far, threading.Event())
            self._run(self._carry, far, near, self._muted)

    def _carry(self, source: socket.socket, target: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not muted.is_set():
                    target.sendall(data)
        _hang_up(target)
        source.close()


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def line_to(mqtt: Mqtt, open_: bool = True) -> Iterator[Line]:
    """A line that is closed at the end."""
    line = Line(mqtt)
    if open_:
        line.open()
    try:
        yield line
    finally:
        line.close()
