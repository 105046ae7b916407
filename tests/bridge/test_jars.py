"""The jars of the embedded Kafka: what is locked is what runs. The network is a function here."""

from collections.abc import Iterator
from hashlib import sha256
from itertools import chain, repeat
from pathlib import Path

import pytest

from bridge import jars
from bridge.errors import Misconfigured, Unavailable
from bridge.jars import Fetch, Jar

GOOD = b"the jar as it was locked"
JAR = Jar(sha256(GOOD).hexdigest(), "org.example", "kafka_2.13", "4.1.0")


def network(*contents: bytes) -> Fetch:
    """Gives these contents, one a call, the last one for ever."""
    coming: Iterator[bytes] = chain(contents, repeat(contents[-1]))

    def fetch(jar: Jar, folder: Path) -> Path:
        file = folder / jar.name
        file.write_bytes(next(coming))
        return file

    return fetch


def unplugged(jar: Jar, folder: Path) -> Path:
    raise ConnectionError("Network is unreachable")


def resolve(home: Path, fetch: Fetch) -> tuple[Path, ...]:
    return jars.resolve(lambda line: None, fetch, home, (JAR,))


def put(home: Path, content: bytes) -> Path:
    file = home / JAR.path
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def test_a_jar_that_is_not_there_is_fetched(tmp_path: Path) -> None:
    (file,) = resolve(tmp_path, network(GOOD))
    assert file == tmp_path / "org/example/kafka_2.13/4.1.0/kafka_2.13-4.1.0.jar"
    assert file.read_bytes() == GOOD


def test_a_jar_that_is_there_needs_no_network(tmp_path: Path) -> None:
    file = put(tmp_path, GOOD)
    assert resolve(tmp_path, unplugged) == (file,)


@pytest.mark.parametrize("content", [GOOD[:-1], b"", GOOD.upper()])
def test_an_altered_or_truncated_jar_is_fetched_again(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, content)
    (file,) = resolve(tmp_path, network(GOOD))
    assert file.read_bytes() == GOOD


def test_a_broken_download_is_tried_once_more(tmp_path: Path) -> None:
    (file,) = resolve(tmp_path, network(GOOD[:5], GOOD))
    assert file.read_bytes() == GOOD


def test_a_jar_with_a_wrong_checksum_is_refused_by_name_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"kafka_2\.13-4\.1\.0\.jar: expected the sha256"):
        resolve(tmp_path, network(b"something else"))
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_offline_the_error_names_the_jar_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        resolve(tmp_path, unplugged)
    for part in ("kafka_2.13-4.1.0.jar", "unreachable", "kafka.bootstrap_servers", "compose"):
        assert part in str(caught.value)


def test_progress_is_told_for_each_jar(tmp_path: Path) -> None:
    told: list[str] = []
    jars.resolve(told.append, network(GOOD), tmp_path, (JAR,))
    assert told == ["fetching Kafka: 1 of 1 jars, kafka_2.13-4.1.0.jar"]


def test_the_lock_names_every_jar_once_with_a_sha256() -> None:
    locked = jars.locked()
    assert len({jar.name for jar in locked}) == len(locked) > 40
    assert {len(jar.sha256) for jar in locked} == {64}
    assert any(jar.artifact == "kafka_2.13" for jar in locked)
