"""docs/settings.md documents every setting with its default, and no other."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from bridge.settings import PREFIX, Route, Settings, known_keys, load

PAGE = (Path(__file__).parents[1] / "docs" / "settings.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-z0-9_.]+)` *\| `(.*?)` *\| (.+?) *\|$", re.MULTILINE)
ROWS = {key: default for key, default, _ in ROW.findall(PAGE)}


def plain(default: object) -> object:
    """As TOML would give it."""
    match default:
        case SecretStr():
            return default.get_secret_value()
        case Path():
            return str(default)
        case Route():
            return default.model_dump(exclude_defaults=True)
        case tuple():
            return [plain(item) for item in default]
    return default


def test_every_key_stands_there_once_and_no_other() -> None:
    assert sorted(key for key, _, _ in ROW.findall(PAGE)) == sorted(known_keys())
    assert len(re.findall(r"^\| `", PAGE, re.MULTILINE)) == len(ROWS)  # no row escapes the pattern


@pytest.mark.parametrize("key", known_keys())
def test_the_default_is_the_one_of_the_code(key: str) -> None:
    said = tomllib.loads(f"value = {ROWS[key]}")["value"]
    expected = plain(known_keys()[key])
    assert (said, type(said)) == (expected, type(expected))


def test_the_sections_are_those_of_the_settings() -> None:
    sections = set(re.findall(r"^## (\S+)$", PAGE, re.MULTILINE))
    assert sections == {key.split(".")[0] for key in known_keys() if "." in key}
    for section, rest in re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S):
        assert all(key.startswith(f"{section}.") for key, _, _ in ROW.findall(rest))


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_its_example_is_accepted(example: str, tmp_path: Path) -> None:
    file = tmp_path / "haltere.toml"
    file.write_text(example, "utf-8")
    assert load(file, {}) != Settings()


def test_its_variables_are_accepted_and_the_check_is_named() -> None:
    for name, value in re.findall(rf"`({PREFIX}[A-Z_]+)='?([^'`]+)'?`", PAGE):
        assert load(None, {name: value}) != Settings()
    assert "`haltere check`" in PAGE
