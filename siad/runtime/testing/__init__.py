"""Fakes and tools for tests; shipped, so that a plant can test its own glue."""
