"""The only file that knows paho: batches of messages in, publishes out, one lasting connection.

No decisions and no callbacks above this file. The network thread never waits for the loop: it puts
what arrives into the `Inbox`, whose length the broker bounds by the unacknowledged window.

paho's own reader takes a packet apart byte by byte; `_Client` reads what the socket has, hands over
all its messages at once and leaves every other packet to paho.

An acknowledgment belongs to the connection that the message came in on: after a reconnect the
packet identifier may name another message (MQTT 5, 4.4), so an ack of an older connection is
dropped and the broker's redelivery expected.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.errors import HaltereError, Malformed, Unavailable
from bridge.inbox import Batch, Inbox
from bridge.mqtt_packets import Arrived, Other, Stream, puback
from bridge.mqtt_words import TAKEN_OVER, incapable, not_granted, refused, taken_over
from bridge.settings import Mqtt

log = logging.getLogger(__name__)

QOS = 1  # of what is published; QoS 2 is weaker here: paho confirms reception before anybody has it
RETRY_S = (1.0, 30.0)  # between two attempts to reconnect, doubling, and each half to all of it
BRIEF_S, SUSPICIOUS = 5.0, 3  # connections so short, so many in a row: another client has our name
READ = 256 * 1024  # bytes of one read
PAUSE_S = 0.05  # the network thread looks so often whether there is room again
RETAIN_ONCE = 1  # retained messages come with a new subscription only (MQTT 5, 3.8.3.1)


class _Client(paho.Client):
    """paho's client with a reader of its own: all that the socket has, all its messages at once.

    Args:
        arrived: takes the messages, on the network thread.
        room: whether more may be read now; may wait a moment.
        options: paho's.
    """

    def __init__(
        self, arrived: Callable[[Arrived], None], room: Callable[[], bool], **options: Any
    ) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, manual_ack=True, **options)
        self.largest = 0
        self._arrived = arrived
        self._room = room
        self._stream = Stream(five=False)
        self._streaming: object = None  # the socket that the stream comes from

    def send_acks(self, mids: Sequence[int]) -> None:
        """PUBACKs of a batch in one write."""
        packets = puback(mids)
        if packets:
            self._packet_queue(paho.PUBACK, packets, 0, 0)

    def _packet_read(self) -> MQTTErrorCode:
        with self._msgtime_mutex:  # without room the silence is ours: keep-alive goes on
            self._last_bytes_received = time.monotonic()
        if not self._room():
            return MQTTErrorCode.MQTT_ERR_AGAIN
        try:
            data = self._sock_recv(READ)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError as error:
            log.debug("read: %s", error)
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not data:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        try:
            return self._take_apart(data)
        except (Malformed, MQTTException) as error:
            log.error("%s; closing the connection", error)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _take_apart(self, data: bytes) -> MQTTErrorCode:
        sock = self._sock
        if sock is not self._streaming:
            self._stream = Stream(self._protocol == paho.MQTTv5, self.largest)
            self._streaming = sock
        stream, received = self._stream, time.time_ns() // 1000
        stream.feed(data)
        while arrived := stream.take(received):
            if arrived.messages:
                self._arrived(arrived)
            if arrived.other:
                code = self._handle(arrived.other)
                if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._sock is not sock:
                    return code
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle(self, packet: Other) -> MQTTErrorCode:
        """A packet that is no PUBLISH, by paho."""
        self._in_packet |= {
            "command": packet.command,
            "remaining_length": len(packet.body),
            "packet": bytearray(packet.body),
            "pos": 0,
        }
        return self._packet_handle()


class Connection:
    """One MQTT session under a stable client id; a context manager.

    Args:
        mqtt: the broker.
        client_id: the session's name, stable over restarts.
        clean: forget the session at both ends (for tools that only look).
    """

    def __init__(self, mqtt: Mqtt, client_id: str, clean: bool = False) -> None:
        self._mqtt = mqtt
        self._clean = clean or mqtt.clean_session
        self.client_id = client_id
        self._filters: tuple[str, ...] = ()
        self._inbox = Inbox(self._send_acks, 2 * mqtt.receive_maximum, mqtt.inflight_bytes)
        self._lock = self._inbox.lock
        self._acknowledged: deque[tuple[int, str]] = deque()  # packet identifier, refusal or ""
        self._tokens: dict[int, object] = {}
        self._refused: list[tuple[object, str]] = []
        self._connected = False
        self._resumed = False
        self._since = 0.0  # s, monotonic, of the last connection
        self._brief = self._failures = 0  # in a row: connections that did not last, no connection
        self._refusal: HaltereError | None = None
        self._answered = True
        self._client = self._build()

    def _build(self) -> _Client:
        five = self._mqtt.version == "5"
        client = _Client(
            lambda arrived: self._inbox.put(arrived.messages, arrived.mids),
            lambda: self._inbox.room(PAUSE_S),
            client_id=self.client_id,
            clean_session=None if five else self._clean,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
        )
        client.largest = self._mqtt.maximum_packet_bytes
        if self._mqtt.username:
            password = self._mqtt.password.get_secret_value()
            client.username_pw_set(self._mqtt.username, password or None)
        client.on_connect_fail = lambda *_: self._put_off()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def where(self) -> str:
        return f"mqtt {self._mqtt.host}:{self._mqtt.port}"

    def connect(self, timeout_s: float) -> None:
        """Connect and keep connected until `close`; returns when the broker has accepted.

        Raises:
            Unavailable: no broker accepted within the time; the attempts go on.
            Misconfigured: the broker refused for a reason that waiting does not mend.
        """
        if not self._client.is_connected() and self._client.host == "":
            self._start()
        with self._lock:
            self._lock.wait_for(lambda: self._connected or self._refusal, timeout_s)
            if self._refusal:
                raise self._refusal
            if not self._connected:
                raise Unavailable(
                    self.where,
                    "an MQTT broker that answers",
                    f"no connection within {timeout_s:g} s",
                    "start one with `haltere brokers`, or set mqtt.host and mqtt.port",
                )

    def _start(self) -> None:
        options: dict[str, Any] = {}
        if self._mqtt.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = self._mqtt.receive_maximum
            properties.SessionExpiryInterval = 0 if self._clean else self._mqtt.session_expiry_s
            properties.MaximumPacketSize = self._mqtt.maximum_packet_bytes
            options = {"clean_start": self._clean, "properties": properties}
        host, port = self._mqtt.host, self._mqtt.port
        self._client.connect_async(host, port, self._mqtt.keepalive_s, **options)
        self._client.loop_start()

    def subscribe(self, filters: Sequence[str], timeout_s: float = 10.0) -> None:
        """Subscribe now and after every reconnect that found no session.

        Raises:
            Misconfigured: the broker refused a filter.
            Unavailable: no answer within the time.
        """
        self._filters = tuple(filters)
        self._ask(self._send_subscribe, "SUBACK", timeout_s)

    def unsubscribe(self, filters: Sequence[str], timeout_s: float = 10.0) -> None:
        """Messages of these filters come no more; those that the broker has queued still do.

        Raises:
            Unavailable: no answer within the time.
        """
        self._filters = tuple(name for name in self._filters if name not in filters)
        if filters:
            self._ask(lambda: self._client.unsubscribe(list(filters)), "UNSUBACK", timeout_s)

    def _ask(self, send: Callable[[], object], answer: str, timeout_s: float) -> None:
        with self._lock:
            self._answered = False
        send()
        with self._lock:
            answered = self._lock.wait_for(lambda: self._answered or self._refusal, timeout_s)
            if self._refusal:
                raise self._refusal
        if not answered:
            raise Unavailable(self.where, answer, f"nothing within {timeout_s:g} s")

    def _send_subscribe(self) -> None:
        qos = self._mqtt.qos
        if self._mqtt.version == "5":
            options = SubscribeOptions(qos=qos, retainHandling=RETAIN_ONCE)
            if self._filters[0].startswith("$share/"):  # retained messages never come (4.8.2)
                options = SubscribeOptions(qos=qos)
            self._client.subscribe([(name, options) for name in self._filters])
        else:
            self._client.subscribe([(name, qos) for name in self._filters])

    def receive(self, maximum: int, timeout_s: float) -> Batch:
        """Up to ``maximum`` messages in order of arrival; waits for the first.

        Raises:
            Misconfigured: the broker has refused this client, or a filter, after a reconnect.
            Fenced: another client has come under our identifier.
        """
        with self._lock:
            if self._refusal:
                raise self._refusal
            if timeout_s > 0:
                self._lock.wait_for(self._inbox.waiting, timeout_s)
            return self._inbox.take(maximum)

    def resumed(self) -> bool:
        """Whether the broker still had our session when it accepted us last."""
        return self._resumed

    def end_session(self) -> None:
        """Disconnect, and let the broker forget the session and all that it queued for it."""
        if self._mqtt.version == "5":
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0
            self._client.disconnect(properties=properties)
            self.close()
        else:
            self.close()
            with Connection(self._mqtt, self.client_id, clean=True) as connection:
                connection.connect(RETRY_S[1])

    def publish(self, topic: str, payload: bytes, token: object) -> None:
        """Queue a message at QoS 1; it is sent again after reconnects until acknowledged."""
        self._tokens[self._client.publish(topic, payload, QOS).mid] = token

    def acknowledged(self) -> list[object]:
        """The tokens whose PUBACK came since the last call, in that order."""
        tokens = []
        while self._acknowledged:
            mid, refusal = self._acknowledged.popleft()
            token = self._tokens.pop(mid, None)
            if refusal:
                self._refused.append((token, refusal))
            else:
                tokens.append(token)
        return tokens

    def refused(self) -> list[tuple[object, str]]:
        """Tokens that the broker answered with a failure (MQTT 5), and its reason."""
        refused, self._refused = self._refused, []
        return refused

    def in_flight(self) -> int:
        """Published and not yet known to be acknowledged."""
        return len(self._tokens)

    def connected(self) -> bool:
        """Whether the broker has accepted and the network thread lives."""
        return self._connected

    def close(self) -> None:
        """Say DISCONNECT and stop the network thread; the session stays unless ``clean``."""
        self._inbox.clear()
        self._client.disconnect()
        self._client.loop_stop()

    def _send_acks(self, mids: Sequence[int]) -> None:
        self._client.send_acks(mids)

    # From here on: the network thread.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._inbox.clear()
        error = refused(self.where, str(reason)) if reason.is_failure else None
        if not reason.is_failure:
            error = incapable(self.where, self._mqtt, properties.json())
        with self._lock:
            self._refusal = self._refusal or error
            self._connected = not reason.is_failure
            self._resumed = flags.session_present
            self._since = time.monotonic()
            self._failures = 0 if self._connected else self._failures
            self._lock.notify_all()
        if reason.is_failure:
            log.warning("%s: connection refused: %s", self.where, reason)
        elif self._filters and not flags.session_present:
            self._send_subscribe()

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._inbox.clear()  # the broker sends them again
        with self._lock:
            brief = self._connected and time.monotonic() - self._since < BRIEF_S
            self._brief = self._brief + 1 if brief and reason.is_failure else 0
            self._connected = False
            if flags.is_disconnect_packet_from_server and reason.value == TAKEN_OVER:
                self._refusal = taken_over(self.where, self.client_id, str(reason))
            elif self._brief >= SUSPICIOUS and self._mqtt.version == "3.1.1":
                how = f"{self._brief} connections in a row that ended within {BRIEF_S:g} s"
                self._refusal = taken_over(self.where, self.client_id, how)
            self._lock.notify_all()
        if self._refusal:
            client.disconnect()  # and stay away
        elif reason.is_failure:
            log.warning("%s: connection lost: %s; reconnecting", self.where, reason)
        self._put_off()

    def _put_off(self) -> None:
        """The next attempt: later each time, and not together with everybody else's."""
        longest = min(RETRY_S[1], RETRY_S[0] * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        delay = longest * random.uniform(0.5, 1.0)
        self._client.reconnect_delay_set(delay, delay)

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        self._acknowledged.append((mid, str(reason) if reason.is_failure else ""))

    def _on_subscribe(
        self, client: Any, data: Any, mid: int, reasons: list[Any], properties: Any
    ) -> None:
        answers = [
            (name, reason.value, str(reason))
            for name, reason in zip(self._filters, reasons, strict=False)
        ]
        with self._lock:
            self._answered = True
            self._refusal = self._refusal or not_granted(self.where, self._mqtt, answers)
            self._lock.notify_all()

    def _on_unsubscribe(
        self, client: Any, data: Any, mid: int, reasons: list[Any], properties: Any
    ) -> None:
        with self._lock:
            self._answered = True
            self._lock.notify_all()
