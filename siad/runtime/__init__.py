"""All I/O that the stages share."""
