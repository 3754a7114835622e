"""What the labeler reads of the store, and how much of it."""

from dataclasses import replace

import pytest

from services.labeler.adapters.lines import LabelerLines
from siad.contracts.documents import LineState, write_line
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent
from siad.contracts.fit_settings import FitSettings
from siad.contracts.keys import line_revision_key
from siad.contracts.normals_profile import SizeRule
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob
from siad.runtime.store.lines import READ_AT_ONCE
from siad.runtime.testing.mortal import MortalBlobs
from tests.events import make_line_changed
from tests.unit.labeler.world import LINE, PLACE, World, capture


async def test_only_as_many_receipts_are_read_as_the_newest_captures_take() -> None:
    blobs = MortalBlobs()
    world = World(blobs=blobs)
    captures = [world.add(capture(number, minutes=number)) for number in range(4 * READ_AT_ONCE)]
    newest = READ_AT_ONCE + 10
    found = await LabelerLines(AsyncBlobs(blobs)).captures(LINE, wanted=lambda _: True, newest=newest)
    assert list(found) == captures[-newest:]
    assert len(blobs.reads) == 2 * READ_AT_ONCE


async def test_captures_that_are_not_wanted_do_not_count() -> None:
    world = World()
    wanted = [world.add(capture(number, minutes=number)) for number in range(5)]
    for number in range(2 * READ_AT_ONCE):
        world.add(capture(number, intent=Intent.NORMAL, minutes=60))
    lines = LabelerLines(AsyncBlobs(world.blobs))
    assert list(await lines.captures(LINE, wanted=lambda one: one.intent is Intent.INSPECT, newest=9)) == wanted
    assert list(await lines.captures(LINE, wanted=lambda _: True, newest=0)) == []


async def test_all_normals_are_read_however_many_there_are() -> None:
    world = World()
    world.add_normals(READ_AT_ONCE + 5)
    lines = LabelerLines(AsyncBlobs(world.blobs))
    assert len(await lines.normals(PLACE)) == len(await lines.normal_names(PLACE)) == READ_AT_ONCE + 5
    assert await lines.places_with_normals() == [PLACE]


async def test_a_line_that_is_gone_is_fitted_no_teacher_and_one_that_never_was_neither() -> None:
    world = World()
    lines = LabelerLines(AsyncBlobs(world.blobs))
    assert await lines.fit_settings(LINE) == FitSettings(false_reject_budget=0.05)
    world.set_line(is_gone=True)
    assert await lines.fit_settings(LINE) is None
    assert await lines.fit_settings("press-9") is None
    assert (await lines.shards(LINE), await lines.shards("press-9")) == (4, 1)


@pytest.mark.parametrize(("sizes", "rule"), [("", SizeRule.NORMALS), ("any", SizeRule.ANY)])
async def test_the_size_rule_is_that_of_the_revision_that_a_capture_names(sizes: str, rule: SizeRule) -> None:
    world = World()
    settings = make_line_changed(line=LINE, revision=7, sizes=sizes)
    world.blobs.put(line_revision_key(LINE, 7), write_line(LineState(settings=settings)))
    lines = LabelerLines(AsyncBlobs(world.blobs, workers=1))
    assert await lines.size_rule(replace(capture(1), line_revision=7)) is rule
    assert await lines.size_rule(replace(capture(2), line_revision=8)) is SizeRule.NORMALS  # never written
    assert await lines.size_rule(replace(capture(3), line_revision=7)) is rule


async def test_settings_that_can_be_read_later_are_waited_for() -> None:
    class AwayBlobs(MemoryBlobs):
        def get(self, key: str) -> Blob:
            raise TransientError("away")

    with pytest.raises(TransientError):
        await LabelerLines(AsyncBlobs(AwayBlobs(), workers=1)).size_rule(capture(1))
