"""What the stages agree on: events, topics, keys, documents and errors; standard library only."""
