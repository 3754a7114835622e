"""Outliers: found where they are, alone or together, and rarely where they are not."""

from collections.abc import Callable

import numpy as np
import pytest

from siad.vision.outliers import (
    FAR,
    OUTLIER,
    SUSPECT,
    OutlierOrigin,
    describe_outliers,
    find_outliers,
    find_suspects,
    outlier_score,
    suspect_position_threshold,
)

# standing out as measured: nineteen good cubes and a defective one, and twenty good solar cells of which the first is
# of a rare kind (by score it is the oddest, 3.83 to 3.23 for the next)
CUBES = [1.03, 1.06, 1.24, 0.85, 1.22, 1.28, 1.7, 1.0, 0.94, 0.76, 1.4, 1.13, 1.11, 1.04, 1.05, 2.48, 1.11, 1.57, 0.98]
CELLS = [2.08, 0.76, 0.83, 1.15, 1.46, 1.43, 1.6, 1.26, 1.53, 0.63]
CELLS += [2.01, 1.0, 0.72, 2.47, 0.43, 2.79, 3.2, 0.53, 2.78, 1.58]


def test_a_defect_stands_out_further_than_a_rare_kind_of_the_same_score() -> None:
    defect, kind = np.full((12, 12), 0.2, np.float32), np.full((12, 12), 3.0, np.float32)
    defect[4:6, 4:6] = kind[4:6, 4:6] = 4.0
    assert outlier_score(defect, 4.0) == pytest.approx(4.0 * 140 / 144)
    assert outlier_score(kind, 4.0) == 0.0  # odd everywhere
    assert outlier_score(np.zeros((12, 12), np.float32), 0.0) == 0.0


def test_a_defective_part_among_good_ones_is_found() -> None:
    assert find_outliers([*CUBES, 3.88]) == [19]
    assert find_outliers(CUBES) == []
    assert find_suspects(CUBES) == []


def test_good_parts_that_scatter_are_all_kept() -> None:
    assert find_outliers(CELLS) == []
    assert find_suspects(CELLS) == [15, 16, 18]  # kept, but learned in part


@pytest.mark.parametrize("count", [10, 20, 100])
def test_two_outliers_do_not_hide_each_other(count: int) -> None:
    standing = [1.3 + 0.01 * (index % 7) for index in range(count)]
    standing[3] = standing[7] = 40.0
    assert find_outliers(standing) == [3, 7]


@pytest.mark.parametrize(("find", "medians"), [(find_outliers, OUTLIER), (find_suspects, SUSPECT)])
def test_the_bound_is_in_medians(find: Callable[[list[float]], list[int]], medians: float) -> None:
    usual = [2.0] * 9
    assert find([*usual, 2.0 * medians + 0.01]) == [9]
    assert find([*usual, 2.0 * medians - 0.01]) == []


def test_an_image_near_the_norm_is_no_outlier_however_similar_the_others() -> None:
    assert find_outliers([0.1] * 9 + [FAR - 0.01]) == find_suspects([0.1] * 9 + [FAR - 0.01]) == []
    assert find_outliers([0.1] * 9 + [FAR]) == [9]
    assert find_outliers([0.0] * 10) == find_suspects([0.0] * 10) == []


def test_no_more_than_a_fifth_is_left_out() -> None:
    assert find_outliers([1.0] * 7 + [50.0] * 3) == []  # three of ten: the line varies
    assert find_outliers([1.0] * 8 + [30.0, 50.0]) == [8, 9]


def test_few_normals_are_all_kept() -> None:
    assert find_outliers([1.0, 1.0, 1.0, 99.0]) == find_suspects([1.0, 1.0, 1.0, 99.0]) == []
    assert find_outliers([]) == []


def test_positions_are_suspect_from_half_of_the_median_peak() -> None:
    assert suspect_position_threshold([1.0, 3.0, 90.0]) == 1.5


def test_the_normals_to_check_are_named() -> None:
    assert describe_outliers([], []) == ""
    text = describe_outliers(["a.png"], ["b.png", "c.png"])
    assert "left out as outliers: a.png; check them" in text
    assert "suspect: b.png, c.png;" in text


def test_what_to_do_about_an_outlier_follows_from_how_it_came_to_be_taken_for_good() -> None:
    sent = describe_outliers(["a"], ["b"])
    answered = describe_outliers(["a"], ["b"], origin=OutlierOrigin.ANSWERED)
    of_stream = describe_outliers(["a"], ["b"], origin=OutlierOrigin.STREAM)
    assert "send other normals" in sent
    assert answered.count("correct a wrong answer: siad correct CAPTURE --defect") == 2
    assert of_stream.count("siad correct CAPTURE --good, or --defect") == 2
    assert not any("send other normals" in text or "threshold" in text for text in (answered, of_stream))
