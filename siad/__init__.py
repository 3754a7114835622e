"""SIAD: self-supervised visual inspection that teaches itself, for as long as the line runs."""

__version__ = "0.1.0"  # as in pyproject.toml
