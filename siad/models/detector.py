"""Detector protocols: what teachers and the segmenter offer to the torch runner.

Shape suffixes: B = batch, C = channels, V = views, H, W = size of the network's input, h, w = size of the map.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor


class Detector(Protocol):
    """Scores images; the higher, the more defective."""

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every position of every image.

        Args:
            images_BCHW: float32, as ``siad.vision.preprocess`` makes them; H and W multiples of 32.

        Returns:
            float32 [B, h, w], raw scores, finite, unsmoothed; h and w may be any even part of H and W.
        """
        ...


@runtime_checkable
class MultiViewDetector(Protocol):
    """A detector whose score is the mean of several views.

    Where they differ, the truth is unknown.
    """

    def views(self, images_BCHW: Tensor) -> Tensor:
        """Score each view on the common scale.

        float32 [V, B, h, w]; their mean over V is the score.
        """
        ...


@runtime_checkable
class WholeInputDetector(Protocol):
    """A detector that must be given inputs whole, however large.

    It bounds its memory itself.
    """

    needs_whole_input: bool


@runtime_checkable
class ExportableDetector(Protocol):
    """A detector that can be exported as a graph.

    See ``siad.models.graph_export``.
    """

    @property
    def stored(self) -> Mapping[str, Tensor]:
        """Tensors as they are stored, which ``load`` derives others from."""
        ...

    def graph_score(self, images_BCHW: Tensor, stored: Mapping[str, Tensor]) -> Tensor:
        """Score one image as ``score`` does.

        Whatever ``load`` derives from stored tensors is derived again, so that the graph can refer to their bytes.
        Sizes are followed only where they are computed from shapes by arithmetic; a branch on a size is fixed.
        """
        ...
