"""Pure decisions of ingest: what a line may become, what an upload says, which capture it is."""
