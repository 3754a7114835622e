"""Input size of a segmenter, and its training time. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from siad.vision.preprocess import STRIDE_PX

# Share of the teacher's input side. The whole side measured better, at three times the work.
TEACHER_SHARE: Final = 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePolicy:
    """Bounds of the input side: a square with the input's area."""

    least_px: int = 256
    most_px: int = 640  # estimated: 400 images of this size take 3 GB in the job, and six times as long as at 256

    def side_px(self, teacher_px: int) -> int:
        """Return the input side for learning from a teacher's masks.

        A teacher with a larger input marks what a smaller input does not show: a segmenter that learns from such marks
        at a smaller size learns to mark at random.
        """
        side_px = round(teacher_px * TEACHER_SHARE / STRIDE_PX) * STRIDE_PX
        return max(self.least_px, min(side_px, self.most_px))

    def fast_px(self, teacher_px: int) -> int:
        """Return the input side of a fast segmenter, always under its teacher's."""
        side_px = math.floor(teacher_px * TEACHER_SHARE / STRIDE_PX) * STRIDE_PX
        return max(STRIDE_PX, min(side_px, self.most_px))

    def train_s(self, side_px: int, seconds: float) -> float:
        """Scale ``seconds`` at ``least_px`` to a larger side, by the area."""
        return seconds * (side_px / self.least_px) ** 2
