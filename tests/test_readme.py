"""What the README says is so: its commands exist, its example gives what it shows."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

import haltere
from bridge.settings import PREFIX, known_keys, load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
BLOCKS = [block for kind, block in FENCED if not kind]
LINES = [line for block in BLOCKS for line in re.findall(r"^\.venv/bin/haltere .*$", block, re.M)]


def commands(app: typer.Typer) -> set[str]:
    """Of this and of what hangs below it: `dlq list`."""
    found = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    for group in app.registered_groups:
        below = group.typer_instance
        assert below
        found |= {f"{below.info.name} {name}" for name in commands(below)}
    return found


COMMANDS = commands(haltere.app)


def command_of(words: list[str]) -> str:
    """The longest name of a command that a line begins with."""
    return max((c for c in COMMANDS if words[: len(c.split())] == c.split()), key=len)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(haltere.app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_every_command_has_a_row_and_every_row_a_command() -> None:
    rows = re.findall(r"^\| ((?:`[^`]+` ?)+)\|", README, re.MULTILINE)
    named = {command_of(name.split()) for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    assert "Example: " in run(*command.split(), "--help")


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_in_the_readme_is_one(line: str) -> None:
    words = shlex.split(line.split("#")[0].split("&")[0])
    options = run(*command_of(words[1:]).split(), "--help")
    assert all(word.split("=")[0] in options for word in words[2:] if word.startswith("--"))


def test_the_example_shows_what_one_sees() -> None:
    (block,) = (block for block in BLOCKS if block.startswith("$ haltere explain"))
    line, _, shown = block.partition("\n")
    assert run(*shlex.split(line)[2:]) == shown


@pytest.mark.parametrize("block", [block for kind, block in FENCED if kind == "toml"])
def test_its_settings_are_accepted(block: str, tmp_path: Path) -> None:
    for secret in ("mqtt", "kafka"):
        (tmp_path / secret).write_text("hunter2\n", "utf-8")
    file = tmp_path / "haltere.toml"
    file.write_text(block.replace("/run/secrets", str(tmp_path)), "utf-8")
    told = load(file, {})
    assert (told.mqtt.tls, told.kafka.tls) == (True, True)
    assert told.kafka.sasl_password.get_secret_value() == "hunter2"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.search(r"@[A-Z_]{4,}@", README)


def test_compose_sets_only_what_is_a_setting() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    names = {PREFIX + key.replace(".", "_").upper() for key in known_keys()}
    used = set(re.findall(rf"{PREFIX}\w+", (ROOT / "docker-compose.yml").read_text("utf-8")))
    assert used <= names
    assert {"kafka", "mosquitto", "ingest", "train", "score", "egress"} <= set(compose["services"])
