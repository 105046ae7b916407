"""The topics of haltere: what is keyed by the device is co-partitioned, three are compacted."""

from bridge.contracts import Topics
from bridge.settings import Kafka
from bridge.tail import KINDS
from bridge.topics import LARGEST, topics

TOLD = Kafka(prefix="plant.a", partitions=6, retention_hours=2)
BY_NAME = {topic.name.removeprefix("plant.a."): topic for topic in topics(TOLD)}


def test_all_topics_are_there_once_under_the_prefix() -> None:
    assert sorted(BY_NAME) == sorted(KINDS)
    assert len(topics(TOLD)) == len(BY_NAME)
    for short, topic in BY_NAME.items():
        assert topic.name == getattr(Topics("plant.a"), short) == f"plant.a.{short}"


def test_everything_is_co_partitioned_but_models_and_births() -> None:
    partitions = {short: topic.partitions for short, topic in BY_NAME.items()}
    assert partitions.pop("models") == partitions.pop("births") == 1
    assert set(partitions.values()) == {6}


def test_models_state_and_births_are_compacted_and_never_expire() -> None:
    compacted = {n for n, t in BY_NAME.items() if t.config.get("cleanup.policy") == "compact"}
    assert compacted == {"models", "state", "births"}
    assert all("retention.ms" not in BY_NAME[name].config for name in compacted)


def test_the_others_are_kept_as_long_as_the_settings_say() -> None:
    lasting = ("models", "state", "births")
    kept = {t.config["retention.ms"] for n, t in BY_NAME.items() if n not in lasting}
    assert kept == {str(2 * 3600 * 1000)}


def test_a_dead_letter_may_be_as_large_as_the_largest_payload() -> None:
    assert int(BY_NAME["deadletters"].config["max.message.bytes"]) >= LARGEST
