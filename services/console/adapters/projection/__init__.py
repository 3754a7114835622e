"""Projection of topics and store in SQLite or PostgreSQL."""
