"""Small files of ``ingest.state`` that outlive the process: what they are called, read, written."""

import json
import logging
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from bridge.errors import Misconfigured

log = logging.getLogger(__name__)

K = TypeVar("K", dict[str, Any], list[Any])
LONGEST = 100  # characters of a file's name


def place(folder: Path, client_id: str, kind: str) -> Path:
    """The file of one kind of the worker with this client id.

    >>> place(Path("state"), "plant/7", "breaker").name
    'plant%2F7.breaker'
    """
    name = quote(client_id, safe="")
    if len(name) > LONGEST:
        name = blake2b(name.encode(), digest_size=16).hexdigest()
    return folder / f"{name}.{kind}"


def read(path: Path, kind: type[K], expected: str) -> K:
    """What stands in a file as JSON; an empty one of its kind where there is none to be read."""
    try:
        value = json.loads(path.read_text("utf-8"))
        if isinstance(value, kind):
            return value
        begun_anew(path, expected, TypeError(type(value).__name__))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        begun_anew(path, expected, error)
    return kind()


def begun_anew(path: Path, expected: str, error: Exception) -> None:
    """Tell that what stands in a file is of no use."""
    log.warning("%s: begun anew: expected %s, received %r", path, expected, error)


def write(path: Path, value: object) -> None:
    """Replace what stands in a file, whole or not at all.

    Raises:
        Misconfigured: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(value), "utf-8")
        fresh.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> Misconfigured:
    """The folder of this file cannot be written."""
    return Misconfigured(
        f"ingest.state {path.parent}",
        "a folder that can be written",
        f"{error.strerror}: {error.filename}",
        "name another as ingest.state",
    )
