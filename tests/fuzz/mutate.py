"""Random and mutated messages: ``python -m tests.fuzz.mutate --messages 1000000 --json``.

Exits with 1 at the first that breaks the law, and prints it. The same seed, the same messages.
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Iterator

from tests.fuzz.check import Broken, Check
from tests.fuzz.seeds import Seed, seeds

TOKENS = [
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"|", b"#", b"=", b" ", b"\n", b"\0", b"\\", b"/"),
    *(b"null", b"true", b"NaN", b"Infinity", b"1e999", b"-1e-999", b"9" * 40, b"0.1", b"-0.0"),
    *(b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\xa6\x9f", b"\\ud800", b"1970-01-01T00:00:00Z"),
    *(b'{"a":' * 40, b"[" * 300, b'"type":"Feature"', b'"lat":91', b'"time":1e308'),
    *(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", b"\xbf", b"\x9f", b"\xc1\x1b\x7f", b"\xfb\x7f\xf0"),
    *(b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xd8\x1d\x00"),
    *(b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x80\x80\x80\x80\x08", b"\x00\x00\x00\x00", b"\x8e"),
    *(b"2147483648", b"-9223372036854775809", b"18446744073709551616", b"1700000000000000000"),
]
TOPICS = ["x", "a/b/temperature", "$aws/things/t/shadow/update/accepted", "é/☃", "/", "a//b", "#"]
LARGE = 100_000  # bytes of the largest


def messages(seed: int, count: int) -> Iterator[Seed]:
    """Messages from nothing, and from the examples, changed in one to eight places."""
    chance, examples = random.Random(seed), seeds()  # noqa: S311
    topics = [*TOPICS, *(topic for topic, _ in examples)]
    for _ in range(count):
        topic, payload = chance.choice(examples)
        if chance.random() < 0.1:
            payload = chance.randbytes(chance.randrange(200))
        for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
            payload = _changed(chance, payload, examples)[:LARGE]
        if chance.random() < 0.15:
            topic = chance.choice(topics)
        yield topic, payload


def _changed(chance: random.Random, payload: bytes, examples: list[Seed]) -> bytes:
    """Cut, repeat, replace, insert, or turn a bit."""
    at, to = sorted((chance.randrange(len(payload) + 1), chance.randrange(len(payload) + 1)))
    head, body, tail = payload[:at], payload[at:to], payload[to:]
    turned = bytes([payload[at] ^ 1 << chance.randrange(8)]) if at < len(payload) else b"\0"
    middle, end = chance.choice(
        [
            (b"", b""),
            (b"", tail),
            (body * chance.choice((2, 3, 50)), tail),
            (chance.choice(TOKENS), tail),
            (chance.choice(TOKENS), payload[at:]),
            (chance.choice(examples)[1], payload[at:]),
            (chance.randbytes(chance.choice((1, 2, 8))), payload[at + 1 :]),
            (turned, payload[at + 1 :]),
        ]
    )
    return head + middle + end


def memory() -> int:
    """Bytes of this process that are in memory, at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(seed: int, count: int) -> dict[str, object]:
    """Hold that many messages to the law.

    Raises:
        Broken: one breaks it.
    """
    check, begun, warm = Check(), time.monotonic(), memory()
    for at, (topic, payload) in enumerate(messages(seed, count)):
        check(topic, payload)
        if at == count // 2:
            warm = memory()
    return {
        "messages": count,
        "seed": seed,
        "seconds": round(time.monotonic() - begun, 1),
        "outcomes": dict(sorted(check.outcomes.items())),
        "slowest_ms": round(check.slowest_s * 1e3, 2),
        "grown_mb": round((memory() - warm) / 1e6, 1),  # in the second half
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    try:
        report = run(told.seed, told.messages)
    except Broken as error:
        print(error, file=sys.stderr)
        return 1
    lines = "\n".join(f"{name}: {value}" for name, value in report.items())
    print(json.dumps(report) if told.json else lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
