"""What people write today: a paho callback, json, produce, PUBACK from the delivery report.

``python -m tests.bench.paho_baseline PORT BOOTSTRAP TOPIC QOS VERSION``; runs until it is ended.
"""

import json
import sys
from typing import Any

import paho.mqtt.client as paho
from confluent_kafka import Producer
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

OPTIONS = {"enable.idempotence": True, "linger.ms": 20, "compression.type": "lz4"}


def main() -> None:
    port, servers, topic, qos, version = sys.argv[1:]
    five = version == "5"
    producer = Producer({"bootstrap.servers": servers, **OPTIONS})
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id="baseline",
        protocol=paho.MQTTv5 if five else paho.MQTTv311,
        manual_ack=True,
    )

    def on_message(_: Any, data: Any, message: paho.MQTTMessage) -> None:
        body = json.loads(message.payload)
        value = {"device": body.pop("device"), "ts": body.pop("ts"), "values": body}

        def delivered(error: Any, _: Any) -> None:
            if error is None:
                client.ack(message.mid, message.qos)

        while True:
            try:
                producer.produce(topic, json.dumps(value), value["device"], on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)

    def on_connect(*_: Any) -> None:
        client.subscribe("fleet/#", int(qos))

    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: print("ready", flush=True)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = 10_000
    client.connect("127.0.0.1", int(port), properties=properties if five else None)
    client.loop_start()
    while True:
        producer.poll(0.01)


if __name__ == "__main__":
    main()
