"""A batch of records as librdkafka gives it, and its columns."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import confluent_kafka as ck

from bridge.spans import Place

Message = ck.Message


class Rows:
    """A batch as it was read; each method is one column, made at compiled speed."""

    def __init__(self, messages: list[Message], topic: str = "") -> None:
        self._messages = messages
        self.only = topic  # of all of them; "": they may have several

    def __len__(self) -> int:
        return len(self._messages)

    def value(self) -> list[bytes | None]:
        return list(map(Message.value, self._messages))

    def key(self) -> list[bytes | None]:
        return list(map(Message.key, self._messages))

    def topic(self) -> list[str]:
        return list(map(Message.topic, self._messages))  # type: ignore[arg-type]

    def partition(self) -> Iterator[int]:
        return map(Message.partition, self._messages)  # type: ignore[arg-type]

    def offset(self) -> Iterator[int]:
        return map(Message.offset, self._messages)  # type: ignore[arg-type]

    def timestamp(self) -> Iterator[int]:  # ms
        return map(itemgetter(1), map(Message.timestamp, self._messages))

    def header(self, name: str) -> list[Any]:
        """The last of this name in each record (as Java's ``lastHeader``), empty where none is."""
        headers = map(Message.headers, self._messages)
        return [dict(h).get(name) or b"" if h else b"" for h in headers]


def place_of(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0
