"""The same bytes through paho's own reader and through ours: the same is heard and returned."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties

from bridge.mqtt.client import READ, Client
from bridge.mqtt_packets import LARGEST_PACKET, Arrived
from bridge.packets import Form, publish

OK, AGAIN = MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN
PROTOCOL, LOST = MQTTErrorCode.MQTT_ERR_PROTOCOL, MQTTErrorCode.MQTT_ERR_CONN_LOST
VERSIONS = [paho.MQTTv311, paho.MQTTv5]


class FakeSocket:
    """Serves the pieces one by one, with nothing to read between two of them."""

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.sent: list[bytes] = []  # one for each write
        self.closed = self.reads = 0
        self.hung_up = False

    def recv(self, size: int) -> bytes:
        self.reads += 1
        if self.hung_up:
            return b""
        if not self._pieces or not self._pieces[0]:
            self._pieces = self._pieces[1:]
            raise BlockingIOError
        given, self._pieces[0] = self._pieces[0][:size], self._pieces[0][size:]
        return given

    def send(self, data: bytes) -> int:
        self.sent.append(bytes(data))
        return len(data)

    def close(self) -> None:
        self.closed += 1

    def done(self) -> bool:
        return not self._pieces


class Heard(NamedTuple):
    """What a client made of a stream."""

    messages: list[tuple[object, ...]]  # topic, payload, qos, retain, dup, mid
    calls: list[tuple[object, ...]]  # of the callbacks, in order
    code: MQTTErrorCode  # that ended the connection, or success


def _watched(client: paho.Client, calls: list[tuple[object, ...]]) -> None:
    def noted(properties: Properties | None) -> object:
        return str(properties)

    def on_connect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        calls.append(("connect", flags.session_present, str(reason), noted(properties)))

    def on_subscribe(client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        calls.append(("subscribe", mid, [str(r) for r in reasons], noted(properties)))

    def on_unsubscribe(client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        calls.append(("unsubscribe", mid, [str(r) for r in reasons]))

    def on_publish(client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        calls.append(("publish", mid, str(reason)))

    def on_disconnect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        calls.append(("disconnect", flags.is_disconnect_packet_from_server, str(reason)))

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_unsubscribe, client.on_publish = on_unsubscribe, on_publish
    client.on_disconnect = on_disconnect


def _played(client: paho.Client, pieces: Iterable[bytes], published: int) -> MQTTErrorCode:
    """Read it all, with so many of our own messages under way; what ended it."""
    attach(client, FakeSocket())
    for _ in range(published):
        client.publish("out", b"x", 1)
    sock = attach(client, FakeSocket(pieces))
    code = OK
    while code == OK and client.socket() is not None and not sock.done():
        code = client.loop_read()
    return OK if code == MQTTErrorCode.MQTT_ERR_NO_CONN else code  # it looked once more


def attach(client: paho.Client, sock: FakeSocket) -> FakeSocket:
    """A connection, from here on."""
    fresh: Any = client
    fresh._sock = sock
    return sock


def by_paho(version: MQTTProtocolVersion, pieces: Iterable[bytes], published: int = 0) -> Heard:
    messages, calls = list[tuple[object, ...]](), list[tuple[object, ...]]()
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        "c",
        protocol=version,
        manual_ack=True,
    )

    def on_message(client: Any, data: Any, m: paho.MQTTMessage) -> None:
        messages.append((m.topic, bytes(m.payload), m.qos, bool(m.retain), bool(m.dup), m.mid))

    client.on_message = on_message
    _watched(client, calls)
    return Heard(messages, calls, _played(client, pieces, published))


def by_us(version: MQTTProtocolVersion, pieces: Iterable[bytes], published: int = 0) -> Heard:
    messages, calls = list[tuple[object, ...]](), list[tuple[object, ...]]()

    def arrived(what: Arrived) -> None:
        for m, mid in zip(what.messages, what.mids, strict=True):
            messages.append((m.topic, m.payload, m.qos, m.retain, m.dup, mid))

    client = ours(version, arrived)
    _watched(client, calls)
    return Heard(messages, calls, _played(client, pieces, published))


def ours(version: MQTTProtocolVersion, arrived: Any = None, room: Any = None) -> Client:
    always = room or (lambda: True)
    client = Client(
        arrived or (lambda what: None),
        always,
        client_id="c",
        protocol=version,
    )
    client.largest = LARGEST_PACKET
    return client


def hexed(*parts: str) -> bytes:
    return bytes.fromhex(" ".join(parts))


# The same stream through both.

SESSION = {
    paho.MQTTv311: hexed(
        "20 02 01 00",  # CONNACK, session present
        "30 07 0003 612f62 6869",  # PUBLISH QoS 0
        "3b 09 0003 612f62 0007 6869",  # QoS 1, retained, a duplicate
        "90 05 0009 01 00 80",  # SUBACK: QoS 1, QoS 0, refused
        "32 05 0001 74 ffff",  # nothing in it
        "40 02 0001",  # PUBACK
        "d0 00",  # PINGRESP
        "40 02 0063",  # PUBACK of what we did not send
        "32 0b 0007 c3a92fe29883 61 0003",
        "b0 02 000a",  # UNSUBACK
        "40 02 0002",
        "31 07 0003 612f62 0000",
    ),
    paho.MQTTv5: hexed(
        "20 09 00 00 06 21 000a 22 0000",  # CONNACK: receive maximum 10, no aliases
        "30 08 0003 612f62 00 6869",
        # payload format, expiry, content type, response topic, user property, subscription id
        "3b 27 0003 612f62 0007 1d 0101 020000003c 03 0001 63 08 0001 72 26 0001 6b 0001 76",
        "0b 8101 09 0001 78 6869",  # and correlation data
        "90 06 0009 00 01 00 87",
        "40 02 0001",
        "d0 00",
        "40 04 0002 97 00",  # PUBACK: quota exceeded
        "32 06 0001 74 ffff 00",
        "b0 05 000a 00 00 11",
        "40 03 0003 10",
        "e0 02 8e 00",  # DISCONNECT: session taken over
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_heard_alike_wherever_its_bytes_are_cut(version: MQTTProtocolVersion) -> None:
    data = SESSION[version]
    expected = by_paho(version, [data], 3)
    assert len(expected.messages) == {paho.MQTTv311: 5, paho.MQTTv5: 3}[version]
    assert {call[0] for call in expected.calls} >= {"connect", "subscribe", "publish"}
    for offset in range(len(data)):
        pieces = [data[:offset], data[offset:]]
        assert by_us(version, pieces, 3) == expected
        assert by_paho(version, pieces, 3) == expected
    assert by_us(version, [data[n : n + 1] for n in range(len(data))], 3) == expected


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
sent = st.tuples(words, st.binary(max_size=200), st.sampled_from([0, 1, 258, 65535]), st.booleans())


@given(st.sampled_from(VERSIONS), st.lists(sent, max_size=8), st.lists(st.integers(0, 2000)))
def test_any_messages_are_heard_alike(
    version: MQTTProtocolVersion, said: list[tuple[str, bytes, int, bool]], places: list[int]
) -> None:
    five = version == paho.MQTTv5
    data = b"".join(
        publish(topic.encode(), payload, Form(mid, dup and mid > 0, five)) + b"\xd0\0" * dup
        for topic, payload, mid, dup in said
    )
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    pieces = [data[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    expected = by_paho(version, pieces)
    assert len(expected.messages) == len(said)
    assert by_us(version, pieces) == expected


# What ends a connection.

BROKEN = [
    # MQTT version, bytes
    (paho.MQTTv311, "30 ffffffff 01"),  # a length of five bytes
    (paho.MQTTv311, "40 80808080 01"),
    (paho.MQTTv311, "30 05 0004 74 6869"),  # topic longer than its packet
    (paho.MQTTv311, "30 01 00"),
    (paho.MQTTv311, "32 04 0001 74 00"),  # half a packet identifier
    (paho.MQTTv311, "30 04 0000 6869"),  # no topic
    (paho.MQTTv311, "00 00"),  # no such packet
    (paho.MQTTv311, "f0 00"),
    (paho.MQTTv311, "e0 00"),  # DISCONNECT, which only MQTT 5 lets a broker say
    (paho.MQTTv311, "20 01 00"),  # half a CONNACK
    (paho.MQTTv311, "90 01 00"),  # half a SUBACK
    (paho.MQTTv311, "d0 01 00"),  # PINGRESP with something in it
    (paho.MQTTv311, "82 00"),  # SUBSCRIBE, which no broker says
    (paho.MQTTv5, "30 06 0001 74 03 6869"),  # properties longer than their packet
    (paho.MQTTv5, "30 03 0001 74"),  # none at all
    (paho.MQTTv5, "f0 00"),  # AUTH, which nobody asked for
    (paho.MQTTv5, "40 03 0001 ff"),  # no such reason
    (paho.MQTTv5, "20 01 00"),
    (paho.MQTTv5, "e0 01 ff"),
]


@pytest.mark.parametrize(("version", "broken"), BROKEN)
def test_what_is_no_mqtt_ends_the_connection_alike(
    version: MQTTProtocolVersion, broken: str
) -> None:
    five = version == paho.MQTTv5
    data = publish(b"t", b"one", Form(7, False, five)) + hexed(broken)
    expected = by_paho(version, [data])
    assert (expected.code, len(expected.messages)) == (PROTOCOL, 1)
    assert [call[0] for call in expected.calls] == ["disconnect"]
    for offset in range(len(data)):
        assert by_us(version, [data[:offset], data[offset:]]) == expected


STRICTER = [
    # MQTT version, bytes that paho takes and the standard forbids, or that nobody asked for
    (paho.MQTTv311, "34 07 0001 74 0001 6869"),  # QoS 2: our subscriptions say 1 at most
    (paho.MQTTv311, "32 07 0001 74 0000 6869"),  # packet identifier 0
    (paho.MQTTv5, "30 08 0000 03 23 0001 6869"),  # a topic alias
]


@pytest.mark.parametrize(("version", "broken"), STRICTER)
def test_here_the_reader_is_stricter_than_paho(version: MQTTProtocolVersion, broken: str) -> None:
    assert by_paho(version, [hexed(broken)]).code == OK
    assert by_us(version, [hexed(broken)]).code == PROTOCOL


def test_a_packet_larger_than_we_announced_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = ours(paho.MQTTv5)
    client.largest = 100
    sock = attach(client, FakeSocket([publish(b"t", bytes(100), Form(7, five=True))[:10]]))
    with caplog.at_level(logging.ERROR):
        assert client.loop_read() == PROTOCOL
    assert "at most 100 bytes" in caplog.text
    assert (client.socket(), sock.closed) == (None, 1)


def test_a_peer_that_hung_up_is_a_connection_lost() -> None:
    client = ours(paho.MQTTv5)
    sock = attach(client, FakeSocket())
    sock.hung_up = True
    assert client.loop_read() == LOST
    assert client.socket() is None


def test_a_socket_that_fails_is_a_connection_lost() -> None:
    class Broken(FakeSocket):
        def recv(self, size: int) -> bytes:
            raise ConnectionResetError

    client = ours(paho.MQTTv5)
    attach(client, Broken())
    assert client.loop_read() == LOST


# Room, keep-alive, acknowledgments, a second connection.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds; the test moves them."""
    now = [1000.0]
    monkeypatch.setattr("bridge.mqtt.client.time.monotonic", lambda: now[0])
    monkeypatch.setattr(paho, "time_func", lambda: now[0])
    yield now


def test_a_reader_without_room_reads_nothing_and_keep_alive_goes_on(clock: list[float]) -> None:
    room, arrived = [False], list[Arrived]()
    client = ours(paho.MQTTv311, arrived.append, lambda: room[0])
    client._keepalive = 60
    attach(client, FakeSocket([hexed("20 02 00 00")]))
    room[0] = True
    assert client.loop_read() == OK  # connected
    sock = attach(client, FakeSocket([publish(b"t", b"hi", Form(7)), hexed("d0 00")]))
    room[0] = False
    for _ in range(300):  # s: the keep-alive, five times
        clock[0] += 1.0
        assert client._packet_read() == AGAIN
        assert client.loop_misc() == OK
    assert sock.reads == 0
    assert 3 <= len(sock.sent) <= 5
    assert set(sock.sent) == {hexed("c0 00")}  # PINGREQ: the broker sees that we live
    assert client.socket() is not None
    room[0] = True
    while not sock.done():
        assert client.loop_read() == OK
    assert [what.mids for what in arrived] == [[7]]


def test_with_room_a_broker_that_is_silent_is_noticed(clock: list[float]) -> None:
    client = ours(paho.MQTTv311)
    client._keepalive = 60
    attach(client, FakeSocket([hexed("20 02 00 00")]))
    assert client.loop_read() == OK
    for _ in range(130):
        clock[0] += 1.0
        client.loop_misc()
    assert client.socket() is None


def test_the_acknowledgments_of_a_batch_leave_in_one_write() -> None:
    client = ours(paho.MQTTv5)
    sock = attach(client, FakeSocket())
    client.send_acks([3, 0, 1, 65535])
    assert sock.sent == [hexed("40020003 40020001 4002ffff")]
    client.send_acks([0, 0])
    client.send_acks([])
    assert len(sock.sent) == 1


def test_a_socket_that_takes_half_gets_the_rest_later() -> None:
    class Narrow(FakeSocket):
        def send(self, data: bytes) -> int:
            return super().send(data[:6])

    client = ours(paho.MQTTv5)
    sock = attach(client, Narrow())
    client.send_acks(range(1, 5))
    while client.want_write():
        client.loop_write()
    assert b"".join(sock.sent) == hexed("40020001 40020002 40020003 40020004")


def test_one_read_hands_over_all_its_messages_at_once() -> None:
    arrived = list[Arrived]()
    client = ours(paho.MQTTv311, arrived.append)
    data = b"".join(publish(b"t", b"%d" % n, Form(n)) for n in range(1, 1001))
    assert len(data) < READ
    before = time.time_ns() // 1000
    sock = attach(client, FakeSocket([data]))
    assert client.loop_read() == OK
    assert sock.reads == 1
    assert [what.mids for what in arrived] == [list(range(1, 1001))]
    (received,) = {message.received for message in arrived[0].messages}
    assert before <= received <= time.time_ns() // 1000


def test_a_second_connection_begins_with_an_empty_stream() -> None:
    arrived = list[Arrived]()
    client = ours(paho.MQTTv311, arrived.append)
    whole = publish(b"t", b"hello", Form(7))
    attach(client, FakeSocket([whole[:-2]]))
    assert client.loop_read() == OK
    sock = attach(client, FakeSocket([whole]))
    while not sock.done():
        assert client.loop_read() == OK
    assert [(what.mids, what.messages[0].payload) for what in arrived] == [([7], b"hello")]


def test_what_comes_after_the_brokers_goodbye_is_not_heard() -> None:
    data = hexed("e0 02 8e 00") + publish(b"t", b"late", Form(7, five=True))
    assert by_us(paho.MQTTv5, [data]) == by_paho(paho.MQTTv5, [data])
    assert by_us(paho.MQTTv5, [data]).messages == []
