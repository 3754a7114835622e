"""Pure decisions of ingest: line settings, upload claims, capture identity."""
