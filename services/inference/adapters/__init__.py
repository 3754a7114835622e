"""Adapters of inference's ports on store, bus and models."""
