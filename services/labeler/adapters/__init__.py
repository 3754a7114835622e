"""Adapters of the labeler, over the store, the bus and the scorer."""
