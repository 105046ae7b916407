"""What the keys of a JSON object hold: times, identities, places, triples. No I/O, no clock.

Keys are known by their words, whatever their case and punctuation; what a set of keys means is
worked out once.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from bridge.formats.sample import MAX_TEXT, Field
from bridge.units import snake, squash

# Keys by what they hold, the one to be preferred first.
_KEYS = {
    "time": "timestamp ts tst time datetime eventtime measuredat measuretime measurementtime"
    " sampletime sampledat recordedat observedat phenomenontime resulttime timestampms tsms timems"
    " epoch epochms epochtime unixtime unixtimestamp utc utctime utcts timeutc dateutc timestamputc"
    " datetimeutc timestamputcms fixtime gpstime gpstimestamp sourcetimestamp devicetime"
    " acquisitiontime dateobserved createdat created publishedat sentat reportedat date servertime"
    " servertimestamp receivedat receptiontime enqueuedtime",
    "maybe": "t at dt when stamp seen lastseen updated updatedat lastupdate lastupdated modified"
    " tm tsp",  # a time where it is one by its size, else a channel
    "device": "device dev deviceid deviceuid devid deveui deviceeui thingid thingname nodeid node"
    " nodename sensorid sensoruid stationid stationname vehicleid assetid trackerid clientid"
    " devicename hostname host coreid publisherid serialnumber serialno serial sn imei mmsi vin mac"
    " macaddress uuid uid id entityid addr",
    "foreign": "gatewayid gatewayeui gatewaymac gateway gwmac gwid gweui gw hubid hub bridgeid"
    " receiverid receiver basestation",
    "lat": "lat latitude",
    "lon": "lon lng longitude long",
    "spot": "location position latlng latlon lonlat lnglat coordinates coords geo gps geolocation"
    " loc pos point gpslocation gpsposition",
    "name": "name n metric metricname quantity measurement parameter parametername variable"
    " observedproperty property signal attribute channel key field tag tagname type valuetype"
    " sensortype sensor",
    "value": "value val v reading result measuredvalue rawvalue datavalue numericvalue doublevalue"
    " floatvalue intvalue",
    "unit": "unit units uom u unitofmeasurement unitcode",
}
_ROLES = {k: (role, i) for role, keys in _KEYS.items() for i, k in enumerate(keys.split())}
_WEAK = _ROLES["uuid"][1]  # from here on a device key identifies only where it stands for itself


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ABOUT = _words("device deviceinfo enddeviceids thing node station vehicle asset")
_ELSEWHERE = _words(
    "gateway gateways gw rxmetadata rxinfo hotspot hotspots target destination dest home origin"
    " start end base basestation tower cell receiver antenna waypoint geofence zone"
)
_GATEWAYS = _words(
    "gateway gateways gw hotspot hotspots receiver target destination dest home base"
)
_BEFORE = _words(
    "gps gnss geo pos position location loc device node vehicle current last map raw my fix"
)
_BEHIND = _words("deg degrees degree dd decimal wgs84 wgs e7 1e7 i int value")
_E7 = _words("e7 1e7 i int")
_UNIT_OF = re.compile(r"(units?|uom)$")


class Keys(NamedTuple):
    """The keys of an object by what they hold, the preferred one first."""

    time: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    lat: tuple[str, ...] = ()
    lon: tuple[str, ...] = ()
    away: tuple[str, ...] = ()  # coordinates of something else
    spot: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    value: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    units: tuple[str, ...] = ()  # the same, also where there is no triple
    ordinary: tuple[Field, ...] = ()  # path and name are the key
    strong: frozenset[str] = frozenset()  # device keys that identify also below the top
    told: tuple[tuple[str, str], ...] = ()  # a key, and the key that has the unit of it
    simple: bool = True  # each key is a path as it stands
    e7: bool = False  # coordinates are degrees times 1e7


def keys_of(keys: tuple[str, ...]) -> Keys:
    """The keys of an object by what they hold.

    >>> found = keys_of(("ts", "gps_lat", "gps_lon", "temp", "temp_unit"))
    >>> found.time, found.lat, found.told
    (('ts',), ('gps_lat',), (('temp', 'temp_unit'),))
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for key in keys:
        role, rank = _role(key)
        found.setdefault(role, []).append((rank, key))
    many = {role: tuple([key for _, key in sorted(keys)]) for role, keys in found.items()}
    many["units"] = many.get("unit", ())
    if not ("name" in many or squash(many.get("value", ("",))[0]) == "value"):
        many.setdefault("ordinary", ())
        many["ordinary"] += many.pop("value", ())
    if "value" not in many:
        loose = many.pop("name", ()) + many.pop("unit", ())
        many["ordinary"] = many.get("ordinary", ()) + loose
    told = _told(keys)
    units = {unit for _, unit in told}
    ordinary = many.pop("ordinary", ()) + many.get("maybe", ()) + many.get("spot", ())
    return Keys(
        **many,
        ordinary=tuple([Field(key, key) for key in ordinary if key not in units]),
        strong=frozenset(key for rank, key in found.get("device", ()) if rank < _WEAK),
        told=told,
        simple=not any("." in key or len(key) > MAX_TEXT for key in keys),
        e7=any(_scaled(key) for key in many.get("lat", ()) + many.get("lon", ())),
    )


remembered = lru_cache(maxsize=2048)(keys_of)


def about_the_device(key: str) -> bool:
    """Whether an object under this key is about the device: its ``id`` is the device's."""
    return squash(key) in _ABOUT


def elsewhere(path: str) -> bool:
    """Whether what stands there is about something else than the device."""
    return any(map(_elsewhere, path.split(".")))


def of_position(path: str) -> bool:
    """Whether a speed or an altitude below this path is that of the position."""
    words = set(path.replace(".", "_").split("_")) - {""}
    return words <= _BEFORE | {"coords", "payload", "fields", "data", "navigation"}


@lru_cache(maxsize=4096)
def _elsewhere(part: str) -> bool:
    words = snake(part).split("_") if len(part) <= MAX_TEXT else ()
    return squash(part) in _ELSEWHERE or not _GATEWAYS.isdisjoint(words)


def _role(key: str) -> tuple[str, int]:
    known = _ROLES.get(squash(key))
    if known or len(key) > MAX_TEXT:
        return known or ("ordinary", 0)
    words = snake(key.replace(".", "_")).split("_")
    while len(words) > 1 and words[-1] in _BEHIND:
        words.pop()
    last = _ROLES.get(words[-1], ("", 0))[0]
    if last not in ("lat", "lon"):
        return "ordinary", 0
    before = set(words[:-1])
    if before & _ELSEWHERE:
        return "away", 0
    return (last, 1 + len(words)) if before <= _BEFORE else ("ordinary", 0)


def _scaled(key: str) -> bool:
    flat = key.rstrip("0123456789") if key.lower().endswith("e7") else ""
    words = snake(key.replace(".", "_")).split("_")
    return bool(flat) or (len(words) > 1 and words[-1] in _E7)


def _told(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs as ``temp`` and ``temp_unit``, ``hourly`` and ``hourly_units``."""
    flat = {key: squash(key) for key in keys}
    named = [(key, name) for key, name in sorted(flat.items()) if _UNIT_OF.search(name)]
    units = {_UNIT_OF.sub("", name): key for key, name in named}
    return tuple([(key, units[name]) for key, name in flat.items() if name in units and name])
