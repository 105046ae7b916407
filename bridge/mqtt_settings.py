"""What the settings may say about the MQTT broker, and about TLS of either. Frozen values."""

from typing import Annotated, ClassVar, Literal, Self
from uuid import uuid4

from pydantic import Field, SecretStr, model_validator

from bridge.errors import Misconfigured
from bridge.route_settings import Section

LARGEST_PACKET = 268_435_455  # bytes: the longest remaining length (MQTT 5, 1.5.5)

# A topic filter (MQTT 5, 4.7): "#" is the whole last level, "+" a whole level.
FILTER = r"^(?:(?:\+|[^+#\x00/]*)/)*(?:#|\+|[^+#\x00/]*)$"
_ANY = ("#", "+", "spBv1.0")  # first levels that take topics of Sparkplug B
Filter = Annotated[str, Field(pattern=FILTER, min_length=1)]


class Secured(Section):
    """A connection that may be TLS 1.2 or later, with a certificate of ours or without."""

    name: ClassVar[str]  # of the section

    tls: bool = False
    tls_ca_file: str = ""  # PEM: who may have signed the broker's certificate; "": the system's
    tls_cert_file: str = ""  # PEM: our certificate, where the broker asks for one, and its chain
    tls_key_file: str = ""  # PEM: its private key
    tls_key_password: SecretStr = SecretStr("")
    tls_key_password_file: str = ""
    tls_verify_hostname: bool = True  # whether the certificate must name the host

    @model_validator(mode="after")
    def _whole(self) -> Self:
        tls = ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_key_password")
        for key in tls:
            self._needs(key, "tls")
        self._needs("tls_cert_file", "tls_key_file")
        self._needs("tls_key_file", "tls_cert_file")
        self._needs("tls_key_password", "tls_key_file")
        return self

    def _needs(self, key: str, *others: str) -> None:
        """Refuse a key that is given without the others."""
        for other in others:
            if self._given(key) and not self._given(other):
                raise Misconfigured(
                    f"{self.name}.{other}",
                    f"{'true' if other == 'tls' else 'a value'}, for {self.name}.{key} is given",
                    "nothing" if other != "tls" else "false",
                    f"set {self.name}.{other}, or take {self.name}.{key} away",
                )

    def _given(self, key: str) -> bool:
        value = getattr(self, key)
        return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


class Mqtt(Secured):
    """The MQTT broker, and how ingest subscribes to it."""

    name = "mqtt"

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    version: Literal["5", "3.1.1"] = "5"
    transport: Literal["tcp", "websockets"] = "tcp"
    websocket_path: Annotated[str, Field(pattern=r"^/[!-~]*$")] = "/mqtt"
    client_id: str = "haltere"  # -ingest, -egress follow; "" is a random one
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: str = ""
    filters: Annotated[tuple[Filter, ...], Field(min_length=1)] = (
        "#",
    )  # what ingest subscribes to; haltere/# is never ingested
    qos: Annotated[int, Field(ge=0, le=1)] = 1  # of that subscription
    group: Annotated[str, Field(pattern=r"^[^+#/\x00]*$")] = ""  # of a shared subscription
    member: Annotated[str, Field(pattern=r"^[^+#/\x00]*$")] = ""  # this worker's name in it
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 4000  # unacknowledged messages
    inflight_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024  # of their payloads
    maximum_packet_bytes: Annotated[int, Field(ge=1024, le=LARGEST_PACKET)] = LARGEST_PACKET
    keepalive_s: Annotated[int, Field(ge=1, le=65535)] = 30
    session_expiry_s: Annotated[int, Field(ge=0, le=2**32 - 1)] = (
        7 * 24 * 3600
    )  # how long the broker queues
    clean_session: bool = False  # begin anew each time, whatever the broker has queued
    at_most_once: bool = False  # that messages may be lost is meant

    @model_validator(mode="after")
    def _keeps_the_promise(self) -> Self:
        """What cannot keep a message safe has to be meant."""
        weak = {
            "qos": self.qos < 1,
            "clean_session": self.clean_session,
            "client_id": not self.client_id,
            "session_expiry_s": self.session_expiry_s == 0,
            "maximum_packet_bytes": self.maximum_packet_bytes < LARGEST_PACKET,
        }
        for key, loses in weak.items():
            if loses and not self.at_most_once:
                raise Misconfigured(
                    f"mqtt.{key}",
                    "what lets no message get lost",
                    repr(getattr(self, key)),
                    "or say that losing messages is meant: mqtt.at_most_once = true",
                )
        if self.group and not self.client_id:
            raise Misconfigured("mqtt.client_id", "a stable name, in a group", "none")
        return self

    def session(self, process: str) -> str:
        """The client identifier of a process, the same at each start.

        >>> Mqtt(member="gateway-1").session("ingest")
        'haltere-ingest-gateway-1'
        """
        if not self.client_id:
            return f"haltere-{process}-{uuid4().hex[:12]}"
        return "-".join(filter(None, (self.client_id, process, self.member)))

    def subscriptions(self) -> tuple[str, ...]:
        """The filters as ingest subscribes to them, shared where there is a group (MQTT 5, 4.8.2).

        >>> Mqtt(group="g", filters=("plant/#",)).subscriptions()
        ('$share/g/plant/#',)
        """
        share = f"$share/{self.group}/" if self.group else ""
        return tuple(share + name for name in self.filters)

    def sparkplug_filters(self) -> tuple[str, ...]:
        """What the filters take of the topics of Sparkplug B.

        >>> Mqtt(filters=("plant/#", "+/a/#", "#")).sparkplug_filters()
        ('spBv1.0/a/#', 'spBv1.0/#')
        """
        split = [name.partition("/") for name in self.filters]
        inside = [
            f"spBv1.0/{'#' if first == '#' else rest}" for first, _, rest in split if first in _ANY
        ]
        return tuple(dict.fromkeys(inside))

    @model_validator(mode="after")
    def _user(self) -> Self:
        self._needs("password", "username")
        return self
