"""docs/formats.md: every format is shown, and every example is true."""

import base64
import json
import re

import pytest

from bridge.formats import FORMATS, recognise
from bridge.normalise import Normaliser
from bridge.offline import normalise_line
from tests import laws
from tests.fuzz.seeds import ROOT, documented, seeds

PAGE = (ROOT / "docs" / "formats.md").read_text("utf-8")
NAMES = {known.name for known in FORMATS}
EXPECTED = re.findall(r"Topic `[^`]+`:\n\n```\w*\n.*?\n```\n\n```json\n(.*?)\n```", PAGE, re.DOTALL)
SHOWN = [
    (topic, bytes.fromhex(text) if kind == "hex" else text.encode())
    for topic, kind, text in documented()
]


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [(*shown, expected) for shown, expected in zip(SHOWN, EXPECTED, strict=True)],
)
def test_the_examples_are_true(topic: str, payload: bytes, expected: str) -> None:
    line = {"id": "1", "topic": topic, "payload_b64": base64.b64encode(payload).decode()}
    answer = normalise_line(json.dumps(line), "line 1", Normaliser(()))
    assert answer.get("readings") == [json.loads(row) for row in expected.splitlines()]


@pytest.mark.parametrize(("topic", "payload"), SHOWN)
def test_the_examples_pass_the_laws(topic: str, payload: bytes) -> None:
    for law in laws.LAWS:
        law(topic, payload)


def test_every_format_is_shown_and_has_a_row() -> None:
    assert {recognise(topic, payload).name for topic, payload in SHOWN} == NAMES
    assert set(re.findall(r"^\| `([a-z0-9_]+)` ", PAGE, re.MULTILINE)) == NAMES


def test_every_format_has_an_example_among_the_tests() -> None:
    assert {recognise(topic, payload).name for topic, payload in seeds()} == NAMES
