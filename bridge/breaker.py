"""A breaker for poison: a message whose handling ends the process, again and again.

A decoder in C that crashes, a payload that takes all the memory, a fault of ours that makes the
loop raise: ingest comes back, the MQTT broker sends the message again (DUP is set), and all begins
anew, for ever. So what came again is noted in a small file while it is in hand, and the note
is taken back afterwards. A message whose notes say that it was in hand and never left is not
handled any more: it becomes a dead letter of the stage ``poison``, unread.

    with breaker.handling(message) as ended:  # how often it was in hand without an end
        letter = verdict(message, ended) if ended else handle(message)

- A message that came for the first time costs one look at two attributes and no file. Its first
  death is therefore not on record: the attempts count from its first redelivery.
- The file outlives kill -9, not a loss of power: it is written, not synced.
- One who kills the process with -9 again and again, each time while the same redelivered message
  is in hand (some 100 us each), makes a dead letter of a sound one. It is whole, and
  ``haltere dlq replay --stage poison`` brings it back.
- An error of the brokers (`HaltereError`) is not the message's fault, and takes the note back.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Self

import orjson

from bridge.contracts import DeadLetter, Message, Stage, dead_letter
from bridge.errors import Fenced, HaltereError, Malformed
from bridge.notes import unwritable

log = logging.getLogger(__name__)

SIZE = 1024  # bytes of the file, always: one write replaces it whole
MOST = 16  # messages that are on record; the oldest gives way
REDELIVERED = 65_535  # messages at most that come again before new ones: the receive maximum
DIGEST = 16  # bytes of a fingerprint

Notes = dict[str, int]  # fingerprint of a message: how often it was in hand and never left


class Breaker:
    """Which messages were in hand when a process before this one ended.

    Args:
        path: its file, one for each worker (`notes.place`); ``None``: nothing is ever noted.
        limit: the attempt, counted from the first redelivery, that is not made any more.

    Raises:
        Misconfigured: the file cannot be written.
        Fenced: another process of this name runs on this machine.
    """

    def __init__(self, path: Path | None, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._file = -1 if path is None else _open(path)
        self._notes = {} if path is None else _read(self._file, path)
        self._since = 0  # messages since the last that is on record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Of no use any more; what is on record stays there."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def handling(self, message: Message) -> AbstractContextManager[int]:
        """Around the handling of one message: 0, or the attempts that make it poison.

        A poison message is not noted again; its notes stay until `forget`, or until so many
        others came that it will not come again.
        """
        return self._handling(message) if self.suspects(message) else _FIRST

    def suspects(self, message: Message) -> bool:
        """Whether it takes `handling`: it came again, or something is on record."""
        return (message.dup or bool(self._notes)) and self._file >= 0

    def attempts(self, message: Message) -> int:
        """How often this message was in hand and never left."""
        return self._notes.get(fingerprint(message), 0) if self._notes else 0

    def forget(self, message: Message) -> None:
        """Its dead letter is safe."""
        if self._notes and self._notes.pop(fingerprint(message), 0):
            self._write()

    @contextmanager
    def _handling(self, message: Message) -> Iterator[int]:
        name = fingerprint(message)
        ended = self._notes.get(name, 0)
        self._age(name)
        if ended + 1 >= self._limit:
            yield ended
            return
        if not (message.dup or ended):
            yield 0
            return
        self._notes[name] = ended + 1
        while len(self._notes) > MOST:
            del self._notes[next(iter(self._notes))]
        self._write()
        try:
            yield 0
        except Exception as error:
            if not isinstance(error, HaltereError):
                self._since = 0
                raise  # of the message: the note stays
            self._end(name)
            raise
        except BaseException:  # somebody wants this process to end
            self._end(name)
            raise
        self._end(name)

    def _end(self, name: str) -> None:
        self._notes.pop(name, None)
        self._write()

    def _age(self, name: str) -> None:
        """What is on record and did not come again with all the others has gone elsewhere."""
        self._since = self._since + 1 if self._notes and name not in self._notes else 0
        if self._since > REDELIVERED:
            self._notes.clear()
            self._write()

    def _write(self) -> None:
        try:
            if self._notes:
                os.pwrite(self._file, encode(self._notes), 0)
            else:
                os.ftruncate(self._file, 0)
        except OSError as error:  # a full disk does not stop the line
            log.warning("%s: not noted what is in hand: %s", self._path, error.strerror)


_FIRST = nullcontext(0)


def fingerprint(message: Message) -> str:
    """32 hex digits, the same for each delivery of a message."""
    topic = message.topic.encode("utf-8", "replace")
    return blake2b(topic + b"\0" + message.payload, digest_size=DIGEST).hexdigest()


def verdict(message: Message, attempts: int) -> DeadLetter:
    """The dead letter of a message that is not handled any more."""
    ended = f"handled {attempts} times without an end: the process died each time"
    poison = Malformed("payload", "a message that can be handled", ended)
    return dead_letter(message, Stage.POISON, poison)


def encode(notes: Notes) -> bytes:
    """What stands in the file, always `SIZE` bytes."""
    return orjson.dumps(notes).ljust(SIZE - 1) + b"\n"


def decode(data: bytes) -> Notes | None:
    """What `encode` wrote; ``None`` where it did not.

    >>> decode(encode({})), decode(b""), decode(b"{"), decode(b'{"a name of other length": 1}')
    ({}, {}, None, None)
    """
    if not data:
        return {}
    try:
        notes = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    sound = isinstance(notes, dict) and len(notes) <= MOST
    return notes if sound and all(map(_is_note, notes.items())) else None


def _is_note(note: tuple[str, object]) -> bool:
    name, attempts = note
    return len(name) == 2 * DIGEST and type(attempts) is int and 0 < attempts < SIZE


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(path, error) from None
    _lock(file, path)
    return file


def _lock(file: int, path: Path) -> None:
    """One process of this name on this machine; the kernel lets go when it ends, however."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise Fenced(
            str(path),
            "to be the only ingest of this name here",
            "another one that runs",
            "stop it first, or set another mqtt.client_id (in a group: mqtt.member)",
        ) from None


def _read(file: int, path: Path) -> Notes:
    notes, why = None, "not what was written"
    try:
        notes = decode(os.pread(file, SIZE + 1, 0))
    except OSError as error:
        why = str(error.strerror)
    if notes is None:
        log.warning("%s: begun anew: expected what was in hand, received %s", path, why)
        with suppress(OSError):
            os.ftruncate(file, 0)
    return notes or {}
