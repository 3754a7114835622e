"""What teacher and segmenter have in common.

Shape suffixes: B = batch, C = channels, H, W = size of the network's input, h, w = size of the map.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


class Detector(Protocol):
    """Scores images; the higher, the more defective. Whoever answers like this can serve a line."""

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place of every image.

        Args:
            images_BCHW: float32, as ``siad.vision.preprocess`` makes them; H and W multiples of 32.

        Returns:
            float32 [B, h, w], raw scores, finite, unsmoothed; h and w may be any even part of H and W.
        """
        ...


@runtime_checkable
class MultiViewDetector(Protocol):
    """A detector whose score is the mean of several views; where they differ, nobody knows."""

    def views(self, images_BCHW: Tensor) -> Tensor:
        """Each view's scores on the common scale: float32 [V, B, h, w]; their mean over V is the score."""
        ...


@runtime_checkable
class WholeImageDetector(Protocol):
    """A detector that is handed an input whole, however large, and keeps its memory bounded by itself."""

    sees_whole: bool
