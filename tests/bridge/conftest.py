"""What the tests of the bridge share."""

import pytest

from bridge.kafka import ensure_topics
from bridge.settings import Kafka


@pytest.fixture
def cluster(kafka_settings: Kafka) -> Kafka:
    """With its topics."""
    ensure_topics(kafka_settings)
    return kafka_settings
