"""PUBLISH packets out of a stream: the standard's bytes, and the same wherever they are cut."""

import time
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import Message
from bridge.errors import Malformed
from bridge.mqtt_packets import REMEMBERED, SHORT, Other, Stream, puback
from bridge.packets import Form, length, publish

RECEIVED = 1_700_000_000_000_000  # us
PINGRESP, SUBACK = bytes.fromhex("d000"), bytes.fromhex("9003000101")
Item = tuple[Message, int] | Other
PIECE = 64 * 1024  # bytes of one read


def heard(chunks: Iterable[bytes], five: bool = False, largest: int = 0) -> list[Item]:
    """What comes out of these bytes, in order; messages with their packet identifiers."""
    items, error = followed(chunks, five, largest)
    if error:
        raise error
    return items


def followed(
    chunks: Iterable[bytes], five: bool = False, largest: int = 0
) -> tuple[list[Item], Malformed | None]:
    """The same, up to what is malformed, and the error."""
    stream = Stream(five, largest) if largest else Stream(five)
    items: list[Item] = []
    for chunk in chunks:
        stream.feed(chunk)
        try:
            while arrived := stream.take(RECEIVED):
                items += zip(arrived.messages, arrived.mids, strict=True)
                items += [arrived.other] if arrived.other else []
        except Malformed as error:
            return items, error
    return items, None


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces; an empty piece is no read."""
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in zip(ends, ends[1:], strict=False) if a < b]


def framed(first: int, body: bytes) -> bytes:
    return bytes((first,)) + length(len(body)) + body


# What the standard says.

PUBLISHES: list[tuple[str, bool, Message, int]] = [
    # bytes, MQTT 5, message, packet identifier
    ("30 05 0001 74 6869", False, Message("t", b"hi", RECEIVED, 0), 0),
    ("30 03 0001 74", False, Message("t", b"", RECEIVED, 0), 0),
    ("31 05 0001 74 6869", False, Message("t", b"hi", RECEIVED, 0, True), 0),
    ("32 07 0001 74 0001 6869", False, Message("t", b"hi", RECEIVED, 1), 1),
    ("32 05 0001 74 0001", False, Message("t", b"", RECEIVED, 1), 1),
    ("3a 07 0001 74 ffff 6869", False, Message("t", b"hi", RECEIVED, 1, False, True), 65535),
    ("3b 07 0001 74 0102 6869", False, Message("t", b"hi", RECEIVED, 1, True, True), 258),
    ("32 08 0002 c3a9 0001 6869", False, Message("é", b"hi", RECEIVED, 1), 1),
    ("32 07 0001 ff 0001 6869", False, Message("\ufffd", b"hi", RECEIVED, 1), 1),  # no UTF-8
    ("30 08 0004 612fc32f 6869", False, Message("a/\ufffd/", b"hi", RECEIVED, 0), 0),
    ("30 07 0003 eda080 6869", False, Message("\ufffd" * 3, b"hi", RECEIVED, 0), 0),  # U+D800
    ("30 85 00 0001 74 6869", False, Message("t", b"hi", RECEIVED, 0), 0),  # 5 in two bytes
    ("30 06 0001 74 00 6869", True, Message("t", b"hi", RECEIVED, 0), 0),
    ("32 08 0001 74 0102 00 6869", True, Message("t", b"hi", RECEIVED, 1), 258),
    ("33 06 0001 74 0102 00", True, Message("t", b"", RECEIVED, 1, True), 258),
    # payload format 1, message expiry 60 s; user property "k"="v"
    ("32 0f 0001 74 0001 07 0101 020000003c 6869", True, Message("t", b"hi", RECEIVED, 1), 1),
    ("30 0d 0001 74 07 26 0001 6b 0001 76 6869", True, Message("t", b"hi", RECEIVED, 0), 0),
    ("30 07 0001 74 8000 6869", True, Message("t", b"hi", RECEIVED, 0), 0),  # 0 in two bytes
]


@pytest.mark.parametrize(("sent", "five", "message", "mid"), PUBLISHES)
def test_a_publish_is_read_as_the_standard_says(
    sent: str, five: bool, message: Message, mid: int
) -> None:
    assert heard([bytes.fromhex(sent)], five) == [(message, mid)]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 16_383, 16_384, 16_385, 2_097_152])
@pytest.mark.parametrize("qos", [0, 1])
def test_properties_of_any_length_are_stepped_over(qos: int, size: int) -> None:
    mid = b"\0\7" * qos
    body = b"\0\1t" + mid + length(size) + b"\x26" * size + b"hi"
    assert heard([framed(0x30 | qos << 1, body)], five=True) == [
        (Message("t", b"hi", RECEIVED, qos), 7 * qos)
    ]


@pytest.mark.parametrize("five", [False, True])
@pytest.mark.parametrize("remaining", [127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_a_packet_of_any_length_is_read(remaining: int, five: bool) -> None:
    payload = bytes(remaining - 5 - five)
    data = publish(b"t", payload, Form(mid=7, five=five))
    assert data[1 : 1 + len(length(remaining))] == length(remaining)
    expected = [(Message("t", payload, RECEIVED, 1), 7)]
    assert heard([data], five) == expected
    for near in (*range(1, 12), len(data) - 1):
        assert heard(cut(data, [near]), five) == expected


# Laws.

forms = st.builds(
    lambda mid, dup, five: Form(mid=mid, dup=dup and mid > 0, five=five),
    st.sampled_from([0, 1, 258, 65535]),
    st.booleans(),
    st.just(False),
)
topics = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
publishes = st.tuples(topics, st.binary(max_size=300), forms)
others = st.builds(Other, st.sampled_from([0x20, 0x40, 0x90, 0xB0, 0xD0, 0xE0]), st.binary())
items = st.lists(publishes | others, max_size=12)


def _built(said: Sequence[tuple[str, bytes, Form] | Other], five: bool) -> tuple[bytes, list[Item]]:
    data, expected = b"", list[Item]()
    for item in said:
        if isinstance(item, Other):
            data += framed(item.command, item.body)
            expected.append(item)
            continue
        topic, payload, form = item
        data += publish(topic.encode(), payload, Form(form.mid, form.dup, five))
        message = Message(topic, payload, RECEIVED, int(form.mid > 0), False, form.dup)
        expected.append((message, form.mid))
    return data, expected


@given(items, st.booleans(), st.lists(st.integers(0, 10_000), max_size=30))
def test_packets_come_out_in_order_wherever_the_stream_is_cut(
    said: list[tuple[str, bytes, Form] | Other], five: bool, places: list[int]
) -> None:
    data, expected = _built(said, five)
    assert heard([data], five) == expected
    assert heard(cut(data, places), five) == expected


@given(st.binary(max_size=400), st.booleans(), st.lists(st.integers(0, 10_000), max_size=30))
def test_of_any_bytes_the_same_is_understood_wherever_they_are_cut(
    data: bytes, five: bool, places: list[int]
) -> None:
    whole, error = followed([data], five, largest=500)
    parts, other_error = followed(cut(data, places), five, largest=500)
    assert (parts, str(other_error)) == (whole, str(error))


def _long_stream(five: bool) -> bytes:
    """Some of everything, with lengths of one to three bytes."""
    said: list[tuple[str, bytes, Form] | Other] = [
        ("a/b", b"first", Form()),
        Other(0x20, b"\0\0"),
        ("a/b", b"x" * 120, Form(mid=1)),
        ("a/c", b"x" * 130, Form(mid=65535, dup=True)),
        Other(0xD0, b""),
        Other(0x40, b"\0\1"),
        ("é/☃", b"", Form(mid=2)),
        ("a/b", b"x" * 16_400, Form(mid=3)),
        Other(0x90, b"\0\1" + b"\1" * 200),
        ("a/b", b"last", Form(mid=4)),
    ]
    return _built(said, five)[0]


@pytest.mark.parametrize("five", [False, True])
def test_a_cut_at_every_single_offset_changes_nothing(five: bool) -> None:
    data = _long_stream(five)
    whole = heard([data], five)
    assert len(whole) == 10
    near = [n for n in range(len(data)) if n < 700 or n > len(data) - 300]
    for offset in near:
        assert heard([data[:offset], data[offset:]], five) == whole
    assert heard([data[n : n + 1] for n in range(len(data))], five) == whole


# What is no MQTT.

MALFORMED: list[tuple[str, bool, str]] = [
    # bytes, MQTT 5, what the error says
    ("34 07 0001 74 0001 6869", False, "QoS 0 or 1"),  # QoS 2
    ("36 07 0001 74 0001 6869", False, "QoS 0 or 1"),  # QoS 3
    ("32 07 0001 74 0000 6869", False, "QoS 0 or 1"),  # packet identifier 0
    ("30 05 0004 74 6869", False, "a whole PUBLISH"),  # topic longer than the packet
    ("30 05 ffff 74 6869", False, "a whole PUBLISH"),
    ("32 04 0001 74 00", False, "a whole PUBLISH"),  # half a packet identifier
    ("30 00", False, "a whole PUBLISH"),
    ("30 01 00", False, "a whole PUBLISH"),
    ("30 04 0000 6869", False, "a topic"),
    ("30 05 0000 00 6869", True, "a topic"),  # which a topic alias would stand for
    ("30 03 0001 74", True, "a whole PUBLISH"),  # no length of properties
    ("30 06 0001 74 03 6869", True, "a whole PUBLISH"),  # properties longer than the packet
    ("30 05 0001 74 80 80", True, "a whole PUBLISH"),  # half a length of properties
    ("30 09 0001 74 80808080 01 00", True, "a length of at most 4 bytes"),
    ("30 80808080 01", False, "a length of at most 4 bytes"),
    ("30 ffffffff 7f", False, "a length of at most 4 bytes"),
    ("d0 ffffffff", True, "a length of at most 4 bytes"),
]
BEFORE = [publish(b"a", b"1", Form(mid=1)), PINGRESP, publish(b"b", b"2", Form())]


@pytest.mark.parametrize(("sent", "five", "says"), MALFORMED)
def test_what_is_malformed_is_refused_and_what_came_before_is_handed_over(
    sent: str, five: bool, says: str
) -> None:
    fine = b"".join(BEFORE) if not five else _built([("a", b"1", Form(mid=1))], True)[0]
    expected = heard([fine], five)
    data = fine + bytes.fromhex(sent)
    for offset in range(len(data)):
        items, error = followed(cut(data + b"\xff" * 9, [offset, len(data)]), five)
        assert says in str(error), f"cut at {offset}"
        assert items == expected, f"cut at {offset}"


def test_a_length_that_does_not_end_is_refused_at_its_fourth_byte() -> None:
    """Not only when the megabytes have come that three of its bytes promise."""
    stream = Stream(five=False)
    for byte in b"\x30\xff\xff\xff":
        stream.feed(bytes((byte,)))
        assert stream.take(RECEIVED) is None
    stream.feed(b"\xff")
    with pytest.raises(Malformed, match="a length of at most 4 bytes"):
        stream.take(RECEIVED)


def test_a_stream_that_is_of_no_use_stays_so() -> None:
    stream = Stream(five=False)
    stream.feed(b"\x36\x00")
    for _ in range(3):
        with pytest.raises(Malformed):
            stream.take(RECEIVED)
        stream.feed(publish(b"t", b"hi", Form()))


@pytest.mark.parametrize("size", [20, 127, 128, 200, 20_000])
def test_the_largest_packet_is_taken_and_one_byte_more_is_refused_from_its_header(
    size: int,
) -> None:
    data = publish(b"t", bytes(size), Form(mid=7))
    for offset in (1, 2, 3, len(data) - 1):
        (found,) = heard(cut(data, [offset]), largest=len(data))
        assert found == (Message("t", bytes(size), RECEIVED, 1), 7)
    items, error = followed([data[:5]], largest=len(data) - 1)
    assert items == []
    assert f"at most {len(data) - 1} bytes, received {len(data)} bytes" in str(error)


def test_another_packet_that_is_too_large_is_refused_as_well() -> None:
    assert heard([SUBACK], largest=5) == [Other(0x90, b"\0\1\1")]
    with pytest.raises(Malformed, match="at most 4 bytes"):
        heard([SUBACK], largest=4)


# What it costs.


def _seconds(size: int) -> float:
    data = publish(b"t", bytes(size), Form(mid=7))
    spent = []
    for _ in range(3):
        start = time.process_time()
        (found,) = heard(data[n : n + PIECE] for n in range(0, len(data), PIECE))
        spent.append(time.process_time() - start)
        assert isinstance(found[0], Message)
        assert len(found[0].payload) == size
    return min(spent)


def test_a_large_packet_in_small_pieces_takes_linear_time() -> None:
    """Joining all that there is at each piece would take 3 GB of copying."""
    assert _seconds(20_000_000) < 0.5


def test_many_small_packets_that_are_no_publish_take_linear_time() -> None:
    """Copying the rest for each of them would take 34 GB of copying."""
    pubacks = 2 * puback(range(1, 65_536))
    start = time.process_time()
    assert len(heard([pubacks])) == 2 * 65_535
    assert time.process_time() - start < 2.0


@settings(max_examples=20)
@given(st.integers(1, 3 * SHORT))
def test_a_topic_is_the_same_when_it_comes_again(size: int) -> None:
    data = b"".join(publish(b"t" * size, payload, Form()) for payload in (b"1", b"2"))
    (first, _), (second, _) = heard([data])
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert (first.topic is second.topic) == (size <= SHORT)


def test_no_more_topics_are_remembered_than_fit() -> None:
    stream = Stream(five=False)
    for n in range(REMEMBERED + 10):
        stream.feed(publish(b"%d" % n, b"", Form()))
    arrived = stream.take(RECEIVED)
    assert arrived is not None
    assert [message.topic for message in arrived.messages[-2:]] == ["20008", "20009"]
    assert 0 < len(stream._topics) <= REMEMBERED
    stream.feed(publish(b"x" * (SHORT + 1), b"", Form()))
    known = len(stream._topics)
    assert stream.take(RECEIVED) is not None
    assert len(stream._topics) == known


# PUBACK.


@pytest.mark.parametrize(
    ("mids", "expected"),
    [
        ([], ""),
        ([0], ""),
        ([1], "40020001"),
        ([65535], "4002ffff"),
        ([0, 7, 0, 258, 0], "40020007 40020102"),
        ([3, 1, 2], "40020003 40020001 40020002"),
    ],
)
def test_a_puback_for_each_packet_identifier_in_order(mids: list[int], expected: str) -> None:
    assert puback(mids).hex() == expected.replace(" ", "")


@given(st.lists(st.integers(0, 65535), max_size=50))
def test_pubacks_are_read_back_as_what_they_acknowledge(mids: list[int]) -> None:
    read = [other.body for other in heard([puback(mids)]) if isinstance(other, Other)]
    assert [int.from_bytes(body) for body in read] == [mid for mid in mids if mid]
