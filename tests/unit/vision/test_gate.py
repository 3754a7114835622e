"""Which candidates the gate lets pass."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from siad.contracts.release_evidence import (
    EvidenceKind,
    GateEvidence,
    HeldOutCapture,
    ModelFigures,
    ProbeFigures,
)
from siad.vision.gate import judge_release
from siad.vision.gate_rule import chance_of_at_least

STREAM, NORMAL, GOOD, DEFECT = EvidenceKind.STREAM, EvidenceKind.NORMAL, EvidenceKind.GOOD, EvidenceKind.DEFECT
PROBES = ProbeFigures(image_auroc=0.9, pixel_ap=0.6, scores=(1.5,) * 50 + (0.5,) * 22)
SCORES = tuple(float(score) for score in np.linspace(0.1, 2.0, 40))  # the lowest 24 are under the threshold


def side(scores: tuple[float, ...], *, threshold: float = 1.25, probes: ProbeFigures | None = PROBES) -> ModelFigures:
    return ModelFigures(
        weights="1" * 64,
        method="feature-memory",
        threshold=threshold,
        scores=scores,
        pixel_aps=(None,) * len(scores),
        probes=probes,
    )


def evidence(
    candidate: tuple[float, ...],
    serving: tuple[float, ...] = SCORES,
    *,
    kinds: tuple[EvidenceKind, ...] = (),
    families: tuple[str, ...] = (),
) -> GateEvidence:
    kinds = kinds or (STREAM,) * len(candidate)
    families = families or ("",) * len(candidate)
    captures = (
        HeldOutCapture(capture_id=f"{index:032x}", kind=kind, family=family)
        for index, (kind, family) in enumerate(zip(kinds, families, strict=True))
    )
    return GateEvidence(budget=0.05, captures=tuple(captures), candidate=side(candidate), serving=side(serving))


def with_probes(figures: ModelFigures, **changes: object) -> ModelFigures:
    return replace(figures, probes=replace(PROBES, **changes))  # type: ignore[arg-type]


def test_a_level_candidate_is_accepted_and_the_unknown_is_said() -> None:
    decision = judge_release(evidence(SCORES))
    assert decision.accepted
    assert "correlation 1.000" in decision.text
    assert (
        "real defects and hard good captures, no corrected capture is held out" in decision.text.split("not known:")[1]
    )
    assert dict(decision.figures)["rank_agreement"] == pytest.approx(1.0)


def test_a_candidate_that_ranks_otherwise_is_refused_with_the_figure() -> None:
    shuffled = tuple(np.random.default_rng(1).permutation(SCORES))
    decision = judge_release(evidence(shuffled))
    assert not decision.accepted
    assert "ranks 40 held-out captures" in decision.reasons[0]
    assert "under 0.9" in decision.reasons[0]


def test_a_candidate_that_ranks_nothing_is_refused() -> None:
    assert not judge_release(evidence((0.5,) * 40)).accepted


def test_a_lower_merit_on_synthetic_defects_is_refused() -> None:
    made = evidence(SCORES)
    worse = replace(made, candidate=with_probes(made.candidate, pixel_ap=0.59))
    assert "pixel AP 0.590 on 72 synthetic defects, serving weights 0.900 and 0.600" in judge_release(worse).text
    assert not judge_release(worse).accepted
    traded = replace(made, candidate=with_probes(made.candidate, image_auroc=0.92, pixel_ap=0.59))
    assert judge_release(traded).accepted


def test_a_threshold_that_finds_nothing_is_refused() -> None:
    made = evidence(SCORES)
    blind = replace(made, candidate=replace(made.candidate, threshold=99.0))
    decision = judge_release(blind)
    assert not decision.accepted
    assert "finds 0 of 72 synthetic defects at its threshold, serving weights 50" in decision.text


def test_a_slightly_higher_threshold_is_accepted() -> None:
    made = evidence(SCORES)
    scores = (1.5,) * 45 + (0.5,) * 27
    assert judge_release(replace(made, candidate=with_probes(made.candidate, scores=scores))).accepted


def test_a_halved_threshold_is_refused_by_the_pseudo_normals() -> None:
    made = evidence(SCORES)
    decision = judge_release(replace(made, candidate=replace(made.candidate, threshold=0.6)))
    assert not decision.accepted
    assert "rejects 13 of 24 held-out good captures, serving weights 0, budget 0.05" in decision.text


def test_false_rejects_of_normals_are_judged_by_the_budget_beyond_chance() -> None:
    kinds = (STREAM,) * 20 + (NORMAL,) * 20
    serving = SCORES[:20] + (0.5,) * 20
    for rejected, accepted in ((1, True), (4, False)):
        candidate = (*SCORES[:20],) + (0.5,) * (20 - rejected) + (1.5,) * rejected
        assert judge_release(evidence(candidate, serving, kinds=kinds)).accepted is accepted


def test_captures_confirmed_good_count_for_the_budget_only_where_they_were_drawn_at_random() -> None:
    kinds = (STREAM,) * 20 + (GOOD,) * 20
    # both reject the same four, and the candidate one capture of the stream more: over the budget, and no gain
    serving, candidate = SCORES[:20] + (0.5,) * 16 + (1.5,) * 4, (1.5, *SCORES[1:20]) + (0.5,) * 16 + (1.5,) * 4
    made = evidence(candidate, serving, kinds=kinds)
    assert not any("budget" in reason for reason in judge_release(made).reasons)
    assert "no held-out capture is known to be good" in judge_release(made).text
    drawn = replace(made, captures=tuple(replace(one, is_drawn=one.kind is GOOD) for one in made.captures))
    decision = judge_release(drawn)
    assert "rejects 5 of 32 held-out good captures, serving weights 4, budget 0.05" in decision.reasons
    assert GateEvidence.from_json(drawn.to_json()) == drawn


def test_fewer_false_rejects_than_those_that_serve_are_a_gain_even_over_the_budget() -> None:
    kinds = (STREAM,) * 20 + (NORMAL,) * 20
    serving, candidate = SCORES[:20] + (1.5,) * 20, SCORES[:20] + (0.5,) * 15 + (1.5,) * 5
    assert judge_release(evidence(candidate, serving, kinds=kinds)).accepted


def test_without_stream_and_probes_nothing_is_released() -> None:
    few = evidence(SCORES[:5], SCORES[:5])
    blank = replace(few, candidate=replace(few.candidate, probes=None), serving=replace(few.serving, probes=None))
    decision = judge_release(blank)
    assert not decision.accepted
    assert "nothing shows that it is not worse" in decision.reasons
    assert "5 held-out captures of the stream, 12 needed" in decision.text
    assert judge_release(few).accepted  # the probes show it


CORRECTED = (STREAM,) * 40 + (GOOD,) * 3 + (DEFECT,) * 3


def test_corrections_that_the_candidate_gets_wrong_refuse_it() -> None:
    serving = SCORES + (0.5,) * 3 + (1.5,) * 3
    decision = judge_release(evidence(SCORES + (0.5,) * 3 + (1.5, 0.9, 0.9), serving, kinds=CORRECTED))
    assert not decision.accepted
    assert "decides 4 of 6 corrected captures right, serving weights 6" in decision.text
    one = judge_release(evidence(SCORES + (0.5,) * 3 + (1.5, 1.5, 0.9), serving, kinds=CORRECTED))
    assert one.accepted  # one of one is chance


def test_corrections_that_it_gets_right_outweigh_ranks_and_probes() -> None:
    shuffled = tuple(np.random.default_rng(1).permutation(SCORES))
    low = (*sorted(SCORES[:24]), *np.random.default_rng(1).permutation(SCORES[24:]))
    assert not judge_release(evidence(shuffled + (0.5,) * 6, SCORES + (0.5,) * 6, kinds=CORRECTED)).accepted
    made = evidence(low + (0.5,) * 3 + (1.5,) * 3, SCORES + (1.5,) * 3 + (0.5,) * 3, kinds=CORRECTED)
    proved = replace(made, candidate=with_probes(made.candidate, pixel_ap=0.5))
    decision = judge_release(proved)
    assert decision.accepted
    assert "overruled: image AUROC 0.900 and pixel AP 0.500" in decision.text


def test_corrections_do_not_outweigh_false_rejects() -> None:
    made = evidence(SCORES + (0.5,) * 3 + (1.5,) * 3, SCORES + (1.5,) * 3 + (0.5,) * 3, kinds=CORRECTED)
    assert judge_release(made).accepted
    assert not judge_release(replace(made, candidate=replace(made.candidate, threshold=0.55))).accepted


def marked(made: GateEvidence, ours: tuple[float, ...], theirs: tuple[float, ...]) -> GateEvidence:
    rest = (None,) * (len(made.captures) - len(ours))
    return replace(
        made,
        candidate=replace(made.candidate, pixel_aps=rest + ours),
        serving=replace(made.serving, pixel_aps=rest + theirs),
    )


def test_corrected_masks_are_compared() -> None:
    scores = SCORES + (0.5,) * 3 + (1.5,) * 3
    made = evidence(scores, scores, kinds=CORRECTED)
    worse = judge_release(marked(made, (0.5, 0.5, 0.5), (0.6, 0.6, 0.6)))
    assert not worse.accepted
    assert "pixel AP 0.500 on 3 corrected masks, serving weights 0.600" in worse.text
    assert judge_release(marked(made, (0.6, 0.6, 0.6), (0.5, 0.5, 0.5))).accepted


def test_a_forgotten_family_is_refused_and_losses_do_not_add_up() -> None:
    scores = SCORES + (0.5,) * 3 + (1.5,) * 3
    families = ("",) * 43 + ("scratch",) * 3
    made = marked(evidence(scores, scores, kinds=CORRECTED, families=families), (0.58,) * 3, (0.59, 0.57, 0.59))
    assert judge_release(made).accepted
    before = tuple(replace(one, best_pixel_ap=0.65 if one.family else None) for one in made.captures)
    decision = judge_release(replace(made, captures=before))
    assert not decision.accepted
    assert "pixel AP 0.580 on the 3 defects of family scratch, best 0.650" in decision.text


def test_families_of_one_capture_are_measured_together() -> None:
    scores = SCORES + (0.5,) * 3 + (1.5,) * 3
    families = ("",) * 43 + ("a", "b", "c")
    made = marked(evidence(scores, scores, kinds=CORRECTED, families=families), (0.6, 0.6, 0.1), (0.6, 0.6, 0.6))
    decision = judge_release(made)
    assert not decision.accepted
    assert "pixel AP 0.433 on the 3 defects of family other, best 0.600" in decision.text


@pytest.mark.parametrize(
    ("count", "trials", "rate"), [(0, 5, 0.3), (1, 5, 0.3), (3, 6, 0.05), (6, 6, 0.5), (7, 6, 0.5)]
)
def test_the_chance_is_that_of_counting_all_cases(count: int, trials: int, rate: float) -> None:
    slow = sum(
        rate ** sum(case) * (1 - rate) ** (trials - sum(case))
        for case in product((0, 1), repeat=trials)
        if sum(case) >= count
    )
    assert chance_of_at_least(count, trials, rate) == pytest.approx(slow)


def test_evidence_comes_back_as_it_was() -> None:
    made = evidence(SCORES)
    assert GateEvidence.from_json(made.to_json()) == made
    with pytest.raises(ValueError, match="figures of 40 captures"):
        replace(made, candidate=side(SCORES[:3]))
