"""What tensorflow-io reads of Kafka; run by a Python of its own, with tensorflow-io 0.37.1.

``PYTHON tfio_baseline.py SERVERS TOPIC RECORDS KIND``; KIND is ``group`` (KafkaGroupIODataset) or
``from_kafka`` (IODataset.from_kafka). TOPIC has one partition and holds RECORDS; ``from_kafka`` may
be asked for fewer. Batches of a thousand, all else as it comes. The rate is that of the full
batches between the first one's arrival and the last one's; ``whole_s`` is everything but the
imports, with the wait for the end.

``from_kafka`` goes back to the broker for every 1024 records. Within 100,000 of the topic's end,
which is what it reads ahead, each time costs the half second of a fetch that waits at that end.
"""

import json
import sys
import time
import uuid
from typing import Any

BATCH = 1000


def group(tfio: Any, servers: str, topic: str, _: int) -> Any:
    """It has no end but its timeout, 10 s without a record."""
    return tfio.experimental.streaming.KafkaGroupIODataset(
        topics=[topic],
        group_id=f"bench-{uuid.uuid4()}",  # a new one, or it goes on where the last one stopped
        servers=servers,
        configuration=["auto.offset.reset=earliest"],
    )


def from_kafka(tfio: Any, servers: str, topic: str, records: int) -> Any:
    return tfio.IODataset.from_kafka(topic, partition=0, stop=records, servers=servers)


KINDS = {"group": group, "from_kafka": from_kafka}


def main() -> None:
    import tensorflow as tf  # here, for this file is collected where there is no tensorflow-io
    import tensorflow_io as tfio

    servers, topic, records, kind = sys.argv[1:]
    begun = time.perf_counter()
    source = KINDS[kind](tfio, servers, topic, int(records))
    count, full, first, last = 0, 0, 0.0, 0.0
    for message, _ in source.batch(BATCH):
        count += message.shape[0]
        if message.shape[0] == BATCH:  # what is left at the end comes after the wait
            full, last = full + 1, time.perf_counter()
            first = first or last
    whole, seconds = time.perf_counter() - begun, last - first
    rate = round((full - 1) * BATCH / seconds) if full > 1 else None
    found = {"kind": kind, "records": count, "seconds": round(seconds, 3), "records_per_s": rate}
    print(json.dumps(found | {"whole_s": round(whole, 3), "tensorflow": tf.__version__}))


if __name__ == "__main__":
    main()
