"""Messages to begin with: the examples of the documentation and of the tests of each format."""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
Seed = tuple[str, bytes]


def seeds() -> list[Seed]:
    """Every example there is, in a fixed order."""
    found: dict[Seed, None] = {}
    for topic, kind, text in documented():
        found[topic, bytes.fromhex(text) if kind == "hex" else text.encode()] = None
    names = ["tests.bridge.test_formats"]
    names += [
        f"tests.bridge.formats.{path.stem}"
        for path in sorted((ROOT / "tests" / "bridge" / "formats").glob("test_*.py"))
    ]
    for name in names:
        examples = getattr(importlib.import_module(name), "EXAMPLES", [])
        found |= {(topic, payload): None for topic, payload, *_ in examples}
    return list(found)


def documented() -> list[tuple[str, str, str]]:
    """Topic, kind of the block and payload of each example in docs/formats.md."""
    page = (ROOT / "docs" / "formats.md").read_text("utf-8")
    return re.findall(r"Topic `([^`]+)`:\n\n```(\w*)\n(.*?)\n```", page, re.DOTALL)
