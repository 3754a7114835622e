"""Backfill of the captures that came before the first teacher, with failures and restarts."""

from datetime import timedelta

import pytest

from services.labeler.reconcile import BACKFILLS_MAX
from siad.contracts.errors import TransientError
from siad.contracts.ids import record_key
from siad.contracts.keys import (
    backfill_key,
    capture_key,
)
from siad.contracts.topics import PSEUDO_MASK
from siad.runtime.blobs.memory import MemoryBlobs
from tests.unit.labeler.test_labeler_plan import due
from tests.unit.labeler.world import LINE, PRODUCT, UNIT, World, capture


async def test_a_pseudo_mask_of_a_backfill_lies_on_the_shard_of_its_capture() -> None:
    world = World()
    world.add_normals(10)
    captures = [world.add(capture(number, minutes=-30)) for number in range(8)]
    await world.settle()
    keys = {message.key for message in world.producer.sent if message.topic == PSEUDO_MASK.name}
    assert keys == {record_key(LINE, one.capture_id, 4) for one in captures}


async def test_a_scorer_that_fails_now_and_then_holds_up_no_backfill_for_ever() -> None:
    world = World()
    world.add_normals(10)
    captures = [world.add(capture(number, minutes=-30)).capture_id for number in range(40)]
    await world.works.act(UNIT, due(10))
    world.serve.away_at = {20, 35}
    for _ in range(2):
        with pytest.raises(TransientError):
            await world.settle()
    assert await world.settle() == ["BackfillLine"]
    assert {mask.capture_id for mask in world.masks()} == set(captures)
    assert len(world.serve.drawn) <= 40 + 2 * BACKFILLS_MAX  # what was done is not done again, what was under way is


async def test_a_backfill_that_fails_leaves_nothing_running_behind_it() -> None:
    world = World()
    world.add_normals(10)
    for number in range(40):
        world.add(capture(number, minutes=-30))
    await world.works.act(UNIT, due(10))
    world.serve.away_at = {5}
    with pytest.raises(TransientError):
        await world.settle()
    published = len(world.producer.sent)
    for _ in range(50):
        await world.clock.sleep(0)
    assert len(world.producer.sent) == published


async def test_a_backfill_asks_for_few_captures_at_once_and_for_no_more_than_it_may() -> None:
    world = World(backfill_max=12)
    world.add_normals(10)
    for number in range(30):
        world.add(capture(number, minutes=-30 + number / 10))
    await world.settle()
    assert sorted(world.serve.drawn) == sorted(capture(number).capture_id for number in range(18, 30))
    assert world.serve.abreast_max <= BACKFILLS_MAX


async def test_a_restarted_backfill_does_not_drop_captures_for_newer_ones() -> None:
    world = World(backfill_max=12)
    world.add_normals(10)
    missed = [world.add(capture(number, minutes=-30 + number / 10)).capture_id for number in range(12)]
    await world.works.act(UNIT, due(10))
    world.serve.away_at = {5}
    with pytest.raises(TransientError):
        await world.settle()
    for number in range(100, 140):  # the stream goes on, and its captures are labelled there
        world.add(capture(number, minutes=0.5))
    world.restart()
    await world.settle()
    assert {mask.capture_id for mask in world.masks()} == set(missed)


async def test_captures_of_the_minute_after_the_release_displace_no_older_ones() -> None:
    world = World(backfill_max=12)
    world.add_normals(10)
    missed = [world.add(capture(number, minutes=-30 + number / 10)).capture_id for number in range(12)]
    await world.works.act(UNIT, due(10))
    later = [world.add(capture(number, minutes=0.5)).capture_id for number in range(100, 120)]
    await world.settle()
    assert {mask.capture_id for mask in world.masks()} == {*missed, *later}


async def test_a_capture_that_cannot_be_labelled_holds_up_no_backfill() -> None:
    world = World()
    world.add_normals(10)
    bad, cursed, good = (world.add(capture(number, minutes=-30)) for number in range(3))
    world.serve.unreadable, world.serve.cursed = {bad.capture_id}, {cursed.capture_id}
    await world.settle()
    assert [mask.capture_id for mask in world.masks()] == [good.capture_id]
    assert world.blobs.head(backfill_key(LINE, PRODUCT)) is not None


async def test_a_receipt_that_is_torn_is_left_out() -> None:
    world = World()
    world.add_normals(10)
    good = world.add(capture(2, minutes=-30))
    MemoryBlobs.put(world.blobs, capture_key(LINE, "f" * 32), b"{")
    await world.settle()
    assert [mask.capture_id for mask in world.masks()] == [good.capture_id]


async def test_a_mask_event_over_the_size_limit_is_left_out_of_a_backfill() -> None:
    world = World()
    world.add_normals(10)
    world.add(capture(1, minutes=-30))
    await world.works.act(UNIT, due(10))
    world.producer.bytes_max = 10
    assert await world.settle() == ["BackfillLine"]
    assert world.masks() == []


async def test_captures_around_the_release_are_labelled_even_if_clocks_differ() -> None:
    world = World()
    world.add_normals(10)
    late = world.add(capture(1, minutes=0.5))
    world.add(capture(2, minutes=timedelta(hours=1).total_seconds() / 60))
    await world.settle()
    assert [mask.capture_id for mask in world.masks()] == [late.capture_id]
