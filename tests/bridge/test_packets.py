"""MQTT packets, byte for byte as the standard draws them."""

import pytest

from bridge.errors import Malformed
from bridge.packets import (
    Form,
    Heard,
    Hello,
    Welcome,
    connect,
    length,
    packet,
    publish,
    read,
    welcome,
)

CONNECTS = [
    (Hello("a"), "10 0d 0004 4d515454 04 02 003c 0001 61"),
    (Hello("a", clean=False), "10 0d 0004 4d515454 04 00 003c 0001 61"),
    (Hello("a", username="u"), "10 10 0004 4d515454 04 82 003c 0001 61 0001 75"),
    (
        Hello("a", username="u", password="p"),
        "10 13 0004 4d515454 04 c2 003c 0001 61 0001 75 0001 70",
    ),
    (Hello("a", version="5"), "10 0e 0004 4d515454 05 02 003c 00 0001 61"),
    (
        Hello("a", version="5", clean=False, session_expiry_s=3600),
        "10 13 0004 4d515454 05 00 003c 05 11 00000e10 0001 61",
    ),
    (Hello("a", version="5", session_expiry_s=3600), "10 0e 0004 4d515454 05 02 003c 00 0001 61"),
]
PUBLISHES = [
    (Form(), "30 05 0001 74 6869"),
    (Form(mid=1), "32 07 0001 74 0001 6869"),
    (Form(mid=65535, dup=True), "3a 07 0001 74 ffff 6869"),
    (Form(five=True), "30 06 0001 74 00 6869"),
    (Form(mid=258, five=True), "32 08 0001 74 0102 00 6869"),
    (Form(mid=258, dup=True, five=True), "3a 08 0001 74 0102 00 6869"),
]
WELCOMES = [
    ("00 00", "3.1.1", Welcome(0, False)),
    ("01 00", "3.1.1", Welcome(0, True)),
    ("00 05", "3.1.1", Welcome(5, False)),
    ("00 00 00", "5", Welcome(0, False)),
    ("00 00 03 21 07d0", "5", Welcome(0, False, 2000)),
    # assigned id "x", user property "k"="v", largest packet, receive maximum, topic aliases
    ("01 00 16 12 0001 78 26 0001 6b 0001 76 27 00010000 21 000a 22 000a", "5", None),
    ("00 87 00", "5", Welcome(0x87, False)),
]
HEARD = [
    ("", Heard([], [], None, b"")),
    ("4002 0001", Heard([1], [], None, b"")),
    ("4002 0001 4002 0002 40", Heard([1, 2], [], None, b"\x40")),
    ("d000 4002 ffff", Heard([65535], [], None, b"")),
    ("4003 0001 10", Heard([1], [], None, b"")),  # nobody has subscribed
    ("4004 0001 00 00", Heard([1], [], None, b"")),
    ("4004 0001 97 00 4002 0002", Heard([2], [(1, 0x97)], None, b"")),
    ("4002 0001 e001 8b", Heard([1], [], 0x8B, b"")),
    ("e000", Heard([], [], 0, b"")),
    ("4002 00", Heard([], [], None, b"\x40\x02\x00")),
]


@pytest.mark.parametrize(("hello", "wire"), CONNECTS)
def test_a_connect_is_what_the_standard_says(hello: Hello, wire: str) -> None:
    assert connect(hello).hex() == wire.replace(" ", "")


def test_a_password_does_not_show() -> None:
    assert "geheim" not in repr(Hello("a", password="geheim"))


@pytest.mark.parametrize(("form", "wire"), PUBLISHES)
def test_a_publish_is_what_the_standard_says(form: Form, wire: str) -> None:
    assert publish(b"t", b"hi", form).hex() == wire.replace(" ", "")


@pytest.mark.parametrize("size", [0, 121, 122, 16_377, 16_378, 2_097_144, 2_097_145])
def test_a_packet_of_any_length_is_read_back(size: int) -> None:
    data = publish(b"t", bytes(size), Form(mid=1)) + b"\xd0"
    found = packet(data)
    assert found is not None
    kind, body, rest = found
    assert (kind, len(body), rest) == (0x30, size + 5, b"\xd0")
    assert packet(data[:-2]) is None


def test_a_length_that_does_not_end_is_no_mqtt() -> None:
    assert packet(b"\x30\x80\x80") is None
    with pytest.raises(Malformed, match="a length of four bytes"):
        packet(b"\x30\x80\x80\x80\x80\x01")
    assert length(0) == b"\0"


@pytest.mark.parametrize(("body", "version", "expected"), WELCOMES)
def test_a_connack_is_understood(body: str, version: str, expected: Welcome | None) -> None:
    found = welcome(bytes.fromhex(body), version)
    assert found == (expected or Welcome(0, True, 10, 65536))


@pytest.mark.parametrize("body", ["", "00", "00 00 05 21", "00 00 04 1f 0009 61"])
def test_a_connack_cut_short_is_malformed(body: str) -> None:
    with pytest.raises(Malformed, match="flags, a code and properties"):
        welcome(bytes.fromhex(body), "5")


@pytest.mark.parametrize(("wire", "expected"), HEARD)
def test_what_the_broker_says_is_understood(wire: str, expected: Heard) -> None:
    assert read(bytes.fromhex(wire)) == expected


def test_wherever_the_bytes_are_cut_the_same_is_heard() -> None:
    data = b"".join(bytes.fromhex(wire) for wire, _ in HEARD[:8] if not wire.endswith(" 40"))
    whole = read(data)
    for cut in range(len(data)):
        first = read(data[:cut])
        second = read(first.rest + data[cut:])
        assert first.acknowledged + second.acknowledged == whole.acknowledged
        assert first.refused + second.refused == whole.refused
