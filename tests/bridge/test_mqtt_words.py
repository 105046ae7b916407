"""What a broker says, in ours: tables."""

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from bridge.errors import Fenced, Misconfigured
from bridge.mqtt_words import (
    REMEDIES,
    SUBACK_FAILURE,
    TAKEN_OVER,
    incapable,
    not_granted,
    refused,
    taken_over,
)
from bridge.settings import Mqtt

WHERE = "mqtt broker:1883"
PLAIN = Mqtt(filters=("plant/7", "plant/8"))
WILD = Mqtt(filters=("plant/7", "plant/+/temp"))
SHARED = Mqtt(filters=("plant/7",), group="g", member="1")
LOSSY = Mqtt(filters=("plant/7", "plant/8"), at_most_once=True)


# A refused connection.


@pytest.mark.parametrize("reason", REMEDIES)
def test_a_refusal_that_waiting_does_not_mend_comes_with_a_remedy(reason: str) -> None:
    error = refused(WHERE, reason)
    assert isinstance(error, Misconfigured)
    assert (error.where, error.received) == (WHERE, reason)
    assert REMEDIES[reason] in str(error)


@pytest.mark.parametrize(
    "reason", ["Server unavailable", "Server busy", "Quota exceeded", "Unspecified error", ""]
)
def test_a_refusal_that_may_pass_is_no_error_of_ours(reason: str) -> None:
    assert refused(WHERE, reason) is None


def test_the_reasons_are_spelled_as_paho_spells_them() -> None:
    connack = PacketTypes.CONNACK
    spelled = {ReasonCode(connack, identifier=code).getName() for code in _codes(connack)}
    assert set(REMEDIES) - spelled <= {"Bad username or password"}  # an older spelling


def _codes(packet: int) -> list[int]:
    known = ReasonCode(PacketTypes.CONNACK).names  # of all packets
    return [code for code, names in known.items() if any(packet in of for of in names.values())]


# A takeover.


def test_a_takeover_fences_and_tells_what_to_do() -> None:
    error = taken_over(WHERE, "haltere-ingest", "Session taken over")
    assert isinstance(error, Fenced)
    assert error.expected == "to be the only client haltere-ingest"
    for word in ("Session taken over", "mqtt.client_id", "mqtt.member", WHERE):
        assert word in str(error)


def test_the_codes_are_those_of_the_standard() -> None:
    taken = ReasonCode(PacketTypes.DISCONNECT, identifier=TAKEN_OVER)
    assert taken.getName() == "Session taken over"
    failures = [c for c in _codes(PacketTypes.SUBACK) if c >= SUBACK_FAILURE]
    assert sorted(set(_codes(PacketTypes.SUBACK)) - set(failures)) == [0, 1, 2]


# What a broker cannot do.

CAPABLE: list[tuple[Mqtt, dict[str, object], str]] = [
    # settings, CONNACK, what is missing
    (PLAIN, {}, ""),
    (PLAIN, {"MaximumQoS": 1, "ReceiveMaximum": 1}, ""),
    (PLAIN, {"MaximumQoS": 0}, "a broker that knows QoS 1"),
    (LOSSY, {"MaximumQoS": 0}, ""),
    (PLAIN, {"SessionExpiryInterval": 0}, "a broker that keeps a session"),
    (PLAIN, {"SessionExpiryInterval": 60}, ""),
    (LOSSY, {"SessionExpiryInterval": 0}, ""),
    (PLAIN, {"WildcardSubscriptionAvailable": 0}, ""),
    (WILD, {"WildcardSubscriptionAvailable": 0}, "wildcards in filters"),
    (Mqtt(filters=("plant/#",)), {"WildcardSubscriptionAvailable": 0}, "wildcards in filters"),
    (WILD, {"WildcardSubscriptionAvailable": 1}, ""),
    (PLAIN, {"SharedSubscriptionAvailable": 0}, ""),
    (SHARED, {"SharedSubscriptionAvailable": 0}, "shared subscriptions"),
    (SHARED, {"SharedSubscriptionAvailable": 1}, ""),
    (WILD, {"WildcardSubscriptionAvailable": 0, "MaximumQoS": 0}, "a broker that knows QoS 1"),
]


@pytest.mark.parametrize(("mqtt", "said", "missing"), CAPABLE)
def test_what_a_broker_cannot_do_is_named_where_it_is_needed(
    mqtt: Mqtt, said: dict[str, object], missing: str
) -> None:
    error = incapable(WHERE, mqtt, said)
    assert (error.expected if error else "") == missing
    if error:
        assert error.received.endswith(" 0")
        assert error.where == WHERE


# What a broker does not grant.

GRANTS: list[tuple[Mqtt, list[tuple[str, int, str]], str]] = [
    (PLAIN, [("plant/7", 1, "Granted QoS 1"), ("plant/8", 1, "Granted QoS 1")], ""),
    (PLAIN, [("plant/7", 2, "Granted QoS 2")], ""),
    (PLAIN, [], ""),
    (
        PLAIN,
        [("plant/7", 1, "Granted QoS 1"), ("plant/8", 0x87, "Not authorized")],
        "refused: plant/8 (Not authorized)",
    ),
    (
        PLAIN,
        [("plant/7", 0x80, "Unspecified error"), ("plant/8", 0x8F, "Topic filter invalid")],
        "refused: plant/7 (Unspecified error), plant/8 (Topic filter invalid)",
    ),
    (
        PLAIN,
        [("plant/7", 0, "Granted QoS 0"), ("plant/8", 0x87, "Not authorized")],
        "refused: plant/8 (Not authorized)",  # first what no filter may be
    ),
    (
        PLAIN,
        [("plant/7", 0, "Granted QoS 0"), ("plant/8", 0, "Granted QoS 0")],
        "QoS 0 for plant/7, plant/8",
    ),
    (LOSSY, [("plant/7", 0, "Granted QoS 0")], ""),
    (LOSSY, [("plant/7", 0x87, "Not authorized")], "refused: plant/7 (Not authorized)"),
]


@pytest.mark.parametrize(("mqtt", "answers", "received"), GRANTS)
def test_a_subscription_that_keeps_no_promise_is_refused(
    mqtt: Mqtt, answers: list[tuple[str, int, str]], received: str
) -> None:
    error = not_granted(WHERE, mqtt, answers)
    assert (error.received if error else "") == received
