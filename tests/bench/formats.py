"""What a message costs by format: ``python -m tests.bench.formats --json``.

Microseconds of this thread's CPU, the least of several rounds, for messages that were seen before
(caches are warm, as in a fleet that has been running for a minute): for each format the mean over
its examples, and for JSON of 138 bytes through normalising and Avro encoding, as `ingest` does it.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from bridge.contracts import Message
from bridge.normalise import Accepted, Normaliser
from bridge.wire import Encoder
from tests.bench.load import payload, topic
from tests.fuzz.seeds import seeds
from tests.laws import RECEIVED

ROUNDS, REPEATS, FLEET = 7, 50, 20_000
Step = Callable[[Message], object]


def spent_us(messages: Sequence[Message], step: Step, repeats: int = 1) -> float:
    """Microseconds for each message, in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time_ns()
        for _ in range(repeats):
            for message in messages:
                step(message)
        best = min(best, time.thread_time_ns() - begun)
    return best / 1e3 / len(messages) / repeats


def by_format() -> dict[str, dict[str, float]]:
    """Mean cost and size of the examples of each format that give readings."""
    normaliser, found = Normaliser(()), defaultdict[str, list[Message]](list)
    for where, data in seeds():
        message = Message(where, data, RECEIVED)
        outcome = normaliser(message)
        if isinstance(outcome, Accepted):
            found[outcome.format].append(message)
    return {
        name: {
            "us": round(spent_us(messages, normaliser, REPEATS), 1),
            "bytes": round(sum(len(m.payload) for m in messages) / len(messages)),
            "examples": len(messages),
        }
        for name, messages in sorted(found.items())
    }


def plain_json() -> dict[str, float]:
    """JSON of 138 bytes from a thousand devices: alone, and with the Avro of its readings."""
    normaliser, encode = Normaliser(()), Encoder().encode
    fleet = [Message(topic(n), payload(n), RECEIVED + n) for n in range(FLEET)]

    def both(message: Message) -> None:
        outcome = normaliser(message)
        assert isinstance(outcome, Accepted)
        for reading in outcome.readings:
            encode(reading)

    return {
        "bytes": len(fleet[0].payload),
        "normalise_us": round(spent_us(fleet, normaliser), 2),
        "normalise_and_avro_us": round(spent_us(fleet, both), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    plain, formats = plain_json(), by_format()
    if told.json:
        print(json.dumps({"plain_json_138": plain, "formats": formats}))
        return
    print("JSON of 138 bytes:", plain)
    for name, figures in formats.items():
        print(f"{name:20} {figures}")


if __name__ == "__main__":
    main()
