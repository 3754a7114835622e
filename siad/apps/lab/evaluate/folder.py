"""A folder of images in MVTec AD's layout: ``train/good``, ``test/<class>``, ``ground_truth/<class>``.

Source: Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, IJCV 129; most sets are published in this layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.images import Image, ImageError, decode_image

GOOD: Final = "good"
SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


class FolderError(ValueError):
    """A folder without the required content.

    The message says what is missing and where.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSample:
    """One test image with its class."""

    path: Path
    kind: str  # the class; ``good`` without a defect
    mask_path: Path | None  # None if it has no mask

    @property
    def is_defect(self) -> bool:
        """Whether it has a defect."""
        return self.kind != GOOD

    @property
    def name(self) -> str:
        """Class and file name."""
        return f"{self.kind}/{self.path.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """Content of a folder, sorted by name; images are not decoded yet."""

    path: Path
    normals: tuple[Path, ...]
    samples: tuple[LabelledSample, ...]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def kinds(self) -> tuple[str, ...]:
        """The defect classes."""
        return tuple(sorted({sample.kind for sample in self.samples if sample.is_defect}))


def read_folder(path: Path) -> ImageFolder:
    """List the images of a folder.

    Raises:
        FolderError: ``train/good`` or ``test`` is missing or has no images.
    """
    for needed in (path, path / "train" / GOOD, path / "test"):
        if not needed.is_dir():
            msg = (
                f"{needed} is not a folder; nothing was evaluated. A set has train/good, test/<class> and, for masks, "
                "ground_truth/<class>"
            )
            raise FolderError(msg)
    normals = tuple(_images(path / "train" / GOOD))
    if not normals:
        msg = (
            f"{path / 'train' / GOOD} has no images ({', '.join(sorted(SUFFIXES))}); nothing was evaluated. A teacher "
            "is fitted on them"
        )
        raise FolderError(msg)
    kinds = sorted(folder for folder in (path / "test").iterdir() if folder.is_dir())
    samples = [
        LabelledSample(path=image, kind=folder.name, mask_path=_mask_of(path, folder.name, image))
        for folder in kinds
        for image in _images(folder)
    ]
    if not samples:
        msg = (
            f"{path / 'test'} has no folders with images; nothing was evaluated. Put test images into test/good and "
            "test/<class of defect>"
        )
        raise FolderError(msg)
    return ImageFolder(path=path, normals=normals, samples=tuple(samples))


def read_images(paths: Sequence[Path]) -> tuple[list[Image], list[Path], list[str]]:
    """Decode images, and leave out those that can't be decoded.

    Returns:
        Images, their paths, and one line of text for each that was left out.
    """
    images, read, left_out = [], [], []
    for path in paths:
        try:
            images.append(decode_image(path.read_bytes()))
        except (ImageError, OSError) as error:
            left_out.append(f"{path} was left out: {error}")
        else:
            read.append(path)
    return images, read, left_out


def read_mask(sample: LabelledSample, size_px: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Read the mask of one sample.

    Args:
        sample: the sample.
        size_px: height and width of its image; a mask of another size is resized by nearest neighbour.

    Returns:
        uint8 [H, W], 0 good, 255 defect; zeros for a good sample, None for a defective one without a mask.

    Raises:
        FolderError: the mask can't be decoded.
    """
    if not sample.is_defect:
        return np.zeros(size_px, np.uint8)
    if sample.mask_path is None:
        return None
    try:
        mask_HW = decode_image(sample.mask_path.read_bytes())[:, :, 0]
    except (ImageError, OSError) as error:
        msg = f"mask {sample.mask_path} of {sample.name} can't be read: {error}; repair or remove it"
        raise FolderError(msg) from error
    binary_HW = np.where(mask_HW > 0, 255, 0).astype(np.uint8)
    if binary_HW.shape != size_px:
        binary_HW = np.asarray(cv2.resize(binary_HW, size_px[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    return binary_HW


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def _mask_of(root: Path, kind: str, image: Path) -> Path | None:
    """``<stem>_mask`` or the same stem, with any image extension."""
    if kind == GOOD:
        return None
    folder = root / "ground_truth" / kind
    names = (f"{stem}{suffix}" for stem in (f"{image.stem}_mask", image.stem) for suffix in sorted(SUFFIXES))
    return next((folder / name for name in names if (folder / name).is_file()), None)
