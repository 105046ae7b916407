"""What a broker answers, by a small broker that says it byte for byte."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from bridge.errors import Fenced, Misconfigured
from bridge.mqtt import Connection
from bridge.settings import Mqtt
from tests.poll import until

WAIT_S = 20.0
ACCEPTED, TAKEN_OVER = b"\x20\x03\x00\x00\x00", b"\xe0\x02\x8e\x00"
SHUTTING_DOWN = b"\xe0\x02\x8b\x00"


class Scripted:
    """Accepts each connection, says the same to all, and hangs up where it shall."""

    def __init__(self, answer: bytes, hang_up: bool) -> None:
        self.came = 0
        self._answer = answer
        self._hang_up = hang_up
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.came += 1
            with client, suppress(OSError):
                client.recv(1024)
                client.sendall(self._answer)
                while not self._hang_up and client.recv(1024):
                    pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@contextmanager
def broker(answer: bytes, hang_up: bool = False) -> Iterator[Scripted]:
    scripted = Scripted(answer, hang_up)
    try:
        yield scripted
    finally:
        scripted.close()


def connack(properties: bytes) -> bytes:
    body = b"\x00\x00" + bytes([len(properties)]) + properties
    return b"\x20" + bytes([len(body)]) + body


@pytest.mark.parametrize(
    ("properties", "says", "remedy"),
    [
        (b"\x24\x00", "MaximumQoS 0", "mqtt.at_most_once"),
        (b"\x11\x00\x00\x00\x00", "SessionExpiryInterval 0", "mqtt.at_most_once"),
        (b"\x2a\x00", "SharedSubscriptionAvailable 0", "mqtt.group"),
        (b"\x28\x00", "WildcardSubscriptionAvailable 0", "name each topic"),
    ],
)
def test_a_broker_that_cannot_do_what_is_needed_is_misconfigured_by_name(
    properties: bytes, says: str, remedy: str
) -> None:
    with (
        broker(connack(properties)) as scripted,
        Connection(Mqtt(port=scripted.port, group="g"), "x") as connection,
    ):
        with pytest.raises(Misconfigured, match=says) as caught:
            connection.connect(WAIT_S)
        assert remedy in str(caught.value)


def test_what_is_not_needed_may_be_missing() -> None:
    lacking = connack(b"\x24\x00\x11\x00\x00\x00\x00\x2a\x00\x28\x00")
    with broker(lacking) as scripted:
        told = Mqtt(port=scripted.port, at_most_once=True, qos=0, filters=("a/b",))
        with Connection(told, "x") as connection:
            connection.connect(WAIT_S)
            assert connection.connected()


def test_a_broker_that_says_another_took_the_session_is_left_alone_for_good() -> None:
    with broker(ACCEPTED + TAKEN_OVER) as scripted:
        with Connection(Mqtt(port=scripted.port), "plant-7-ingest") as connection:
            fenced: list[Fenced] = []

            def told() -> bool:
                try:
                    connection.connect(0.1)
                    connection.receive(1, 0)
                except Fenced as error:
                    fenced.append(error)
                return bool(fenced)

            until(told)
            until(lambda: not thread_of(connection))
        assert scripted.came == 1
    said = str(fenced[0])
    assert "plant-7-ingest" in said
    assert "Session taken over" in said
    assert "stop the other, or set another mqtt.client_id" in said


def thread_of(connection: Connection) -> bool:
    """Whether the network thread lives, which would try again."""
    thread = connection._client._thread
    return thread is not None and thread.is_alive()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_four_short_connections_in_a_row_that_end_without_a_word_are_a_takeover(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.mqtt.connection.RETRY_S", (0.05, 0.1))
    answer = ACCEPTED if version == "5" else b"\x20\x02\x00\x00"
    with broker(answer, hang_up=True) as scripted:
        told = Mqtt.model_validate({"port": scripted.port, "version": version})
        with Connection(told, "plant-7-ingest") as connection:
            with pytest.raises(Fenced, match=r"plant-7-ingest.*4 connections in a row"):
                while True:
                    connection.connect(WAIT_S)
                    connection.receive(1, 0.1)
            until(lambda: not thread_of(connection))
        assert scripted.came == 4


def test_a_broker_that_says_why_it_hangs_up_is_no_takeover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.mqtt.connection.RETRY_S", (0.02, 0.05))
    with (
        broker(ACCEPTED + SHUTTING_DOWN, hang_up=True) as scripted,
        Connection(Mqtt(port=scripted.port), "x") as connection,
    ):
        connection.connect(WAIT_S)
        until(lambda: scripted.came >= 6)
        connection.receive(1, 0)
