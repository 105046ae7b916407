"""What every client of librdkafka shares: its options, and its errors as ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import confluent_kafka as ck

from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.kafka_errors import EXPECTED, GONE, MEMBER, judged, unbuilt
from bridge.kafka_security import security
from bridge.settings import Kafka

REQUEST_S = 30.0  # for one request to the brokers


def translate(where: str, error: ck.KafkaError) -> HaltereError:
    """A librdkafka error as one of ours."""
    family, remedy = judged(error.name(), error.str())
    expected = EXPECTED[family]
    if error.name() in GONE:
        expected, remedy = MEMBER
    return family(where, expected, f"{error.name()}: {error.str()}", remedy)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Errors of librdkafka leave as ours."""
    try:
        yield
    except ck.KafkaException as error:
        raise translate(where, error.args[0]) from None


def in_service(where: str, listed: Any) -> Mapping[str, Any]:
    """The topics of a client's `list_topics`.

    A broker that stood still longer than ``broker.session.timeout.ms`` is fenced by its controller
    until the next heartbeat; meanwhile it tells of its topics and of no broker. librdkafka 2.16
    believes that, parts with the last broker that it has, and finds none again (its issue 5301).

    Raises:
        Unavailable: there is no broker; the client is of no use any more.
    """
    if not listed.brokers:
        raise Unavailable(where, "brokers in service", "none", "begin anew in a moment")
    topics: Mapping[str, Any] = listed.topics
    return topics


def common(kafka: Kafka, client_id: str) -> dict[str, Any]:
    """The options of every client; ``kafka.options`` go over all of them."""
    return security(kafka) | {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": client_id,
        "log_level": 3,  # errors
        "socket.nagle.disable": True,
    }


def build(kind: Any, config: dict[str, Any], where: str) -> Any:
    """A client of this kind.

    Raises:
        Misconfigured: librdkafka does not know an option, or its value.
    """
    try:
        return kind(config)
    except ck.KafkaException as error:
        said = error.args[0].str()
        raise Misconfigured(where, "options that librdkafka takes", said, unbuilt(said)) from None
