"""The message bus on Apache Kafka."""
