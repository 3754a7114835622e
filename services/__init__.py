"""The stages: ingest, labeler, console, trainer, inference.

They never import each other; they communicate through events.
"""
