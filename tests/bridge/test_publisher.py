"""The publisher on a real broker: every message arrives, through cut lines, at the rate asked."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from pydantic import SecretStr

from bridge import packets
from bridge.child import free_endpoint
from bridge.contracts import Message
from bridge.errors import Misconfigured, Unavailable
from bridge.mqtt import Connection
from bridge.publisher import Load, Messages, Pace, dial, hello
from bridge.settings import Mqtt
from tests.line import Line, line_to
from tests.poll import until

pytestmark = pytest.mark.broker
WAIT_S = 20.0


def messages(mqtt: Mqtt, count: int) -> Messages:
    return Messages(count, lambda n: f"{mqtt.client_id}/{n % 7}", lambda n: b'{"number":%d}' % n)


@contextmanager
def subscribed(mqtt: Mqtt) -> Iterator[Connection]:
    with Connection(mqtt, f"{mqtt.client_id}-reader", clean=True) as reader:
        reader.connect(WAIT_S)
        reader.subscribe(mqtt.filters, WAIT_S)
        yield reader


def take(reader: Connection, count: int) -> Counter[bytes]:
    """Distinct payloads until there are so many, acknowledged as they come."""
    found: Counter[bytes] = Counter()

    def there() -> bool:
        arrived = reader.receive(1000, 0.1)
        found.update(message.payload for message in arrived.messages)
        arrived.ack()
        return len(found) >= count

    until(there)
    return found


@contextmanager
def running(load: Load) -> Iterator[Event]:
    """Publishes in a thread; at the end it must have ended."""
    stop = Event()
    thread = threading.Thread(target=load.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        thread.join(WAIT_S)
        stop.set()
        thread.join()


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1])
def test_every_message_arrives_once(
    mqtt_settings: Mqtt, mosquitto: None, version: str, qos: int
) -> None:
    mqtt = mqtt_settings.model_copy(update={"version": version})
    load = Load(mqtt, messages(mqtt, 5000), Pace(publishers=7, qos=qos, window=100))
    with subscribed(mqtt_settings) as reader, running(load):
        found = take(reader, 5000)
    assert load.sent == len(found) == found.total() == 5000
    assert load.acknowledged == sum(load.numbers) == 5000 * qos
    assert load.reconnects == 0


def test_one_publisher_and_one_message_are_enough(mqtt_settings: Mqtt) -> None:
    load = Load(mqtt_settings, messages(mqtt_settings, 1), Pace(publishers=50, window=1))
    load.run(Event())
    assert (load.sent, load.acknowledged, bytes(load.numbers)) == (1, 1, b"\1")


def through(mqtt: Mqtt, line: Line) -> Mqtt:
    return mqtt.model_copy(update={"port": line.port})


def test_what_a_cut_line_took_is_sent_again_marked_dup(
    mqtt_settings: Mqtt, mosquitto: None
) -> None:
    with line_to(mqtt_settings) as line, subscribed(mqtt_settings) as reader:
        mqtt = through(mqtt_settings, line)
        load = Load(mqtt, messages(mqtt, 3000), Pace(publishers=5, window=50, rate=2000))
        with running(load):
            for share in (0.2, 0.4, 0.6):
                until(lambda share=share: load.acknowledged > share * 3000)  # type: ignore[misc]
                line.cut()
            found = take(reader, 3000)
    assert load.acknowledged == sum(load.numbers) == 3000
    assert load.reconnects >= 3
    assert len(found) == 3000


def test_unacknowledged_messages_come_again_in_order_with_dup_set() -> None:
    """A broker of our own that takes three messages, acknowledges the second, and hangs up."""
    heard: list[tuple[int, int, bytes]] = []  # flags, packet identifier, payload

    def listen(client: socket.socket, count: int) -> None:
        client.settimeout(WAIT_S)
        data = b""
        while len(heard) < count:
            data += client.recv(4096)
            while (found := packets.packet(data)) is not None:
                flags, (_, body, data) = data[0], found
                if flags == 0x10:
                    client.sendall(b"\x20\x02\x00\x00")
                else:
                    heard.append((flags, int.from_bytes(body[3:5], "big"), body[5:]))

    with socket.create_server(("127.0.0.1", 0)) as server:
        mqtt = Mqtt(port=server.getsockname()[1], version="3.1.1")
        load = Load(mqtt, Messages(3, lambda n: "t", lambda n: b"%d" % n), Pace(1))
        with running(load) as stop:
            with server.accept()[0] as client:
                listen(client, 3)
                client.sendall(b"\x40\x02\x00\x02")
                until(lambda: load.acknowledged == 1)
            with server.accept()[0] as client:
                listen(client, 5)
                stop.set()
    assert heard[:3] == [(0x32, 1, b"0"), (0x32, 2, b"1"), (0x32, 3, b"2")]
    assert heard[3:] == [(0x3A, 1, b"0"), (0x3A, 3, b"2")]
    assert bytes(load.numbers) == b"\0\1\0"


def test_the_window_is_kept() -> None:
    """A broker that acknowledges nothing sees no more than the window."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        mqtt = Mqtt(port=server.getsockname()[1], version="3.1.1")
        load = Load(mqtt, messages(mqtt, 1000), Pace(publishers=1, window=10))
        with running(load) as stop, server.accept()[0] as client:
            client.sendall(b"\x20\x02\x00\x00")
            until(lambda: load.sent == 10)
            time.sleep(0.1)  # in which more would be sent
            assert load.sent == 10
            stop.set()


def test_the_rate_is_kept(mqtt_settings: Mqtt) -> None:
    load = Load(mqtt_settings, messages(mqtt_settings, 600), Pace(publishers=3, rate=400))
    begun = time.monotonic()
    load.run(Event())
    assert load.acknowledged == 600
    assert 1.4 < time.monotonic() - begun < 10.0


def test_a_broker_that_comes_later_is_found(mqtt_settings: Mqtt) -> None:
    with line_to(mqtt_settings, open_=False) as line:
        load = Load(through(mqtt_settings, line), messages(mqtt_settings, 10), Pace(2))
        with running(load):
            time.sleep(0.3)  # in which it tries
            assert load.acknowledged == 0
            line.open()
    assert load.acknowledged == 10


def test_stop_stops(mqtt_settings: Mqtt) -> None:
    stop = Event()
    stop.set()
    load = Load(mqtt_settings, messages(mqtt_settings, 10))
    load.run(stop)
    assert load.sent == 0


def test_nobody_answers() -> None:
    mqtt = Mqtt(port=free_endpoint().port)
    with pytest.raises(Unavailable, match="an MQTT broker that answers"):
        dial(mqtt, hello(mqtt, "a"))


@pytest.mark.parametrize(
    ("code", "error"), [(5, Misconfigured), (4, Misconfigured), (3, Unavailable)]
)
def test_a_refusal_says_whose_fault_it_is(code: int, error: type[Exception]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        mqtt = Mqtt(
            port=server.getsockname()[1],
            version="3.1.1",
            username="u",
            password=SecretStr("geheim"),
        )

        def refuse() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1024)
                client.sendall(bytes((0x20, 2, 0, code)))

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(error) as raised:
            dial(mqtt, hello(mqtt, "a"))
        thread.join()
    assert "geheim" not in str(raised.value)


def test_topic_and_payload_are_those_of_the_number(mqtt_settings: Mqtt) -> None:
    topic = f"{mqtt_settings.client_id}/x"
    found: list[Message] = []
    with subscribed(mqtt_settings) as reader:
        Load(mqtt_settings, Messages(2, lambda n: f"{topic}{n}", bytes)).run(Event())
        while len(found) < 2:
            found += reader.receive(2, WAIT_S).messages
    assert {m.topic: m.payload for m in found} == {f"{topic}0": b"", f"{topic}1": b"\0"}
