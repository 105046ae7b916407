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
    text = f"[mqtt]\nusername = 'jane'\npassword = '{SECRET}'\n[kafka.options]\n'sasl.password' = '{SECRET}'"
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
    ],
)
def test_secrets_are_masked_in_errors(tmp_path: Path, text: str) -> None:
    said = complaint(tmp_path, text)
    assert SECRET not in said
    assert "a hidden value" in said


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
