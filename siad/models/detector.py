"""What teacher and segmenter have in common.

Shape suffixes: B = batch, C = channels, H, W = size of the network's input, h, w = size of the map.
"""

from typing import Protocol

from torch import Tensor


class Detector(Protocol):
    """Scores images; the higher, the more defective. Whoever answers like this can serve a line."""

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place of every image.

        Args:
            images_BCHW: float32, as ``siad.core.preprocess`` makes them; H and W multiples of 32.

        Returns:
            float32 [B, h, w], raw scores, finite, unsmoothed; h and w may be any even part of H and W.
        """
        ...
