"""Messages with numbers: published fast, and found again among the readings in Kafka."""

from collections import Counter
from threading import Event

import orjson

from bridge import wire
from bridge.contracts import Reading, Topics
from bridge.errors import Unavailable
from bridge.kafka import Consumer
from bridge.publisher import Load, Messages, Pace
from bridge.settings import Kafka, Mqtt
from tests.poll import until


def publish(mqtt: Mqtt, topic: str, numbers: range, size: int = 0, qos: int = 1) -> None:
    """One after the other over one connection; at QoS 1 until the broker has them all."""

    def payload(index: int) -> bytes:
        number = numbers[index]
        said = {"time": 1_700_000_000 + number, "temp_C": number, "note": "x" * size}
        return orjson.dumps(said)

    messages = Messages(len(numbers), lambda index: topic, payload)
    load = Load(mqtt, messages, Pace(publishers=1, qos=qos))
    load.run(Event())
    assert not load.refused


def readings(kafka: Kafka) -> list[Reading]:
    """All that are in Kafka, in the order of each partition."""
    with Consumer(kafka) as consumer:
        records = consumer.read_all(Topics(kafka.prefix).readings, range(kafka.partitions))
    return [wire.decode(Reading, record.value or b"") for record in records]


def carried(kafka: Kafka) -> Counter[int]:
    """How often each number is in Kafka."""
    return Counter(int(reading.values[0]) for reading in readings(kafka))


def count(kafka: Kafka) -> int:
    """Of the readings in Kafka."""
    try:
        with Consumer(kafka) as consumer:
            ends = consumer.ends(Topics(kafka.prefix).readings)
    except Unavailable:  # a topic that was made just now has no leader yet
        return 0
    return sum(end - start for start, end in ends.values())


def until_carried(kafka: Kafka, numbers: range) -> Counter[int]:
    """Wait until each of these numbers is in Kafka; how often each that is there is."""
    until(lambda: count(kafka) >= len(numbers))
    until(lambda: set(numbers) <= set(carried(kafka)))
    return carried(kafka)
