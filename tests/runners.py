"""Runners in NumPy, for tests that need no network."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def block_means(images_BCHW: NDArray[np.float32], *, side_px: int) -> NDArray[np.float32]:
    """Mean over channels and over blocks of a side: float32 [B, H / side_px, W / side_px]."""
    count, channels, height, width = images_BCHW.shape
    blocks = images_BCHW.reshape(count, channels, height // side_px, side_px, width // side_px, side_px)
    return np.asarray(blocks.mean((1, 3, 5)), np.float32)


@dataclass
class BrightnessRunner:
    """Scores a position by its brightness; ``gains`` has a factor for each view. Records the shapes of its inputs."""

    gains: tuple[float, ...] = (1.0,)
    side_px: int = 8
    needs_whole_input: bool = False
    device: str = "cpu"
    name: str = "brightness"
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def has_views(self) -> bool:
        """Whether there is more than one view."""
        return len(self.gains) > 1

    def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a batch: float32 [B, V, h, w]."""
        self.shapes.append(images_BCHW.shape)
        bright_Bhw = block_means(images_BCHW, side_px=self.side_px)
        return np.stack([np.float32(gain) * bright_Bhw for gain in self.gains], 1)
