"""SIAD: self-supervised visual inspection that keeps learning on the line."""

__version__ = "0.1.0"  # as in pyproject.toml
