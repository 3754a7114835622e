"""At which size a segmenter is shown images, and how long it may learn from them. Pure."""

from dataclasses import dataclass
from typing import Final

from siad.vision.preprocess import STRIDE_PX

OF_TEACHER: Final = 2 / 3  # of the side that the teacher marks at; all of it measured better, at three times the work


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePolicy:
    """The sizes to choose from, as the side of a square with the area that images are brought to."""

    least_px: int = 256
    most_px: int = 640  # 400 images of so much take some 3 GB of the job's memory, reckoned; and six times as long

    def side_px(self, teacher_px: int) -> int:
        """The side for a segmenter, from that of the teacher whose marks teach it.

        A teacher that is shown a wide view larger marks there what a smaller view does not show: who learns from such
        marks at the smaller size learns to mark at random.
        """
        wanted = round(teacher_px * OF_TEACHER / STRIDE_PX) * STRIDE_PX
        return max(self.least_px, min(wanted, self.most_px))

    def train_s(self, side_px: int, seconds: float) -> float:
        """Seconds for as many epochs at a larger side as ``seconds`` are for at the least: work goes with the area."""
        return seconds * (side_px / self.least_px) ** 2
