"""Odd normals: the few of another size or other channels are named, lines that vary are not."""

import numpy as np
import pytest

from siad.contracts.normals_profile import MisfitReason, OddNormal, SizeRule
from siad.vision.images import Image
from siad.vision.odd_normals import (
    advise_on_odd_normals,
    describe_odd_normals,
    find_odd_normals,
    without_wanted_sizes,
)

SIZE, CHANNELS = MisfitReason.SIZE, MisfitReason.CHANNELS


def grey(width: int = 90, height: int = 90) -> Image:
    return np.full((height, width, 1), 200, np.uint8)


def colour(width: int = 90, height: int = 90, *, chroma: int = 90) -> Image:
    image = np.full((height, width, 3), 100, np.uint8)
    image[3, 5, 0] += np.uint8(chroma)
    return image


def found(images: list[Image]) -> dict[str, tuple[MisfitReason, ...]]:
    odd = find_odd_normals(images, [str(index) for index in range(len(images))])
    return {one.capture_id: one.differs_in for one in odd}


def test_one_of_another_size_and_channels_is_named_with_what_the_rest_are() -> None:
    images = [*[colour()] * 4, grey(64, 48), *[colour()] * 5]
    [odd] = find_odd_normals(images, [f"{index:032x}" for index in range(10)])
    assert odd == OddNormal(
        capture_id=f"{4:032x}",
        own="64x48 px, grey",
        others="the other 9: 90x90 px, colour",
        differs_in=(SIZE, CHANNELS),
    )


def test_a_fifth_may_be_odd_and_no_more() -> None:
    assert set(found([*[grey()] * 8, *[grey(60, 60)] * 2])) == {"8", "9"}
    assert found([*[grey()] * 7, *[grey(60, 60)] * 3]) == {}
    assert set(found([*[grey()] * 8, *[colour()] * 2])) == {"8", "9"}
    assert found([*[grey()] * 7, *[colour()] * 3]) == {}


@pytest.mark.parametrize(("usual", "is_named"), [(1, False), (2, False), (3, True), (4, True)])
def test_one_beside_few_others_is_named_where_these_show_what_is_usual(usual: int, is_named: bool) -> None:
    assert bool(found([*[grey()] * usual, grey(60, 60)])) is is_named


def test_a_line_whose_images_all_have_another_size_is_not_bothered() -> None:
    assert found([grey(80 + 7 * number, 200 - 9 * number) for number in range(10)]) == {}


def test_a_line_whose_crops_differ_a_little_is_not_bothered_by_its_extremes() -> None:
    assert found([grey(1000 + offset, 1000) for offset in (-30, -18, -12, -5, 0, 0, 5, 12, 18, 30)]) == {}
    assert found([grey(1000 + offset, 1000) for offset in (-9, -5, 0, 0, 5, 9)]) == {}


def test_a_transposed_image_is_odd() -> None:
    assert found([*[grey(64, 48)] * 9, grey(48, 64)]) == {"9": (SIZE,)}


def test_a_line_of_many_sizes_may_still_have_one_grey_image() -> None:
    images = [*[colour(80 + 7 * number) for number in range(9)], grey(100)]
    [odd] = find_odd_normals(images, [str(index) for index in range(10)])
    assert (odd.differs_in, odd.others) == ((CHANNELS,), "the other 9: 80 to 136 x 90 to 90 px, colour")


def test_grey_in_a_colour_file_is_told_apart_from_both() -> None:
    flat = colour(chroma=0)
    assert found([*[grey()] * 9, flat]) == {"9": (CHANNELS,)}
    assert found([*[colour()] * 9, flat]) == {"9": (CHANNELS,)}
    assert find_odd_normals([*[colour()] * 9, flat], list("abcdefghij"))[0].own == "90x90 px, grey in a colour file"


def test_grey_parts_of_a_line_of_faint_colour_are_not_odd() -> None:
    assert found([*[colour(chroma=5)] * 9, colour(chroma=0)]) == {}


def test_equal_normals_and_no_normals_are_not_odd() -> None:
    assert found([grey()] * 10) == found([]) == {}


def odd_one(capture_id: str, *reasons: MisfitReason) -> OddNormal:
    return OddNormal(capture_id=capture_id, own="6x4 px, grey", others="the other 9: 9x9 px", differs_in=reasons)


def test_a_line_of_every_size_hears_of_channels_alone() -> None:
    odd = (odd_one("a", SIZE), odd_one("b", CHANNELS), odd_one("c", SIZE, CHANNELS))
    assert [one.capture_id for one in without_wanted_sizes(odd, SizeRule.ANY)] == ["b", "c"]
    assert without_wanted_sizes(odd, SizeRule.NORMALS) == odd


def test_the_text_says_which_how_and_what_was_done() -> None:
    odd = [odd_one("a", SIZE), odd_one("b", SIZE), odd_one("c", SIZE)]
    assert describe_odd_normals(odd, left_out=["b"], names={"a": "cap-1 (capture a)"}) == (
        "odd normals: cap-1 (capture a), c: 6x4 px, grey; the other 9: 9x9 px; learned from like the others, so such "
        "images are scored too. b: 6x4 px, grey; the other 9: 9x9 px; left out as outliers"
    )
    assert describe_odd_normals([]) == ""


def test_many_are_counted() -> None:
    text = describe_odd_normals([odd_one(name, SIZE) for name in "abcdefgh"])
    assert "a, b, c, d, e and 3 more: 6x4 px" in text


def test_the_advice_names_the_commands_that_help() -> None:
    forget = "if one was sent by mistake, send another normal, then: siad forget capture a --line press-3"
    assert advise_on_odd_normals([odd_one("a", CHANNELS)], "press-3") == forget
    assert advise_on_odd_normals([odd_one("a", SIZE)], "press-3") == (
        f"{forget}; if parts of every size are meant: siad line put press-3 --sizes any"
    )
