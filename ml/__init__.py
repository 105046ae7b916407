"""Kafka <-> TensorFlow. Never speaks MQTT."""
