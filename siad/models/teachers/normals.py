"""Normals that a teacher is fitted on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from siad.contracts.place import Place
from siad.vision.images import Image


@dataclass(frozen=True, slots=True)
class Normals:
    """Good images of one place, in the order of their capture ids.

    The order makes a fit repeatable: the same normals give the same weights, in whatever order they arrive.
    """

    images: tuple[Image, ...]  # uint8 or uint16 [H, W, C], of any sizes
    capture_ids: tuple[str, ...]  # ascending
    place: Place
    declared_bits: tuple[int, ...] = ()  # of each file, see ``siad.vision.depth.find_depth``; empty: none declares any
    # capture ids of those that only scored low in the stream, and of those that a person confirmed because of their
    # score: both are learned, but set no threshold
    unconfirmed: frozenset[str] = frozenset()
    selected: frozenset[str] = frozenset()

    @classmethod
    def ordered(
        cls, images: Sequence[Image], capture_ids: Sequence[str], place: Place, *, declared_bits: Sequence[int] = ()
    ) -> Self:
        """Sort images by capture id.

        Raises:
            ValueError: the number of ids differs from the number of images.
        """
        if len(images) != len(capture_ids):
            msg = f"{len(images)} images and {len(capture_ids)} capture ids; give one id for each image"
            raise ValueError(msg)
        order = sorted(range(len(capture_ids)), key=lambda index: capture_ids[index])
        return cls(
            tuple(images[index] for index in order),
            tuple(capture_ids[index] for index in order),
            place,
            tuple(declared_bits[index] for index in order) if declared_bits else (),
        )

    def __len__(self) -> int:
        """Number of normals."""
        return len(self.images)

    @property
    def calibrating(self) -> tuple[str, ...]:
        """Capture ids of those that set the threshold."""
        return tuple(name for name in self.capture_ids if name not in self.unconfirmed | self.selected)

    def subset(self, indices: Sequence[int]) -> Self:
        """Select normals by their positions, which ascend."""
        return replace(
            self,
            images=tuple(self.images[index] for index in indices),
            capture_ids=tuple(self.capture_ids[index] for index in indices),
            declared_bits=tuple(self.declared_bits[index] for index in indices) if self.declared_bits else (),
        )

    def mapped(self, change: Callable[[Image], Image]) -> Self:
        """Replace every image by what a function makes of it."""
        return replace(self, images=tuple(change(image_HWC) for image_HWC in self.images))

    def require(self, count: int) -> None:
        """Raise ValueError where there are fewer normals than a method needs."""
        if len(self) < count:
            msg = f"{len(self)} normals; at least {count} are needed"
            raise ValueError(msg)
