"""The load of the benchmark, a process of its own: ``python -m tests.bench.load PORT COUNT QOS``.

JSON of 138 bytes from a thousand devices, encoded before the clock starts, over one connection of
MQTT 3.1.1, at most 20,000 unacknowledged.
"""

import json
import socket
import sys
import time
from collections.abc import Callable
from threading import Thread

from bridge.packets import Form, publish
from bridge.publisher import dial, hello
from bridge.settings import Mqtt

DEVICES = 1000
WINDOW = 20_000  # unacknowledged
CHUNK = 100  # messages of a piece


def topic(n: int) -> str:
    return f"fleet/car-{n % DEVICES:06d}/telemetry"


def payload(n: int) -> bytes:
    """What one car says; 138 bytes."""
    body = {"device": f"car-{n % DEVICES:06d}", "ts": 1_700_000_000_000 + n}
    sensed = {"temperature": 21.5 + n % 7 / 10, "vibration": 0.0213}
    place = {"lat": 52.520008, "lon": 13.404954, "speed": 54.2}
    return json.dumps(body | sensed | place).encode()


def garbage(n: int) -> bytes:
    """As long, and cut off: no reader can make anything of it."""
    return payload(n)[:-1] + b"!"


def encoded(count: int, qos: int, payload_of: Callable[[int], bytes]) -> list[bytes]:
    """The PUBLISH packets, a hundred in a piece."""
    packet = [
        publish(topic(n).encode(), payload_of(n), Form(mid=(1 + n % 65535) * qos))
        for n in range(count)
    ]
    return [b"".join(packet[n : n + CHUNK]) for n in range(0, count, CHUNK)]


def count_acks(connection: socket.socket, acknowledged: list[int]) -> None:
    """PUBACKs are all the broker says, 4 bytes each."""
    while data := connection.recv(1 << 16):
        acknowledged[0] += len(data)


def main() -> None:
    port, count, qos, kind = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    pieces = encoded(count, qos, garbage if kind == "garbage" else payload)
    mqtt = Mqtt(port=port, version="3.1.1")
    connection, _ = dial(mqtt, hello(mqtt, "load"))
    connection.setblocking(True)
    acknowledged = [0]  # bytes
    Thread(target=count_acks, args=(connection, acknowledged), daemon=True).start()
    begun = time.perf_counter()
    for n, piece in enumerate(pieces):
        while qos and n * CHUNK - acknowledged[0] // 4 > WINDOW:
            time.sleep(0.001)
        connection.sendall(piece)
    while qos and acknowledged[0] // 4 < count:
        time.sleep(0.001)
    seconds = time.perf_counter() - begun
    print(json.dumps({"sent": count, "acknowledged": acknowledged[0] // 4, "seconds": seconds}))


if __name__ == "__main__":
    main()
