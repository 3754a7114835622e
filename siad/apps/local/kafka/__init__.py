"""One Apache Kafka node on this machine."""
