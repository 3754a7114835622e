"""The bus: one port, its adapters."""
