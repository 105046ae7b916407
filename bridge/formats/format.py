"""A format as a value: by what topic or payload it is recognised, why, and how it is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.formats.sample import Decoded


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is recognised and read.

    `decode` takes topic and payload and raises Malformed, nothing else; where `follows` is set it
    takes a third argument, the `Session` of the normaliser. ``marks`` of an empty set say that no
    plain JSON object is ever meant.
    """

    name: str
    why: str  # how it was recognised, for people
    decode: Callable[..., Decoded]
    topics: tuple[str, ...] = ("#",)  # one of these MQTT filters matches ...
    shape: Callable[[bytes], object] | None = None  # ... and the payload looks like it;
    marks: frozenset[str] | None = (
        None  # where there are some: it is a JSON object with all of them
    )
    follows: bool = False


def matches(pattern: str, topic: str) -> bool:
    """Whether an MQTT filter matches a topic.

    >>> matches("owntracks/+/+/#", "owntracks/jane/phone"), matches("a/+", "a/b/c")
    (True, False)
    """
    return fits(pattern.split("/"), topic.split("/"))


def fits(wanted: Sequence[str], given: Sequence[str]) -> bool:
    """The same of the levels of both."""
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        w in ("+", g) for w, g in zip(wanted, given, strict=True)
    )
