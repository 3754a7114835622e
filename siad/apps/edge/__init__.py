"""The edge agent `siad watch`: uploads every image of a folder to ingest, once."""
