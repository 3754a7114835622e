"""The ports of inference made real."""
