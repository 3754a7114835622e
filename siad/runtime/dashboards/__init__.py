"""Dashboards: one list of queries, for Grafana, the console and the documents.

Every query names metrics of the code or of the recording rules; ``tests/architecture/test_dashboards.py`` checks it.
"""
