"""Fakes and tools for tests.

They are shipped, so that an operator's own adapters can be tested with them.
"""
