"""Adapters of the trainer, over the store, the bus and job processes."""
