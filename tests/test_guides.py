"""What docs/datasets.md and docs/coming-from-tensorflow-io.md say is so: their Python runs here."""

import ast
import inspect
import json
import re
import runpy
import textwrap
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from bridge.kafka import Producer, Record, ensure_topic
from bridge.settings import Kafka
from bridge.spans import Span
from ml import KafkaDataset, OutputCallback
from ml.output import Outputs
from ml.plan import OURS, ROWS, WAIT_MS, Decoding, Options
from tests.ml.topic import fill, values

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NAMES = ("datasets.md", "coming-from-tensorflow-io.md")
GUIDES = {name: (DOCS / name).read_text("utf-8") for name in NAMES}
COMING = GUIDES["coming-from-tensorflow-io.md"]
BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
BLOCKS = {
    name: [textwrap.dedent(block) for _, block in BLOCK.findall(text)]
    for name, text in GUIDES.items()
}
(LISTING,) = (block for block in BLOCKS["coming-from-tensorflow-io.md"] if "x_train" in block)
PRELUDES = {name: blocks[0] for name, blocks in BLOCKS.items()}
EXAMPLES = [
    pytest.param(name, block, id=f"{name}-{n}")
    for name, blocks in BLOCKS.items()
    for n, block in enumerate(blocks)
    if block not in (LISTING, PRELUDES[name])
]
DEFECTS = dict(re.findall(r"^\| ([a-z]) \|.*\| ([^|]+) \|$", COMING, re.MULTILINE))
IMAGES, RECORDS = 60, 1500  # of each topic, of each partition


def run(text: str, servers: str, folder: Path) -> dict[str, Any]:
    """As a file of its reader's, with Kafka where it is; what does not end does twice."""
    text = re.sub(r"localhost(:9092)?", servers, text)
    file = folder / "guide.py"
    file.write_text(text.replace("while True:", "for _ in range(2):"), "utf-8")
    return runpy.run_path(str(file))


def images() -> tuple[np.ndarray, np.ndarray]:
    """Of each label a stripe at a height of its own; and the labels."""
    labels = np.arange(IMAGES, dtype=np.uint8) % 10
    pixels = np.zeros((IMAGES, 28, 28), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label + 4] = 255
    return pixels, labels


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_the_listing_of_the_talk_trains_and_predicts(
    kafka_settings: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = kafka_settings.bootstrap_servers
    monkeypatch.setenv("HALTERE_KAFKA_BOOTSTRAP_SERVERS", servers)
    pixels, labels = images()
    topics = {"x_train": pixels, "y_train": labels, "x_test": pixels}
    for name, rows in topics.items():
        ensure_topic(kafka_settings, Span(name))
        fill(kafka_settings, name, [row.tobytes() for row in rows])
    keras.utils.set_random_seed(1)
    run(LISTING, servers, tmp_path)
    predicted = values(KafkaDataset("y_pred", servers, eof=True, batch_rows=IMAGES))
    assert len(predicted) == IMAGES
    assert [np.argmax(json.loads(row)) for row in predicted] == labels.tolist()


@pytest.fixture
def cars(kafka_settings: Kafka, unique: str) -> str:
    """A topic of two partitions, as the guides suppose it."""
    ensure_topic(kafka_settings, Span(unique, 1))
    with Producer(kafka_settings, "test") as producer:
        producer.produce_and_wait(
            Record(
                unique,
                b"car-%d" % (n % 7),
                json.dumps({"temperature": 20.5 + n % 3, "vibration": 0.1}).encode(),
                n % 2,
                (("trace", b"%d" % n),),
            )
            for n in range(2 * RECORDS)
        )
    return unique


@pytest.mark.broker
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize(("guide", "block"), EXAMPLES)
def test_an_example_runs(
    guide: str, block: str, kafka_settings: Kafka, cars: str, tmp_path: Path
) -> None:
    text = re.sub(r"\bcars\b", cars, PRELUDES[guide] + block)
    run(text, kafka_settings.bootstrap_servers, tmp_path)


@pytest.mark.parametrize("guide", GUIDES)
def test_every_block_of_python_compiles(guide: str) -> None:
    assert len(BLOCKS[guide]) == GUIDES[guide].count("```python") > 5
    for block in BLOCKS[guide]:
        compile(block, guide, "exec")


def found_in(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text("utf-8")))
    return {n.name for n in nodes if isinstance(n, ast.FunctionDef) if n.name.startswith("test_")}


def test_every_defect_has_its_tests_and_every_test_its_defect() -> None:
    assert "".join(DEFECTS) == "abcdefghijkl"
    named = {test: row for row, tests in DEFECTS.items() for test in re.findall("`(.+?)`", tests)}
    assert named.keys() == found_in(ROOT / "tests" / "ml" / "test_tensorflow_io.py")
    assert all(test.startswith(f"test_{row}_") for test, row in named.items())


@pytest.mark.parametrize("guide", GUIDES)
def test_what_it_points_to_is_there(guide: str) -> None:
    known = {name for file in (ROOT / "tests").rglob("test_*.py") for name in found_in(file)}
    assert set(re.findall(r"`(test_\w+)`", GUIDES[guide])) <= known
    for path in re.findall(r"`((?:tests|examples|docs)/[\w/.-]+)`", GUIDES[guide]):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"\]\(([^)#]+)\)", GUIDES[guide]):
        assert (DOCS / target).exists(), target


def options(heading: str) -> dict[str, str]:
    """Names and defaults of a table."""
    _, _, rest = GUIDES["datasets.md"].partition(f"### {heading}\n")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\|", rest.partition("\n#")[0], re.MULTILINE)
    assert len(rows) == len(dict(rows)) > 0
    return dict(rows)


@pytest.mark.parametrize(("kind", "more"), [(KafkaDataset, Options), (OutputCallback, Outputs)])
def test_the_table_of_options_has_each_of_them(kind: type, more: Any) -> None:
    named = list(inspect.signature(kind).parameters)[:-1]  # without options
    assert list(options(kind.__name__)) == [*named, *more.__annotations__]


def test_the_defaults_are_those_of_the_code() -> None:
    told = {
        name: ast.literal_eval(default.strip("`"))
        for name, default in options("KafkaDataset").items()
        if default.startswith("`")
    }
    given = inspect.signature(KafkaDataset).parameters
    known = {
        name: p.default for name, p in given.items() if p.default is not inspect.Parameter.empty
    }
    how = Decoding()
    known |= {name: getattr(how, name) for name in Decoding.__slots__ if name != "kind"}
    known |= {"decode": how.kind, "batch_rows": ROWS, "batch_ms": WAIT_MS}
    known |= {"message_key": False, "headers": (), "configuration": ()}
    assert told == known


def test_what_is_refused_of_librdkafka_is_named() -> None:
    _, _, rest = GUIDES["datasets.md"].partition("\nRefused in `configuration`")
    assert set(re.findall(r"`([a-z.]+\.[a-z.]+)`", rest.partition("\n\n")[0])) == OURS.keys()
