"""What names of folders and files mean in sets of images. Pure.

Sets are published in many layouts: MVTec AD (``ground_truth/<class>/000_mask.png``), MVTec LOCO
(``ground_truth/<class>/000/000.png``, several for an image), BTAD (``test/ok``, masks with the name of the image), and
masks beside their images (``Part0_label.bmp``). Letter case and separators differ between tools and systems.
"""

import re
from dataclasses import dataclass
from typing import Final

GOOD: Final = "good"
_GOOD: Final = frozenset(
    {
        "good",
        "goods",
        "ok",
        "io",
        "normal",
        "normals",
        "pass",
        "passed",
        "defectfree",
        "nodefect",
        "nodefects",
        "nondefective",
    }
)
_TRAIN: Final = frozenset({"train", "training"})
_TEST: Final = frozenset({"test", "tests", "testing"})
_UNMISTAKABLE: Final = frozenset({"groundtruth", "groundtruths", "gt", "mask", "masks"})
_MASKS: Final = _UNMISTAKABLE | {"label", "labels", "annotation", "annotations", "segmentation", "segmentations"}
_MASK_NAME: Final = re.compile(
    r"(?P<base>.+?)[_\-. ]+(masks?|labels?|gt|ground[_\- ]?truth|seg|segmentation|annotation)(?P<number>[_\- ]?\d+)?",
    re.IGNORECASE | re.DOTALL,  # a name may hold a line break
)


@dataclass(frozen=True, slots=True)
class MaskName:
    """What the name of a mask says."""

    base: str  # name of its image without extension
    is_numbered: bool = False  # one of several masks of the image


def plain(name: str) -> str:
    """A name without letter case and separators: ``Ground_Truth`` is ``groundtruth``."""
    return re.sub(r"[\W_]+", "", name).lower()


def is_good(name: str) -> bool:
    """Whether a folder of this name holds good parts."""
    return plain(name) in _GOOD


def may_be_good(name: str) -> bool:
    """Whether the name of a class of defects hints at good parts."""
    return not is_good(name) and bool(re.search(r"(?<![a-z])(good|ok|normal)(?![a-z])", name.lower().replace("_", " ")))


def is_train(name: str) -> bool:
    """Whether a folder holds images to fit on."""
    return plain(name) in _TRAIN


def is_test(name: str) -> bool:
    """Whether a folder holds images to test on."""
    return plain(name) in _TEST


def is_mask_folder(name: str, *, is_inside: bool = False) -> bool:
    """Whether a folder holds masks.

    Args:
        name: of the folder.
        is_inside: it lies among the images; there ``label`` may be a class of defects.
    """
    return plain(name) in (_UNMISTAKABLE if is_inside else _MASKS)


def mask_name(stem: str) -> MaskName | None:
    """Read ``000_mask``, ``000.label``, ``000-GT`` or ``000_mask_2``; None for another name."""
    found = _MASK_NAME.fullmatch(stem)
    return MaskName(found["base"], found["number"] is not None) if found else None
