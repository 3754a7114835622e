"""Runner port: one network behind one call, on NumPy arrays.

Everything that judges images (``Predictor``, the golden check, tiling, ``Slots``) knows this port and no framework. An
adapter is a module with ``can_run``, ``make_runner`` and ``limit_threads``, named once in ``siad.models.runner.open``.

Failures have three outcomes. Memory that runs out is ``OutOfMemoryError``: the work is retried. A device that fails is
``DeviceError``: the process ends and is restarted. Any other exception during ``make_runner`` or the golden check makes
the weights unusable, see ``siad.models.bundle.open_bundle``; while a line is served it is a bug.

Shape suffixes: B = batch, C = channels, V = views, H, W = size of the input, h, w = size of a map.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class DeviceError(Exception):
    """A device that failed: only a new process can use it again."""


class Runner(Protocol):
    """Runs one network. Thread-safe: a run changes nothing in it."""

    @property
    def name(self) -> str:
        """Name of the runner, as verdicts give it."""
        ...

    @property
    def device(self) -> str:
        """Name of the device that computes, such as ``cpu`` or ``cuda:0``."""
        ...

    @property
    def has_views(self) -> bool:
        """Whether the network gives several maps of an image, which may differ."""
        ...

    @property
    def needs_whole_input(self) -> bool:
        """Whether inputs must come whole, however large.

        Such a network bounds its memory itself.
        """
        ...

    def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a batch of preprocessed images.

        Args:
            images_BCHW: as ``siad.vision.preprocess`` makes them; H and W multiples of 32. They are not changed.

        Returns:
            float32 [B, V, h, w], raw scores, finite, unsmoothed; their mean over V is the score, the higher, the more
            defective. V is 1 unless ``has_views``; h and w may be any even part of H and W.

        Raises:
            OutOfMemoryError: memory ran out, on the host or on the device.
            DeviceError: the device failed.
        """
        ...
