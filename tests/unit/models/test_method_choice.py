"""The best variant wins, or the default where chance explains the difference."""

import pytest

from siad.models.bundle import Bundle
from siad.models.teachers.method_choice import MARGIN, FitVariant, RankedVariant, choose_variant, rank_variants
from siad.models.teachers.normals import Normals
from siad.models.teachers.synthetic_estimate import SyntheticEstimate
from tests.synthetic import normals_of

USUAL, OTHER = FitVariant(method="feature-memory"), FitVariant(method="feature-memory", input_px=512)


def estimated(merit: float) -> SyntheticEstimate:
    return SyntheticEstimate(
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
    usual: float, other: float, winner: FitVariant
) -> None:
    pair = [
        RankedVariant(variant=USUAL, estimate=estimated(usual)),
        RankedVariant(variant=OTHER, estimate=estimated(other)),
    ]
    pair.sort(key=lambda one: one.estimate.merit if one.estimate else 0.0, reverse=True)
    assert choose_variant(pair, USUAL).variant == winner


def test_a_variant_that_can_not_be_fitted_never_wins() -> None:
    ranked = [
        RankedVariant(variant=OTHER, estimate=estimated(0.5)),
        RankedVariant(variant=USUAL, estimate=None, reason="too few"),
    ]
    assert choose_variant(ranked, USUAL).variant == OTHER


def test_where_nothing_can_be_fitted_all_reasons_are_given() -> None:
    with pytest.raises(ValueError, match="feature-memory: too few; feature-memory at 512 px: too small"):
        choose_variant(
            [
                RankedVariant(variant=USUAL, estimate=None, reason="too few"),
                RankedVariant(variant=OTHER, estimate=None, reason="too small"),
            ],
            USUAL,
        )


def test_a_variant_that_refuses_these_normals_comes_last_with_its_reason() -> None:
    def fit(variant: FitVariant, _: Normals) -> Bundle:
        msg = f"{variant} refuses them"
        raise ValueError(msg)

    ranked = rank_variants(normals_of([]), [USUAL, OTHER], fit)
    assert [one.estimate for one in ranked] == [None, None]
    assert "needs 3" in ranked[0].reason
