"""The only package that knows paho: batches of messages in, publishes out, one lasting connection.

No decisions and no callbacks above it.
"""

from bridge.mqtt.connection import Connection as Connection
