"""Kafka <-> TensorFlow. Never speaks MQTT.

What people use in their own programs stands here; haltere's own loops are `ml.train`, `ml.score`.
"""

from bridge.settings import Kafka as Kafka
from ml.commit import CommitCallback as CommitCallback
from ml.decoders.fields import Field as Field
from ml.output import OutputCallback as OutputCallback
from ml.sink import KafkaOutputSequence as KafkaOutputSequence
from ml.source import KafkaDataset as KafkaDataset
