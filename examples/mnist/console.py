"""What every step has: its options, lines for the person at the terminal, an end without fuss."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable

from bridge.errors import HaltereError, Misconfigured
from bridge.kafka import partitions
from bridge.settings import Kafka

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's own word for: warnings
# Keras warns so of each dataset whose length it cannot know, as that of a stream
warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)

PATIENCE_S = 3.0  # with a Kafka that does not answer


def say(text: str) -> None:
    """A line for the person; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def options(about: str | None, servers: str = "127.0.0.1:9092") -> argparse.ArgumentParser:
    """The two that every step has."""
    parser = argparse.ArgumentParser(description=about)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--servers", default=servers, help="of Kafka, host:port")
    parser.add_argument("--prefix", default="mnist", help="of the names of the topics")
    return parser


def topics(servers: str) -> set[str]:
    """Which there are.

    Raises:
        Unavailable: no broker answers.
    """
    say(f"Kafka at {servers}")
    return set(partitions(Kafka(bootstrap_servers=servers), PATIENCE_S))


def need(servers: str, *names: str) -> None:
    """See that these topics are there.

    Raises:
        HaltereError: no broker answers, or one of them is missing.
    """
    if lacking := sorted(set(names) - topics(servers)):
        remedy = "produce.py makes it; or another --prefix"
        raise Misconfigured(f"topic {lacking[0]}", "one of that name", "none", remedy)


def run(main: Callable[[], None]) -> None:
    """A mistake is told in one line, and Ctrl-C is none."""
    try:
        main()
    except HaltereError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
