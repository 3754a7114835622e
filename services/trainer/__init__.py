"""Trainer: siad.pseudo-mask.v1 -> ledger -> training runs -> a segmenter -> siad.segmenter.v1."""
