"""TLS, logins, WebSockets and the access list, on real brokers that demand them."""

import hashlib
import json
import re
import secrets
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish

from bridge.brokers import MqttBroker
from bridge.child import Endpoint, free_endpoint
from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.mqtt import Connection
from bridge.settings import Mqtt
from tests import real
from tests.certificates import Authority, Pair
from tests.poll import until

pytestmark = pytest.mark.broker
WAIT_S = 20.0
SOON_S = 8.0  # an error that waiting does not mend is not waited for
DEPLOY = Path(__file__).parents[2] / "deploy" / "mosquitto"
PASSWORD = "hunter2"
USERS = ("haltere", "pump-7", "pump-8")
LISTENERS = """
listener {mutual.port} 127.0.0.1
cafile {ca}
certfile {server.cert}
keyfile {server.key}
require_certificate true
use_identity_as_username true

listener {expired.port} 127.0.0.1
certfile {old.cert}
keyfile {old.key}

listener {elsewhere.port} 127.0.0.1
certfile {far.cert}
keyfile {far.key}

listener {plain.port} 127.0.0.1
"""


class Mosquitto(MqttBroker):
    """As deploy/mosquitto/secure.conf says, and with listeners that want or show other things."""

    more = ""

    def configuration(self) -> str:
        config = (DEPLOY / "secure.conf").read_text("utf-8")
        here = f"user root\nlistener {self.endpoint.port} 127.0.0.1"
        config = config.replace("listener 8883", here)
        for place in ("/mosquitto/config/", "/mosquitto/data/"):
            config = config.replace(place, f"{self.folder}/")
        return config + self.more


@dataclass(frozen=True, slots=True)
class Place:
    """The listeners, and who is known there."""

    tls: Endpoint
    mutual: Endpoint
    expired: Endpoint
    elsewhere: Endpoint
    plain: Endpoint
    ca: str
    other_ca: str
    sealed: Pair  # the key has a password
    foreign: Pair  # of the other authority

    def settings(self, at: str, **more: Any) -> Mqtt:
        """Of a user who has all that this listener asks for, but for what the test says."""
        endpoint: Endpoint = getattr(self, at)
        told: dict[str, Any] = {"port": endpoint.port, "client_id": f"c{secrets.token_hex(6)}"}
        if at != "plain":
            told |= {"tls": True, "tls_ca_file": self.ca}
        if at == "mutual":
            told |= {"tls_cert_file": self.sealed.cert, "tls_key_file": self.sealed.key}
            told |= {"tls_key_password": PASSWORD}
        else:
            told |= {"username": "haltere", "password": PASSWORD}
        return Mqtt.model_validate(told | more)


@pytest.fixture(scope="module")
def place(brokers: real.Brokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if brokers.mqtt_name != "mosquitto":
        pytest.skip(f"needs mosquitto on PATH; {brokers.mqtt_name} does not do this")
    folder = tmp_path_factory.mktemp("secure")
    ours, theirs = Authority(folder / "ours"), Authority(folder / "theirs")
    server = ours.issue("server", "127.0.0.1")
    broker = Mosquitto(folder / "broker")
    (broker.folder / "tls").mkdir(parents=True)
    for pair, name in ((server.cert, "server.pem"), (server.key, "server.key")):
        (broker.folder / "tls" / name).write_bytes(Path(pair).read_bytes())
    (broker.folder / "acl").write_bytes((DEPLOY / "acl").read_bytes())
    (broker.folder / "passwords").write_text("".join(f"{u}:{hashed()}\n" for u in USERS))
    found = Place(
        broker.endpoint,
        free_endpoint(),
        free_endpoint(),
        free_endpoint(),
        free_endpoint(),
        ours.cert,
        theirs.cert,
        ours.issue("haltere", password=PASSWORD),
        theirs.issue("haltere"),
    )
    broker.more = LISTENERS.format(
        mutual=found.mutual,
        expired=found.expired,
        elsewhere=found.elsewhere,
        plain=found.plain,
        ca=ours.cert,
        server=server,
        old=ours.issue("old", "127.0.0.1", expired=True),
        far=ours.issue("far", "far.example"),
    )
    with broker:
        yield found


def hashed() -> str:
    """The password as mosquitto_passwd writes it: PBKDF2 with SHA-512."""
    salt, rounds = secrets.token_bytes(12), 101
    digest = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, rounds)
    return f"$7${rounds}${b64encode(salt).decode()}${b64encode(digest).decode()}"


@contextmanager
def connected(mqtt: Mqtt, clean: bool = True) -> Iterator[Connection]:
    with Connection(mqtt, mqtt.client_id, clean) as connection:
        connection.connect(WAIT_S)
        yield connection


def acknowledged(connection: Connection, count: int) -> list[object]:
    tokens: list[object] = []

    def all_there() -> bool:
        tokens.extend(connection.acknowledged())
        return len(tokens) >= count

    until(all_there)
    return tokens


def refusal(mqtt: Mqtt, patience_s: float = WAIT_S) -> HaltereError:
    """Why it does not connect; told soon, on one line, and without the password."""
    begun = time.monotonic()
    with pytest.raises(HaltereError) as caught, Connection(mqtt, mqtt.client_id, True) as trial:
        trial.connect(patience_s)
    assert time.monotonic() - begun < SOON_S
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert caught.value.remedy
    return caught.value


ACCEPTED = [
    ("tls", {}),
    ("tls", {"version": "3.1.1"}),
    ("tls", {"host": "localhost", "tls_verify_hostname": False}),
    ("mutual", {}),
    ("elsewhere", {"tls_verify_hostname": False}),
    ("plain", {}),
]


@pytest.mark.parametrize(("at", "more"), ACCEPTED)
def test_who_has_what_the_listener_asks_for_gets_in(
    place: Place, at: str, more: dict[str, Any]
) -> None:
    with connected(place.settings(at, **more)) as connection:
        connection.subscribe(["fleet/#"], WAIT_S)
        connection.publish("haltere/x/alert", b"1", "token")
        assert acknowledged(connection, 1) == ["token"]


REFUSED = [
    ("tls", {"tls_ca_file": "other_ca"}, "self-signed|unable to get", "set mqtt.tls_ca_file"),
    ("tls", {"tls_ca_file": ""}, "self-signed|unable to get", "set mqtt.tls_ca_file"),
    ("tls", {"host": "localhost"}, "Hostname mismatch.*'localhost'", "mqtt.host to a name in"),
    ("elsewhere", {}, "IP address mismatch", "mqtt.host to a name in"),
    ("expired", {}, "certificate has expired", "mqtt.tls_ca_file"),
    ("tls", {"password": "wrong"}, "Not authorized", "mqtt.username and mqtt.password"),
    ("tls", {"username": "nobody"}, "Not authorized", "mqtt.username and mqtt.password"),
    ("tls", {"username": "", "password": ""}, "Not authorized", "mqtt.username"),
    (
        "mutual",
        {"tls_cert_file": "", "tls_key_file": "", "tls_key_password": ""},
        "CERTIFICATE_REQUIRED",
        "mqtt.tls_cert_file and mqtt.tls_key_file",
    ),
    (
        "mutual",
        {"tls_cert_file": "foreign.cert", "tls_key_file": "foreign.key", "tls_key_password": ""},
        "UNKNOWN_CA|BAD_CERTIFICATE|DECRYPT",
        "mqtt.tls_cert_file and mqtt.tls_key_file",
    ),
    ("tls", {"tls": False, "tls_ca_file": ""}, "received TLS", "set mqtt.tls to true"),
    ("mutual", {"tls_key_password": ""}, "and its private key", "mqtt.tls_key_password right"),
    ("mutual", {"tls_key_file": "foreign.key"}, "KEY_VALUES_MISMATCH", "key of this certificate"),
    ("mutual", {"tls_ca_file": "sealed.key"}, "authorities, in PEM", "name the file"),
]


@pytest.mark.parametrize(("at", "more", "said", "remedy"), REFUSED)
def test_who_has_not_is_told_why_and_what_to_do(
    place: Place, at: str, more: dict[str, Any], said: str, remedy: str
) -> None:
    named = {"other_ca": place.other_ca, "sealed.key": place.sealed.key}
    named |= {"foreign.cert": place.foreign.cert, "foreign.key": place.foreign.key}
    error = refusal(place.settings(at, **{k: named.get(v, v) for k, v in more.items()}))
    assert isinstance(error, Misconfigured)
    assert re.search(said, str(error)), str(error)
    assert remedy in error.remedy


@pytest.mark.filterwarnings("ignore:.*<socket")  # paho does not close it
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tls": True}, "a broker that speaks TLS there.*mqtt.tls to false"),
        ({"transport": "websockets"}, "WebSocket handshake error.*mqtt.websocket_path"),
    ],
)
def test_a_broker_that_does_not_understand_is_unavailable_and_the_error_says_so(
    place: Place, more: dict[str, Any], said: str
) -> None:
    error = refusal(place.settings("plain", **more), patience_s=3.0)
    assert isinstance(error, Unavailable)
    assert re.search(said, str(error)), str(error)


def test_a_device_writes_under_its_own_name_only(place: Place) -> None:
    topics = ["fleet/pump/pump-8/up", "haltere/pump-7/alert", "fleet", "x", "fleet/pump/pump-7/up"]
    with connected(place.settings("tls")) as haltere:
        haltere.subscribe(["#"], WAIT_S)
        for topic in topics:  # each on its own connection: Mosquitto 2.0 ends a refused one
            at: dict[str, Any] = {"hostname": place.tls.host, "port": place.tls.port}
            at |= {"tls": {"ca_certs": place.ca}}
            publish.single(topic, b"1", auth={"username": "pump-7", "password": PASSWORD}, **at)
        assert haltere.receive(10, WAIT_S).messages[0].topic == topics[-1]  # the first that came


def test_a_device_reads_what_is_said_to_it_only_and_haltere_may_say_it(place: Place) -> None:
    with (
        connected(place.settings("tls")) as haltere,
        connected(place.settings("tls", username="pump-7")) as device,
    ):
        device.subscribe(["#", "haltere/pump-8/#", "haltere/pump-7/#"], WAIT_S)
        for topic in ("haltere/pump-8/alert", "haltere/pump-7/alert"):
            haltere.publish(topic, b"1", topic)
        haltere.publish("fleet/pump/pump-7/telemetry", b"1", "as a device")
        acknowledged(haltere, 2)
        assert [token for token, _ in haltere.refused()] == ["as a device"]
        assert {m.topic for m in device.receive(10, WAIT_S).messages} == {"haltere/pump-7/alert"}


class Web(MqttBroker):
    """amqtt, behind WebSockets."""

    tls: Pair | None = None

    def configuration(self) -> str:
        config = json.loads(super().configuration())
        listener = config["listeners"]["default"] | {"type": "ws"}
        if self.tls:
            listener |= {"ssl": True, "certfile": self.tls.cert, "keyfile": self.tls.key}
        return json.dumps(config | {"listeners": {"default": listener}})


@pytest.mark.parametrize("secure", [False, True])
def test_mqtt_goes_through_websockets(secure: bool, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    broker = Web(tmp_path / "broker", prefer="amqtt")
    told: dict[str, Any] = {"port": broker.endpoint.port, "version": "3.1.1"}
    told |= {"transport": "websockets", "client_id": "c1"}
    if secure:
        broker.tls = authority.issue("server", "127.0.0.1")
        told |= {"tls": True, "tls_ca_file": authority.cert}
    payload = bytes(range(256)) * 300
    with broker, connected(Mqtt.model_validate(told)) as connection:
        connection.subscribe(["a/#"], WAIT_S)
        connection.publish("a/b", payload, "token")
        arrived = connection.receive(1, WAIT_S)
        assert [message.payload for message in arrived.messages] == [payload]
        arrived.ack()
        until(connection.acknowledged)
    wrong = told | ({"tls_ca_file": ""} if secure else {"tls": True})
    with broker:
        refusal(Mqtt.model_validate(wrong), patience_s=1.0)
