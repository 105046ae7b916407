"""The only file that knows paho: deliveries in, publishes out, over one lasting connection.

No decisions and no callbacks above this file. The network thread never waits for anybody: it
appends deliveries to a queue, whose length the broker bounds by the unacknowledged window.

An acknowledgment belongs to the connection that the message came in on: after a reconnect the
packet identifier may name another message (MQTT 5, 4.4), so an ack of an older connection is
dropped and the broker's redelivery expected.
"""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge import tls
from bridge.contracts import Message
from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.settings import Mqtt

log = logging.getLogger(__name__)

QOS = 1  # at least once; QoS 2 is weaker here: paho confirms reception before anybody has it
SUBACK_FAILURE = 128  # this reason code and above refuse the subscription (MQTT 5, 3.9.3)
RETRY_S = (1, 30)  # seconds between two attempts to reconnect, doubling
BRIEF_S, SUSPICIOUS = 5.0, 3  # connections so short, so many in a row, are taken over by somebody
OURS = {  # reasons of a refused connection that waiting does not mend (MQTT 5, 3.2.2.2)
    "Unsupported protocol version": "set mqtt.version to the one that the broker speaks",
    "Client identifier not valid": "set mqtt.client_id",
    "Bad user name or password": "set mqtt.username and mqtt.password",
    "Bad username or password": "set mqtt.username and mqtt.password",
    "Not authorized": "give this user access, or set mqtt.username and mqtt.password",
    "Banned": "ask who runs the broker",
    "Bad authentication method": "set mqtt.username and mqtt.password",
}


@dataclass(slots=True)
class Delivery:
    """A message and the right to acknowledge it."""

    message: Message
    _connection: "Connection" = field(repr=False)
    _epoch: int
    _mid: int

    @property
    def topic(self) -> str:
        return self.message.topic

    @property
    def payload(self) -> bytes:
        return self.message.payload

    @property
    def received(self) -> int:
        return self.message.received

    def ack(self) -> None:
        """Let the broker forget it; nothing happens if its connection is gone."""
        self._connection._ack(self._epoch, self._mid, self.message.qos)

    def stale(self) -> bool:
        """Whether its connection is gone, so that the broker sends it again."""
        return self._connection._epoch != self._epoch


class Connection:
    """One MQTT session under a stable client id; a context manager.

    Args:
        mqtt: the broker.
        client_id: the session's name, stable over restarts.
        clean: forget the session at both ends (for tools that only look).
    """

    def __init__(self, mqtt: Mqtt, client_id: str, clean: bool = False) -> None:
        self._mqtt = mqtt
        self._clean = clean
        self.client_id = client_id
        self._filters: tuple[str, ...] = ()
        self._lock = threading.Condition()
        self._inbox: deque[Delivery] = deque()
        self._acknowledged: deque[tuple[int, str]] = deque()  # packet identifier, refusal or ""
        self._tokens: dict[int, object] = {}
        self._refused: list[tuple[object, str]] = []
        self._epoch = 0
        self._connected = False
        self._since = 0.0  # s, monotonic, of the last connection
        self._brief = 0  # connections in a row that did not last
        self._refusal: HaltereError | None = None
        self._failure: HaltereError | None = None  # of the last attempt, which waiting may mend
        self._granted = True
        self._tls = tls.context(mqtt)
        self._client = self._build()

    def _build(self) -> paho.Client:
        five = self._mqtt.version == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            clean_session=None if five else self._clean,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            manual_ack=True,
            transport=self._mqtt.transport,
        )
        if self._tls:
            client.tls_set_context(self._tls)
        if self._mqtt.transport == "websockets":
            client.ws_set_options(self._mqtt.websocket_path)
        if self._mqtt.username:
            password = self._mqtt.password.get_secret_value()
            client.username_pw_set(self._mqtt.username, password or None)
        client.reconnect_delay_set(*RETRY_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
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
                raise self._failure or Unavailable(
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
            options = {"clean_start": self._clean, "properties": properties}
        host, port = self._mqtt.host, self._mqtt.port
        self._client.connect_async(host, port, self._mqtt.keepalive_s, **options)
        self._client.loop_start()

    def subscribe(self, filters: Sequence[str], timeout_s: float = 10.0) -> None:
        """Subscribe at QoS 1 now and after every reconnect that found no session.

        Raises:
            Misconfigured: the broker refused a filter.
            Unavailable: no answer within the time.
        """
        self._filters = tuple(filters)
        with self._lock:
            self._granted = False
        self._send_subscribe()
        with self._lock:
            answered = self._lock.wait_for(lambda: self._granted or self._refusal, timeout_s)
            if self._refusal:
                raise self._refusal
        if not answered:
            raise Unavailable(self.where, "SUBACK", f"nothing within {timeout_s:g} s")

    def _send_subscribe(self) -> None:
        if self._mqtt.version == "5":
            # Retained messages come with a new subscription only, not on each reconnect.
            options = SubscribeOptions(qos=QOS, retainHandling=1)
            self._client.subscribe([(name, options) for name in self._filters])
        else:
            self._client.subscribe([(name, QOS) for name in self._filters])

    def receive(self, maximum: int, timeout_s: float) -> list[Delivery]:
        """Up to ``maximum`` deliveries in order of arrival; waits for the first.

        Raises:
            Misconfigured: the broker has refused this client, or a filter, after a reconnect.
        """
        inbox = self._inbox
        with self._lock:
            if self._refusal:
                raise self._refusal
            if not inbox and timeout_s > 0:
                self._lock.wait_for(lambda: inbox, timeout_s)
            return [inbox.popleft() for _ in range(min(maximum, len(inbox)))]

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
        with self._lock:
            self._epoch += 1
        self._client.disconnect()
        self._client.loop_stop()

    def _ack(self, epoch: int, mid: int, qos: int) -> None:
        with self._lock:  # the epoch cannot change between the check and the queueing
            if epoch == self._epoch and qos:
                self._client.ack(mid, qos)

    # From here on: the network thread.

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._lock:
            self._epoch += 1
            if reason.is_failure:
                self._refuse(str(reason))
            self._connected = not reason.is_failure
            self._since = time.monotonic()
            self._lock.notify_all()
        if self._connected and self._filters and not flags.session_present:
            self._send_subscribe()

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        error = sys.exception()  # paho handles it, and tells nobody
        if isinstance(error, OSError):
            self._fail(tls.explained(self._mqtt, error))

    def _fail(self, failure: HaltereError) -> None:
        with self._lock:
            self._failure = failure
            if isinstance(failure, Misconfigured):
                self._refusal = self._refusal or failure
            self._lock.notify_all()
        if self._since:  # else `connect` tells it
            log.warning("%s", failure)

    def _refuse(self, reason: str) -> None:
        if reason in OURS:
            self._refusal = Misconfigured(
                self.where, "a broker that accepts this client", reason, OURS[reason]
            )
        log.warning("%s: connection refused: %s", self.where, reason)

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        accepted = self._connected
        if reason.is_failure and not (accepted or self._refusal):
            self._fail(tls.examined(self._mqtt, self._tls))
        with self._lock:
            self._epoch += 1
            self._connected = False
            self._inbox.clear()  # the broker sends them again
            brief = time.monotonic() - self._since < BRIEF_S
            self._brief = self._brief + 1 if brief else 0
            if reason.is_failure and accepted:
                log.warning(
                    "%s: connection lost: %s; reconnecting%s",
                    self.where,
                    reason,
                    f"; does another client use the id {self.client_id}?"
                    if self._brief >= SUSPICIOUS
                    else "",
                )

    def _on_message(self, client: Any, data: Any, packet: paho.MQTTMessage) -> None:
        try:
            topic = packet.topic
        except UnicodeDecodeError:
            topic = packet._topic.decode("utf-8", "replace")
        received = time.time_ns() // 1000
        message = Message(
            topic, bytes(packet.payload), received, packet.qos, packet.retain, bool(packet.dup)
        )
        with self._lock:
            self._inbox.append(Delivery(message, self, self._epoch, packet.mid))
            self._lock.notify()

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        self._acknowledged.append((mid, str(reason) if reason.is_failure else ""))

    def _on_subscribe(
        self, client: Any, data: Any, mid: int, reasons: list[Any], properties: Any
    ) -> None:
        refused = [
            f"{name} ({reason})"
            for name, reason in zip(self._filters, reasons, strict=False)
            if reason.value >= SUBACK_FAILURE
        ]
        with self._lock:
            self._granted = True
            if refused:
                self._refusal = Misconfigured(
                    self.where,
                    "a broker that grants every subscription",
                    f"refused: {', '.join(refused)}",
                    "change mqtt.filters, or the broker's access list",
                )
            self._lock.notify_all()
