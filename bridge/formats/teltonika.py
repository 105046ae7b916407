"""Teltonika: AVL data of their trackers as the bytes of Codec 8, 8 Extended and 16.

https://wiki.teltonika-gps.com/view/Teltonika_Data_Sending_Protocols. A frame holds records, each a
sample: a time, a GPS element, and IO elements by their number. 0/0 is no fix. No I/O, no clock.
"""

import re

from bridge.contracts import Quality
from bridge.errors import Malformed
from bridge.formats.format import Format
from bridge.formats.sample import MAX_BYTES, MAX_ITEMS, Decoded, Field, Nothing, Sample
from bridge.formats.scalars import instant, place

_HEX = re.compile(rb"\s*(?:[0-9A-Fa-f]{2}){20,}\s*").fullmatch
_CODECS = {0x08: (1, 1), 0x8E: (2, 2), 0x10: (2, 1)}  # bytes of an element's number, of a count
_EMPTY = Nothing("a frame without records")
# number: channel, unit, scale, bytes that are signed
_ELEMENTS: dict[int, tuple[str, str, float, bool]] = {
    1: ("din1", "", 1, False),
    2: ("din2", "", 1, False),
    3: ("din3", "", 1, False),
    4: ("din4", "", 1, False),
    9: ("ain1", "V", 0.001, False),
    10: ("ain2", "V", 0.001, False),
    16: ("odometer", "m", 1, False),
    17: ("acceleration_x", "mg_n", 1, True),
    18: ("acceleration_y", "mg_n", 1, True),
    19: ("acceleration_z", "mg_n", 1, True),
    21: ("gsm_signal", "", 1, False),
    24: ("speed_io", "km/h", 1, False),
    66: ("external_voltage", "mV", 1, False),
    67: ("battery_voltage", "mV", 1, False),
    68: ("battery_current", "mA", 1, False),
    69: ("gnss_status", "", 1, False),
    72: ("temperature_1", "Cel", 0.1, True),
    73: ("temperature_2", "Cel", 0.1, True),
    74: ("temperature_3", "Cel", 0.1, True),
    75: ("temperature_4", "Cel", 0.1, True),
    80: ("data_mode", "", 1, False),
    113: ("battery", "%", 1, False),
    179: ("dout1", "", 1, False),
    180: ("dout2", "", 1, False),
    181: ("pdop", "", 0.1, False),
    182: ("hdop", "", 0.1, False),
    199: ("trip_odometer", "m", 1, False),
    200: ("sleep_mode", "", 1, False),
    239: ("ignition", "", 1, False),
    240: ("movement", "", 1, False),
    241: ("gsm_operator", "", 1, False),
    25: ("ble_temperature_1", "Cel", 0.01, True),
    26: ("ble_temperature_2", "Cel", 0.01, True),
    27: ("ble_temperature_3", "Cel", 0.01, True),
    28: ("ble_temperature_4", "Cel", 0.01, True),
    86: ("ble_humidity_1", "%", 0.1, False),
    104: ("ble_humidity_2", "%", 0.1, False),
    106: ("ble_humidity_3", "%", 0.1, False),
    108: ("ble_humidity_4", "%", 0.1, False),
}
# what these numbers mean depends on the model, which the bytes of an element tell
_BYTES = {4: 1, 9: 2, 10: 2, 16: 4, 80: 1, 86: 2, 104: 2, 106: 2, 108: 2, 113: 1, 199: 4}
# as sent; outside of it the number is a code: no sensor, no answer
_RANGES = {
    **dict.fromkeys((72, 73, 74, 75), (-550, 1250)),
    **dict.fromkeys((25, 26, 27, 28), (-4000, 12500)),
    **dict.fromkeys((86, 104, 106, 108), (0, 1000)),
    113: (0, 100),
}
_WAITING = {(72, 850), (73, 850), (74, 850), (75, 850)}  # the sensor has not measured yet
_UDP = re.compile(rb"..(..)\x01.\x00\x0f([0-9]{15})(?=[\x08\x8e\x10])", re.DOTALL).match


class _Bytes:
    """What is read of a frame, from its beginning to its end."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.raw(size), signed=signed)

    def raw(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        if len(found) < size:
            raise Malformed(f"byte {self.at}", f"{size} bytes", f"{len(found)}")
        self.at += size
        return found


def decode(topic: str, payload: bytes) -> Decoded:
    """A sample for each record; a payload holds one frame or, of TCP, several.

    Raises:
        Malformed: the frame is cut, or its two counts differ. Where only the checksum is wrong the
            readings are marked (`Quality.STALE`): trackers are bridged that do not compute it.
    """
    if len(payload) > MAX_BYTES:
        raise Malformed("payload", f"at most {MAX_BYTES} bytes", f"{len(payload)} bytes")
    data = bytes.fromhex(payload.strip().decode()) if _HEX(payload) else payload
    samples: list[Sample] = []
    datagram = _UDP(data)
    if datagram:
        body = _Bytes(data[2 : 2 + int.from_bytes(data[:2])], datagram.end() - 2)
        _records(body, samples, 0)
        for sample in samples:
            sample.device = datagram[2].decode()
        return samples or _EMPTY
    frames, items = _Bytes(data, 0), 0
    while frames.at < len(data):
        items = _frame(frames, samples, items)
    return samples or _EMPTY


def _frame(frames: _Bytes, samples: list[Sample], items: int) -> int:
    """A frame of TCP: four zeros, the length, the records, their checksum; the items so far."""
    first = len(samples)
    if frames.number(4):
        raise Malformed(f"byte {frames.at - 4}", "four bytes of zero", "others")
    body = _Bytes(frames.raw(frames.number(4)), 0)
    sent = frames.number(4)
    items = _records(body, samples, items + 4)
    right = checksum(body.data)
    if sent != right:
        for sample in samples[first:]:
            sample.quality |= Quality.STALE.value
            sample.notes.append(("crc", f"{sent:04x}, but {right:04x} it should be"))
    return items


def _records(body: _Bytes, samples: list[Sample], items: int) -> int:
    """The codec, the count, the records, and the count once more; the items so far."""
    codec, count = body.number(1), body.number(1)
    if codec not in _CODECS or items > MAX_ITEMS:
        expected = f"Codec 8, 8 Extended or 16, and at most {MAX_ITEMS} items"
        raise Malformed("the codec", expected, f"{codec:#04x}, {items} items")
    for _ in range(count):
        sample = _record(body, codec, f"{len(samples)}.")
        items += len(sample.fields) + len(sample.notes) + 4
        if items > MAX_ITEMS:
            raise Malformed(f"record {len(samples)}", f"at most {MAX_ITEMS} items", "more")
        samples.append(sample)
    if body.number(1) != count or body.at != len(body.data):
        raise Malformed("payload", f"{count} records and their count as the end", "something else")
    return items


def _record(body: _Bytes, codec: int, path: str) -> Sample:
    sent = body.number(8)  # ms
    sample = Sample(time=instant(sent) if 10**11 <= sent < 10**14 else None)
    if sample.time is None:
        sample.notes.append((f"{path}timestamp", "the device's clock is not set"))
    body.raw(1)  # priority
    east, north = body.number(4, signed=True), body.number(4, signed=True)
    altitude, angle = body.number(2, signed=True), body.number(2)
    satellites, speed = body.number(1), body.number(2)
    sample.position = place(north / 10**7, east / 10**7)
    note = "the position" if satellites else "the last known position"
    note = note if sample.position else "no fix"
    sample.notes.append((f"{path}gps", note))
    for name, value, unit in (
        ("altitude", altitude, "m"),
        ("course", angle, "deg"),
        ("satellites", satellites, ""),
        ("speed", speed, "km/h"),
    ):
        if sample.position or name == "satellites":
            sample.number(Field(path + name, name, unit), value)
    _elements(body, codec, path, sample)
    return sample


def _elements(body: _Bytes, codec: int, path: str, sample: Sample) -> None:
    number, many = _CODECS[codec]
    body.raw(number)  # the element that made the record
    if codec == 0x10:  # noqa: PLR2004
        body.raw(1)  # how it came about
    body.number(many)  # of all elements
    for size in (1, 2, 4, 8):
        for _ in range(body.number(many)):
            _element(body.number(number), body.raw(size), path, sample)
    if codec == 0x8E:  # noqa: PLR2004
        for _ in range(body.number(2)):
            name, size = body.number(2), body.number(2)
            body.raw(size)
            sample.notes.append((f"{path}io.{name}", "bytes of any length are not read"))


def _element(name: int, raw: bytes, path: str, sample: Sample) -> None:
    known = _ELEMENTS.get(name) if _BYTES.get(name, len(raw)) == len(raw) else None
    channel, unit, scale, signed = known or (f"io.{name}", "", 1, False)
    value = int.from_bytes(raw, signed=signed)
    low, high = _RANGES.get(name, (value, value)) if known else (value, value)
    if not low <= value <= high or (known and (name, value) in _WAITING):
        sample.notes.append((path + channel, "not measured, says the device"))
    elif len(raw) < 8:  # noqa: PLR2004
        sample.number(Field(path + channel, channel, unit), round(value * scale, 6))
    else:
        sample.notes.append((path + channel, "an identity, not a number"))


def checksum(data: bytes) -> int:
    """CRC-16/IBM.

    >>> hex(checksum(b"123456789"))
    '0xbb3d'
    """
    crc = 0
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC = [_crc_of(byte) for byte in range(256)]


_TCP = re.compile(rb"\0{5}.{3}[\x08\x8e\x10].{11}", re.DOTALL).match
_TEXT = re.compile(
    rb"\s*(?:0{10}[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8}01[0-9A-Fa-f]{2}000[fF](?:3[0-9]){15})"
    rb"(?:08|8[eE]|10)"
).match


def _looks(payload: bytes) -> object:
    return _TCP(payload) or _UDP(payload) or _TEXT(payload)


FORMATS: tuple[Format, ...] = (
    Format(
        "teltonika_avl",
        "the payload is a frame of Teltonika's Codec 8, 8E or 16",
        decode,
        ("#",),
        _looks,
        frozenset(),
    ),
)
