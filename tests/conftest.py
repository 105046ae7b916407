"""What all tests share: the real brokers, settings of their own, and no skips where none may be.

``CI_NO_SKIPS=1`` turns a skip into a failure. ``TEST_MQTT_BROKER=amqtt`` tests on amqtt where there
is Mosquitto.
"""

import os
import uuid
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from bridge.settings import PREFIX, Ingest, Kafka, Mqtt, Route, Settings
from tests import real

# A busy machine is slow, which is no failure of a law.
hypothesis.settings.register_profile("haltere", deadline=None)
hypothesis.settings.load_profile("haltere")

collect_ignore = ["fuzz/guided.py"]  # needs atheris, which only `make fuzz` installs
DESK = pytest.StashKey[real.Desk]()


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # of the developer, not of the tests
    if "s" not in config.option.reportchars:
        config.option.reportchars += "s"  # a skip says why


@pytest.hookimpl(tryfirst=True)  # before the workers are started: they inherit the address
def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        desk = session.config.stash[DESK] = real.Desk()
        os.environ[real.ADDRESS] = desk.address


def pytest_unconfigure(config: pytest.Config) -> None:
    if DESK in config.stash:
        config.stash[DESK].close()
        del config.stash[DESK]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _forbid(report)
    if report.failed and (brokers := item.funcargs.get("brokers")):  # type: ignore[attr-defined]
        report.sections.append(("what Kafka logged last", brokers.lately()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _forbid(report)
    return report


def _forbid(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI_NO_SKIPS") == "1":
        report.outcome = "failed"
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"skipped where CI_NO_SKIPS forbids it: {why}"


@pytest.fixture(scope="session")
def brokers() -> real.Brokers:
    """Real Kafka and a real MQTT broker, the same for all tests."""
    return real.ask()


@pytest.fixture
def mosquitto(brokers: real.Brokers) -> None:
    """For what only Mosquitto shows."""
    if brokers.mqtt_name != "mosquitto":
        pytest.skip(f"needs mosquitto on PATH; {brokers.mqtt_name} does not do this")


@pytest.fixture
def unique() -> str:
    """A name that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def kafka_settings(brokers: real.Brokers, unique: str) -> Kafka:
    """The cluster, with topics of the test's own; they are not created yet."""
    return Kafka(bootstrap_servers=brokers.bootstrap_servers, prefix=unique, partitions=2)


@pytest.fixture
def mqtt_settings(brokers: real.Brokers, unique: str) -> Mqtt:
    """The broker, with a client id and topics of the test's own."""
    return Mqtt(
        host=brokers.mqtt_host,
        port=brokers.mqtt_port,
        version=brokers.mqtt_version,
        client_id=unique,
        filters=(f"{unique}/#",),
    )


@pytest.fixture
def settings(kafka_settings: Kafka, mqtt_settings: Mqtt, unique: str, tmp_path: Path) -> Settings:
    """Both; devices speak on ``{unique}/{class}/{device}/telemetry``."""
    return Settings(
        mqtt=mqtt_settings,
        kafka=kafka_settings,
        ingest=Ingest(state=tmp_path / "ingest"),
        route=(Route(topic=f"{unique}/{{class}}/{{device}}/telemetry"),),
    )
