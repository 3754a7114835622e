"""Inference: an image's event comes in, a verdict goes out. Weights are swapped underneath without a pause."""
