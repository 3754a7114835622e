"""Plausibility: which images fit the normals of their line, and why the others do not."""

import numpy as np
import pytest

from siad.contracts.normals_profile import MisfitReason, NormalsProfile, SizeRule, require_sizes
from siad.vision.images import Image
from siad.vision.plausibility import (
    Misfit,
    MisfitError,
    describe_darkness,
    describe_misfits,
    find_misfit,
    profile_normals,
)


def grey(width: int = 256, height: int = 192, *, value: int = 200) -> Image:
    return np.full((height, width, 1), value, np.uint8)


def grey_in_rgb(width: int = 256, height: int = 192, *, noise: int = 0) -> Image:
    image = np.full((height, width, 3), 100, np.uint8)
    image[..., 2] += np.uint8(noise)
    return image


def colour(width: int = 256, height: int = 192, *, chroma: int = 90) -> Image:
    image = np.full((height, width, 3), 100, np.uint8)
    image[3, 5, 0] += np.uint8(chroma)  # one pixel, which the eighth rows and columns do not hold
    return image


def deep(width: int = 256, height: int = 192, *, value: int = 3000) -> Image:
    return np.full((height, width, 1), value, np.uint16)


def reason(profile: NormalsProfile, image: Image, *, sizes: SizeRule = SizeRule.NORMALS) -> str:
    misfit = find_misfit(profile, image, sizes=sizes)
    return "" if misfit is None else misfit.reason.value


ONE_SIZE = profile_normals([grey(), grey()], 8)
NEARLY_ONE = profile_normals([grey(256, 192), grey(260, 193)], 8)
SEVERAL = profile_normals([grey(200, 100), grey(400, 300)], 8)


@pytest.mark.parametrize(
    ("width", "height", "fits"),
    [
        (256, 192, True),
        (251, 192, True),  # 2 % of 256 are 5.12
        (250, 192, False),
        (261, 192, True),
        (262, 192, False),
        (256, 188, False),  # 2 % of 192 are 3.84
        (256, 189, True),
        (261, 189, False),  # both sides fit, the aspect does not
        (192, 256, False),  # transposed
        (1, 1, False),
        (256, 1, False),
        (128, 96, False),
        (2560, 1920, False),
    ],
)
def test_normals_of_one_size_allow_two_percent(width: int, height: int, fits: bool) -> None:
    assert (reason(ONE_SIZE, grey(width, height)) == "") == fits


def test_small_differences_between_normals_are_one_size() -> None:
    assert NEARLY_ONE.has_one_size
    assert reason(NEARLY_ONE, grey(264, 195)) == ""
    assert reason(NEARLY_ONE, grey(270, 192)) == "size"


@pytest.mark.parametrize(
    ("width", "height", "fits"),
    [
        (100, 50, True),
        (99, 50, False),
        (100, 49, False),
        (800, 600, True),
        (801, 600, False),
        (800, 601, False),
        (300, 300, True),
        (1, 1, False),
    ],
)
def test_normals_of_several_sizes_allow_half_to_twice(width: int, height: int, fits: bool) -> None:
    assert (reason(SEVERAL, grey(width, height)) == "") == fits


def test_a_line_may_accept_any_size_and_nothing_else_of_it_changes() -> None:
    assert reason(ONE_SIZE, grey(1, 1), sizes=SizeRule.ANY) == ""
    assert reason(ONE_SIZE, colour(1000, 10), sizes=SizeRule.ANY) == "channels"
    assert reason(ONE_SIZE, deep(1, 1), sizes=SizeRule.ANY) == "depth"


@pytest.mark.parametrize(
    ("normal", "image", "expected"),
    [
        (grey(), grey_in_rgb(), ""),
        (grey(), grey_in_rgb(noise=2), ""),
        (grey(), grey_in_rgb(noise=3), "channels"),
        (grey(), colour(), "channels"),
        (grey_in_rgb(), grey(), ""),
        (grey_in_rgb(), colour(), "channels"),
        (colour(), colour(), ""),
        (colour(), grey(), "channels"),
        (colour(), grey_in_rgb(), "channels"),
        (colour(chroma=10), grey_in_rgb(), ""),  # normals nearly without colour: rounding may take the rest of it
        (colour(chroma=10), grey(), "channels"),
    ],
)
def test_colour_and_grey_do_not_fit_each_other(normal: Image, image: Image, expected: str) -> None:
    assert reason(profile_normals([normal], 8), image) == expected


def test_normals_of_both_kinds_allow_both() -> None:
    both = profile_normals([grey(), colour()], 8)
    assert [reason(both, image) for image in (grey(), grey_in_rgb(), colour())] == ["", "", ""]


def test_the_grey_of_sixteen_bits_is_compared_at_the_depth_of_the_line() -> None:
    nearly = np.full((192, 256, 3), 2000, np.uint16)
    nearly[..., 0] += np.uint16(30)  # 1.9 of 255 levels at 12 bits
    tinted = nearly.copy()
    tinted[..., 0] += np.uint16(30)
    line = profile_normals([deep(value=4000)], 12)
    assert (reason(line, nearly), reason(line, tinted)) == ("", "channels")


@pytest.mark.parametrize(
    ("normal", "bits", "image", "expected"),
    [
        (grey(), 8, deep(), "depth"),
        (deep(), 12, grey(), "depth"),
        (deep(), 12, deep(value=4095), ""),
        (deep(), 12, deep(value=4096), "depth"),
        (deep(value=60000), 16, deep(value=65535), ""),
        (deep(value=200), 8, deep(value=255), ""),
        (deep(value=200), 8, deep(value=256), "depth"),
        (deep(value=200), 8, grey(), "depth"),
    ],
)
def test_a_file_of_another_depth_does_not_fit(normal: Image, bits: int, image: Image, expected: str) -> None:
    assert reason(profile_normals([normal], bits), image) == expected


def test_the_detail_names_what_the_image_has_and_what_the_normals_have() -> None:
    size = find_misfit(ONE_SIZE, grey(1, 1))
    assert size == Misfit(MisfitReason.SIZE, "the image has 1x1 px, the normals have 256x192 px")
    assert str(MisfitError(size)) == f"{size.detail}; not scored (reason: size)"
    beyond = find_misfit(profile_normals([deep()], 12), deep(value=5000))
    assert beyond is not None
    assert "values up to 5000, beyond the 4095 of 12 bits" in beyond.detail


def test_a_profile_describes_the_normals_for_people() -> None:
    assert str(ONE_SIZE) == "256x192 px, grey, 8 bits"
    assert str(profile_normals([deep(), deep()], 12)) == "256x192 px, grey, 12 of 16 bits"
    assert str(profile_normals([grey(200, 100), colour(400, 300)], 8)) == (
        "200 to 400 x 100 to 300 px, grey and colour, 8 bits"
    )


def test_an_image_much_darker_than_every_normal_is_said_to_be_dark() -> None:
    line = profile_normals([grey(value=200), grey(value=100)], 8)
    assert describe_darkness(line, grey(value=25)) == ""
    assert "9.4% of white, that of the dimmest normal 39.2%" in describe_darkness(line, grey(value=24))
    twelve = profile_normals([deep(value=4000)], 12)
    assert describe_darkness(twelve, deep(value=1001)) == ""
    assert "23.2%" in describe_darkness(twelve, deep(value=950))
    assert describe_darkness(profile_normals([grey(value=0)], 8), grey(value=0)) == ""


def test_misfits_are_counted_by_reason_with_an_example() -> None:
    misfits = {"a.png": Misfit(MisfitReason.SIZE, "it is tiny"), "b.png": Misfit(MisfitReason.DEPTH, "it is deep")}
    described = describe_misfits(misfits)
    assert "depth 1, size 1; for example a.png: it is tiny" in described
    assert "--sizes any" in described
    assert "--sizes" not in describe_misfits({"b.png": misfits["b.png"]})
    assert describe_misfits({}) == ""


def test_a_size_rule_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="sizes 'all' is not one of normals, any"):
        require_sizes("all")
    for known in ("", "normals", "any"):
        require_sizes(known)
