"""ingest: HTTP images and line settings -> store and events.

No other stage writes images, receipts, normals or settings.
"""
