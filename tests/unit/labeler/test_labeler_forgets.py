"""The labeler and what is to be forgotten."""

from datetime import timedelta

import pytest

from siad.contracts.deletion import CaptureDeletion, LineDeletion
from siad.contracts.events import ImageStored, Intent
from siad.contracts.keys import deletion_key, line_deletion_key, normal_key
from siad.runtime.blobs.memory import MemoryBlobs
from tests.events import NOON
from tests.unit.labeler.world import LINE, World, capture


def forget(world: World, event: ImageStored, *, is_done: bool = True) -> None:
    """As ``siad forget`` does, or only its first step."""
    record = CaptureDeletion.of(event, at=NOON)
    MemoryBlobs.put(world.blobs, deletion_key(LINE, event.capture_id), record.to_json())
    if is_done:
        MemoryBlobs.delete(world.blobs, normal_key(LINE, event.product, event.capture_id))
    world.clock.advance(10)  # what the labeler knew is older than it may be


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_forgotten_normal_is_unlearned_by_a_fit_without_it(is_done: bool) -> None:
    world = World()
    world.add_normals(12)
    await world.settle()
    normal = capture(3, intent=Intent.NORMAL, minutes=-59.7)
    assert normal.capture_id in world.teacher().normals
    forget(world, normal, is_done=is_done)
    assert await world.settle() == ["FitTeacher"]
    assert normal.capture_id not in world.teacher().normals
    assert len(world.teacher().normals) == 11


async def test_too_few_normals_left_keep_the_teacher_that_there_is() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    before = world.teacher()
    forget(world, capture(3, intent=Intent.NORMAL))
    assert await world.settle() == []
    assert world.teacher() == before


async def test_a_line_made_anew_gets_a_teacher_of_its_own_normals() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    before = world.teacher()
    for info in list(MemoryBlobs.list(world.blobs, "normals/")):
        MemoryBlobs.delete(world.blobs, info.key)
    at = NOON + timedelta(minutes=5)
    record = LineDeletion(line=LINE, before_at=at, forgotten_at=at)
    MemoryBlobs.put(world.blobs, line_deletion_key(LINE), record.to_json())
    world.clock.advance(600)
    for number in range(100, 110):
        world.add(capture(number, intent=Intent.NORMAL, minutes=6))
    assert await world.settle() == ["FitTeacher"]
    assert not set(world.teacher().normals) & set(before.normals)


async def test_a_backfill_passes_over_what_was_forgotten() -> None:
    world = World()
    world.add_normals(10)
    kept, gone = (world.add(capture(number, minutes=-30)) for number in (1, 2))
    forget(world, gone)
    await world.settle()
    assert [mask.capture_id for mask in world.masks()] == [kept.capture_id]
