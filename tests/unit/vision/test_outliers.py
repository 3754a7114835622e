"""Odd normals: found where they are, alone or together, and hardly ever where they are not."""

from collections.abc import Callable

import numpy as np
import pytest

from siad.vision.outliers import (
    DOUBTFUL,
    FAR,
    ODD,
    doubtful_over,
    find_doubtful,
    find_odd,
    say_doubts,
    standing_out,
)

# standing out as measured: nineteen good cubes and a defective one, and twenty good solar cells of which the first is
# of a rare kind (by score it is the oddest, 3.83 to 3.23 for the next)
CUBES = [1.03, 1.06, 1.24, 0.85, 1.22, 1.28, 1.7, 1.0, 0.94, 0.76, 1.4, 1.13, 1.11, 1.04, 1.05, 2.48, 1.11, 1.57, 0.98]
CELLS = [2.08, 0.76, 0.83, 1.15, 1.46, 1.43, 1.6, 1.26, 1.53, 0.63]
CELLS += [2.01, 1.0, 0.72, 2.47, 0.43, 2.79, 3.2, 0.53, 2.78, 1.58]


def test_a_defect_stands_out_further_than_a_rare_kind_of_the_same_score() -> None:
    defect, kind = np.full((12, 12), 0.2, np.float32), np.full((12, 12), 3.0, np.float32)
    defect[4:6, 4:6] = kind[4:6, 4:6] = 4.0
    assert standing_out(defect, 4.0) == pytest.approx(4.0 * 140 / 144)
    assert standing_out(kind, 4.0) == 0.0  # odd everywhere
    assert standing_out(np.zeros((12, 12), np.float32), 0.0) == 0.0


def test_a_defective_part_among_good_ones_is_found() -> None:
    assert find_odd([*CUBES, 3.88]) == [19]
    assert find_odd(CUBES) == []
    assert find_doubtful(CUBES) == []


def test_good_parts_that_scatter_are_all_kept() -> None:
    assert find_odd(CELLS) == []
    assert find_doubtful(CELLS) == [15, 16, 18]  # kept, but what they alone show is not learnt


@pytest.mark.parametrize("count", [10, 20, 100])
def test_two_odd_ones_do_not_hide_each_other(count: int) -> None:
    standing = [1.3 + 0.01 * (index % 7) for index in range(count)]
    standing[3] = standing[7] = 40.0
    assert find_odd(standing) == [3, 7]


@pytest.mark.parametrize(("find", "medians"), [(find_odd, ODD), (find_doubtful, DOUBTFUL)])
def test_the_bound_is_in_medians(find: Callable[[list[float]], list[int]], medians: float) -> None:
    usual = [2.0] * 9
    assert find([*usual, 2.0 * medians + 0.01]) == [9]
    assert find([*usual, 2.0 * medians - 0.01]) == []


def test_who_is_not_far_from_usual_is_not_odd_among_normals_that_are_alike() -> None:
    assert find_odd([0.1] * 9 + [FAR - 0.01]) == find_doubtful([0.1] * 9 + [FAR - 0.01]) == []
    assert find_odd([0.1] * 9 + [FAR]) == [9]
    assert find_odd([0.0] * 10) == find_doubtful([0.0] * 10) == []


def test_no_more_than_a_fifth_is_left_out() -> None:
    assert find_odd([1.0] * 7 + [50.0] * 3) == []  # three of ten: the line varies
    assert find_odd([1.0] * 8 + [30.0, 50.0]) == [8, 9]


def test_few_normals_are_all_kept() -> None:
    assert find_odd([1.0, 1.0, 1.0, 99.0]) == find_doubtful([1.0, 1.0, 1.0, 99.0]) == []
    assert find_odd([]) == []


def test_places_are_doubted_over_half_of_a_usual_peak() -> None:
    assert doubtful_over([1.0, 3.0, 90.0]) == 1.5


def test_a_person_is_told_what_to_look_at() -> None:
    assert say_doubts([], []) == ""
    told = say_doubts(["a.png"], ["b.png", "c.png"])
    assert "left out as odd: a.png; look at them" in told
    assert "doubtful: b.png, c.png;" in told
