"""Runs that operators request and cancel, and why none starts."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from services.trainer.domain.explain import explain
from services.trainer.domain.job_end import JobEnd
from services.trainer.domain.judge import cancel
from services.trainer.domain.plan import plan
from siad.audit.rollback import read_rollback, roll_back
from siad.contracts.errors import ConflictError
from siad.contracts.keys import line_pointer_key, run_attempts_prefix
from siad.contracts.place import Place
from siad.contracts.training_runs import RunOutcome
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.runs import StoredRuns
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL
from siad.runtime.testing.waiting import until
from tests.events import NOON
from tests.unit.trainer.test_trainer_plan import LINE, POLICIES, PRODUCT, UNIT, Jobs, World

PLACE = Place(LINE, PRODUCT)


def store(world: World) -> StoredRuns:
    return StoredRuns(AsyncBlobs(world.blobs, workers=1))


async def reasons(world: World) -> str:
    state, now = await world.state(), world.clock.now()
    waits_for = plan(state, now, POLICIES).waits_for
    return "; ".join(explain(state, waits_for, now=now, policies=POLICIES).reasons)


async def test_a_requested_run_waits_for_neither_new_captures_nor_the_cooldown() -> None:
    world = await World().begin()
    process = world.process()
    await world.settle(process)
    await world.label(150, 160)
    assert await world.settle(process) == []
    await store(world).put_request(PLACE, NOON)
    assert "FreezeTrainingSet" in await world.settle(process)
    assert (await world.state()).runs[-1].spec.request == 1
    await world.label(160, 170)
    assert await world.settle(process) == []  # the request is answered


async def test_a_request_on_the_same_captures_waits_for_others() -> None:
    world = await World().begin()
    process = world.process()
    await world.settle(process)
    await store(world).put_request(PLACE, NOON)
    assert await world.settle(process) == []
    assert "requested, and waits for other captures" in await reasons(world)
    await world.label(150, 160)
    assert "FreezeTrainingSet" in await world.settle(process)


async def test_a_crash_at_any_write_answers_a_request_once() -> None:
    writes = 0
    while True:
        world = await World().begin(captures=99)  # fewer than a run without a request takes
        await store(world).put_request(PLACE, NOON)
        world.blobs.lives = writes
        try:
            await world.settle()
        except ProcessKilled:
            world.blobs.lives = IMMORTAL
            await world.settle()
        else:
            break
        assert [run.spec.request for run in (await world.state()).runs] == [1]
        writes += 1
    assert writes >= 5


class LateRuns(StoredRuns):
    """Reads the requests before another operator writes one."""

    async def newest_request(self, place: Place) -> int:
        return 0


async def test_of_two_requests_at_once_one_is_refused() -> None:
    world = await World().begin()
    await store(world).put_request(PLACE, NOON)
    with pytest.raises(ConflictError):
        await LateRuns(AsyncBlobs(world.blobs, workers=1)).put_request(PLACE, NOON)


@dataclass
class EndlessJobs(Jobs):
    """A job that runs until it is ended."""

    ended: list[str] = field(default_factory=list)

    async def run(self, run: str) -> JobEnd:
        self.started.append(run)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(run)
        return JobEnd(0)


async def test_a_cancelled_run_ends_its_job_and_uses_its_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.trainer.reconcile.CANCEL_POLL_S", 0.01)
    world = await World().begin()
    calm, world.jobs = world.jobs, EndlessJobs(world.blobs)
    process = world.process()
    settling = asyncio.create_task(world.settle(process))
    await until(lambda: bool(world.jobs.started))
    [run] = (await world.state()).runs
    await store(world).put_judgement(cancel(run.spec, now=world.clock.now()))
    assert await asyncio.wait_for(settling, 5) == ["FreezeTrainingSet", "RunJob"]
    assert world.jobs.ended == [run.spec.run]
    assert world.jobs.removed == [run.spec.run]
    assert (await world.state()).runs[-1].outcome is RunOutcome.CANCELLED
    world.clock.advance(10_000)
    assert await world.settle() == []
    assert "was cancelled" in await reasons(world)
    world.jobs = calm
    await store(world).put_request(PLACE, NOON)
    assert "ReleaseCandidate" in await world.settle()  # the same captures: they were never judged


async def test_a_run_that_is_cancelled_before_its_turn_never_starts() -> None:
    world = await World().begin()
    process = world.process()
    [freeze] = process.plan(await process.observe(UNIT), world.clock.now())
    await process.act(UNIT, freeze)
    [job] = process.plan(await process.observe(UNIT), world.clock.now())
    [run] = (await world.state()).runs
    await store(world).put_judgement(cancel(run.spec, now=world.clock.now()))
    await process.act(UNIT, job)
    assert world.jobs.started == []
    assert not list(world.blobs.list(run_attempts_prefix(run.spec.run)))


async def test_a_candidate_that_an_operator_took_out_of_service_is_not_released_again() -> None:
    world = await World().begin()
    await world.settle()
    released = world.segmenter()
    assert released is not None
    roll_back(world.blobs, read_rollback(world.blobs, PLACE), now=NOON)
    assert await world.settle() == ["AnnounceSegmenter"]
    assert world.segmenter() != released


async def test_every_state_has_its_reason() -> None:
    world = await World().begin(captures=90)
    assert "90 of 100 new captures, or 0 of 10 new corrections" in await reasons(world)
    await world.label(90, 150)
    assert "starts with the next plan" in await reasons(world)
    world.jobs.falls = 1
    process = world.process()
    [freeze] = process.plan(await process.observe(UNIT), world.clock.now())
    await process.act(UNIT, freeze)
    assert "its job waits to start" in await reasons(world)
    [job] = process.plan(await process.observe(UNIT), world.clock.now())
    await process.act(UNIT, job)
    assert "start 1 of at most 3" in await reasons(world)
    await world.settle()
    assert "was accepted" in await reasons(world)
    await world.label(150, 300)
    assert "rests between two runs" in await reasons(world)
    blob = world.blobs.get(line_pointer_key(LINE))
    world.blobs.put(line_pointer_key(LINE), blob.data.replace(b'"is_gone": false', b'"is_gone": true'))
    assert "the line was ended" in await reasons(world)


async def test_a_pause_is_the_reason_whatever_else_is_missing() -> None:
    world = await World().begin(captures=90)
    state, now = replace(await world.state(), pause="learning is frozen by the line's setting"), world.clock.now()
    report = explain(state, plan(state, now, POLICIES).waits_for, now=now, policies=POLICIES)
    assert report.reasons == ("no run starts, and none is released: learning is frozen by the line's setting",)


async def test_reports_are_those_of_the_last_plan_by_line() -> None:
    world = await World().begin(captures=20)
    process = world.process()
    assert process.reports(LINE) == []
    await world.settle(process)
    [report] = process.reports(LINE)
    assert (report.product, report.run) == (PRODUCT, "")
    assert process.reports("other") == []
