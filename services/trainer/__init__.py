"""Trainer: siad.pseudo-mask.v1 -> ledger -> training runs -> a segmenter -> siad.segmenter.v1.

It also carries out siad.command.v1: runs that people request, and rollbacks of segmenters.
"""
