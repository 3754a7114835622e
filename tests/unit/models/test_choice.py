"""Which way wins: by merit, the default where chance explains the rest."""

from collections.abc import Sequence

import pytest

from siad.models.bundle import Bundle
from siad.models.probing import ProbeEstimate
from siad.models.teachers.choice import MARGIN, FittingMethod, RankedMethod, choose, rank
from siad.vision.images import Image

USUAL, OTHER = FittingMethod(method="feature-memory"), FittingMethod(method="feature-memory", input_px=512)


def worth(merit: float) -> ProbeEstimate:
    return ProbeEstimate(
        image_auroc=merit,
        pixel_ap=merit,
        recall=1.0,
        false_rejects=0.0,
        recall_by_kind=(),
        fit_s=1.0,
        images_per_s=1.0,
    )


@pytest.mark.parametrize(
    ("usual", "other", "winner"),
    [(0.8, 0.8 + 2 * MARGIN, OTHER), (0.8, 0.8 + MARGIN / 2, USUAL), (0.8, 0.7, USUAL), (0.8, 0.8, USUAL)],
)
def test_the_default_wins_unless_another_is_better_by_more_than_chance(
    usual: float, other: float, winner: FittingMethod
) -> None:
    pair = [RankedMethod(way=USUAL, estimate=worth(usual)), RankedMethod(way=OTHER, estimate=worth(other))]
    pair.sort(key=lambda one: one.estimate.merit if one.estimate else 0.0, reverse=True)
    assert choose(pair, USUAL).way == winner


def test_a_way_that_can_not_be_fitted_never_wins() -> None:
    ranked = [RankedMethod(way=OTHER, estimate=worth(0.5)), RankedMethod(way=USUAL, estimate=None, reason="too few")]
    assert choose(ranked, USUAL).way == OTHER


def test_where_nothing_can_be_fitted_all_reasons_are_told() -> None:
    with pytest.raises(ValueError, match="feature-memory: too few; feature-memory at 512 px: too small"):
        choose(
            [
                RankedMethod(way=USUAL, estimate=None, reason="too few"),
                RankedMethod(way=OTHER, estimate=None, reason="too small"),
            ],
            USUAL,
        )


def test_a_way_that_refuses_these_normals_comes_last_with_its_reason() -> None:
    def fit(way: FittingMethod, _: Sequence[Image], __: Sequence[str]) -> Bundle:
        msg = f"{way} does not want them"
        raise ValueError(msg)

    ranked = rank([], [USUAL, OTHER], fit)
    assert [one.estimate for one in ranked] == [None, None]
    assert "needs 3 normals" in ranked[0].reason
