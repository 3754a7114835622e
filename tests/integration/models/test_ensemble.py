"""Two that look at one part: on one scale, as the mean, and never one method twice."""

import pytest
import torch
from torch import Tensor

from siad.models.teachers.ensemble import Ensemble, Recipe, own_maps


class Spot:
    """Answers the same everywhere but at one place of its own grid."""

    def __init__(self, side: int, level: float, spot: float) -> None:
        self._map_hw = torch.full((side, side), level)
        self._map_hw[side // 2, side // 2] = spot

    def score(self, images_BCHW: Tensor) -> Tensor:
        return self._map_hw.expand(len(images_BCHW), -1, -1)


IMAGES = torch.zeros(2, 3, 32, 32)
SCALES = torch.tensor([[10.0, 20.0], [-1.0, 0.0]])  # middle and odd place of each


def test_both_views_are_brought_to_one_scale() -> None:
    both = Ensemble([Spot(4, 10.0, 30.0), Spot(4, -1.0, 1.0)], SCALES)
    views = both.views(IMAGES)
    assert views.shape == (2, 2, 4, 4)
    assert views[:, 0, 2, 2].tolist() == [2.0, 2.0]
    assert views[:, 0, 0, 0].tolist() == [0.0, 0.0]


def test_what_one_alone_sees_counts_half() -> None:
    agreed = Ensemble([Spot(4, 10.0, 30.0), Spot(4, -1.0, 1.0)], SCALES).score(IMAGES)
    alone = Ensemble([Spot(4, 10.0, 30.0), Spot(4, -1.0, -1.0)], SCALES).score(IMAGES)
    assert float(agreed[0].max()) == 2.0
    assert float(alone[0].max()) == 1.0


def test_the_finer_grid_is_kept() -> None:
    fine, coarse = own_maps([Spot(8, 0.0, 1.0), Spot(2, 0.0, 1.0)], IMAGES)
    assert fine.shape == coarse.shape == (2, 8, 8)


@pytest.mark.parametrize("members", [("template", "template"), ("ensemble", "template"), ("template", "ensemble")])
def test_members_that_do_not_differ_are_refused(members: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="two different methods"):
        Recipe(members=members)


def test_an_unknown_member_is_named() -> None:
    with pytest.raises(ValueError, match="no method 'crystal-ball'"):
        Recipe(members=("template", "crystal-ball"))
