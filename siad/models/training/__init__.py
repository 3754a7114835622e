"""How a segmenter learns from pseudo-masks."""
