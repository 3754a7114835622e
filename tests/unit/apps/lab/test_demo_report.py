"""The demo's report on hand-written events."""

from typing import Any

import pytest

from siad.apps.lab.demo.report import (
    DemoObservations,
    Measurements,
    count_swaps,
    make_report,
    problems_of,
)
from siad.contracts.events import WeightsKind
from tests.unit.apps.cli.events import capture, mask, verdict


def report_of(
    observations: DemoObservations,
    fitted_on: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    measured = Measurements(bus="memory", fitted_on=fitted_on, longest_swap_pause_ms=0.0, seconds={})
    return make_report(observations, measured)


def test_a_capture_without_a_verdict_is_lost() -> None:
    seen = DemoObservations(sent={capture(1): 0.0, capture(2): 1.0}, verdicts=[verdict(1, 0.5)])
    report = report_of(seen)
    assert (report["verdicts"], report["lost"], report["lost_pseudo_masks"]) == (1, 1, 2)


def test_a_second_verdict_is_counted_as_duplicated_not_as_a_verdict() -> None:
    report = report_of(DemoObservations(sent={capture(1): 0.0}, verdicts=[verdict(1, 0.5), verdict(1, 0.5)]))
    assert (report["verdicts"], report["duplicated"]) == (1, 1)


def test_old_and_new_weights_side_by_side_are_one_swap() -> None:
    verdicts = [verdict(1, 0.1), verdict(2, 0.1, kind=WeightsKind.SEGMENTER), verdict(3, 0.1)]
    assert count_swaps(verdicts) == 1
    assert count_swaps(verdicts[:1]) == 0


def test_quality_rests_on_captures_that_no_model_was_fitted_on() -> None:
    seen = DemoObservations(
        sent={capture(1): 0.0, capture(2): 1.0, capture(3): 1.0},
        pseudo_masks=[mask(1, 0.5), mask(2, 2.0), mask(3, 0.1)],
    )
    teacher = report_of(seen, fitted_on=frozenset({capture(3)}))["teacher"]
    assert teacher["image_auroc"] == 1.0
    assert teacher["captures"] == 2
    assert report_of(seen)["teacher"]["image_auroc"] == pytest.approx(0.5)


def test_unsure_labels_are_left_out_of_the_figures() -> None:
    seen = DemoObservations(sent={capture(1): 0.0, capture(2): 1 / 3}, pseudo_masks=[mask(1, 2.0), mask(2, 2.0)])
    teacher = report_of(seen)["teacher"]
    assert (teacher["image_auroc"], teacher["false_reject_rate"], teacher["captures"]) == (None, 1.0, 1)


def test_both_models_are_held_against_the_same_captures() -> None:
    seen = DemoObservations(
        sent={capture(n): float(n % 2) for n in range(1, 5)},
        verdicts=[verdict(n, float(n % 2) * 2, kind=WeightsKind.SEGMENTER) for n in (3, 4)],
        pseudo_masks=[mask(n, 0.5) for n in range(1, 5)],
    )
    report = report_of(seen)
    assert report["teacher"]["captures"] == report["segmenter"]["captures"] == 2


def test_what_went_wrong_is_listed() -> None:
    lost = report_of(DemoObservations(sent={capture(1): 0.0}, dead_letters=2))
    problems = problems_of(lost)
    assert [problem.split()[0] for problem in problems] == ["1", "1", "2", "nothing"]
    swapped = DemoObservations(
        sent={capture(1): 0.0, capture(2): 0.0},
        verdicts=[verdict(1, 0.1), verdict(2, 0.1, kind=WeightsKind.SEGMENTER)],
        pseudo_masks=[mask(1, 0.1), mask(2, 0.1)],
    )
    assert problems_of(report_of(swapped)) == []
