"""inference: the event of an image -> its verdict. Weights are swapped underneath without a pause."""
