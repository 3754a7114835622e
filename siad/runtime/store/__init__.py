"""Typed records in the store: weights and their pointers, leases."""
