"""Which captures people are asked about, and what their answers say of misses and false rejects."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from scipy.stats import binom

from services.console.domain.book import CorrectionBook, CorrectionId, ShownCaptures
from services.console.domain.captures import CaptureEntry, CaptureWindow, Finding
from services.console.domain.draw import rank_of, samples
from services.console.domain.estimates import INTERVAL, estimate, interval
from services.console.domain.review import ReviewItem
from services.console.domain.review import choose as choose_at
from services.console.domain.serving import WeightsInService, at_weights, weights_in_service
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection
from siad.contracts.events import Decision
from siad.contracts.ids import CaptureId
from siad.contracts.place import Place
from tests.unit.console.world import (
    LINE_NAME,
    OTHER,
    PRODUCT,
    WEIGHTS,
    at_noon,
    name_of,
    pseudo_mask,
    verdict,
)

PLACE = Place(LINE_NAME, PRODUCT)


def choose(entries: Sequence[CaptureEntry], latest: dict[str, CaptureCorrected], count: int) -> list[ReviewItem]:
    """The choice at a place whose newest capture tells the weights in service."""
    return choose_at(entries, latest, count, weights_in_service(entries))


def projected(scores: list[float], captured_at_each_h: float = 0) -> CaptureWindow:
    projection = CaptureWindow(100_000)
    for number, score in enumerate(scores):
        at = {"captured_at": at_noon(3600 * captured_at_each_h * number)} if captured_at_each_h else {}
        projection.add_verdict(verdict(number, score, **at))
    return projection


def answer(entry: CaptureEntry, verdict: CorrectionVerdict, selection: Selection, at_s: float) -> CaptureCorrected:
    """A person's answer to a shown capture."""
    finding = entry.finding
    assert finding is not None
    event = pseudo_mask(0)
    return CaptureCorrected(
        capture_id=CaptureId(entry.capture_id), image_id=event.image_id, image_uri=entry.image_uri, line=entry.line,
        product=entry.product, serial="", captured_at=entry.captured_at, received_at=entry.received_at, revision=1,
        verdict=verdict, mask_uri="", mask_sha256="", weights=finding.weights, score=finding.score,
        threshold=finding.threshold, author="ann", corrected_at=at_noon(at_s), selection=selection,
    )  # fmt: skip


def test_the_captures_nearest_the_threshold_come_first_and_every_tenth_is_drawn() -> None:
    scores = [0.5 + 0.01 * number for number in range(140)] + [1.97, 2.05, 9.0]
    items = choose(projected(scores, captured_at_each_h=1).of_line(LINE_NAME), {}, 20)
    assert [item.selection for item in items] == ([Selection.NEAREST] * 9 + [Selection.RANDOM]) * 2
    near = [item for item in items if item.selection is Selection.NEAREST]
    assert near[0].entry.capture_id == name_of(140)
    assert [item.distance for item in near] == sorted(item.distance for item in near)
    assert {item.finding.score for item in near[:2]} == {1.97, 2.05}
    assert "near the threshold: 1.5% below the threshold, " in near[0].reason
    assert "drawn at random from 143 captures" in items[9].reason


def test_a_capture_far_from_the_threshold_is_not_called_near() -> None:
    items = choose(projected([1.0, 1.02, 1.04, 4.08, 2.0]).of_line(LINE_NAME), {}, 10)
    reasons = {item.finding.score: item.reason for item in items if item.selection is Selection.NEAREST}
    assert reasons[4.08].startswith("the nearest that are left: 104.0% over the threshold, ")
    assert "at the threshold" in reasons.get(2.0, "at the threshold")


def test_weights_just_released_count_answers_only_where_they_scored_the_capture() -> None:
    entries = projected([1.0, 1.9, 2.5]).of_line(LINE_NAME)
    said = {one.capture_id: answer(one, CorrectionVerdict.GOOD, Selection.RANDOM, 1) for one in entries}
    serving = weights_in_service(entries, {PLACE: WeightsInService(OTHER, 30.0)})
    (found,) = estimate(at_weights(said, entries, serving).values(), serving)
    assert (found.weights, found.threshold, found.answers, found.earlier) == (OTHER, 30.0, 0, 3)
    (item,) = choose_at(entries, {name_of(0): said[name_of(0)], name_of(1): said[name_of(1)]}, 10, serving)
    assert (item.is_current, item.finding.score) == (False, 2.5)
    assert item.reason.endswith("; scored by earlier weights")
    scored = [replace(entries[0], pseudo_mask=Finding(weights=OTHER, score=31.0, threshold=30.0, mask_uri=""))]
    (found,) = estimate(at_weights(said, [*scored, *entries[1:]], serving).values(), serving)
    assert (found.answers, found.earlier) == (1, 2)
    assert found.false_rejects is not None
    assert (found.false_rejects.count, found.false_rejects.of) == (1, 1)


def test_the_same_state_gives_the_same_captures_in_whatever_order_it_was_read() -> None:
    scores = [random.Random(1).uniform(0.5, 3) for _ in range(200)]
    one = choose(projected(scores).of_line(LINE_NAME), {}, 30)
    entries = list(projected(scores).of_line(LINE_NAME))
    random.Random(2).shuffle(entries)
    assert choose(entries, {}, 30) == one


def test_answered_captures_are_not_shown_again() -> None:
    entries = projected([1.0, 1.9, 1.5]).of_line(LINE_NAME)
    first = choose(entries, {}, 1)[0]
    assert len(choose(entries, {}, 10)) == 3
    latest = {first.entry.capture_id: answer(first.entry, CorrectionVerdict.GOOD, first.selection, 1)}
    assert first.entry.capture_id not in {item.entry.capture_id for item in choose(entries, latest, 10)}
    assert choose([], {}, 10) == []


def test_captures_without_a_score_are_not_shown() -> None:
    projection = CaptureWindow(10)
    projection.add_verdict(verdict(1, decision=Decision.UNKNOWN, reason="no-weights", weights=""))
    assert choose(projection.of_line(LINE_NAME), {}, 10) == []
    projection.add_pseudo_mask(pseudo_mask(1, 1.7))
    (item,) = choose(projection.of_line(LINE_NAME), {}, 10)
    assert item.finding.score == 1.7


def test_captures_of_the_weights_in_service_come_before_nearer_ones_of_others() -> None:
    projection = projected([1.99, 1.98, 1.0])
    for number in range(3, 30):
        projection.add_verdict(verdict(number, 1.0 + 0.01 * number, weights=OTHER))
    near = [item for item in choose(projection.of_line(LINE_NAME), {}, 10) if item.selection is Selection.NEAREST]
    assert {item.finding.weights for item in near} == {OTHER}
    assert near[0].entry.capture_id == name_of(29)


def test_the_projection_keeps_the_newest_and_the_last_word() -> None:
    projection = CaptureWindow(100)
    for number in range(150):
        projection.add_verdict(verdict(number))
    kept = {entry.capture_id for entry in projection.of_line(LINE_NAME)}
    assert 100 <= len(kept) <= 110
    assert name_of(149) in kept
    assert name_of(0) not in kept
    late = verdict(149, 5.0, judged_at=at_noon(0))
    projection.add_verdict(late)
    projection.add_pseudo_mask(pseudo_mask(149, 7.0, weights=OTHER))
    entry = projection.find(LINE_NAME, name_of(149))
    assert entry is not None
    assert entry.finding is not None
    assert (entry.finding.score, entry.finding.weights, entry.serial) == (1.0, WEIGHTS, "n149")
    projection.drop(LINE_NAME, [name_of(149)])
    assert projection.find(LINE_NAME, name_of(149)) is None


def test_intervals_are_those_of_clopper_and_pearson() -> None:
    assert interval(0, 10)[0] == 0.0
    assert interval(0, 10)[1] == pytest.approx(1 - 0.05 ** (1 / 10))
    low, high = interval(3, 10)
    assert binom.sf(2, 10, low) == pytest.approx(0.05)
    assert binom.cdf(3, 10, high) == pytest.approx(0.05)
    assert interval(10, 10)[1] == 1.0


def test_nothing_is_estimated_without_a_drawn_answer() -> None:
    entries = projected([1.0, 1.9, 2.5]).of_line(LINE_NAME)
    serving = weights_in_service(entries)
    assert estimate([], serving) == []
    near = [answer(entry, CorrectionVerdict.GOOD, Selection.NEAREST, 1) for entry in entries]
    assert estimate(near, serving) == []
    (found,) = estimate([replace(one, weights=OTHER, selection=Selection.RANDOM) for one in near], serving)
    assert (found.answers, found.false_rejects, found.misses, found.earlier) == (0, None, None, 3)


def test_what_is_estimated_are_the_shares_of_the_drawn_answers() -> None:
    entries = projected([1.0, 1.5, 2.5, 1.2]).of_line(LINE_NAME)
    verdicts = [CorrectionVerdict.GOOD, CorrectionVerdict.DEFECT, CorrectionVerdict.GOOD, CorrectionVerdict.UNSURE]
    answers = [answer(entry, one, Selection.RANDOM, 1) for entry, one in zip(entries, verdicts, strict=True)]
    (found,) = estimate(answers, weights_in_service(entries))
    assert (found.place, found.weights, found.answers, found.unsure) == (PLACE, WEIGHTS, 3, 1)
    assert found.false_rejects is not None
    assert found.misses is not None
    assert (found.false_rejects.count, found.false_rejects.of, found.false_rejects.estimated) == (1, 2, 0.5)
    assert (found.misses.count, found.misses.of) == (1, 1)


DEFECTIVE, GOODS = 0.2, 0.8


def line_of(draw: random.Random, count: int) -> tuple[list[float], list[bool]]:
    """Scores, and which parts are defective: 10% false rejects, half of the defects missed."""
    defective = [draw.random() < DEFECTIVE for _ in range(count)]
    scores = [
        (2 + draw.random() if draw.random() < 0.5 else 2 - draw.random()) if is_defect
        else (2 + 0.1 * draw.random() if draw.random() < 0.1 else 2 - draw.random())
        for is_defect in defective
    ]  # fmt: skip
    return scores, defective


@pytest.mark.parametrize("arrive", [0, 5], ids=["all at once", "while people answer"])
def test_estimates_are_unbiased_though_most_answers_are_near_the_threshold(arrive: int) -> None:
    """Near answers alone would say that most defects near the threshold are found; the sample does not."""
    covered, rates, lines = 0, [], 16
    for seed in range(lines):
        draw = random.Random(seed)
        scores, defective = line_of(draw, 600)
        projection, latest = projected(scores[:300] if arrive else scores), dict[str, CaptureCorrected]()
        for turn in range(30):
            for number in range(300 + arrive * turn, 300 + arrive * (turn + 1)):
                projection.add_verdict(verdict(number, scores[number]))
            for item in choose(projection.of_line(LINE_NAME), latest, 10):
                is_defect = defective[int(item.entry.capture_id, 16)]
                said = CorrectionVerdict.DEFECT if is_defect else CorrectionVerdict.GOOD
                latest[item.entry.capture_id] = answer(item.entry, said, item.selection, turn)
        (found,) = estimate(latest.values(), weights_in_service(projection.of_line(LINE_NAME)))
        assert found.false_rejects is not None
        covered += found.false_rejects.low <= 0.1 <= found.false_rejects.high
        rates.append(found.false_rejects.estimated)
    assert covered >= INTERVAL * lines - 1
    assert sum(rates) / lines == pytest.approx(0.1, abs=0.04)


def test_a_chosen_answer_counts_once_the_draw_has_reached_it() -> None:
    entries = sorted(projected([1.0] * 50).of_line(LINE_NAME), key=lambda one: rank_of(LINE_NAME, one.capture_id))
    serving = weights_in_service(entries)
    before = answer(entries[1], CorrectionVerdict.DEFECT, Selection.CHOSEN, 1)
    beyond = answer(entries[9], CorrectionVerdict.DEFECT, Selection.CHOSEN, 1)
    drawn = answer(entries[2], CorrectionVerdict.GOOD, Selection.RANDOM, 2)
    late = answer(entries[0], CorrectionVerdict.DEFECT, Selection.CHOSEN, 3)
    sample = samples([before, beyond, drawn, late], serving)[PLACE]
    assert {one.capture_id for one in sample.answers} == {before.capture_id, drawn.capture_id}


def test_captures_that_the_draw_has_passed_are_shown_as_drawn_or_not_at_all() -> None:
    entries = sorted(projected([1.9] * 50).of_line(LINE_NAME), key=lambda one: rank_of(LINE_NAME, one.capture_id))
    drawn = answer(entries[9], CorrectionVerdict.GOOD, Selection.RANDOM, 1)
    items = choose(entries, {drawn.capture_id: drawn}, 20)  # the first nine arrived after the draw
    passed = {entry.capture_id for entry in entries[:9]}
    assert [item.selection for item in items if item.entry.capture_id in passed] == [Selection.RANDOM] * 2


def test_the_book_keeps_the_highest_revision_and_what_is_outstanding() -> None:
    (entry,) = projected([1.0]).of_line(LINE_NAME)
    first = answer(entry, CorrectionVerdict.GOOD, Selection.CHOSEN, 1)
    second = replace(first, revision=2, verdict=CorrectionVerdict.DEFECT)
    book = CorrectionBook()
    book.add(second, is_published=False)
    book.add(first, is_published=False)
    assert book.latest(LINE_NAME) == {first.capture_id: second}
    assert book.outstanding() == [first, second]
    book.add(first, is_published=True)
    book.add(first, is_published=False)  # late, from another task
    assert book.outstanding() == [second]
    assert book.unread([CorrectionId.of(first), CorrectionId.of(second)]) == [CorrectionId.of(second)]
    book.drop(LINE_NAME, [first.capture_id])
    assert (book.latest(LINE_NAME), book.outstanding()) == ({}, [])


def test_what_was_shown_is_remembered_within_a_bound() -> None:
    shown = ShownCaptures()
    for number in range(10_001):
        shown.add(LINE_NAME, name_of(number), Selection.RANDOM)
    assert shown.why(LINE_NAME, name_of(0)) is None
    assert shown.why(LINE_NAME, name_of(10_000)) is Selection.RANDOM
