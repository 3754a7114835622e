"""Adapters of inference: its ports implemented on the store, the bus and the models."""
