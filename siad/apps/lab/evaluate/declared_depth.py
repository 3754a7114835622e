"""Depth that image files declare, for the fit of a teacher."""

from collections.abc import Sequence
from pathlib import Path

from siad.apps.files import read_stable
from siad.vision.images import ImageError, describe_image


def read_declared_bits(paths: Sequence[Path]) -> list[int]:
    """Read the significant bits that each file declares.

    0 where it declares none, or became unreadable.
    """
    return [_declared_bits(path) for path in paths]


def _declared_bits(path: Path) -> int:
    try:
        return describe_image(read_stable(path)).significant_bits
    except (ImageError, OSError):
        return 0
