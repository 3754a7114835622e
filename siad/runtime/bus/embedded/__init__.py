"""The message bus in one SQLite file, for one machine without Kafka."""
