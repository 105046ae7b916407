"""Coverage-guided bytes over every format: ``python -m tests.fuzz.guided -max_total_time=60``.

The arguments are libFuzzer's. Needs atheris, which ``make fuzz`` installs where it can be had.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bridge"]):
    from tests.fuzz.check import Check
    from tests.fuzz.seeds import seeds

SEEDS = seeds()
TOPICS = sorted({"x", "a/b/temperature", *(topic for topic, _ in SEEDS)})
check = Check()


def one(data: bytes) -> None:
    """The first two bytes choose the topic, the others are the payload."""
    check(TOPICS[int.from_bytes(data[:2]) % len(TOPICS)], data[2:])


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="haltere-fuzz-") as folder:
        for number, (topic, payload) in enumerate(SEEDS):
            head = TOPICS.index(topic).to_bytes(2)
            (Path(folder) / f"{number}").write_bytes(head + payload)
        options = ["-max_len=20000", "-timeout=5", "-rss_limit_mb=2000"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], folder], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
