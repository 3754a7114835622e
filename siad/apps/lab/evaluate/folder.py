"""A folder of labelled images, and the reading of its files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siad.apps.files import link_reason_of, printable, read_stable
from siad.apps.lab.evaluate.folder_names import GOOD
from siad.apps.lab.evaluate.mask_file import read_masks
from siad.vision.images import Image, ImageError, decode_image


class FolderError(ValueError):
    """A folder without the required content.

    The message says what is missing and where.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSample:
    """One test image with its class."""

    path: Path
    kind: str  # the class; ``good`` without a defect
    mask_paths: tuple[Path, ...] = ()  # empty if it has no mask; several are united
    label: str = ""  # its path below ``test``, printable; empty: class and file name

    @property
    def is_defect(self) -> bool:
        """Whether it has a defect."""
        return self.kind != GOOD

    @property
    def name(self) -> str:
        """Class and file name."""
        return self.label or printable(f"{self.kind}/{self.path.name}")


@dataclass(slots=True)
class FolderReport:
    """What was taken for what, and what was not used."""

    taken: dict[str, str] = field(default_factory=dict)  # folder -> normals, good, defects, masks
    notes: list[str] = field(default_factory=list)  # sentences about the content
    unused_masks: dict[Path, str] = field(default_factory=dict)  # -> why
    skipped: dict[Path, str] = field(default_factory=dict)  # images and masks that can't be used -> why
    ignored: Counter[str] = field(default_factory=Counter)  # ignored by a rule -> how many
    mask_styles: Counter[str] = field(default_factory=Counter)  # how masks were read -> images


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """Content of a folder, sorted by name; images are not decoded yet."""

    path: Path
    normals: tuple[Path, ...]
    samples: tuple[LabelledSample, ...]
    report: FolderReport = field(default_factory=FolderReport)

    @property
    def name(self) -> str:
        """Name of the folder, printable."""
        return printable(self.path.resolve().name)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The defect classes."""
        return tuple(sorted({sample.kind for sample in self.samples if sample.is_defect}))


def read_images(paths: Sequence[Path]) -> tuple[list[Image], list[Path], dict[Path, str]]:
    """Decode images, and leave out those that can't be decoded.

    Returns:
        Images, their paths, and why others were left out.
    """
    images, read, left_out = [], [], dict[Path, str]()
    for path in paths:
        try:
            images.append(decode_image(read_stable(path)))
        except OSError as error:
            left_out[path] = link_reason_of(path, error)
        except ImageError as error:
            left_out[path] = str(error)
        else:
            read.append(path)
    return images, read, left_out


def read_mask(sample: LabelledSample, size_px: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Read the mask of one sample.

    Args:
        sample: the sample.
        size_px: height and width of its image; a mask of another size and the same aspect ratio is scaled by nearest
            neighbour.

    Returns:
        uint8 [H, W], 0 good, 255 defect; zeros for a good sample, None for a defective one without marked pixels.

    Raises:
        MaskFileError: a mask can't be read.
    """
    if not sample.is_defect:
        return np.zeros(size_px, np.uint8)
    if not sample.mask_paths:
        return None
    mask_HW = read_masks(sample.mask_paths, size_px).mask_HW
    return mask_HW if mask_HW.any() else None
