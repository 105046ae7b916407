"""Write bridge/kafka-jars.lock anew: ``python deploy/lock_jars.py 4.1.0``; then run the tests."""

import sys
from pathlib import Path

import jgo

from bridge.jars import LOCK, sha256

HEAD = (
    "# The jars of the embedded Kafka broker: sha256, then group:artifact:version. "
    "Written by deploy/lock_jars.py."
)


def lock(version: str) -> str:
    """The text of the lock for a Kafka version, with the logging that its pom leaves out."""
    artifacts = jgo.resolve(f"org.apache.kafka:kafka_2.13:{version}")
    log4j = next(a.version for a in artifacts if a.artifactId == "log4j-core")
    artifacts += jgo.resolve(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}")[:1]
    jars = sorted((f"{a.groupId}:{a.artifactId}:{a.version}", Path(a.resolve())) for a in artifacts)
    return "\n".join([HEAD, *(f"{sha256(file)}  {name}" for name, file in jars), ""])


if __name__ == "__main__":
    target = Path(__file__).parent.parent / "bridge" / LOCK
    target.write_text(lock(sys.argv[1]), "utf-8")
