"""Contracts between stages: events, topics, keys, documents and errors.

They import the standard library only; ``codec`` also imports protobuf.
"""
