"""The edge agent `siad watch`: uploads images of a folder, each once."""
