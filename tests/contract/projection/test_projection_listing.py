"""Pages of captures: filters, order and keys, the same on every database."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.console.adapters.projection import reading
from services.console.adapters.projection.store import SqlProjection
from services.console.domain.listing import (
    CaptureDecision,
    CaptureFilter,
    CaptureState,
    ListedCapture,
    PageOrder,
    PageRequest,
)
from services.console.ports import TopicBatch, TopicRecord
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.events import PseudoMaskCreated, VerdictGiven
from siad.contracts.marked_objects import MarkedObject, ObjectFate, ObjectOrigin
from siad.contracts.topics import CORRECTION, PSEUDO_MASK, VERDICT, Topic
from tests.contract.projection.corrections import correction
from tests.unit.console.world import LINE_NAME, at_noon, name_of, pseudo_mask, verdict

COUNT = 137
SAID = [CorrectionVerdict.GOOD, CorrectionVerdict.DEFECT, CorrectionVerdict.UNSURE]
Fits = Callable[[int], bool]


def score(number: int) -> float:
    return (number * 37 % COUNT) / 40


def person(number: int) -> str:
    return "ann" if number % 2 else "bob"


def is_judged(number: int) -> bool:
    return number % 10 != 9


def marks(number: int) -> tuple[MarkedObject, ...]:
    """Marks of a defect: every second one has a scratch, and a dent that was deleted."""
    if answered(number) is not CorrectionVerdict.DEFECT:
        return ()
    place: dict[str, Any] = {"x": 0, "y": 0, "width": 5, "height": 5, "area_px": 9, "origin": ObjectOrigin.PERSON}
    deleted = MarkedObject(**place, fate=ObjectFate.DELETED, class_name="dent")
    name = "scratch" if number % 2 else "scratch-2_%"
    return (deleted, MarkedObject(**place, fate=ObjectFate.ADDED, class_name=name))


def has_scratch(number: int) -> bool:
    return answered(number) is CorrectionVerdict.DEFECT and number % 2 == 1


@pytest.fixture
async def filled(projection: SqlProjection) -> SqlProjection:
    """A line with all kinds of captures, and another line."""
    verdicts = [
        verdict(n, score(n), product="cap" if n % 3 else "lid", serial=f"s{n % 20}", received_at=at_noon(n // 2))
        for n in range(COUNT)
        if is_judged(n)
    ]
    verdicts += [verdict(n, line="press-2") for n in range(200, 230)]
    answers = [
        correction(
            n,
            SAID[n // 5 % 3],
            objects=marks(n),
            author=person(n),
            product="cap" if n % 3 else "lid",
            received_at=at_noon(n // 2),
        )
        for n in range(0, COUNT, 5)
    ]
    masks = [pseudo_mask(n, 9.0, product="cap" if n % 3 else "lid", received_at=at_noon(n // 2)) for n in range(COUNT)]
    topics: list[tuple[Topic, Sequence[VerdictGiven | CaptureCorrected | PseudoMaskCreated]]]
    topics = [(VERDICT, verdicts), (CORRECTION, answers), (PSEUDO_MASK, masks)]
    for topic, events in topics:
        await projection.apply(TopicBatch(topic.name, [TopicRecord(0, n, one) for n, one in enumerate(events)]))
    return projection


def shown_score(number: int) -> float:
    return score(number) if is_judged(number) else 9.0


def answered(number: int) -> CorrectionVerdict | None:
    return SAID[number // 5 % 3] if number % 5 == 0 else None


CASES: dict[str, tuple[dict[str, Any], Fits]] = {
    "all": ({}, lambda n: True),
    "product": ({"product": "lid"}, lambda n: n % 3 == 0),
    "from": ({"received_from": at_noon(20)}, lambda n: n // 2 >= 20),
    "between": ({"received_from": at_noon(20), "received_before": at_noon(41)}, lambda n: 20 <= n // 2 < 41),
    "serial": ({"serial": "s4"}, lambda n: n % 20 == 4),
    "rejects": ({"decision": CaptureDecision.REJECT}, lambda n: shown_score(n) >= 2),
    "good": ({"verdict": CorrectionVerdict.GOOD}, lambda n: answered(n) is CorrectionVerdict.GOOD),
    "score": ({"score_min": 1.0, "score_max": 2.5}, lambda n: 1.0 <= shown_score(n) <= 2.5),
    "open": ({"state": CaptureState.OPEN}, lambda n: answered(n) is None),
    "skipped": ({"state": CaptureState.SKIPPED}, lambda n: answered(n) is CorrectionVerdict.UNSURE),
    "person": ({"person": "ann"}, lambda n: answered(n) is not None and n % 2 == 1),
    "class": ({"class_name": "scratch"}, has_scratch),
    "class of a deleted mark": ({"class_name": "dent"}, lambda n: False),
    "several": (
        {"person": "bob", "product": "cap", "decision": CaptureDecision.PASS, "score_max": 1.5},
        lambda n: answered(n) is not None and n % 2 == 0 and n % 3 != 0 and shown_score(n) <= 1.5,
    ),
    "none": ({"serial": "s4", "person": "dan"}, lambda n: False),
}


async def pages(projection: SqlProjection, request: PageRequest) -> list[ListedCapture]:
    """Every capture of a list, page by page."""
    found: list[ListedCapture] = []
    while True:
        page = await projection.page(request)
        assert len(page.captures) <= request.limit
        found += page.captures
        if page.next is None:
            return found
        request = replace(request, after=type(page.next).from_text(page.next.to_text(request.order), request.order))


def expected(fits: Fits, order: PageOrder) -> list[str]:
    def key(number: int) -> tuple[float, str]:
        return (shown_score(number) if order is PageOrder.SCORE else number // 2, name_of(number))

    return [name_of(n) for n in sorted(filter(fits, range(COUNT)), key=key, reverse=True)]


@pytest.mark.parametrize("order", list(PageOrder))
@pytest.mark.parametrize("case", CASES)
async def test_pages_show_what_fits_in_order_each_once(filled: SqlProjection, case: str, order: PageOrder) -> None:
    wanted, fits = CASES[case]
    request = PageRequest(line=LINE_NAME, filter=CaptureFilter(**wanted), order=order, limit=7)
    found = [row.entry.capture_id for row in await pages(filled, request)]
    assert found == expected(fits, order)


@pytest.mark.parametrize("order", list(PageOrder))
async def test_a_page_looks_at_a_bounded_number_of_captures(
    filled: SqlProjection, order: PageOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SCANNED_MAX", 20)
    request = PageRequest(
        line=LINE_NAME, filter=CaptureFilter(product="lid", state=CaptureState.OPEN), order=order, limit=5
    )
    first = await filled.page(request)
    assert first.next is not None
    found = [row.entry.capture_id for row in await pages(filled, request)]
    assert found == expected(lambda n: n % 3 == 0 and answered(n) is None, order)
    rare = replace(request, filter=CaptureFilter(state=CaptureState.SKIPPED, score_min=99.0))
    assert [row.entry for row in await pages(filled, rare)] == []


async def test_captures_that_arrive_between_two_pages_move_nothing(filled: SqlProjection) -> None:
    first = await filled.page(PageRequest(line=LINE_NAME, limit=10))
    new = [verdict(n, 1.0) for n in range(500, 520)]
    await filled.apply(TopicBatch(VERDICT.name, [TopicRecord(1, n, one) for n, one in enumerate(new)]))
    rest = await pages(filled, PageRequest(line=LINE_NAME, limit=10, after=first.next))
    found = [row.entry.capture_id for row in [*first.captures, *rest]]
    assert found == expected(lambda n: True, PageOrder.NEWEST)


def draws(count: int) -> Iterator[dict[str, Any]]:
    """Random filters of several kinds at once."""
    draw = random.Random(5)
    for _ in range(count):
        wanted: dict[str, Any] = {}
        for name in draw.sample(list(CASES), 3):
            wanted |= CASES[name][0]
        yield wanted


async def test_filters_of_any_mix_agree_in_both_orders(filled: SqlProjection) -> None:
    for wanted in draws(12):
        names = []
        for order in PageOrder:
            request = PageRequest(line=LINE_NAME, filter=CaptureFilter(**wanted), order=order, limit=50)
            names.append({row.entry.capture_id for row in await pages(filled, request)})
        assert names[0] == names[1], wanted
