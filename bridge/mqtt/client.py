"""paho's client with a reader of its own; the rest stays paho's.

paho takes a packet apart with one read for each byte of its header, builds an object, takes locks
and logs; here what the socket has is read at once. It leans on private methods of paho
(``_packet_read``, ``_packet_handle``, ``_packet_queue``, ``_reset_sockets``, ``_sock_close``):
tests run the same bytes through both.
"""

import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, _ConnectionState

from bridge.errors import Malformed
from bridge.mqtt_packets import Arrived, Other, Stream, puback

log = logging.getLogger(__name__)

READ = 256 * 1024  # bytes of one read
PARTING_S = 1.0  # for the broker to hang up after our DISCONNECT


class Client(paho.Client):
    """Reads all that the socket has and hands over all its messages at once.

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

    def alive(self) -> bool:
        """Whether the network thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stay_away(self) -> None:
        """Disconnect and do not come back; paho itself would after a connection that was lost."""
        self._reconnect_on_failure = False
        self.disconnect()

    def _sock_close(self) -> None:
        """After our DISCONNECT wait for the broker to hang up: then it has read all we said.

        Else a next connection may overtake the last acknowledgments, and what they were for
        comes again.
        """
        sock = getattr(self._sock, "_socket", self._sock)  # of a WebSocket what is below it
        parting = self._state is _ConnectionState.MQTT_CS_DISCONNECTING
        if parting and isinstance(sock, socket.socket):
            _await_end(sock)
        super()._sock_close()

    def loop_stop(self) -> MQTTErrorCode:
        """Stop the network thread, and close what wakes it: paho leaves that to the garbage."""
        code = super().loop_stop()
        self._reset_sockets()
        return code

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


def _await_end(sock: socket.socket) -> None:
    deadline = time.monotonic() + PARTING_S
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(READ):
                break
