"""The stages: ingest, labeler, trainer, inference.

They never import each other; they communicate through events.
"""
