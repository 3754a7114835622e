"""`siad watch`: a folder as a camera. Every image that is put there is handed to ingest, once."""
