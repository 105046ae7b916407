"""Where the device is, as JSON says it: pairs, lists, texts, GeoJSON. No I/O, no clock."""

import re
from typing import Any

from bridge.formats.keys import Keys, elsewhere
from bridge.formats.sample import Field, Sample
from bridge.formats.scalars import number, place
from bridge.units import squash

E7 = 10_000_000  # degrees times this, as integers
_PAIR = re.compile(r"\s*\(?\s*([+-]?\d{1,3}(?:\.\d+)?)\s*[,; ]\s*([+-]?\d{1,3}(?:\.\d+)?)\s*\)?\s*")
_WKT = re.compile(r"\s*(?:SRID=4326;)?POINT\s*Z?\s*\(\s*([-+\d.]+)\s+([-+\d.]+)[^)]*\)\s*", re.I)
_EAST_FIRST = frozenset(["lonlat", "lnglat", "coordinates"])
_NORTH_FIRST = frozenset(["latlng", "latlon"])
Spot = tuple[float, float]  # lat, lon


def read(tree: dict[str, Any], keys: Keys, path: str, sample: Sample) -> tuple[str, ...]:
    """Take the position of an object, if it has one; gives the keys that are read by it."""
    if keys.lat or keys.lon or keys.away:
        lat = tree[keys.lat[0]] if keys.lat else None
        lon = tree[keys.lon[0]] if keys.lon else None
        _take(sample, scaled(lat, lon, keys.e7), path, keys.lat + keys.lon)
        for key in keys.away:
            sample.notes.append((_below(path, key), "the position of something else"))
    taken = []
    for key in keys.spot:
        spot, certain = _spot(squash(key), tree[key])
        if spot or certain:
            unclear = spot is None and isinstance(tree[key], list)
            _take(sample, spot, path, () if unclear else (key,))
            taken.append(key)
            if unclear:
                sample.notes.append((_below(path, key), "which one is the latitude is not said"))
    return tuple(taken)


def geojson(tree: dict[str, Any], path: str, sample: Sample) -> bool:
    """Take the position of a GeoJSON point (RFC 7946, 3.1.2); whether the tree is one."""
    coordinates = tree.get("coordinates")
    if tree.get("type") != "Point" or "coordinates" not in tree:
        return False
    east, north, *up = coordinates if isinstance(coordinates, list) and coordinates[1:] else (0, 0)
    known = sample.position
    _take(sample, place(north, east), path, ("",))
    height = number(up[0]) if up and sample.position is not known else None
    if height is not None:
        sample.number(Field(f"{path}.altitude", "altitude", "m"), height)
    return True


def scaled(lat: object, lon: object, e7: bool) -> Spot | None:
    """Latitude and longitude, also where they are sent as degrees times 1e7.

    >>> scaled(481372000, 115756000, False), scaled(48.1372, 11.5756, False)
    ((48.1372, 11.5756), (48.1372, 11.5756))
    """
    north, east = number(lat), number(lon)
    if type(north) is int and type(east) is int and (e7 or abs(north) > 90 or abs(east) > 180):  # noqa: PLR2004
        sure = e7 or max(abs(north), abs(east)) >= 10 * E7  # else another scale is as likely
        return place(north / E7, east / E7) if sure else None
    return place(lat, lon)


def _spot(name: str, value: object) -> tuple[Spot | None, bool]:
    """A position in one value, and whether the value can be nothing else."""
    if isinstance(value, str):
        found = _WKT.fullmatch(value) if len(value) < 200 else None  # noqa: PLR2004
        if found:
            return place(found[2], found[1]), True
        found = _PAIR.fullmatch(value) if len(value) < 60 else None  # noqa: PLR2004
        return (place(found[1], found[2]), True) if found else (None, False)
    if not isinstance(value, list) or len(value) not in (2, 3):
        return None, False
    one, two = number(value[0]), number(value[1])
    if one is None or two is None:
        return None, False
    if name in _EAST_FIRST or (name not in _NORTH_FIRST and abs(one) > 90):  # noqa: PLR2004
        return place(two, one), True
    return (place(one, two), True) if name in _NORTH_FIRST else (None, True)


def _take(sample: Sample, spot: Spot | None, path: str, keys: tuple[str, ...]) -> None:
    note = "the position"
    if spot is None:
        note = "no position on Earth"
    elif path and elsewhere(path):
        note = "the position of something else"
    elif sample.position is not None:
        note = "another position"
    else:
        sample.position = spot
    for key in keys:
        sample.notes.append((_below(path, key), note))


def _below(path: str, key: str) -> str:
    part = key.replace(".", "-")
    return f"{path}.{part}" if path and part else path or part
