"""The trainer while a line's learning is stopped."""

import pytest

from siad.contracts.documents import LineState, write_line
from siad.contracts.keys import line_pointer_key
from siad.contracts.learning import LearningBrake
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.brakes import StoredBrakes
from tests.events import NOON, make_line_changed
from tests.unit.trainer.test_trainer_plan import LINE, PRODUCT, World

BRAKE = LearningBrake(is_on=True, reasons=("13 of the last 25 captures are marked",), since_at=NOON, baseline=None)


async def put_brake(world: World, *, is_on: bool) -> None:
    brakes = StoredBrakes(AsyncBlobs(world.blobs, workers=1))
    await brakes.read(Place(LINE, PRODUCT))
    await brakes.put(
        Place(LINE, PRODUCT), LearningBrake(is_on=is_on, reasons=BRAKE.reasons, since_at=NOON, baseline=None)
    )


def set_learning(world: World, learning: str) -> None:
    settings = make_line_changed(line=LINE, product=PRODUCT, learning=learning)
    world.blobs.put(line_pointer_key(LINE), write_line(LineState(settings=settings)))


async def test_no_run_begins_until_the_cause_is_gone() -> None:
    world = await World().begin()
    await put_brake(world, is_on=True)
    process = world.process()
    assert await world.settle(process) == []
    assert "13 of the last 25 captures are marked" in process._waits_for[Place(LINE, PRODUCT)]
    await put_brake(world, is_on=False)
    assert "ReleaseCandidate" in await world.settle()


@pytest.mark.parametrize(("learning", "begins"), [("on", True), ("auto", False), ("off", False)])
async def test_a_person_decides_over_the_brake(learning: str, begins: bool) -> None:
    world = await World().begin()
    await put_brake(world, is_on=True)
    set_learning(world, learning)
    assert ("FreezeTrainingSet" in await world.settle()) is begins


async def test_a_run_that_was_under_way_is_judged_and_not_released() -> None:
    world = await World().begin()
    process = world.process()
    for expected in ("FreezeTrainingSet", "RunJob"):
        [action] = process.plan(await process.observe(f"trainer/{LINE}/{PRODUCT}"), world.clock.now())
        assert type(action).__name__ == expected
        await process.act(f"trainer/{LINE}/{PRODUCT}", action)
    await put_brake(world, is_on=True)
    assert await world.settle() == ["JudgeCandidate"]
    assert world.segmenter() is None
    await put_brake(world, is_on=False)
    assert "ReleaseCandidate" in await world.settle()


async def test_a_run_whose_job_fell_is_not_started_again_meanwhile() -> None:
    world = await World().begin()
    world.jobs.falls = 1
    process = world.process()
    for _ in range(2):  # the set is frozen, and the job falls
        [action] = process.plan(await process.observe(f"trainer/{LINE}/{PRODUCT}"), world.clock.now())
        await process.act(f"trainer/{LINE}/{PRODUCT}", action)
    await put_brake(world, is_on=True)
    world.clock.advance(600)
    assert await world.settle() == []
    assert len(world.jobs.started) == 1
