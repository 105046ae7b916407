"""The jars of the embedded Kafka broker: found in the Maven cache or fetched, always as locked.

Every jar is hashed at every start (44 MB, 0.05 s), so an altered or truncated one is noticed and
fetched again. Owns jgo; nothing here knows what the jars are for.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bridge.errors import Misconfigured, Unavailable

Progress = Callable[[str], None]

LOCK = "kafka-jars.lock"
WAY_OUT = (
    "without it use a broker of yours, kafka.bootstrap_servers, or docker compose up; "
    "with the network back, start again"
)


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock.

    >>> Jar("00", "org.slf4j", "slf4j-api", "1.7.36").path.as_posix()
    'org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar'
    """

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> Path:
        """In a Maven cache."""
        return Path(*self.group.split("."), self.artifact, self.version, self.name)

    def is_at(self, file: Path) -> bool:
        """Whether the file is there and is this jar, byte for byte."""
        return file.is_file() and sha256(file) == self.sha256


Fetch = Callable[[Jar, Path], Path]  # a jar, a folder to fetch it into -> the file there


def locked() -> tuple[Jar, ...]:
    """The jars that the broker runs on."""
    text = resources.files("bridge").joinpath(LOCK).read_text("utf-8")
    return parse(text.splitlines())


def parse(lines: Iterable[str]) -> tuple[Jar, ...]:
    """Jars from the lines of a lock.

    >>> parse(["# why", "ab  org.slf4j:slf4j-api:1.7.36"])
    (Jar(sha256='ab', group='org.slf4j', artifact='slf4j-api', version='1.7.36'),)
    """
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Jar(digest, *coordinate.split(":")) for digest, coordinate in pairs)


def sha256(file: Path) -> str:
    """Of a file, as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache() -> Path:
    """The Maven cache that jgo uses, shared with every other user of Maven.

    Raises:
        Misconfigured: the `embedded` extra is not installed.
    """
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise not_installed(error) from None
    return Path(MavenContext().repo_cache)


def not_installed(error: ImportError) -> Misconfigured:
    """What to say when a package of the `embedded` extra is missing."""
    return Misconfigured(
        "embedded brokers",
        f"the package {error.name}",
        "none of that name",
        "pip install 'haltere[embedded]', or use brokers of yours",
    )


def download(jar: Jar, folder: Path) -> Path:
    """The real Fetch."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, local_repos=[])
    project = context.project(jar.group, jar.artifact)
    return Path(project.at_version(jar.version).artifact().resolve())


def resolve(
    progress: Progress,
    fetch: Fetch = download,
    home: Path | None = None,
    wanted: tuple[Jar, ...] | None = None,
) -> tuple[Path, ...]:
    """Where every locked jar lies in the cache, after fetching what is not there.

    Raises:
        Unavailable: a jar is not there and cannot be fetched.
        Misconfigured: what was fetched is not what the lock says, twice.
    """
    home = home or cache()
    wanted = wanted or locked()
    missing = [jar for jar in wanted if not jar.is_at(home / jar.path)]
    if missing:
        _fetch_all(missing, home, fetch, progress)
    return tuple(home / jar.path for jar in wanted)


def _fetch_all(missing: list[Jar], home: Path, fetch: Fetch, progress: Progress) -> None:
    home.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".haltere-", dir=home) as scratch,
        ThreadPoolExecutor(4) as pool,
    ):
        under_way = [pool.submit(_fetch, jar, home, Path(scratch), fetch) for jar in missing]
        try:
            for count, done in enumerate(as_completed(under_way), 1):
                progress(f"fetching Kafka: {count} of {len(missing)} jars, {done.result()}")
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch(jar: Jar, home: Path, scratch: Path, fetch: Fetch) -> str:
    found = ""
    for attempt in ("first", "second"):
        file = _try(jar, scratch / attempt, fetch)
        found = sha256(file)
        if found == jar.sha256:
            (home / jar.path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, home / jar.path)  # a reader sees the old jar or the new one, whole
            return jar.name
    raise Misconfigured(
        jar.name,
        f"the sha256 {jar.sha256}",
        found,
        "a proxy or a mirror may have changed it; fetched twice, not used",
    )


def _try(jar: Jar, folder: Path, fetch: Fetch) -> Path:
    folder.mkdir(exist_ok=True)
    try:
        return fetch(jar, folder)
    except ImportError as error:
        raise not_installed(error) from None
    except (OSError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {str(error)[:160]}"
        raise Unavailable(f"Kafka's jar {jar.name}", "to fetch it", reason, WAY_OUT) from error
