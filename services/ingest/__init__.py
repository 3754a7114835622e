"""ingest: images and settings of lines over HTTP -> the store, and events that say so. Nothing else writes them."""
