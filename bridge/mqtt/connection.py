"""One lasting session with an MQTT broker: batches of messages in, publishes out.

No decisions and no callbacks above it. The network thread never waits for the loop: it puts what
arrives into the `Inbox`, whose length the broker bounds by the unacknowledged window.

An acknowledgment belongs to the connection that the message came in on: after a reconnect the
packet identifier may name another message (MQTT 5, 4.4), so an ack of an older connection is
dropped and the broker's redelivery expected.
"""

import logging
import random
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge import tls
from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.inbox import Batch, Inbox
from bridge.mqtt.client import Client
from bridge.mqtt_words import (
    HUNG_UP,
    TAKEN_OVER,
    Announcement,
    Said,
    incapable,
    not_granted,
    refused,
    taken_over,
)
from bridge.settings import Mqtt

log = logging.getLogger(__name__)

QOS = 1  # of what is published; QoS 2 is weaker here: paho confirms reception before anybody has it
RETRY_S = (1.0, 30.0)  # between two attempts to reconnect, doubling, and each half to all of it
BRIEF_S, SUSPICIOUS = 5.0, 4  # connections so short, so many in a row: another client has our name
_SESSION = {True: "the session goes on", False: "a new session"}
FAREWELL_S = 1.0  # for the last word to be acknowledged
PAUSE_S = 0.05  # the network thread looks so often whether there is room again


class Connection:
    """One MQTT session under a stable client id; a context manager.

    Args:
        mqtt: the broker.
        client_id: the session's name, stable over restarts.
        clean: forget the session at both ends (for tools that only look).
        announcement: said at each connection, and its end.
    """

    def __init__(
        self,
        mqtt: Mqtt,
        client_id: str,
        clean: bool = False,
        announcement: Announcement | None = None,
    ) -> None:
        self._announcement = announcement
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
        self._failure: HaltereError | None = None  # of the last attempt, which waiting may mend
        self._dropped: tuple[str, ...] = ()
        self._asked: set[int | None] = set()  # packet identifiers of what awaits its answer
        self._tls = tls.context(mqtt)
        self._client = self._build()

    def _build(self) -> Client:
        five = self._mqtt.version == "5"
        client = Client(
            lambda arrived: self._inbox.put(arrived.messages, arrived.mids),
            lambda: self._inbox.room(PAUSE_S),
            client_id=self.client_id,
            clean_session=None if five else self._clean,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            transport=self._mqtt.transport,
        )
        client.largest = self._mqtt.maximum_packet_bytes
        if self._tls:
            client.tls_set_context(self._tls)
        if self._mqtt.transport == "websockets":
            client.ws_set_options(self._mqtt.websocket_path)
        if self._mqtt.username:
            password = self._mqtt.password.get_secret_value()
            client.username_pw_set(self._mqtt.username, password or None)
        if self._announcement:
            client.will_set(self._announcement.topic, self._announcement.offline, QOS, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
            properties.MaximumPacketSize = self._mqtt.maximum_packet_bytes
            options = {"clean_start": self._clean, "properties": properties}
        host, port = self._mqtt.host, self._mqtt.port
        self._client.connect_async(host, port, self._mqtt.keepalive_s, **options)
        self._client.loop_start()

    def subscribe(self, filters: Sequence[str], timeout_s: float = 10.0) -> None:
        """Subscribe now, and again after reconnects where the session may have lost it.

        With a timeout of 0 it does not wait: where the broker has queued more than may be held,
        its answer comes only when messages are taken. `answered` tells, `receive` raises.

        Raises:
            Misconfigured: the broker refused a filter.
            Unavailable: no answer within the time.
        """
        self._filters = tuple(filters)
        self._ask(timeout_s)

    def unsubscribe(self, filters: Sequence[str], timeout_s: float = 10.0) -> None:
        """Messages of these filters come no more; those that the broker has queued still do.

        Raises:
            Unavailable: no answer within the time.
        """
        self._dropped = tuple(filters)
        self._filters = tuple(name for name in self._filters if name not in filters)
        self._ask(timeout_s)

    def answered(self) -> bool:
        """Whether the broker has answered everything that it was asked."""
        return not self._asked

    def _ask(self, timeout_s: float) -> None:
        with self._lock:
            self._send_filters()
            if timeout_s:
                self._lock.wait_for(lambda: self.answered() or self._refusal, timeout_s)
            if self._refusal:
                raise self._refusal
            if timeout_s and self._asked:
                raise Unavailable(self.where, "SUBACK, UNSUBACK", f"nothing within {timeout_s:g} s")

    def _send_filters(self) -> None:
        """SUBSCRIBE and UNSUBSCRIBE; the lock is held, so that no answer comes before its mid."""
        self._asked.clear()
        wanted: list[tuple[str, int]] | list[tuple[str, SubscribeOptions]]
        wanted = [(name, self._mqtt.qos) for name in self._filters]
        if self._mqtt.version == "5":
            once = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            options = SubscribeOptions(qos=self._mqtt.qos, retainHandling=once)
            wanted = [(name, options) for name in self._filters]
        if wanted:
            self._asked.add(self._client.subscribe(wanted)[1])
        if self._dropped:
            self._asked.add(self._client.unsubscribe(list(self._dropped))[1])

    def receive(self, maximum: int, timeout_s: float) -> Batch:
        """Up to ``maximum`` messages in order of arrival; waits for the first.

        Raises:
            Misconfigured: the broker has refused this client, or a filter, after a reconnect.
            Fenced: another client has come under our identifier.
            Unavailable: the network thread has ended by a fault; begin anew.
        """
        with self._lock:
            if timeout_s > 0 and not self._refusal:
                self._lock.wait_for(lambda: self._inbox.waiting() or self._refusal, timeout_s)
            if self._refusal:
                raise self._refusal
            if not self._client.alive():
                raise Unavailable(self.where, "a network thread that lives", "its end")
            return self._inbox.take(maximum)

    def resumed(self) -> bool:
        """Whether the broker still had our session when it accepted us last."""
        return self._resumed

    def epoch(self) -> int:
        """Which connection this is: another number after each that ended or began."""
        return self._inbox.epoch

    def end_session(self) -> None:
        """Disconnect, and let the broker forget the session and all that it queued for it."""
        self._farewell()
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

    def say(self, said: Said) -> None:
        """Publish at QoS 0: it arrives, or it does not."""
        self._client.publish(said.topic, said.payload, 0, said.retain)

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
        return self._connected and self._client.alive()

    def close(self) -> None:
        """Say DISCONNECT and stop the network thread; the session stays unless ``clean``."""
        self._inbox.clear()
        self._farewell()
        self._client.disconnect()
        self._client.loop_stop()

    def _farewell(self) -> None:
        """The last word, in place of the will."""
        if self._announcement and self._client.is_connected():
            with suppress(RuntimeError, ValueError):
                topic, _, offline = self._announcement
                self._client.publish(topic, offline, QOS, True).wait_for_publish(FAREWELL_S)

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
        else:
            if self._announcement:
                topic, online, _ = self._announcement
                self._client.publish(topic, online, QOS, retain=True)
            self._resubscribe(flags.session_present)

    def _resubscribe(self, resumed: bool) -> None:
        """The session may have lost its filters to another client that came under our name.

        Without retain handling (MQTT 3.1.1) that would bring all retained messages each time.
        """
        log.info("%s: connected as %s, %s", self.where, self.client_id, _SESSION[resumed])
        if self._mqtt.version == "5" or self._asked or self._brief or not resumed:
            with self._lock:
                self._send_filters()

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        error = sys.exception()  # paho handles it, and tells nobody
        if isinstance(error, OSError):
            self._fail(tls.explained(self._mqtt, error))
        self._put_off()

    def _fail(self, failure: HaltereError) -> None:
        with self._lock:
            self._failure = failure
            if isinstance(failure, Misconfigured):
                self._refusal = self._refusal or failure
            self._lock.notify_all()
        if self._since:  # else `connect` tells it
            log.warning("%s", failure)

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        accepted = self._connected
        if reason.is_failure and not (accepted or self._refusal):
            self._fail(tls.examined(self._mqtt, self._tls))
        self._inbox.clear()  # the broker sends them again
        with self._lock:
            told = flags.is_disconnect_packet_from_server
            brief = self._connected and time.monotonic() - self._since < BRIEF_S
            hung_up = reason.value == HUNG_UP and not told
            self._brief = self._brief + 1 if brief and hung_up else 0
            self._connected = False
            if told and reason.value == TAKEN_OVER:
                self._refusal = taken_over(self.where, self.client_id, str(reason))
            elif self._brief >= SUSPICIOUS:  # Mosquitto 2.0.11 hangs up on MQTT 5 as well
                how = f"{self._brief} connections in a row that ended within {BRIEF_S:g} s"
                self._refusal = taken_over(self.where, self.client_id, how)
            self._lock.notify_all()
        if self._refusal:
            self._client.stay_away()
        elif reason.is_failure and accepted:
            rival = f" (does another client use the id {self.client_id}?)" if self._brief else ""
            log.warning("%s: connection lost: %s; reconnecting%s", self.where, reason, rival)
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
            self._asked.discard(mid)
            self._refusal = self._refusal or not_granted(self.where, self._mqtt, answers)
            self._lock.notify_all()

    def _on_unsubscribe(
        self, client: Any, data: Any, mid: int, reasons: list[Any], properties: Any
    ) -> None:
        with self._lock:
            self._asked.discard(mid)
            self._dropped = ()
            self._lock.notify_all()
