"""Numbered messages at speed, over many connections of our own: the load of torture and benchmark.

Not paho: packets are encoded in chunks and acknowledgments read in runs, about 20 times as fast.
Each publisher keeps its own list of what is unacknowledged, and sends it again, marked DUP, on the
next connection; so every message is acknowledged in the end, whatever becomes of connections.
"""

import contextlib
import logging
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Event

from bridge import packets
from bridge.errors import HaltereError, Malformed, Misconfigured, Unavailable
from bridge.packets import Form, Heard, Hello, Welcome
from bridge.settings import Mqtt

log = logging.getLogger(__name__)

CHUNK = 100  # messages encoded at a time
CONNECT_S = 10.0
RETRY_S = 0.2  # between two attempts to connect
KEEPALIVE_S = 60
QUIET_S = KEEPALIVE_S / 2  # then PINGREQ
WAIT_S = 0.05  # for a broker that has nothing to say
TICK_S = 0.001  # to rest when windows are full or the rate is kept
LOOK_S = 1.0  # between two looks at who is quiet
LATER = {3, 0x88, 0x89, 0x97, 0x9F}  # refusals that pass: the broker is busy, or not yet there
READ = selectors.EVENT_READ
BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class Messages:
    """What is published: numbers below the count, each the same whenever it is asked for."""

    count: int
    topic: Callable[[int], str]
    payload: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Pace:
    """How it is published."""

    publishers: int = 50
    qos: int = 1
    window: int = 1000  # unacknowledged messages of a publisher
    rate: float = 0.0  # messages a second of all together; 0: as fast as the broker takes them


class Publisher:
    """One connection: the numbers that are its own, and what is unacknowledged of them."""

    def __init__(self, name: Hello, numbers: range, messages: Messages, pace: Pace) -> None:
        self.hello = name
        self.quiet_since = 0.0  # s, monotonic: the last sign of life of the broker
        self.pinged = False
        self._messages = messages
        self._numbers = numbers
        self._next = 0  # index of the next number
        self._qos = pace.qos
        self._window = self._asked = min(pace.window, packets.WINDOW)
        self._pending: dict[int, int] = {}  # packet identifier -> number, oldest first
        self._out = memoryview(b"")
        self._heard = b""
        self.socket: socket.socket | None = None

    def left(self) -> int:
        """Messages never sent."""
        return len(self._numbers) - self._next

    def done(self) -> bool:
        """Everything is sent, and acknowledged where it is asked for."""
        return not (self.left() or self._pending or self._out)

    def writing(self) -> bool:
        """Whether bytes wait for the socket."""
        return bool(self._out)

    def begin(self, connection: socket.socket, welcome: Welcome) -> None:
        """Go on over this connection: what is unacknowledged goes first, once more."""
        self.socket = connection
        self._window = min(self._asked, welcome.receive_maximum)
        self._heard = b""
        again = self._pending.items()
        self._out = memoryview(b"".join([self._packet(mid, n, dup=True) for mid, n in again]))

    def end(self) -> None:
        """The connection is gone; what it had not yet taken of QoS 0 is gone with it."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self._out = None, memoryview(b"")

    def feed(self, budget: int) -> int:
        """Encode some of the next messages, no more than the budget and the window allow; how many.

        Not for a few at a time: a chunk costs the loop as much as one message.
        """
        chunk = min(CHUNK, max(1, self._window // 2))
        room = min(chunk, self._window - len(self._pending), self.left())
        if self._out or not self.left() or room < min(chunk, self.left()):
            return 0
        fresh = []
        for index in range(self._next, self._next + min(room, budget)):
            mid = 1 + index % packets.WINDOW if self._qos else 0
            if mid in self._pending:
                break
            number = self._numbers[index]
            if mid:
                self._pending[mid] = number
            fresh.append(self._packet(mid, number))
        self._next += len(fresh)
        self._out = memoryview(b"".join(fresh))
        return len(fresh)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.pinged = True
        if not self._out:
            self._out = memoryview(packets.PING)

    def write(self) -> None:
        """As much as the socket takes."""
        with contextlib.suppress(*WOULD_BLOCK):
            while self._out and self.socket is not None:
                self._out = self._out[self.socket.send(self._out) :]

    def hear(self) -> Heard:
        """What the broker has to say.

        Raises:
            OSError: the connection is gone.
            Malformed: this is no MQTT.
        """
        data = [self._heard]
        with contextlib.suppress(*WOULD_BLOCK):
            while self.socket is not None:  # until it would block: TLS keeps bytes back from select
                data.append(self.socket.recv(1 << 16))
                if not data[-1]:
                    raise ConnectionResetError("the broker has closed the connection")
        heard = packets.read(b"".join(data))
        self._heard = heard.rest
        return heard

    def settle(self, mids: Iterable[int]) -> list[int]:
        """The numbers of these packet identifiers, no longer pending."""
        pending = self._pending
        return [pending.pop(mid) for mid in mids if mid in pending]

    def _packet(self, mid: int, number: int, dup: bool = False) -> bytes:
        topic, payload = self._messages.topic(number), self._messages.payload(number)
        form = Form(mid, dup, self.hello.version == "5")
        return packets.publish(topic.encode(), payload, form)


class Load:
    """All publishers, in the thread that calls `run`; another thread may read the counts."""

    def __init__(
        self,
        mqtt: Mqtt,
        messages: Messages,
        pace: Pace | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.pace = pace or Pace()
        self.sent = 0  # publishes attempted first time
        self.acknowledged = 0
        self.numbers = bytearray(messages.count)  # 1 where the number was acknowledged
        self.refused: dict[int, int] = {}  # number -> reason code (MQTT 5)
        self.connections = 0  # made, over and above the first of each publisher: reconnects
        self._mqtt = mqtt
        self._tls = tls
        self._retry_at = 0.0
        count = max(1, min(self.pace.publishers, messages.count))
        self._publishers = [
            Publisher(_hello(mqtt, n), range(n, messages.count, count), messages, self.pace)
            for n in range(count)
        ]

    @property
    def reconnects(self) -> int:
        """Connections beyond the first of each publisher."""
        return max(0, self.connections - len(self._publishers))

    def run(self, stop: Event) -> None:
        """Until every message is sent and acknowledged, or told to stop.

        Raises:
            Misconfigured: the broker refuses for a reason that waiting does not mend.
        """
        begun = looked = time.monotonic()
        with selectors.DefaultSelector() as selector:
            try:
                while not stop.is_set() and not all(p.done() for p in self._publishers):
                    self._connect(selector)
                    if not self._feed(selector, time.monotonic() - begun):
                        time.sleep(TICK_S)  # acknowledgments come by the hundred then, not by one
                    for key, events in selector.select(0 if self.pace.rate else WAIT_S):
                        self._serve(selector, key.data, events)
                    if time.monotonic() - looked > LOOK_S:
                        looked = time.monotonic()
                        self._look(selector, looked)
            finally:
                for publisher in self._publishers:
                    _leave(publisher)

    def _connect(self, selector: selectors.BaseSelector) -> None:
        """Open what is not open; when one attempt fails, all wait a moment."""
        for publisher in self._publishers:
            if publisher.socket or publisher.done() or time.monotonic() < self._retry_at:
                continue
            try:
                connection, welcome = dial(self._mqtt, publisher.hello, self._tls)
            except (Unavailable, Malformed) as error:
                log.info("%s: %s", publisher.hello.client_id, error)
                self._retry_at = time.monotonic() + RETRY_S
                return
            connection.setblocking(False)
            self.connections += 1
            publisher.begin(connection, welcome)
            publisher.quiet_since, publisher.pinged = time.monotonic(), False
            selector.register(connection, READ, publisher)
            self._write(selector, publisher)

    def _feed(self, selector: selectors.BaseSelector, seconds: float) -> bool:
        """Hand out the next messages; whether there is more to hand out at once."""
        rate, begin = self.pace.rate, self.sent
        budget = int(rate * seconds) - begin if rate else CHUNK * len(self._publishers)
        turn = begin // CHUNK % len(self._publishers)
        for publisher in self._publishers[turn:] + self._publishers[:turn]:
            if budget <= 0:
                break
            share = min(budget, max(1, int(rate * TICK_S / 4))) if rate else budget
            if publisher.socket and (count := publisher.feed(share)):
                budget -= count
                self.sent += count
                self._write(selector, publisher)
        return self.sent > begin and not rate

    def _serve(self, selector: selectors.BaseSelector, publisher: Publisher, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write(selector, publisher)
        if events & READ and publisher.socket:
            self._read(selector, publisher)

    def _write(self, selector: selectors.BaseSelector, publisher: Publisher) -> None:
        if publisher.socket is None:
            return
        try:
            publisher.write()
        except OSError as error:
            self._lose(selector, publisher, str(error))
            return
        wanted = BOTH if publisher.writing() else READ
        if selector.get_key(publisher.socket).events != wanted:
            selector.modify(publisher.socket, wanted, publisher)

    def _read(self, selector: selectors.BaseSelector, publisher: Publisher) -> None:
        try:
            heard = publisher.hear()
        except (OSError, HaltereError) as error:
            self._lose(selector, publisher, str(error))
            return
        publisher.quiet_since, publisher.pinged = time.monotonic(), False
        for number in publisher.settle(heard.acknowledged):
            self.numbers[number] = 1
            self.acknowledged += 1
        for mid, code in heard.refused:
            self.refused |= dict.fromkeys(publisher.settle([mid]), code)
        if heard.goodbye is not None:
            self._lose(selector, publisher, f"DISCONNECT with reason 0x{heard.goodbye:02x}")

    def _look(self, selector: selectors.BaseSelector, now: float) -> None:
        """Ping who has heard nothing for a while; give up who has heard nothing since."""
        for publisher in self._publishers:
            quiet = now - publisher.quiet_since
            if publisher.socket and quiet > KEEPALIVE_S:
                self._lose(selector, publisher, f"nothing heard for {quiet:.0f} s")
            elif publisher.socket and quiet > QUIET_S and not publisher.pinged:
                publisher.ping()
                self._write(selector, publisher)

    def _lose(self, selector: selectors.BaseSelector, publisher: Publisher, why: str) -> None:
        log.info("%s: connection lost: %s", publisher.hello.client_id, why)
        if publisher.socket is not None:
            selector.unregister(publisher.socket)
        publisher.end()


def dial(
    mqtt: Mqtt, hello: Hello, tls: ssl.SSLContext | None = None
) -> tuple[socket.socket, Welcome]:
    """A connection that the broker has accepted.

    Raises:
        Unavailable: nobody answers, or the broker is busy.
        Misconfigured: it refuses for a reason that waiting does not mend.
    """
    where = f"mqtt {mqtt.host}:{mqtt.port}"
    try:
        connection = socket.create_connection((mqtt.host, mqtt.port), CONNECT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_hostname=mqtt.host)
            connection.sendall(packets.connect(hello))
            return connection, _welcomed(connection, where, hello)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        remedy = "start one with `haltere brokers`, or set mqtt.host and mqtt.port"
        raise Unavailable(where, "an MQTT broker that answers", str(error), remedy) from None


def _welcomed(connection: socket.socket, where: str, hello: Hello) -> Welcome:
    data = b""
    while (found := packets.packet(data)) is None:
        more = connection.recv(1)  # what follows a CONNACK belongs to the session
        if not more:
            raise Unavailable(where, "CONNACK", "the end of the connection")
        data += more
    kind, body, _ = found
    if kind != packets.CONNACK:
        raise Malformed(where, "CONNACK", f"a packet of kind 0x{kind:02x}")
    welcome = packets.welcome(body, hello.version)
    if welcome.code in LATER:
        raise Unavailable(where, "a broker that accepts", f"code 0x{welcome.code:02x}")
    if welcome.code:
        received = f"refused with code 0x{welcome.code:02x}"
        remedy = "check mqtt.username, mqtt.password and mqtt.version"
        raise Misconfigured(where, "a broker that accepts this client", received, remedy)
    return welcome


def hello(mqtt: Mqtt, client_id: str, clean: bool = True) -> Hello:
    """What a client says that uses these settings."""
    return Hello(
        client_id,
        mqtt.version,
        mqtt.username,
        mqtt.password.get_secret_value(),
        KEEPALIVE_S,
        clean,
        mqtt.session_expiry_s,
    )


def _hello(mqtt: Mqtt, number: int) -> Hello:
    return hello(mqtt, f"{mqtt.client_id}-load-{number}")


def _leave(publisher: Publisher) -> None:
    with contextlib.suppress(OSError):
        if publisher.socket is not None:
            publisher.socket.sendall(packets.GOODBYE)
    publisher.end()
