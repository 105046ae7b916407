"""TLS, certificates and logins on a real Kafka that demands them, and the words for librdkafka."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import confluent_kafka.admin
import pytest

from bridge import kafka
from bridge.brokers import KafkaBroker
from bridge.child import Endpoint, free_endpoint
from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.kafka import Consumer, Producer, Record
from bridge.kafka_security import security
from bridge.settings import Kafka, Settings
from tests.certificates import Authority, Pair
from tests.poll import until
from tests.token_server import tokens

SOON_S = 6.0  # an error that waiting does not mend is not waited for
PASSWORD = "hunter2"
ck: ModuleType = confluent_kafka.admin  # whose types name less than it has
LISTENERS = """
listeners=PLAINTEXT://{own},CONTROLLER://{controller},MUTUAL://{m},LOGIN://{l},BEARER://{b}
advertised.listeners=PLAINTEXT://{own},MUTUAL://{m},LOGIN://{l},BEARER://{b}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MUTUAL:SSL,\
LOGIN:SASL_SSL,BEARER:SASL_PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required \
user_haltere="{password}";
listener.name.login.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.bearer.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.bearer.oauthbearer.sasl.jaas.config=\
{modules}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="kafka";
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The listeners, and who is known there."""

    plain: str
    mutual: str
    login: str
    bearer: str
    ca: str
    other_ca: str
    client: Pair  # the key has a password
    foreign: Pair  # of the other authority
    token_url: str
    scopes: list[str]

    def settings(self, at: str, **more: Any) -> Kafka:
        """Of a user who has all that this listener asks for, but for what the test says."""
        told: dict[str, Any] = {"bootstrap_servers": getattr(self, at)}
        if at in ("mutual", "login"):
            told |= {"tls": True, "tls_ca_file": self.ca}
        if at == "mutual":
            told |= {"tls_cert_file": self.client.cert, "tls_key_file": self.client.key}
            told |= {"tls_key_password": PASSWORD}
        if at == "login":
            told |= {"sasl_username": "haltere", "sasl_password": PASSWORD}
            told |= {"sasl_mechanism": "PLAIN"}
        if at == "bearer":
            told |= {"sasl_mechanism": "OAUTHBEARER", "oauth_token_url": self.token_url}
            told |= {"oauth_client_id": "haltere", "oauth_client_secret": PASSWORD}
            told |= {"oauth_scope": "kafka"}
        return Kafka.model_validate(told | more)


class Guarded(KafkaBroker):
    """Kafka with a listener for each way in."""

    mutual: Endpoint
    login: Endpoint
    bearer: Endpoint
    server: Pair
    ca: str

    def configuration(self) -> str:
        return super().configuration() + LISTENERS.format(
            own=self.endpoint,
            controller=self._controller,
            m=self.mutual,
            l=self.login,
            b=self.bearer,
            server=self.server.both,
            ca=self.ca,
            modules="org.apache.kafka.common.security",
            password=PASSWORD,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("secure")
    ours, theirs = Authority(folder / "ours"), Authority(folder / "theirs")
    broker = Guarded(folder / "broker")
    broker.mutual, broker.login, broker.bearer = (free_endpoint() for _ in range(3))
    broker.server, broker.ca = ours.issue("server", "127.0.0.1"), ours.cert
    with tokens(f"haltere:{PASSWORD}") as (url, scopes), broker:
        admit(broker.bootstrap_servers)
        yield Place(
            broker.bootstrap_servers,
            str(broker.mutual),
            str(broker.login),
            str(broker.bearer),
            ours.cert,
            theirs.cert,
            ours.issue("haltere", password=PASSWORD),
            theirs.issue("haltere"),
            url,
            scopes,
        )


def admit(bootstrap_servers: str) -> None:
    """Make the user for both SCRAM mechanisms; Kafka takes one in a request."""
    admin = ck.AdminClient({"bootstrap.servers": bootstrap_servers})
    for kind in (ck.ScramMechanism.SCRAM_SHA_256, ck.ScramMechanism.SCRAM_SHA_512):
        info = ck.ScramCredentialInfo(kind, 4096)
        user = ck.UserScramCredentialUpsertion("haltere", info, PASSWORD.encode())
        for future in admin.alter_user_scram_credentials([user]).values():
            future.result(30)


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("mutual", {}),
    ("mutual", {"tls_verify_hostname": False}),
    ("login", {}),
    ("login", {"sasl_mechanism": "SCRAM-SHA-256"}),
    ("login", {"sasl_mechanism": "SCRAM-SHA-512"}),
    ("bearer", {}),
]


@pytest.mark.broker
@pytest.mark.parametrize(("at", "more"), ACCEPTED)
def test_who_has_what_the_listener_asks_for_writes_and_reads(
    place: Place, at: str, more: dict[str, Any], unique: str
) -> None:
    told = place.settings(at, prefix=unique, partitions=1, **more)
    kafka.ensure_topics(told, 10.0)
    topic = f"{unique}.readings"
    with Producer(told, "w", transactional_id=unique) as producer, Consumer(told, unique) as reader:
        producer.begin()
        assert producer.produce(Record(topic, b"k", b"v"), "token")
        producer.commit(reader, {})
        reader.subscribe([topic])
        got: list[bytes] = []

        def came() -> bool:
            got.extend(fetched.value for fetched in reader.fetch(10, 0.5) if fetched.value)
            return bool(got)

        until(came)
        assert got == [b"v"]
    if at == "bearer":
        assert set(place.scopes) == {"kafka"}


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("login", {"sasl_password": "wrong"}, "Invalid username or password", "kafka.sasl_mechanism"),
    ("login", {"sasl_username": "nobody"}, "Invalid username or", "kafka.sasl_mechanism"),
    (
        "login",
        {"sasl_mechanism": "SCRAM-SHA-512", "sasl_password": "wrong"},
        "invalid credentials with SASL mechanism SCRAM-SHA-512",
        "kafka.sasl_mechanism",
    ),
    (
        "bearer",
        {
            "sasl_mechanism": "PLAIN",
            "sasl_username": "haltere",
            "sasl_password": PASSWORD,
            "oauth_token_url": "",
            "oauth_client_id": "",
            "oauth_client_secret": "",
            "oauth_scope": "",
        },
        "supported mechanisms: OAUTHBEARER",
        "kafka.sasl_mechanism",
    ),
    ("bearer", {"oauth_client_secret": "wrong"}, "invalid_client", "kafka.oauth_client_secret"),
    ("login", {"tls_ca_file": "other_ca"}, "certificate verify failed", "kafka.tls_ca_file"),
    ("login", {"tls_ca_file": ""}, "certificate verify failed", "kafka.tls_ca_file"),
    (
        "mutual",
        {"tls_cert_file": "", "tls_key_file": "", "tls_key_password": ""},
        "certificate required",
        "kafka.tls_cert_file",
    ),
    (
        "mutual",
        {"tls_cert_file": "foreign.cert", "tls_key_file": "foreign.key", "tls_key_password": ""},
        "alert",
        "kafka.tls_cert_file",
    ),
    ("mutual", {"tls_key_password": "wrong"}, "ssl.key.location failed", "kafka.tls_key_password"),
    ("mutual", {"tls_ca_file": "client.key"}, "ssl.ca.location failed", "kafka.tls_ca_file"),
]


@pytest.mark.broker
@pytest.mark.parametrize(("at", "more", "said", "remedy"), REFUSED)
def test_who_has_not_is_told_why_and_what_to_do(
    place: Place, at: str, more: dict[str, Any], said: str, remedy: str
) -> None:
    named = {"other_ca": place.other_ca, "client.key": place.client.key}
    named |= {"foreign.cert": place.foreign.cert, "foreign.key": place.foreign.key}
    error = refusal(place.settings(at, **{k: named.get(v, v) for k, v in more.items()}), 30.0)
    assert isinstance(error, Misconfigured), error
    assert re.search(said, str(error)), str(error)
    assert remedy in error.remedy


@pytest.mark.broker
@pytest.mark.parametrize(
    ("at", "more", "said"),
    [
        ("plain", {"tls": True}, "in state SSL_HANDSHAKE.*kafka.tls to false"),
        ("mutual", "plainly", "a port with TLS or a login wants kafka.tls"),
        ("login", "plainly", "a port with TLS or a login wants kafka.tls"),
        ("bearer", {"oauth_token_url": "nobody"}, "Failed to connect.*kafka.oauth_token_url"),
    ],
)
def test_a_broker_that_does_not_understand_is_unavailable_and_the_error_says_so(
    place: Place, at: str, more: Any, said: str
) -> None:
    if more == "plainly":
        told = Kafka(bootstrap_servers=getattr(place, at))
    else:
        nobody = f"http://{free_endpoint()}/token"
        told = place.settings(at, **{k: nobody if v == "nobody" else v for k, v in more.items()})
    error = refusal(told, 2.0)
    assert isinstance(error, Unavailable), error
    assert re.search(said, str(error)), str(error)


def refusal(told: Kafka, patience_s: float) -> HaltereError:
    """Why it does not connect; told soon, on one line, and without the password."""
    begun = time.monotonic()
    with pytest.raises(HaltereError) as caught:
        kafka.partitions(told, patience_s)
    assert time.monotonic() - begun < SOON_S
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return caught.value


@pytest.mark.broker
def test_check_says_on_one_line_each_what_is_wrong(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong\n", "utf-8")
    file = tmp_path / "haltere.toml"
    file.write_text(
        f"""
        [mqtt]
        port = {place.login.rpartition(":")[2]}  # which speaks TLS, and no MQTT
        [kafka]
        bootstrap_servers = "{place.login}"
        tls = true
        tls_ca_file = "{place.ca}"
        sasl_mechanism = "SCRAM-SHA-256"
        sasl_username = "haltere"
        sasl_password_file = "{secret}"
        """,
        "utf-8",
    )
    command = (sys.executable, "-m", "haltere", "check", "-c", str(file))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    ok, mqtt, cluster = done.stdout.splitlines()
    assert ok.startswith("ok ")
    assert re.fullmatch("FAILED mqtt .* received TLS .*set mqtt.tls to true.*", mqtt)
    assert re.fullmatch("FAILED kafka .*invalid credentials.*set kafka.sasl_mechanism.*", cluster)
    assert done.stderr == ""


MAPPED: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {}),
    ({"tls": True}, {"security.protocol": "SSL"}),
    (
        {"tls": True, "tls_cert_file": "c", "tls_key_file": "k", "tls_key_password": "p"},
        {
            "security.protocol": "SSL",
            "ssl.certificate.location": "c",
            "ssl.key.location": "k",
            "ssl.key.password": "p",
        },
    ),
    (
        {"tls": True, "tls_ca_file": "a", "tls_verify_hostname": False},
        {
            "security.protocol": "SSL",
            "ssl.ca.location": "a",
            "ssl.endpoint.identification.algorithm": "none",
        },
    ),
    (
        {"sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password": "p"},
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "u",
            "sasl.password": "p",
        },
    ),
    (
        {
            "tls": True,
            "sasl_mechanism": "OAUTHBEARER",
            "oauth_token_url": "https://id.example/token",
            "oauth_client_id": "c",
            "oauth_client_secret": "s",
            "oauth_scope": "kafka",
        },
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": "https://id.example/token",
            "sasl.oauthbearer.client.id": "c",
            "sasl.oauthbearer.client.secret": "s",
            "sasl.oauthbearer.scope": "kafka",
        },
    ),
]


@pytest.mark.parametrize(("told", "options"), MAPPED)
def test_settings_become_options_of_librdkafka(
    told: dict[str, Any], options: dict[str, str]
) -> None:
    assert security(Kafka.model_validate(told)) == options
    assert json.dumps(options)  # plain texts: a secret that stays masked would not pass


def test_options_of_librdkafka_stay_on_top() -> None:
    told = Settings.model_validate({"kafka": {"tls": True, "options": {"ssl.ca.location": "a"}}})
    with pytest.raises(Misconfigured, match="ssl.ca.location"):
        kafka.partitions(told.kafka, 1.0)
