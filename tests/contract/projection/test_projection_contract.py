"""The projection follows topics and store, once and in order, on every database."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.console.adapters.projection import reading
from services.console.adapters.projection.database import Database
from services.console.adapters.projection.store import SqlProjection
from services.console.domain.book import CorrectionBook
from services.console.domain.captures import CaptureWindow
from services.console.domain.listing import CaptureState, ListedCapture, PageRequest
from services.console.ports import TopicBatch, TopicRecord
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.deletion import DeletionIndex
from siad.contracts.events import Decision, PseudoMaskCreated, VerdictGiven
from siad.contracts.topics import CORRECTION, PSEUDO_MASK, VERDICT
from tests.contract.projection.corrections import correction
from tests.unit.console.world import LINE_NAME, OTHER, WEIGHTS, at_noon, name_of, pseudo_mask, verdict

Event = VerdictGiven | PseudoMaskCreated | CaptureCorrected


def batch(topic: str, *events: Event | None, first: int = 0, partition: int = 0) -> TopicBatch:
    """Records of one partition."""
    return TopicBatch(topic, [TopicRecord(partition, first + n, event) for n, event in enumerate(events)])


async def rows(projection: SqlProjection, line: str = LINE_NAME) -> Sequence[ListedCapture]:
    """Every capture of a line, newest first."""
    return (await projection.page(PageRequest(line=line, limit=200))).captures


async def test_a_capture_has_the_last_verdict_pseudo_mask_and_answer(projection: SqlProjection) -> None:
    await projection.apply(batch(PSEUDO_MASK.name, pseudo_mask(1, 1.2), pseudo_mask(1, 2.4, weights=OTHER)))
    (row,) = await rows(projection)
    assert (row.entry.verdict, row.state, row.answer) == (None, CaptureState.OPEN, None)
    assert row.entry.pseudo_mask is not None
    assert (row.entry.pseudo_mask.score, row.entry.pseudo_mask.confidence) == (2.4, 1.0)
    late = verdict(1, 9.0, judged_at=at_noon(0))
    unknown = verdict(1, decision=Decision.UNKNOWN, reason="no-weights", weights="", judged_at=at_noon(9))
    await projection.apply(batch(VERDICT.name, verdict(1, 1.5), late))
    await projection.apply(batch(VERDICT.name, unknown, first=2))
    (row,) = await rows(projection)
    assert row.entry.verdict is not None
    assert (row.entry.verdict.score, row.entry.verdict.weights, row.entry.serial) == (1.5, WEIGHTS, "n1")
    assert row.entry.judged_at == at_noon(9)
    older, newer = correction(1, revision=1), correction(1, CorrectionVerdict.UNSURE, revision=2, author="bob")
    await projection.apply(batch(CORRECTION.name, newer, older))
    (row,) = await rows(projection)
    assert row.answer is not None
    assert (row.state, row.answer.revision, row.answer.person) == (CaptureState.SKIPPED, 2, "bob")


async def test_an_answer_without_its_events_is_listed_too(projection: SqlProjection) -> None:
    await projection.add_corrections([correction(4)], is_published=False)
    (row,) = await rows(projection)
    assert (row.entry.capture_id, row.entry.finding, row.state) == (name_of(4), None, CaptureState.ANSWERED)
    await projection.apply(batch(VERDICT.name, verdict(4, 1.5)))
    (row,) = await rows(projection)
    assert row.state is CaptureState.ANSWERED
    assert row.entry.finding is not None


async def test_records_are_applied_once_and_their_offsets_with_them(projection: SqlProjection) -> None:
    assert await projection.positions(PSEUDO_MASK.name) == {}
    await projection.apply(batch(PSEUDO_MASK.name, pseudo_mask(1, 1.0), None, pseudo_mask(2, 1.0)))
    await projection.apply(batch(PSEUDO_MASK.name, pseudo_mask(3, 1.0), first=7, partition=3))
    assert await projection.positions(PSEUDO_MASK.name) == {0: 3, 3: 8}
    await projection.apply(batch(PSEUDO_MASK.name, pseudo_mask(1, 5.0), pseudo_mask(4, 5.0), first=2))
    found = {row.entry.capture_id: row.entry.finding for row in await rows(projection)}
    assert name_of(4) in found
    assert found[name_of(1)] is not None
    assert found[name_of(1)].score == 1.0, "a repeated offset was applied again"  # type: ignore[union-attr]
    await projection.rewind(PSEUDO_MASK.name, {0: 0})
    await projection.apply(batch(PSEUDO_MASK.name, pseudo_mask(1, 5.0)))
    found = {row.entry.capture_id: row.entry.finding for row in await rows(projection)}
    assert found[name_of(1)].score == 5.0  # type: ignore[union-attr]


async def test_nothing_of_a_batch_that_fails_is_applied(projection: SqlProjection) -> None:
    broken = replace(verdict(2), received_at=at_noon(0))
    object.__setattr__(broken, "product", None)
    with pytest.raises(Exception, match=r"(?i)not.null"):
        await projection.apply(batch(VERDICT.name, verdict(1), broken))
    assert await rows(projection) == []
    assert await projection.positions(VERDICT.name) == {}


async def test_two_consoles_on_one_database_apply_each_record_once(
    projection: SqlProjection, another: SqlProjection
) -> None:
    events = [pseudo_mask(n % 7, 1 + n / 1000) for n in range(400)]
    chunks = [batch(PSEUDO_MASK.name, *events[at : at + 20], first=at) for at in range(0, 400, 20)]
    answers = [correction(n, revision=revision) for n in range(7) for revision in (1, 2)]
    answered = batch(CORRECTION.name, *answers)

    async def follow(one: SqlProjection) -> None:
        for chunk in chunks:
            await one.apply(chunk)
            await one.apply(answered)

    await asyncio.gather(follow(projection), follow(another))
    found = {row.entry.capture_id: row for row in await rows(projection)}
    last = {event.capture_id: event.score for event in events}
    assert {name: row.entry.finding.score for name, row in found.items() if row.entry.finding} == last
    assert {row.answer.revision for row in found.values() if row.answer} == {2}
    assert await another.positions(PSEUDO_MASK.name) == {0: 400}


async def test_the_topics_in_any_interleaving_give_the_same_rows(database: Database) -> None:
    events: dict[str, list[Event]] = {
        VERDICT.name: [verdict(n % 40, 1 + n / 60) for n in range(120)],
        PSEUDO_MASK.name: [pseudo_mask(n % 50, 1 + n / 90, weights=OTHER) for n in range(150)],
        CORRECTION.name: [correction(n, revision=r) for r in (1, 2) for n in range(0, 60, 3)],
    }
    found = []
    for seed in range(3):
        projection = SqlProjection(database)
        draw, left = random.Random(seed), {topic: list(one) for topic, one in events.items()}
        for topic in events:
            await projection.rewind(topic, {0: 0})
        await projection.drop(LINE_NAME, DeletionIndex(before_at=at_noon(10_000)))
        while any(left.values()):
            topic = draw.choice([topic for topic, one in left.items() if one])
            count, done = draw.randint(1, 30), len(events[topic]) - len(left[topic])
            await projection.apply(batch(topic, *left[topic][:count], first=done))
            del left[topic][:count]
        found.append(await rows(projection))
    assert len(found[0]) > 50
    assert found[0] == found[1] == found[2]


async def test_a_new_process_has_the_memory_of_the_one_before(projection: SqlProjection) -> None:
    verdicts, masks = [verdict(n, 1 + n / 10) for n in range(30)], [pseudo_mask(n) for n in range(0, 30, 4)]
    answers = [correction(n, revision=r) for n in range(5) for r in (1, 2)]
    await projection.apply(batch(VERDICT.name, *verdicts))
    await projection.apply(batch(PSEUDO_MASK.name, *masks))
    await projection.apply(batch(CORRECTION.name, *answers[:-1]))
    await projection.add_corrections(answers[-1:], is_published=False)
    window, book = CaptureWindow(10), CorrectionBook()
    for event in verdicts:
        window.add_verdict(event)
    for mask in masks:
        window.add_pseudo_mask(mask)
    loaded, loaded_book = CaptureWindow(10), CorrectionBook()
    await projection.load(loaded, loaded_book)
    known = {entry.capture_id: entry for entry in window.of_line(LINE_NAME)}
    newest = {name_of(n) for n in range(20, 30)}
    assert {e.capture_id: e for e in loaded.of_line(LINE_NAME)} == {name: known[name] for name in newest}
    for one in answers:
        book.add(one, is_published=one is not answers[-1])
    assert loaded_book.latest(LINE_NAME) == book.latest(LINE_NAME)
    assert loaded_book.outstanding() == [answers[-1]]
    assert all(loaded_book.is_published(one) for one in answers[:-1])


async def test_erased_expired_and_withdrawn_captures_are_gone(projection: SqlProjection, database: Database) -> None:
    await projection.apply(batch(VERDICT.name, *(verdict(n) for n in range(10)), verdict(11, line="press-2")))
    await projection.apply(batch(CORRECTION.name, *(correction(n) for n in (1, 2, 3, 8))))
    assert await projection.lines() == [LINE_NAME, "press-2"]
    assert await projection.drop(LINE_NAME, DeletionIndex({name_of(1), name_of(4), "ff" * 16})) == 2
    assert await projection.drop(LINE_NAME, DeletionIndex(before_at=at_noon(2))) == 2
    await projection.withdraw([(LINE_NAME, name_of(8))])
    left = {row.entry.capture_id: row.state for row in await rows(projection)}
    states = dict.fromkeys((name_of(n) for n in (5, 6, 7, 8, 9)), CaptureState.OPEN)
    assert left == states | {name_of(3): CaptureState.ANSWERED}
    assert await projection.answered() == [(LINE_NAME, name_of(3))]
    assert {one[1] for one in await database.read(reading.published)} == {name_of(3)}
    assert await projection.expire(LINE_NAME, at_noon(86_400).date()) == 5
    assert [row.entry.capture_id for row in await rows(projection)] == [name_of(3)]
    assert len(await rows(projection, "press-2")) == 1


async def test_texts_that_a_database_cannot_hold_are_replaced(projection: SqlProjection) -> None:
    fields: dict[str, Any] = {"serial": "a\0b", "mask_uri": "s3://x/\0"}
    await projection.apply(batch(VERDICT.name, verdict(1, **fields)))
    (row,) = await rows(projection)
    assert row.entry.serial == "a\ufffdb"
