"""Every error that librdkafka knows is in exactly one family: this fails when it grows one."""

from collections import Counter

import pytest
from confluent_kafka import KafkaError

from bridge import kafka_errors
from bridge.errors import Fenced, HaltereError, Malformed, Misconfigured, Unavailable
from bridge.kafka import translate
from bridge.kafka_errors import EXPECTED, FAMILIES, REMEDIES, judged


def known() -> set[str]:
    """The names of all codes of the library that is installed."""
    codes = [getattr(KafkaError, name) for name in dir(KafkaError) if name.upper() == name]
    return {KafkaError(code).name() for code in codes if isinstance(code, int)}


def test_every_error_of_the_library_has_a_family() -> None:
    assert len(known()) > 150
    assert known() - set(FAMILIES) == set()


def test_no_name_stands_in_two_families() -> None:
    tables = [kafka_errors._FENCED, kafka_errors._MALFORMED]
    tables += [kafka_errors._MISCONFIGURED, kafka_errors._UNAVAILABLE]
    names = Counter(name for table in tables for name in table.split())
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) == len(FAMILIES)


@pytest.mark.parametrize("family", [Fenced, Malformed, Misconfigured, Unavailable])
def test_every_family_says_what_was_expected(family: type[HaltereError]) -> None:
    assert EXPECTED[family]
    assert family in REMEDIES


@pytest.mark.parametrize(
    ("code", "family"),
    [
        (KafkaError._FENCED, Fenced),
        (KafkaError.PRODUCER_FENCED, Fenced),
        (KafkaError.MSG_SIZE_TOO_LARGE, Malformed),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Misconfigured),
        (KafkaError.SASL_AUTHENTICATION_FAILED, Misconfigured),
        (KafkaError._MSG_TIMED_OUT, Unavailable),
        (KafkaError._ALL_BROKERS_DOWN, Unavailable),
        (KafkaError.NOT_ENOUGH_REPLICAS, Unavailable),
    ],
)
def test_an_error_is_translated_with_its_name(code: int, family: type[HaltereError]) -> None:
    error = translate("kafka a:1", KafkaError(code))
    assert type(error) is family
    assert str(error).startswith("kafka a:1: expected ")
    assert KafkaError(code).name() in error.received


AUTHENTICATION = "SASL authentication error: Authentication failed: Invalid username or password"
MECHANISM = "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism"
VERIFY = "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed"
ALERT = "Receive failed: tlsv13 alert certificate required: SSL alert number 116"
CLOSED = "Disconnected: SSL connection closed by peer (after 1ms in state SSL_HANDSHAKE)"
TOKEN = "Failed to acquire SASL OAUTHBEARER token: "


@pytest.mark.parametrize(
    ("name", "text", "family", "remedy"),
    [
        ("_AUTHENTICATION", AUTHENTICATION, Misconfigured, "kafka.sasl_mechanism"),
        ("_AUTHENTICATION", MECHANISM, Misconfigured, "kafka.sasl_mechanism"),
        ("_AUTHENTICATION", TOKEN + "invalid_client", Misconfigured, "kafka.oauth_client_secret"),
        ("_AUTHENTICATION", TOKEN + "Failed to connect to a", Unavailable, "kafka.oauth_token_url"),
        ("_SSL", VERIFY, Misconfigured, "kafka.tls_ca_file"),
        ("_TRANSPORT", VERIFY, Misconfigured, "kafka.tls_ca_file"),
        ("_TRANSPORT", ALERT, Misconfigured, "kafka.tls_cert_file"),
        ("_TRANSPORT", CLOSED, Unavailable, "kafka.tls to false"),
        ("_TRANSPORT", "Connection refused", Unavailable, "haltere brokers"),
        ("_ALL_BROKERS_DOWN", "1/1 brokers are down", Unavailable, "wants kafka.tls"),
        ("MSG_SIZE_TOO_LARGE", VERIFY, Malformed, ""),  # the text of another error counts not
    ],
)
def test_why_a_connection_is_refused_stands_in_its_text(
    name: str, text: str, family: type[HaltereError], remedy: str
) -> None:
    judgment = judged(name, text)
    assert judgment[0] is family
    assert remedy in judgment[1]
