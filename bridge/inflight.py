"""Release the longest prefix that is done. A value: no I/O, no clock. Used in both directions.

MQTT wants acknowledgments in the order of arrival (MQTT 5, 4.6), Kafka wants one offset that says
"all before this is done"; both confirm out of order. A line keeps the order.

>>> line = Line[str]()
>>> first, second = line.enter("a", parts=2), line.enter("b")
>>> second.done(); line.release()
[]
>>> first.done(); first.done(); line.release()
['a', 'b']
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Place(Generic[T]):
    """One item in the line and how many of its parts are still under way."""

    item: T
    parts: int

    def done(self) -> None:
        """One part is safe."""
        self.parts -= 1

    def more(self, parts: int = 1) -> None:
        """Further parts have to be safe before the item is."""
        self.parts += parts


class Line(Generic[T]):
    """Items in order of arrival."""

    def __init__(self) -> None:
        self._places: deque[Place[T]] = deque()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[T]:
        return (place.item for place in self._places)

    def first(self) -> T:
        """The oldest item."""
        return self._places[0].item

    def enter(self, item: T, parts: int = 1) -> Place[T]:
        """Append an item that is done after ``parts`` calls of `Place.done`."""
        place = Place(item, parts)
        self._places.append(place)
        return place

    def release(self) -> list[T]:
        """Take out and return the longest prefix that is done, oldest first."""
        released = []
        places = self._places
        while places and places[0].parts <= 0:
            released.append(places.popleft().item)
        return released

    def drop(self) -> None:
        """Forget the oldest item: the connection it came in on is gone and will redeliver."""
        self._places.popleft()
