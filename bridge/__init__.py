"""MQTT <-> Kafka. Runs on a gateway; never imports ``ml`` or TensorFlow."""
