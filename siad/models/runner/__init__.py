"""How a network is run: the runner port and its adapters."""
