"""Every setting, typed and frozen, from ``haltere.toml`` and the ``HALTERE_*`` environment.

The environment is read here and nowhere else: ``HALTERE_KAFKA_BOOTSTRAP_SERVERS`` sets
``kafka.bootstrap_servers``. An unknown key is refused with the nearest known name. Every secret
``x`` may stand in a file of its own, which ``x_file`` names.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator

from bridge.errors import Misconfigured
from bridge.mqtt_settings import FILTER as FILTER
from bridge.mqtt_settings import Mqtt as Mqtt
from bridge.mqtt_settings import Secured as Secured
from bridge.route_settings import Channel, Section
from bridge.route_settings import Route as Route

PREFIX = "HALTERE_"


Mechanism = Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class Kafka(Secured):
    """The Kafka cluster and the topics that haltere keeps there."""

    name = "kafka"

    bootstrap_servers: str = "127.0.0.1:9092"
    prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")] = "iot"
    partitions: Annotated[int, Field(ge=1, le=1000)] = 4
    replication: Annotated[int, Field(ge=1, le=10)] = 1
    retention_hours: Annotated[int, Field(ge=1)] = 7 * 24
    message_timeout_ms: Annotated[int, Field(ge=1000)] = 300_000  # then it is produced again
    sasl_mechanism: Mechanism = ""  # "": no login
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    sasl_password_file: str = ""
    oauth_token_url: str = ""  # OIDC: where a token is had for the client id and its secret
    oauth_client_id: str = ""
    oauth_client_secret: SecretStr = SecretStr("")
    oauth_client_secret_file: str = ""
    oauth_scope: str = ""
    options: dict[str, str | int | float | bool] = Field(
        default={}, repr=False
    )  # librdkafka names, over all of the above; they may hold secrets

    @model_validator(mode="after")
    def _login(self) -> Self:
        bearer = self.sasl_mechanism == "OAUTHBEARER"
        user = ("sasl_username", "sasl_password")
        client = ("oauth_token_url", "oauth_client_id", "oauth_client_secret")
        wanted, foreign = (client, user) if bearer else (user, (*client, "oauth_scope"))
        for key in foreign if self.sasl_mechanism else (*user, *foreign):
            if self._given(key):
                raise Misconfigured(
                    "kafka.sasl_mechanism",
                    f"one that takes kafka.{key}, which is given",
                    repr(self.sasl_mechanism),
                    f"set kafka.sasl_mechanism, or take kafka.{key} away",
                )
        self._needs("sasl_mechanism", *wanted)
        return self


class SchemaRegistry(Section):
    """A Confluent schema registry; without a url values are Avro single-object encoded."""

    url: str = ""


class Metrics(Section):
    """Where each process serves /metrics, /healthz and /readyz."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0  # 0: nothing is served


class Ingest(Section):
    """How ingest guards itself."""

    sparkplug: bool = True  # follow Sparkplug nodes; false: another ingest does
    sparkplug_host: Annotated[str, Field(pattern=r"^[^+#/\x00]*$")] = ""  # publish STATE under it
    state: Path = Path("haltere-ingest")  # folder of what must survive the process
    poison_limit: Annotated[int, Field(ge=2, le=100)] = 3  # attempts at a redelivered message


class Train(Section):
    """How the model learns."""

    checkpoint: Path = Path("haltere-train")  # folder of the checkpoint
    every_s: Annotated[float, Field(gt=0)] = 20.0  # seconds between two published versions
    first_readings: Annotated[int, Field(ge=1)] = 500  # of a class before its first version
    seed: int = 1


class Score(Section):
    """How readings are judged."""

    warmup: Annotated[int, Field(ge=10)] = 60  # readings of a device before it can raise alerts
    lateness_s: Annotated[float, Field(ge=0)] = 10.0  # a reading later than this goes to `late`
    episode_s: Annotated[float, Field(ge=0)] = 20.0  # quiet time that ends an episode


class Egress(Section):
    """How verdicts travel back."""

    alert_ttl_s: Annotated[float, Field(gt=0)] = 300.0  # an alert older than this is not sent


class Settings(Section):
    """All of it.

    >>> Settings().kafka.prefix
    'iot'
    """

    mqtt: Mqtt = Mqtt()
    kafka: Kafka = Kafka()
    schema_registry: SchemaRegistry = SchemaRegistry()
    metrics: Metrics = Metrics()
    ingest: Ingest = Ingest()
    train: Train = Train()
    score: Score = Score()
    egress: Egress = Egress()
    route: tuple[Route, ...] = (Route(topic="fleet/{class}/{device}/telemetry"),)
    wire: Literal["avro", "json"] = "avro"

    @model_validator(mode="after")
    def _births_and_data_meet(self) -> Self:
        """Sparkplug messages are never divided: who reads the data needs the births."""
        if self.mqtt.group and self.ingest.sparkplug and self.mqtt.sparkplug_filters():
            raise Misconfigured(
                "ingest.sparkplug",
                f"false, for mqtt.group divides {', '.join(self.mqtt.filters)}",
                "true",
                "and let one ingest without mqtt.group follow spBv1.0/#;"
                " haltere ingest --workers does both by itself",
            )
        return self


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Settings from a file (``None``: defaults) with the environment on top.

    Raises:
        Misconfigured: the file cannot be read, or a key or a value is wrong.
    """
    tree = _read(path) if path else {}
    where = str(path) if path else "defaults"
    for name in sorted(environment):
        if name.startswith(PREFIX):
            _set(tree, name, environment[name])
    for key in known_keys():
        if key.endswith("_file"):
            _open(tree, key, f"{_place(where, environment, key)}: {key}")
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise _explain(where, environment, error.errors()[0]) from None


def known_keys() -> dict[str, Any]:
    """Every key as ``section.key`` with its default; the documentation is held to this."""
    keys: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, Section):
            section = type(field.default)
            keys |= {f"{name}.{k}": f.default for k, f in section.model_fields.items()}
        else:
            keys[name] = field.default
    return keys


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise Misconfigured(
            str(path), "a configuration file", "no such file", "name another with --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(str(path), "a readable UTF-8 file", str(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(str(path), "TOML", str(error)) from None


def _variables() -> dict[str, str]:
    scalars = {k: v for k, v in known_keys().items() if k not in ("route", "kafka.options")}
    return {PREFIX + key.replace(".", "_").upper(): key for key in scalars}


def _set(tree: dict[str, Any], name: str, text: str) -> None:
    variables = _variables()
    if name not in variables:
        raise Misconfigured(
            f"environment {name}", "a known setting", "an unknown one", _nearest(name, variables)
        )
    section, _, key = variables[name].rpartition(".")
    value: Any = text.split(",") if variables[name] == "mqtt.filters" else text
    target = tree.setdefault(section, {}) if section else tree
    if isinstance(target, dict):
        target[key] = value


def _open(tree: dict[str, Any], key: str, where: str) -> None:
    """See that the file can be read; what a secret's file holds takes the secret's place."""
    section, _, name = key.partition(".")
    values = tree.get(section)
    path = values.get(name) if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(path, str) or not path:
        return
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        reason = f"{path} ({error.strerror})"
        raise Misconfigured(where, "a file that can be read", reason) from None
    secret = name.removesuffix("_file")
    if f"{section}.{secret}" not in _secrets():
        return
    if values.get(secret):
        both = f"both {section}.{secret} and {key}"
        raise Misconfigured(where, "one of the two", both, "take one of them away")
    values[secret] = content.decode("utf-8", "replace").rstrip("\r\n")
    if not values[secret]:
        raise Misconfigured(where, "a file with the secret in it", f"{path}, which is empty")


def _secrets() -> set[str]:
    return {key for key, default in known_keys().items() if isinstance(default, SecretStr)}


def _place(file: str, environment: Mapping[str, str], path: str) -> str:
    variable = next((v for v, key in _variables().items() if key == path), "")
    return f"environment {variable}" if variable in environment else file


def _explain(file: str, environment: Mapping[str, str], error: Any) -> Misconfigured:
    path = ".".join(str(part) for part in error["loc"])
    where = _place(file, environment, path)
    if error["type"] != "extra_forbidden":
        received = "nothing" if error["type"] == "missing" else _masked(path, error["input"])
        expected = error["msg"].removeprefix("Input should be ").replace("a valid tuple", "a list")
        if path.startswith("mqtt.filters."):
            expected = "an MQTT topic filter: + is a whole level, # the whole last one"
        return Misconfigured(f"{where}: {path}", expected, received)
    parent, _, _ = path.rpartition(".")
    scope = {k for k in known_keys() if k.rpartition(".")[0] == parent}
    if parent.startswith("route"):
        kind = Channel if ".channels." in parent else Route
        scope = {f"{parent}.{name}" for name in kind.model_fields}
    sections = set(Settings.model_fields) if not parent else set()
    return Misconfigured(
        f"{where}: {path}", "a known setting", "an unknown one", _nearest(path, scope | sections)
    )


def _masked(path: str, value: object) -> str:
    whole = path in Settings.model_fields and isinstance(value, dict | list)
    hidden = whole or path in _secrets() or path.startswith("kafka.options")
    return "a hidden value" if hidden else repr(value)


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "docs/settings.md lists them all"
