"""The MQTT edge on a real broker: what was not acknowledged comes again, what was does not."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from bridge.child import free_endpoint
from bridge.contracts import Message
from bridge.errors import Misconfigured, Unavailable
from bridge.inbox import Batch
from bridge.mqtt import Connection
from bridge.settings import Mqtt
from tests.line import line_to
from tests.poll import until

pytestmark = pytest.mark.broker
WAIT_S = 20.0


@contextmanager
def connected(mqtt: Mqtt, name: str, clean: bool = False) -> Iterator[Connection]:
    with Connection(mqtt, f"{mqtt.client_id}-{name}", clean) as connection:
        connection.connect(WAIT_S)
        yield connection


@contextmanager
def subscribed(mqtt: Mqtt) -> Iterator[Connection]:
    with connected(mqtt, "ingest") as connection:
        connection.subscribe(mqtt.filters, WAIT_S)
        yield connection


def send(mqtt: Mqtt, *payloads: bytes) -> None:
    """Publish, and wait until the broker has them."""
    with connected(mqtt, "device", clean=True) as device:
        for payload in payloads:
            device.publish(f"{mqtt.client_id}/a", payload, payload)
        pubacks(device, len(payloads))


def pubacks(connection: Connection, count: int) -> list[object]:
    tokens: list[object] = []

    def all_there() -> bool:
        tokens.extend(connection.acknowledged())
        return len(tokens) >= count

    until(all_there)
    return tokens


def take(connection: Connection, count: int) -> list[Batch]:
    """That many messages, each a batch of its own."""
    batches: list[Batch] = []

    def all_there() -> bool:
        batch = connection.receive(1, 0.2)
        batches.extend([batch] if batch else [])
        return len(batches) == count

    until(all_there)
    return batches


def payloads(batches: list[Batch]) -> list[bytes]:
    return [message.payload for batch in batches for message in batch.messages]


def one(batch: Batch) -> Message:
    (message,) = batch.messages
    return message


def settled(mqtt: Mqtt, connection: Connection) -> list[bytes]:
    """What else arrives before a message that is sent now."""
    send(mqtt, b"the last")
    arrived: list[bytes] = []
    while not arrived or arrived[-1] != b"the last":
        arrived += payloads(take(connection, 1))
    return arrived[:-1]


def test_a_delivery_carries_topic_payload_flags_and_its_time(mqtt_settings: Mqtt) -> None:
    with subscribed(mqtt_settings) as connection:
        before = time.time_ns() // 1000
        send(mqtt_settings, bytes(range(256)))
        (delivery,) = take(connection, 1)
        message = one(delivery)
        assert message.topic == f"{mqtt_settings.client_id}/a"
        assert message.payload == bytes(range(256))
        assert (message.qos, message.retain, message.dup) == (1, False, False)
        assert before <= message.received <= time.time_ns() // 1000
        assert not delivery.stale()


def test_receive_gives_no_more_than_asked_in_the_order_of_arrival(mqtt_settings: Mqtt) -> None:
    sent = [b"%d" % n for n in range(20)]
    with subscribed(mqtt_settings) as connection:
        send(mqtt_settings, *sent)
        first = take(connection, 7)
        until(lambda: len(connection._inbox._arrivals) > 0)
        together = connection.receive(3, WAIT_S)
        assert 1 <= len(together) <= 3
        rest = take(connection, 13 - len(together))
        assert payloads([*first, together, *rest]) == sent
        assert not connection.receive(1, 0)


@pytest.mark.usefixtures("mosquitto")
def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(mqtt_settings: Mqtt) -> None:
    with subscribed(mqtt_settings) as connection:
        send(mqtt_settings, b"one", b"two", b"three")
        deliveries = take(connection, 3)
        deliveries[0].ack()
        deliveries[1].ack()
    with subscribed(mqtt_settings) as again:
        (delivery,) = take(again, 1)
        assert one(delivery).payload == b"three"
        assert one(delivery).dup
        delivery.ack()
    with subscribed(mqtt_settings) as last:
        assert settled(mqtt_settings, last) == []


@pytest.mark.usefixtures("mosquitto")
def test_messages_that_came_while_we_were_away_wait_for_us(mqtt_settings: Mqtt) -> None:
    with subscribed(mqtt_settings):
        pass
    sent = [b"%d" % n for n in range(3000)]  # more than the window of unacknowledged ones
    send(mqtt_settings, *sent)
    arrived: list[bytes] = []
    with subscribed(mqtt_settings) as connection:
        while len(arrived) < len(sent):
            for delivery in take(connection, 1):
                arrived.append(one(delivery).payload)
                delivery.ack()
    assert arrived == sent


@pytest.mark.usefixtures("mosquitto")
def test_the_window_of_unacknowledged_messages_is_what_the_settings_say(
    mqtt_settings: Mqtt,
) -> None:
    narrow = mqtt_settings.model_copy(update={"receive_maximum": 3})
    with subscribed(narrow) as connection:
        send(narrow, *[b"%d" % n for n in range(10)])
        deliveries = take(connection, 3)
        assert not connection.receive(10, 0.2)
        for delivery in deliveries:
            delivery.ack()
        assert payloads(take(connection, 3)) == [b"3", b"4", b"5"]


@pytest.mark.usefixtures("mosquitto")
def test_an_ack_of_an_older_connection_is_dropped(mqtt_settings: Mqtt) -> None:
    with subscribed(mqtt_settings) as first:
        send(mqtt_settings, b"one", b"two")
        old = take(first, 2)
        with subscribed(mqtt_settings) as second:  # the same client id: the broker ends the first
            until(old[0].stale)
            taken = take(second, 2)
            assert payloads(taken) == [b"one", b"two"]
            for delivery in old:
                delivery.ack()
        for delivery in taken:
            delivery.ack()  # too late as well: that connection is closed
    with subscribed(mqtt_settings) as third:
        again = take(third, 2)
        assert payloads(again) == [b"one", b"two"]
        assert not again[0].stale()


@pytest.mark.usefixtures("mosquitto")
def test_a_lost_connection_comes_back_by_itself_and_the_message_with_it(
    mqtt_settings: Mqtt,
) -> None:
    with line_to(mqtt_settings) as line:
        through = mqtt_settings.model_copy(update={"port": line.port})
        with subscribed(through) as connection:
            send(mqtt_settings, b"one")
            (old,) = take(connection, 1)
            line.cut()
            until(old.stale)
            old.ack()
            (new,) = take(connection, 1)
            assert connection.connected()
            assert (one(new).payload, one(new).dup) == (b"one", True)


@pytest.mark.usefixtures("mosquitto")
def test_a_publish_that_was_under_way_when_the_line_was_cut_is_sent_again(
    mqtt_settings: Mqtt,
) -> None:
    with subscribed(mqtt_settings) as device, line_to(mqtt_settings) as line:
        through = mqtt_settings.model_copy(update={"port": line.port})
        with connected(through, "egress") as connection:
            line.cut()
            until(lambda: not connection.connected())
            connection.publish(f"{mqtt_settings.client_id}/a", b"one", "token")
            assert connection.in_flight() == 1
            assert pubacks(connection, 1) == ["token"]
        assert b"one" in payloads(take(device, 1))


def test_publish_gives_back_the_token_when_the_broker_has_the_message(mqtt_settings: Mqtt) -> None:
    with connected(mqtt_settings, "device", clean=True) as device:
        tokens = [object() for _ in range(50)]
        for token in tokens:
            device.publish(f"{mqtt_settings.client_id}/a", b"x", token)
        assert pubacks(device, 50) == tokens
        assert device.in_flight() == 0
        assert device.acknowledged() == device.refused() == []


def test_a_retained_message_is_marked_and_comes_with_the_first_subscription_only(
    mqtt_settings: Mqtt, mosquitto: None
) -> None:
    retain(mqtt_settings, f"{mqtt_settings.client_id}/kept", b"old")
    with subscribed(mqtt_settings) as connection:
        (delivery,) = take(connection, 1)
        assert one(delivery).retain
        delivery.ack()
    with subscribed(mqtt_settings) as connection:
        assert settled(mqtt_settings, connection) == []


def test_where_nobody_listens_it_is_unavailable_and_says_what_to_do(mqtt_settings: Mqtt) -> None:
    nobody = free_endpoint()
    away = mqtt_settings.model_copy(update={"port": nobody.port})
    with Connection(away, "x") as connection:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match=f"mqtt {nobody}.*haltere brokers.*mqtt.port"):
            connection.connect(0.5)
        assert time.monotonic() - begun < 5
        assert not connection.connected()


def test_a_connection_that_found_nobody_goes_on_trying(mqtt_settings: Mqtt) -> None:
    with line_to(mqtt_settings, open_=False) as line:
        away = mqtt_settings.model_copy(update={"port": line.port})
        with Connection(away, mqtt_settings.client_id) as connection:
            with pytest.raises(Unavailable):
                connection.connect(0.2)
            line.open()
            connection.connect(WAIT_S)
            assert connection.connected()


@pytest.mark.parametrize(
    ("version", "connack"),
    [("5", b"\x20\x03\x00\x86\x00"), ("3.1.1", b"\x20\x02\x00\x04")],
)
def test_a_wrong_password_is_misconfigured_and_the_password_is_not_told(
    version: str, connack: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        thread = threading.Thread(target=refuse, args=(broker, connack))
        thread.start()
        told = Mqtt.model_validate(
            {"port": broker.getsockname()[1], "version": version, "username": "jane"}
        ).model_copy(update={"password": SecretStr("hunter2")})
        with Connection(told, "x") as connection:
            with pytest.raises(Misconfigured, match="mqtt.username and mqtt.password") as caught:
                connection.connect(WAIT_S)
            assert "hunter2" not in str(caught.value)
        broker.shutdown(socket.SHUT_RDWR)
        thread.join()


def refuse(broker: socket.socket, connack: bytes) -> None:
    """A broker that lets nobody in."""
    while True:
        try:
            client, _ = broker.accept()
        except OSError:
            return
        with client:
            client.recv(1024)
            client.sendall(connack)


def retain(mqtt: Mqtt, topic: str, payload: bytes) -> None:
    """Publish a retained message, which haltere itself never does: MQTT 3.1.1 by hand, QoS 0."""

    def text(data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data

    connect = text(b"MQTT") + b"\x04\x02\x00\x3c" + text(b"")
    publish = text(topic.encode()) + payload
    with socket.create_connection((mqtt.host, mqtt.port), timeout=WAIT_S) as client:
        client.sendall(b"\x10" + bytes([len(connect)]) + connect)
        assert client.recv(4) == b"\x20\x02\x00\x00"
        client.sendall(b"\x31" + bytes([len(publish)]) + publish + b"\xc0\x00")
        assert client.recv(2) == b"\xd0\x00"  # PINGRESP: what came before is done


def test_a_closed_connection_leaves_no_socket_open(mqtt_settings: Mqtt) -> None:
    with connected(mqtt_settings, "brief") as connection:
        client = connection._client
        ends = [client.socket(), client._sockpairR, client._sockpairW]
    assert [end.fileno() for end in ends if isinstance(end, socket.socket)] == [-1, -1, -1]
