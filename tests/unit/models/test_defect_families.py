"""Families of corrected defects."""

import numpy as np
import pytest

from siad.models.defect_families import describe_defect, group_defects
from siad.vision.masks import DEFECT

PLAIN = np.full((160, 160, 1), 120, np.uint8)


def defect(kind: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark round spot, or a bright line, at another place for each number."""
    rng = np.random.default_rng(number)
    image = PLAIN.copy() + rng.integers(0, 6, PLAIN.shape, np.uint8)
    mask = np.zeros((160, 160), np.uint8)
    y, x = rng.integers(30, 110, 2)
    if kind == "spot":
        rows, columns = np.ogrid[:160, :160]
        mask[(rows - y) ** 2 + (columns - x) ** 2 < 15**2] = DEFECT
        image[mask == DEFECT] = 20
    else:
        mask[y : y + 3, 10:150] = DEFECT
        image[mask == DEFECT] = 250
    return image, mask


def test_alike_defects_are_one_family_and_others_are_not() -> None:
    looks = {}
    for number in range(4):
        for kind in ("spot", "line"):
            look = describe_defect(*defect(kind, number))
            assert look is not None
            assert np.linalg.norm(look) == pytest.approx(1, abs=1e-5)
            looks[f"{number}{kind}"] = look
    families = group_defects(looks)
    spots, lines = ({families[f"{number}{kind}"] for number in range(4)} for kind in ("spot", "line"))
    assert len(spots) == len(lines) == 1
    assert spots != lines


def test_a_mask_of_nothing_or_of_everything_has_no_family() -> None:
    assert describe_defect(PLAIN, np.zeros((160, 160), np.uint8)) is None
    assert describe_defect(PLAIN, np.full((160, 160), DEFECT, np.uint8)) is None
    assert group_defects({}) == {}
