"""How much corrected captures outweigh a loss on synthetic defects."""

from dataclasses import replace

import pytest

from siad.contracts.release_evidence import GateEvidence
from siad.vision.gate import balance_after_release, judge_release
from tests.unit.vision.test_gate import CORRECTED, DEFECT, GOOD, SCORES, STREAM, evidence, marked
from tests.unit.vision.test_gate_probes import gains, merits

KINDS = (STREAM,) * 40 + (GOOD,) * 4 + (DEFECT,) * 4
ALL = SCORES + (0.5,) * 4 + (1.5,) * 4


def with_loss(ours: tuple[float, ...], *, scatter: float = 0.1, mean: float = -0.006) -> GateEvidence:
    """Evidence with a lower merit, and pixel AP of .5 of the serving weights on each corrected mask."""
    lossy = merits(gains(mean, scatter))[0]
    made = evidence(ALL, ALL, kinds=KINDS)
    made = replace(
        made,
        candidate=replace(made.candidate, probes=lossy.candidate.probes),
        serving=replace(made.serving, probes=lossy.serving.probes),
    )
    return marked(made, ours, (0.5,) * len(ours))


@pytest.mark.parametrize(
    ("ours", "accepted"),
    [
        ((0.6, 0.6, 0.6, 0.45), True),  # leans its way: three of four, which chance gives one time in three
        ((0.6, 0.6, 0.4, 0.4), False),  # as many worse
        ((0.9, 0.4, 0.4, 0.9), False),
        ((0.52, 0.52, 0.52, 0.1), False),  # lower in the mean
        ((0.6, 0.6), False),  # two say nothing yet
    ],
)
def test_masks_that_lean_its_way_outweigh_a_loss_within_chance(ours: tuple[float, ...], accepted: bool) -> None:
    decision = judge_release(with_loss(ours))
    assert decision.accepted is accepted
    assert ("overruled: image AUROC" in decision.text) is accepted


def test_they_do_not_outweigh_a_loss_beyond_chance_or_another_order_of_scores() -> None:
    assert not judge_release(with_loss((0.6, 0.6, 0.6, 0.45), scatter=0.001)).accepted
    made = with_loss((0.6, 0.6, 0.6, 0.45))
    turned = replace(made.candidate, scores=(*reversed(SCORES), *made.candidate.scores[40:]))
    assert not judge_release(replace(made, candidate=turned)).accepted


def test_a_loss_that_they_outweigh_does_not_use_up_the_allowance() -> None:
    assert balance_after_release(with_loss((0.6, 0.6, 0.6, 0.45))) == 0
    assert balance_after_release(with_loss((0.6, 0.6, 0.6, 0.45), mean=-0.004)) == pytest.approx(-0.004)


@pytest.mark.parametrize(("pooled", "accepted"), [(0.80, True), (0.74, False), (0.69, False), (None, True)])
def test_better_masks_do_not_hide_what_all_corrected_captures_together_lose(
    pooled: float | None, accepted: bool
) -> None:
    made = with_loss((0.6, 0.6, 0.6, 0.45))
    made = replace(
        made,
        candidate=replace(made.candidate, corrected_pixel_ap=pooled),
        serving=replace(made.serving, corrected_pixel_ap=0.75),
    )
    decision = judge_release(made)
    assert decision.accepted is accepted
    assert ("pixel AP 0.690 over all corrected captures together, serving 0.750" in decision.text) is (pooled == 0.69)


@pytest.mark.parametrize(("scatter", "accepted"), [(0.1, True), (0.001, False)])
def test_a_better_order_of_answers_without_outlines_leans_and_proves_nothing(scatter: float, accepted: bool) -> None:
    made = with_loss((), scatter=scatter)
    serving, candidate = (1.2, 0.5, 0.5, 0.5, 1.1, 1.5, 1.5, 1.5), (0.5, 0.5, 0.5, 0.5, 1.1, 1.5, 1.5, 1.5)
    made = replace(
        made,
        candidate=replace(made.candidate, scores=SCORES + candidate),
        serving=replace(made.serving, scores=SCORES + serving),
    )
    decision = judge_release(made)
    assert decision.accepted is accepted
    assert dict(decision.figures)["corrected_auroc"] > dict(decision.figures)["corrected_auroc_serving"] + 0.02


def test_a_cross_fitted_defect_is_not_forgotten() -> None:
    scores = SCORES + (0.5,) * 3 + (1.5,) * 3
    families = ("",) * 43 + ("scratch",) * 3
    made = marked(evidence(scores, scores, kinds=CORRECTED, families=families), (0.6, 0.6, 0.1), (0.5, 0.5, 0.5))
    assert "of family scratch" in judge_release(made).text
    last = replace(made.captures[-1], is_cross_fitted=True)
    assert judge_release(replace(made, captures=(*made.captures[:-1], last))).accepted
