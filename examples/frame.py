"""The frame of both examples beside it: options, a Kafka, a result, an end without fuss."""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bridge.brokers import KafkaBroker
from bridge.errors import HaltereError, Misconfigured
from bridge.kafka import partitions
from bridge.settings import Kafka

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's own word for: warnings
# Keras warns so of each dataset whose length it cannot know, as that of a stream
warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)

PATIENCE_S = 3.0  # with a Kafka that does not answer


def say(text: str) -> None:
    """A line for the person at the terminal; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def options(about: str | None, prefix: str) -> argparse.ArgumentParser:
    """Those that both have."""
    parser = argparse.ArgumentParser(description=about)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--servers", help="of Kafka, host:port; without it an own one is started")
    parser.add_argument("--prefix", default=prefix, help="of the names of topics and groups")
    parser.add_argument("--json", action="store_true", help="on one line, for programs")
    return parser


def look(servers: str, prefix: str) -> None:
    """See that Kafka is there and has no such topics: a second run would append to the first.

    Raises:
        Unavailable: no broker answers.
        Misconfigured: there is one.
    """
    say(f"Kafka at {servers}")
    topics = partitions(Kafka(bootstrap_servers=servers), PATIENCE_S)
    if old := sorted(topic for topic in topics if topic.startswith(f"{prefix}-")):
        raise Misconfigured("--prefix", "a new one", f"one with a topic {old[0]}", "choose another")


def play(run: Callable[[argparse.Namespace], dict[str, Any]], told: argparse.Namespace) -> None:
    """Run it on the Kafka that was named, or on one of its own; print what it finds."""
    begun = time.monotonic()
    try:
        with ExitStack() as stack:
            if not told.servers:
                say("starting Kafka")
                told.servers = stack.enter_context(KafkaBroker(progress=say)).bootstrap_servers
            look(told.servers, told.prefix)
            found = run(told)
    except HaltereError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    found["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps(found, indent=None if told.json else 2))
