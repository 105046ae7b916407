"""What every command has: its settings, its two common options, a line for people, a stop."""

import os
import signal
import sys
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from bridge.settings import Settings, load

DEFAULT_CONFIG = Path("haltere.toml")

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="haltere.toml; HALTERE_* go on top")
]
Json = Annotated[bool, typer.Option("--json", help="one JSON object, for programs")]


def settings(config: Path | None) -> Settings:
    """The settings of this run: the file that was named, else haltere.toml if it is here."""
    if config is None and DEFAULT_CONFIG.exists():
        config = DEFAULT_CONFIG
    return load(config, os.environ)


def stop_on_signals() -> Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    return stop


def say(text: str) -> None:
    """A line for the person at the terminal; standard output is for results."""
    print(text, file=sys.stderr, flush=True)
