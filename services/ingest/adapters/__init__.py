"""The ports of ingest made real."""
