"""MQTT <-> Kafka."""
