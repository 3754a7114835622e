"""SIAD: self-supervised visual inspection that teaches itself, for as long as the line runs."""
