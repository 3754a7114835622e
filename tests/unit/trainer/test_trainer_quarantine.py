"""The trainer and what is in quarantine: nothing learns from it, and no candidate that did is released."""

import pytest

from services.trainer.domain.plan import ReleaseCandidate, plan
from services.trainer.job.store import read_training_set
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.keys import training_set_key, training_set_members_key
from siad.contracts.quarantine import QuarantineRecord, TaintedKind, correction_name
from siad.contracts.training_runs import RunOutcome
from siad.runtime.store.quarantine import Quarantine
from tests.events import NOON
from tests.unit.trainer.test_corrections import correction, say
from tests.unit.trainer.test_runs_of_operators import store
from tests.unit.trainer.test_trainer_plan import LINE, POLICIES, PRODUCT, UNIT, World
from tests.unit.trainer.test_training_set import name

GOOD = CorrectionVerdict.GOOD


def taint(world: World, kind: TaintedKind, subject: str) -> None:
    record = QuarantineRecord(line=LINE, kind=kind, subject=subject, root=subject, reason="odd", tainted_at=NOON)
    Quarantine(world.blobs).put(record)


async def members(world: World) -> dict[str, int]:
    """Captures of the last run's set, with the revision of their correction."""
    spec = (await world.state()).runs[-1].spec
    return {
        one.capture_id: one.revision for one in read_training_set(world.blobs, LINE, PRODUCT, spec.training_set).members
    }


async def test_captures_and_corrections_in_quarantine_are_not_learned() -> None:
    world = await World().begin()
    await say(
        world,
        correction(1000, GOOD),
        correction(1001, GOOD, revision=1),
        correction(
            1001,
            GOOD,
            revision=2,
        ),
        first=0,
    )
    taint(world, TaintedKind.CAPTURE, name(-1))  # a normal
    taint(world, TaintedKind.CAPTURE, name(1))
    taint(world, TaintedKind.CORRECTION, correction_name(name(1001), 2))
    await world.settle()
    found = await members(world)
    assert not {name(-1), name(1), name(1001)} & found.keys()  # nor does the earlier correction return
    assert found[name(1000)] == 1
    await say(world, correction(1001, GOOD, revision=3), first=3)
    await store(world).put_request((await world.state()).place, NOON)
    await world.settle()
    assert (await members(world))[name(1001)] == 3


async def test_pseudo_masks_by_weights_in_quarantine_are_not_learned() -> None:
    world = await World().begin()
    taint(world, TaintedKind.WEIGHTS, "t1")  # drew them all
    assert await world.settle() == []
    assert "clear defects for training (has 0 of 8)" in plan(await world.state(), world.clock.now(), POLICIES).waits_for


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_run_on_what_is_tainted_meanwhile_releases_nothing(steps: int) -> None:
    world = await World().begin()
    process = world.process()
    for _ in range(steps):  # frozen, trained, judged
        [action] = process.plan(await process.observe(UNIT), world.clock.now())
        await process.act(UNIT, action)
    taint(world, TaintedKind.CAPTURE, next(iter(await members(world))))
    done = await world.settle(process)
    assert done == ([] if steps == 3 else ["CloseTainted"])
    assert world.segmenter() is None
    judgement = (await world.state()).runs[-1].judgement
    assert judgement is not None
    assert (judgement.outcome is RunOutcome.ACCEPTED) == (steps == 3)
    await store(world).put_request((await world.state()).place, NOON)
    assert "ReleaseCandidate" in await world.settle(process)  # trained without


async def test_a_candidate_in_quarantine_is_not_released() -> None:
    world = await World().begin()
    process = world.process()
    for _ in range(3):
        [action] = process.plan(await process.observe(UNIT), world.clock.now())
        await process.act(UNIT, action)
    [release] = process.plan(await process.observe(UNIT), world.clock.now())
    assert isinstance(release, ReleaseCandidate)
    taint(world, TaintedKind.WEIGHTS, release.weights)
    assert await world.settle(process) == []


async def test_a_set_erased_with_its_captures_holds_up_nothing() -> None:
    world = await World().begin()
    await world.settle()
    spec = (await world.state()).runs[-1].spec
    for key_of in (training_set_key, training_set_members_key):
        world.blobs.delete(key_of(LINE, PRODUCT, spec.training_set))
    taint(world, TaintedKind.CAPTURE, name(1))
    assert (await world.state()).tainted == ""
