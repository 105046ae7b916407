"""Teltonika: the frames of the published protocol, and frames that are damaged."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import DeadLetter, Quality
from bridge.formats import recognise
from bridge.formats.teltonika import checksum
from bridge.normalise import Ignored
from tests import laws
from tests.bridge.formats.told import T, outcome

MS = T // 1000
# of the protocol's page: Codec 8, 8 Extended and 16
CODEC_8 = (
    "000000000000003608010000016B40D8EA30010000000000000000000000000000000105021503010101425E0F01"
    "F10000601A014E0000000000000000010000C7CF"
)
CODEC_8E = (
    "000000000000004A8E010000016B412CEE000100000000000000000000000000000000010005000100010100010011"
    "001D00010010015E2C880002000B000000003544C87A000E000000001DD7E06A00000100002994"
)
CODEC_16 = (
    "000000000000005F10020000016BDBC7833000000000000000000000000000000000000B05040200010000030002"
    "000B00270042563A00000000016BDBC7871800000000000000000000000000000000000B0504020001000003000200"
    "0B00260042563A00000200005FB3"
)
Elements = tuple[tuple[int, bytes], ...]


def record(
    lon: float = 11.5756, lat: float = 48.1372, elements: Elements = (), ms: int = MS
) -> bytes:
    """Codec 8: a record with elements of one size each."""
    place = struct.pack(">iihHBH", round(lon * 1e7), round(lat * 1e7), 519, 90, 9, 36)
    out = struct.pack(">QB", ms, 1) + place + struct.pack(">BB", 0, len(elements))
    for size in (1, 2, 4, 8):
        some = [(name, raw) for name, raw in elements if len(raw) == size]
        out += bytes([len(some)]) + b"".join(bytes([name]) + raw for name, raw in some)
    return out


def frame(*records: bytes, codec: int = 8) -> bytes:
    body = bytes([codec, len(records), *b"".join(records), len(records)])
    return struct.pack(">II", 0, len(body)) + body + struct.pack(">I", checksum(body))


def datagram(*records: bytes, imei: bytes = b"352093086403655") -> bytes:
    """The same over UDP, where the frame names its device and has no checksum."""
    rest = b"\xca\xfe\1\5\0\x0f" + imei + frame(*records)[8:-4]
    return struct.pack(">H", len(rest)) + rest


EXAMPLES: list[tuple[str, bytes, str]] = [
    ("car/avl", frame(record(elements=((66, b"\x30\x39"), (239, b"\1")))), "teltonika_avl"),
    ("car/avl", bytes.fromhex(CODEC_8), "teltonika_avl"),
    ("car/avl", bytes.fromhex(CODEC_8E), "teltonika_avl"),
    ("car/avl", bytes.fromhex(CODEC_16), "teltonika_avl"),
    ("car/avl", CODEC_8E.encode(), "teltonika_avl"),
    ("car/avl", datagram(record()), "teltonika_avl"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("topic", "payload", "_name"), EXAMPLES)
def test_frames_pass_the_laws(law: Any, topic: str, payload: bytes, _name: str) -> None:
    law(topic, payload)


@pytest.mark.parametrize(("topic", "payload", "name"), EXAMPLES)
def test_frames_are_recognised(topic: str, payload: bytes, name: str) -> None:
    assert recognise(topic, payload).name == name


def channels(payload: bytes) -> list[dict[str, float]]:
    return [dict(zip(r.channels, r.values, strict=True)) for r in laws.readings("car/avl", payload)]


def test_a_record_is_a_time_a_place_and_elements() -> None:
    elements: Elements = ((66, b"\x30\x39"), (72, b"\xff\xce"), (200, b"\1"), (17, b"\xfc\x18"))
    (reading,) = laws.readings("car/avl", frame(record(elements=elements)))
    assert reading.time == T
    assert reading.position
    assert tuple(reading.position)[:5] == pytest.approx((48.1372, 11.5756, 519, 10, 90))
    assert dict(zip(reading.channels, reading.values, strict=True)) == pytest.approx(
        {
            "acceleration_x": -9.80665,
            "altitude": 519,
            "course": 90,
            "external_voltage": 12.345,
            "satellites": 9,
            "sleep_mode": 1,
            "speed": 10,
            "temperature_1": -5,
        }
    )


def test_the_published_frames_are_read() -> None:
    (first,) = channels(bytes.fromhex(CODEC_8))
    assert first["external_voltage"] == pytest.approx(24.079)
    assert first["gsm_signal"] == 3
    (second,) = channels(bytes.fromhex(CODEC_8E))
    assert second["odometer"] == 22_949_000
    assert len(laws.readings("x", bytes.fromhex(CODEC_16))) == 2


def test_no_fix_is_no_place_and_no_speed() -> None:
    (reading,) = laws.readings("car/avl", frame(record(0, 0)))
    assert reading.position is None
    assert reading.channels == ("satellites",)


def test_invalid_codes_of_sensors_are_no_measurement() -> None:
    (found,) = channels(
        frame(record(elements=((72, struct.pack(">h", 850)), (86, struct.pack(">h", 3000)))))
    )
    assert not {"temperature_1", "ble_humidity_1"} & found.keys()


CODES = [
    (25, ">h", 2350, {"ble_temperature_1": 23.5}),
    (25, ">h", -1250, {"ble_temperature_1": -12.5}),
    (25, ">h", 32767, {}),
    (86, ">H", 1000, {"ble_humidity_1": 100}),
    (86, ">H", 65535, {}),
    (72, ">h", 850, {}),
    (72, ">h", 900, {"temperature_1": 90}),
    (72, ">h", 3000, {}),
    (72, ">i", -55, {"temperature_1": -5.5}),
]


@pytest.mark.parametrize(("name", "kind", "sent", "expected"), CODES)
def test_temperatures_are_told_from_codes(
    name: int, kind: str, sent: int, expected: dict[str, float]
) -> None:
    (found,) = channels(frame(record(elements=((name, struct.pack(kind, sent)),))))
    told = {k: v for k, v in found.items() if "temperature" in k or "humidity" in k}
    assert told == pytest.approx(expected)


OTHER_MODELS = [(10, b"\1"), (86, b"\0\0\1\xf4"), (113, b"\0\0\0\x1e"), (4, b"\0\0\0\7")]


@pytest.mark.parametrize("element", OTHER_MODELS, ids=lambda element: str(element[0]))
def test_an_element_of_other_bytes_is_that_of_another_model(element: tuple[int, bytes]) -> None:
    (found,) = channels(frame(record(elements=(element,))))
    assert found[f"io.{element[0]}"] == int.from_bytes(element[1])


def test_a_clock_that_is_not_set_is_no_time() -> None:
    (reading,) = laws.readings("x", frame(record(ms=864_000_000)))  # ten days after 1970
    assert reading.quality & Quality.TIME_ESTIMATED


def test_every_frame_of_a_payload_is_read() -> None:
    found = laws.readings("x", frame(record()) + frame(record(ms=MS + 1000)))
    assert [reading.time for reading in found] == [T, T + 1_000_000]


def test_over_udp_the_imei_is_the_device() -> None:
    (reading,) = laws.readings("car/avl", datagram(record()))
    assert (reading.device, reading.time) == ("352093086403655", T)


def test_a_wrong_checksum_marks_the_readings() -> None:
    payload = frame(record())
    (reading,) = laws.readings("x", payload[:-1] + bytes([payload[-1] ^ 1]))
    assert reading.quality & Quality.STALE


DAMAGED = [
    frame(record())[:-6],
    frame(record())[:30],
    frame(record(), codec=12),
    frame(record())[:9] + b"\2" + frame(record())[10:],
    datagram(record())[:-6],
    frame(record()) + b"\1\2\3",
    frame(record()) + b"abcd" + frame(record())[4:],
]


@pytest.mark.parametrize("payload", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_frame_is_a_dead_letter(payload: bytes) -> None:
    assert isinstance(outcome("x", payload), DeadLetter)


def test_a_frame_without_records_is_ignored() -> None:
    assert isinstance(outcome("x", frame() + b"\0" * 8), (DeadLetter, Ignored))


@given(st.sampled_from(EXAMPLES), st.integers(0, 130), st.binary(min_size=1, max_size=4))
def test_changed_bytes_end_well(example: tuple[str, bytes, str], at: int, more: bytes) -> None:
    _, payload, _ = example
    laws.ends_well("x", payload[:at] + more + payload[at + len(more) :])


def test_hostile_frames_are_cheap() -> None:
    for payload in (
        frame(*([record()] * 255)),
        b"\0" * 96_000,
        frame(b"\xff" * 60_000),
        frame() * 6_000,
    ):
        laws.ends_well("x", payload)
        laws.is_cheap("x", payload)
