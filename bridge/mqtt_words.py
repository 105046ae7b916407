"""What an MQTT broker says, in ours: refusals, capabilities, takeovers. Values only: no I/O."""

from typing import NamedTuple

from bridge.errors import Fenced, Misconfigured
from bridge.settings import Mqtt

SUBACK_FAILURE = 128  # this reason code and above refuse the subscription (MQTT 5, 3.9.3)
TAKEN_OVER = 0x8E  # Session taken over (MQTT 5, 3.14.2.1)
HUNG_UP = 0x80  # what paho makes of an end of the connection without a word
REMEDIES = {  # of a refused connection that waiting does not mend (MQTT 5, 3.2.2.2)
    "Unsupported protocol version": "set mqtt.version to the one that the broker speaks",
    "Client identifier not valid": "set mqtt.client_id",
    "Bad user name or password": "set mqtt.username and mqtt.password",
    "Bad username or password": "set mqtt.username and mqtt.password",
    "Not authorized": "give this user access, or set mqtt.username and mqtt.password",
    "Banned": "ask who runs the broker",
    "Bad authentication method": "set mqtt.username and mqtt.password",
}


class Said(NamedTuple):
    """Something to be published at QoS 0, once."""

    topic: str
    payload: bytes
    retain: bool = False


class Announcement(NamedTuple):
    """A retained word on whether we are there; the broker says the last when we are gone."""

    topic: str
    online: bytes
    offline: bytes


def refused(where: str, reason: str) -> Misconfigured | None:
    """The error of a CONNACK that waiting does not mend."""
    if reason not in REMEDIES:
        return None
    return Misconfigured(where, "a broker that accepts this client", reason, REMEDIES[reason])


def taken_over(where: str, client_id: str, how: str) -> Fenced:
    """Another client has come under our identifier; two of them would fight for ever."""
    return Fenced(
        where,
        f"to be the only client {client_id}",
        how,
        "stop the other, or set another mqtt.client_id (in a group: mqtt.member); "
        "what was not acknowledged is sent to the one that stays",
    )


def incapable(where: str, mqtt: Mqtt, said: dict[str, object]) -> Misconfigured | None:
    """What a broker's CONNACK says it cannot do, where our settings need it (MQTT 5, 3.2.2.3).

    >>> incapable("mqtt", Mqtt(), {"MaximumQoS": 0}).expected
    'a broker that knows QoS 1'
    """
    shared = bool(mqtt.group)
    wild = any("+" in name or "#" in name for name in mqtt.filters)
    lossy = "use another broker, or say that losing messages is meant: mqtt.at_most_once = true"
    needs = (
        ("MaximumQoS", not mqtt.at_most_once, "a broker that knows QoS 1", lossy),
        ("SessionExpiryInterval", not mqtt.at_most_once, "a broker that keeps a session", lossy),
        ("WildcardSubscriptionAvailable", wild, "wildcards in filters", "name each topic"),
        ("SharedSubscriptionAvailable", shared, "shared subscriptions", "unset mqtt.group"),
    )
    for name, needed, expected, remedy in needs:
        if needed and said.get(name, 1) == 0:
            return Misconfigured(where, expected, f"{name} 0", remedy)
    return None


def not_granted(
    where: str, mqtt: Mqtt, answers: list[tuple[str, int, str]]
) -> Misconfigured | None:
    """The filters that a SUBACK refuses, or grants at a QoS that keeps no promise."""
    wrong = [f"{n} ({reason})" for n, code, reason in answers if code >= SUBACK_FAILURE]
    if wrong:
        return Misconfigured(
            where,
            "a broker that grants every subscription",
            f"refused: {', '.join(wrong)}",
            "change mqtt.filters, or the broker's access list",
        )
    low = [name for name, code, _ in answers if code < mqtt.qos]
    if low and not mqtt.at_most_once:
        return Misconfigured(where, "QoS 1 for every filter", f"QoS 0 for {', '.join(low)}")
    return None
