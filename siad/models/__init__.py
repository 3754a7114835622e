"""Teacher and segmenter: pure torch, no I/O."""
