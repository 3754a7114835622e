"""What the records of a run keep of its jobs: attempts, and why one failed."""

import pytest

from services.trainer.domain.plan import FreezeTrainingSet, RunJob
from services.trainer.reconcile import SegmenterReconciler
from siad.contracts.errors import DeniedError
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.runs import StoredRuns
from tests.events import NOON
from tests.unit.trainer.test_trainer_plan import LINE, UNIT, World


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_job_that_goes_on_is_joined_without_a_further_attempt(attempts: int) -> None:
    world = await World().begin()
    process = world.process()
    run = await opened_run(world, process)
    records = StoredRuns(AsyncBlobs(world.blobs))
    for number in range(1, attempts + 1):
        await records.put_attempt(run, number, NOON)
    world.jobs.goes_on = True
    [job] = process.plan(await process.observe(UNIT), world.clock.now())
    assert job == RunJob(run, attempts, joins=True)
    await process.act(UNIT, job)
    state = (await world.state()).runs[-1]
    assert (state.attempts, state.report is not None) == (attempts, True)


async def test_a_job_that_is_refused_is_told_in_the_records_of_its_run() -> None:
    world = await World().begin()
    process = world.process()
    run = await opened_run(world, process)
    world.jobs.refusal = DeniedError("exceeded quota: gpus, requested: 1")
    with pytest.raises(DeniedError):
        await process.act(UNIT, RunJob(run, 1))
    assert (await world.state()).runs[-1].failure == "exceeded quota: gpus, requested: 1"
    process.plan(await process.observe(UNIT), world.clock.now())
    assert "a start failed: exceeded quota: gpus" in process.reports(LINE)[0].reasons[0]


async def opened_run(world: World, process: SegmenterReconciler) -> str:
    """Freeze the training set, and return the name of the run."""
    [freeze] = process.plan(await process.observe(UNIT), world.clock.now())
    assert isinstance(freeze, FreezeTrainingSet)
    await process.act(UNIT, freeze)
    return freeze.spec.run
