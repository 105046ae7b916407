"""The only package that knows librdkafka: producer, consumer, creation of topics.

No decisions and no callbacks above it: delivery reports, assignments and revocations are polled.
Foreign errors leave as `bridge.errors` by the table in `bridge.kafka_errors`.
"""

from bridge.kafka.admin import ensure_topic as ensure_topic
from bridge.kafka.admin import ensure_topics as ensure_topics
from bridge.kafka.admin import missing as missing
from bridge.kafka.admin import partitions as partitions
from bridge.kafka.bounds import Ranges as Ranges
from bridge.kafka.bounds import Wanted as Wanted
from bridge.kafka.client import REQUEST_S as REQUEST_S
from bridge.kafka.client import translate as translate
from bridge.kafka.consumer import EARLIEST as EARLIEST
from bridge.kafka.consumer import LATEST as LATEST
from bridge.kafka.consumer import Consumer as Consumer
from bridge.kafka.producer import Producer as Producer
from bridge.kafka.reader import Reader as Reader
from bridge.kafka.rows import Rows as Rows
from bridge.kafka_errors import is_gone as is_gone
from bridge.records import Changes as Changes
from bridge.records import Fetched as Fetched
from bridge.records import Record as Record
from bridge.records import Report as Report
