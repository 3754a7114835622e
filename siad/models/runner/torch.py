"""PyTorch runner for any detector of this code.

It runs in inference mode, on the device that holds the weights.

Shape suffixes: as in ``siad.models.runner.port``.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from siad.contracts.errors import OutOfMemoryError
from siad.contracts.manifest import Manifest
from siad.models.detector import Detector, MultiViewDetector, WholeInputDetector
from siad.models.method_modules import METHODS, import_method
from siad.models.runner.port import DeviceError, Runner
from siad.vision.memory_errors import out_of_memory_named


class TorchRunner:
    """Runs a detector; implements ``Runner``."""

    name = "torch"

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    @property
    def device(self) -> str:
        """Name of the device that holds the weights.

        ``cpu`` for a detector that is no torch module.
        """
        return str(self._device())

    @property
    def has_views(self) -> bool:
        """Whether the detector gives several maps of an image."""
        return isinstance(self._detector, MultiViewDetector)

    @property
    def needs_whole_input(self) -> bool:
        """Whether the detector must be given inputs whole."""
        return isinstance(self._detector, WholeInputDetector)

    def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a batch: float32 [B, V, h, w]; see ``Runner``."""
        count, _, height, width = images_BCHW.shape
        try:
            with out_of_memory_named(f"running a network on {count} inputs of {width}x{height} px"):
                return self._run(images_BCHW)
        except torch.OutOfMemoryError as error:  # its text does not name memory in every backend
            raise OutOfMemoryError(str(error)) from error
        except torch.AcceleratorError as error:
            msg = f"device {self.device} failed, and only a new process can use it again: {error}"
            raise DeviceError(msg) from error

    def _run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            inputs_BCHW = torch.from_numpy(images_BCHW).to(self._device())
            if isinstance(self._detector, MultiViewDetector):
                views_BVhw = self._detector.views(inputs_BCHW).transpose(0, 1)
            else:
                views_BVhw = self._detector.score(inputs_BCHW)[:, None]
            scores_BVhw: NDArray[np.float32] = views_BVhw.float().cpu().numpy()
        return scores_BVhw

    def _device(self) -> torch.device:
        parameter = next(self._detector.parameters(), None) if isinstance(self._detector, nn.Module) else None
        return torch.device("cpu") if parameter is None else parameter.device


def limit_threads(count: int) -> None:
    """Bound the CPU threads of every later run in this process."""
    torch.set_num_threads(count)


def can_run(manifest: Manifest) -> bool:
    """Whether this code has the network of a bundle."""
    return manifest.method in METHODS


def make_runner(manifest: Manifest, parts: Mapping[str, bytes]) -> Runner:
    """Build the network of a bundle.

    Any exception except those of the port means that its parts don't fit.
    """
    detector: Detector = import_method(manifest.method).load(manifest, parts)
    return TorchRunner(detector)
