"""The store: one port, its adapters."""
