"""Settings at the door: what is wrong is refused with its place, and secrets stay hidden."""

from pathlib import Path

import pytest

from bridge.errors import Misconfigured
from bridge.settings import Settings, known_keys, load

SECRET = "hunter2"


def told(folder: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    file = folder / "haltere.toml"
    file.write_text(text, "utf-8")
    return load(file, environment or {})


def complaint(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(Misconfigured) as caught:
        told(folder, text, environment)
    return str(caught.value)


@pytest.mark.parametrize("topic", ["a/#/b", "a#", "a+/b", "", "#/"])
def test_a_filter_that_mqtt_does_not_know_is_refused(topic: str, tmp_path: Path) -> None:
    file = tmp_path / "haltere.toml"
    file.write_text(f'[mqtt]\nfilters = ["fleet/+/#", "{topic}"]\n', "utf-8")
    with pytest.raises(Misconfigured, match=r"mqtt\.filters\.1: expected an MQTT topic filter"):
        load(file, {})


def test_without_a_file_the_defaults_hold() -> None:
    assert load(None, {}) == Settings()


def test_what_the_file_says_holds_and_the_rest_is_default(tmp_path: Path) -> None:
    text = """
    wire = "json"
    [mqtt]
    port = 1884
    filters = ["a/#", "b/+"]
    [kafka.options]
    "security.protocol" = "SSL"
    [[route]]
    topic = "{site}/{device}"
    """
    settings = told(tmp_path, text)
    assert settings.wire == "json"
    assert (settings.mqtt.port, settings.mqtt.filters) == (1884, ("a/#", "b/+"))
    assert settings.kafka.options == {"security.protocol": "SSL"}
    assert [route.topic for route in settings.route] == ["{site}/{device}"]
    assert settings.mqtt.host == Settings().mqtt.host


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[mqtt]\nprot = 1", "mqtt.prot", "mqtt.port"),
        ("[kafka]\nbootstrap_server = ''", "kafka.bootstrap_server", "kafka.bootstrap_servers"),
        ("[mqqt]\nport = 1", "mqqt", "mqtt"),
        ("wires = 'json'", "wires", "wire"),
        ("[[route]]\ntopic = 'a'\ntopics = 'b'", "route.0.topics", "route.0.topic"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(
    tmp_path: Path, text: str, key: str, nearest: str
) -> None:
    said = complaint(tmp_path, text)
    assert f"haltere.toml: {key}: expected a known setting" in said
    assert said.endswith(f"(did you mean {nearest}?)")


def test_a_key_that_resembles_none_is_sent_to_the_documentation(tmp_path: Path) -> None:
    assert complaint(tmp_path, "zzzzz = 1").endswith("(docs/settings.md lists them all)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mqtt]\nport = 'x'", "mqtt.port: expected a valid integer*, received 'x'"),
        ("[mqtt]\nport = 0", "mqtt.port: expected greater than or equal to 1, received 0"),
        ("[mqtt]\nversion = 5", "mqtt.version: expected '5' or '3.1.1', received 5"),
        ("[kafka]\nprefix = 'a b'", "kafka.prefix: expected *, received 'a b'"),
        ("[train]\nevery_s = 0", "train.every_s: expected greater than 0, received 0"),
        ("wire = 'xml'", "wire: expected 'avro' or 'json', received 'xml'"),
        ("mqtt = 3", "mqtt: expected *, received 3"),
        ("[[route]]", "route.0.topic: expected *, received nothing"),
    ],
)
def test_a_wrong_value_says_where_what_was_expected_and_what_came(
    tmp_path: Path, text: str, said: str
) -> None:
    beginning, _, end = said.partition("*")
    complained = complaint(tmp_path, text)
    assert complained.startswith(f"{tmp_path / 'haltere.toml'}: {beginning}")
    assert complained.endswith(end)


def test_the_environment_goes_on_top_of_the_file(tmp_path: Path) -> None:
    environment = {
        "HALTERE_MQTT_PORT": "1885",
        "HALTERE_MQTT_FILTERS": "a/#,b/#",
        "HALTERE_MQTT_USERNAME": "jane",
        "HALTERE_MQTT_PASSWORD": SECRET,
        "HALTERE_KAFKA_BOOTSTRAP_SERVERS": "k:1",
        "HALTERE_WIRE": "json",
        "PATH": "/bin",
    }
    settings = told(tmp_path, "[mqtt]\nport = 1884\nhost = 'h'", environment)
    assert (settings.mqtt.host, settings.mqtt.port) == ("h", 1885)
    assert settings.mqtt.filters == ("a/#", "b/#")
    assert settings.mqtt.password.get_secret_value() == SECRET
    assert settings.kafka.bootstrap_servers == "k:1"
    assert settings.wire == "json"


def test_every_scalar_key_has_a_variable() -> None:
    for key, default in known_keys().items():
        if key not in ("route", "kafka.options"):
            value = ",".join(default) if isinstance(default, tuple) else _text(default)
            name = f"HALTERE_{key.replace('.', '_').upper()}"
            assert load(None, {name: value}) == Settings()


def _text(default: object) -> str:
    return "" if "Secret" in type(default).__name__ else str(default)


def test_a_wrong_value_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    said = complaint(tmp_path, "", {"HALTERE_MQTT_PORT": "x"})
    assert said.startswith("environment HALTERE_MQTT_PORT: mqtt.port: expected a valid integer")


@pytest.mark.parametrize("name", ["HALTERE_MQTT_PROT", "HALTERE_", "HALTERE_KAFKA_OPTIONS"])
def test_an_unknown_variable_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match=f"environment {name}: expected a known setting"):
        load(None, {name: "1"})


def test_the_nearest_variable_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"did you mean HALTERE_MQTT_PORT\?"):
        load(None, {"HALTERE_MQTT_PROT": "1"})


def test_secrets_are_masked_in_what_settings_say_of_themselves(tmp_path: Path) -> None:
    text = f"[mqtt]\nusername = 'jane'\npassword = '{SECRET}'"
    text += f"\n[kafka.options]\n'sasl.password' = '{SECRET}'"
    settings = told(tmp_path, text)
    assert settings.kafka.options["sasl.password"] == SECRET
    for shown in (repr(settings), str(settings), f"{settings.kafka}", repr(settings.mqtt)):
        assert SECRET not in shown


@pytest.mark.parametrize(
    "text",
    [
        f"[mqtt]\npassword = ['{SECRET}']",
        f"[kafka.options]\n'sasl.password' = ['{SECRET}']",
        f"[kafka.options]\n'ssl.key.pem' = ['{SECRET}']",
        f"[kafka]\noptions = '{SECRET}'",
        f"[kafka]\nsasl_password = ['{SECRET}']",
        f"[kafka]\noauth_client_secret = ['{SECRET}']",
        f"[[mqtt]]\ntls_key_password = '{SECRET}'",
    ],
)
def test_secrets_are_masked_in_errors(tmp_path: Path, text: str) -> None:
    said = complaint(tmp_path, text)
    assert SECRET not in said
    assert "a hidden value" in said


SECRETS = [key for key, default in known_keys().items() if "Secret" in type(default).__name__]
PARTNERS = {
    "mqtt.password": "username = 'jane'",
    "mqtt.tls_key_password": "tls = true\ntls_cert_file = '{file}'\ntls_key_file = '{file}'",
    "kafka.tls_key_password": "tls = true\ntls_cert_file = '{file}'\ntls_key_file = '{file}'",
    "kafka.sasl_password": "sasl_mechanism = 'PLAIN'\nsasl_username = 'jane'",
    "kafka.oauth_client_secret": (
        "sasl_mechanism = 'OAUTHBEARER'\noauth_token_url = 'u'\noauth_client_id = 'c'"
    ),
}


@pytest.mark.parametrize("key", SECRETS)
@pytest.mark.parametrize("by", ["file", "environment"])
def test_every_secret_may_stand_in_a_file_of_its_own(key: str, by: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f" {SECRET}=\r\n", "utf-8")
    section, _, name = key.partition(".")
    text = f"[{section}]\n{PARTNERS[key].format(file=secret)}\n"
    environment = {}
    if by == "file":
        text += f"{name}_file = '{secret}'\n"
    else:
        environment = {f"HALTERE_{key.replace('.', '_').upper()}_FILE": str(secret)}
    settings = told(tmp_path, text, environment)
    assert getattr(getattr(settings, section), name).get_secret_value() == f" {SECRET}="
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("key", SECRETS)
def test_a_secret_that_is_given_twice_is_refused(key: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET, "utf-8")
    section, _, name = key.partition(".")
    environment = {f"HALTERE_{key.replace('.', '_').upper()}": SECRET}
    said = complaint(tmp_path, f"[{section}]\n{name}_file = '{secret}'", environment)
    assert f"{key}_file: expected one of the two, received both {key} and {key}_file" in said
    assert SECRET not in said


@pytest.mark.parametrize("key", [key for key in known_keys() if key.endswith("_file")])
def test_a_file_that_cannot_be_read_is_named(key: str, tmp_path: Path) -> None:
    section, _, name = key.partition(".")
    said = complaint(tmp_path, f"[{section}]\n{name} = '{tmp_path}/nowhere'")
    assert f"{key}: expected a file that can be read, received {tmp_path}/nowhere (No such" in said
    variable = f"HALTERE_{key.replace('.', '_').upper()}"
    said = complaint(tmp_path, "", {variable: str(tmp_path)})
    assert said.startswith(f"environment {variable}: {key}: expected a file that can be read")


def test_an_empty_file_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n", "utf-8")
    said = complaint(tmp_path, f"[mqtt]\npassword_file = '{tmp_path}/secret'")
    assert "expected a file with the secret in it" in said


HALVES = [
    ("mqtt", {"password": "p"}, "mqtt.username: expected a value, for mqtt.password is given"),
    ("mqtt", {"tls_ca_file": "c"}, "mqtt.tls: expected true, for mqtt.tls_ca_file is given"),
    ("mqtt", {"tls": True, "tls_key_file": "k"}, "mqtt.tls_cert_file: expected a value"),
    ("mqtt", {"tls": True, "tls_cert_file": "c"}, "mqtt.tls_key_file: expected a value"),
    ("mqtt", {"tls": True, "tls_key_password": "p"}, "mqtt.tls_key_file: expected a value"),
    ("kafka", {"tls_cert_file": "c", "tls_key_file": "k"}, "kafka.tls: expected true"),
    ("kafka", {"tls": True, "tls_key_file": "k"}, "kafka.tls_cert_file: expected a value"),
    ("kafka", {"sasl_mechanism": "PLAIN"}, "kafka.sasl_username: expected a value"),
    (
        "kafka",
        {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "u"},
        "kafka.sasl_password: expected a value, for kafka.sasl_mechanism is given",
    ),
    ("kafka", {"sasl_username": "u"}, "kafka.sasl_mechanism: expected one that takes kafka.sasl_u"),
    ("kafka", {"oauth_scope": "s"}, "kafka.sasl_mechanism: expected one that takes kafka.oauth_s"),
    (
        "kafka",
        {"sasl_mechanism": "OAUTHBEARER", "sasl_password": "p"},
        "kafka.sasl_mechanism: expected one that takes kafka.sasl_password",
    ),
    (
        "kafka",
        {"sasl_mechanism": "OAUTHBEARER", "oauth_token_url": "u", "oauth_client_id": "i"},
        "kafka.oauth_client_secret: expected a value",
    ),
]


@pytest.mark.parametrize(("section", "half", "said"), HALVES)
def test_half_a_configuration_is_refused(section: str, half: dict[str, str], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Settings.model_validate({section: half})
    assert str(caught.value).startswith(said)


def test_a_missing_file_is_named_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"nowhere\.toml.*no such file.*--config"):
        load(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize(
    ("content", "expected"), [(b"[mqtt", "TOML"), (b"\xff", "a readable UTF-8 file")]
)
def test_a_file_that_is_no_toml_is_misconfigured(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    file = tmp_path / "haltere.toml"
    file.write_bytes(content)
    with pytest.raises(Misconfigured, match=f"expected {expected}"):
        load(file, {})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="a readable UTF-8 file"):
        load(tmp_path, {})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().mqtt.port = 1
