"""Which captures are worth most, how alike ones are spread, and what the reasons say."""

from dataclasses import replace
from typing import Any

import pytest

from services.console.domain.captures import CaptureEntry, CaptureWindow, Finding
from services.console.domain.review import ReviewItem, choose
from services.console.domain.serving import weights_in_service
from services.console.domain.variety import are_alike
from services.console.domain.worth import Ground, spreads_of, worth_of
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection
from siad.contracts.ids import CaptureId
from tests.unit.console.world import LINE_NAME, OTHER, WEIGHTS, at_noon, name_of, pseudo_mask, verdict

FAR = [0.5 + 0.01 * number for number in range(60)]  # passed, and far from the threshold of 2
HOUR_S = 3600


def line_of(scores: list[float], **of_last: Any) -> list[CaptureEntry]:
    """Captures of one score each, an hour apart; the last one is changed."""
    window = CaptureWindow(1000)
    for number, score in enumerate(scores):
        window.add_verdict(verdict(number, score, captured_at=at_noon(HOUR_S * number)))
    *others, last = window.of_line(LINE_NAME)
    return [*others, replace(last, **of_last)]


def shown(entries: list[CaptureEntry], latest: dict[str, CaptureCorrected] | None = None) -> list[ReviewItem]:
    """The captures that are shown for their worth."""
    items = choose(entries, latest or {}, 20, weights_in_service(entries))
    return [item for item in items if item.selection is Selection.NEAREST]


def drawn_by_teacher(score: float, confidence: float = 1.0) -> Finding:
    """A pseudo-mask of other weights than those of the verdict."""
    return Finding(weights=OTHER, score=score, threshold=2.0, mask_uri="", confidence=confidence)


def test_a_capture_that_teacher_and_segmenter_judge_differently_comes_before_a_nearer_one() -> None:
    entries = line_of([*FAR, 1.95, 0.4], pseudo_mask=drawn_by_teacher(3.0))
    first, second = shown(entries)[:2]
    assert (first.finding.score, first.grounds) == (0.4, (Ground.CONTRADICTION,))
    assert first.reason == "teacher and verdict differ: the teacher rejects it, the verdict does not"
    assert (second.finding.score, second.grounds) == (1.95, (Ground.NEAR,))


@pytest.mark.parametrize("drawn", [drawn_by_teacher(1.0), replace(drawn_by_teacher(3.0), weights=WEIGHTS)])
def test_weights_that_agree_and_one_pair_of_findings_of_the_same_weights_are_no_contradiction(drawn: Finding) -> None:
    (entry,) = line_of([0.4], pseudo_mask=drawn)
    assert worth_of(entry, {WEIGHTS: 1.0}).grounds == (Ground.LEFT,)


def test_a_pseudo_mask_of_low_confidence_comes_before_one_that_is_sure() -> None:
    entries = line_of([*FAR, 0.4], pseudo_mask=drawn_by_teacher(1.0, confidence=0.07))
    first = shown(entries)[0]
    assert (first.finding.score, first.grounds) == (0.4, (Ground.LOW_CONFIDENCE,))
    assert first.reason == "low confidence of the pseudo-mask: 7%"
    sure = line_of([*FAR, 0.4], pseudo_mask=drawn_by_teacher(1.0, confidence=1.0))
    assert shown(sure)[0].finding.score == max(FAR)


def test_several_doubts_are_all_named() -> None:
    window = CaptureWindow(10)
    window.add_verdict(verdict(1, 1.0))
    window.add_verdict(verdict(2, 1.9))
    window.add_pseudo_mask(pseudo_mask(2, 2.1, weights=OTHER, confidence=0.2))
    item = next(one for one in choose(window.of_line(LINE_NAME), {}, 2, weights_in_service(window.of_line(LINE_NAME)))
                if one.selection is Selection.NEAREST)  # fmt: skip
    assert item.finding.score in (1.0, 1.9)
    entry = window.find(LINE_NAME, name_of(2))
    assert entry is not None
    grounds = worth_of(entry, spreads_of([entry])).grounds
    assert grounds == (Ground.NEAR, Ground.CONTRADICTION, Ground.LOW_CONFIDENCE)


def burst(count: int) -> list[CaptureEntry]:
    """A fault that lasts: captures of one score within seconds, and two of other hours that are less near."""
    window = CaptureWindow(1000)
    for number, score in enumerate(FAR):
        window.add_verdict(verdict(number, score, captured_at=at_noon(HOUR_S * number)))
    for number in range(100, 100 + count):
        window.add_verdict(verdict(number, 1.99, captured_at=at_noon(HOUR_S * 100 + number)))
    for number in (200, 201):
        window.add_verdict(verdict(number, 1.9, captured_at=at_noon(HOUR_S * number)))
    return list(window.of_line(LINE_NAME))


def test_after_two_alike_one_that_is_unlike_them_is_shown() -> None:
    items = shown(burst(9))
    assert [item.finding.score for item in items[:6]] == [1.99, 1.99, 1.9, 1.99, 1.99, 1.9]
    assert [Ground.UNLIKE in item.grounds for item in items[:6]] == [False, False, True, False, False, True]
    assert items[2].reason.endswith("; unlike the ones before it")
    assert [item.finding.score for item in items[6:9]] == [1.99] * 3  # nothing unlike them is worth half as much


def test_what_was_answered_last_counts_as_shown() -> None:
    entries = burst(9)
    latest = {}
    for number in (100, 101):
        event = pseudo_mask(number)
        latest[name_of(number)] = CaptureCorrected(
            capture_id=CaptureId(name_of(number)), image_id=event.image_id, image_uri=event.image_uri,
            line=LINE_NAME, product=event.product, serial="", captured_at=event.captured_at,
            received_at=event.received_at, revision=1, verdict=CorrectionVerdict.GOOD, mask_uri="", mask_sha256="",
            weights=WEIGHTS, score=1.99, threshold=2.0, author="ann", corrected_at=at_noon(number),
            selection=Selection.NEAREST,
        )  # fmt: skip
    assert shown(entries, latest)[0].finding.score == 1.9


def test_captures_of_one_part_are_alike_at_any_time() -> None:
    one, other = (entry for entry in line_of([1.0, 1.9]))
    spreads: dict[str, float] = {WEIGHTS: 0.1}
    assert not are_alike(one, other, spreads)
    assert are_alike(replace(one, serial="n7"), replace(other, serial="n7"), spreads)
    assert not are_alike(replace(one, serial=""), replace(other, serial=""), spreads)
    assert not are_alike(replace(one, serial="n7"), replace(other, serial="n7", product="lid"), spreads)
