"""What the teacher's manifest decides of a run: whom it learns from, and at which size."""

from dataclasses import replace
from typing import Any

import pytest

from services.trainer.domain.training_set import MemberRole
from services.trainer.job.store import read_training_set
from siad.contracts.events import WeightsKind
from siad.contracts.keys import manifest_key
from siad.contracts.place import Place
from siad.contracts.training_runs import RunSpec
from siad.runtime.store.registry import Registry
from tests.events import NOON
from tests.manifests import PROFILE
from tests.unit.trainer.test_trainer_plan import LINE, POLICIES, PRODUCT, UNIT, World, manifest_of
from tests.unit.trainer.test_training_set import name


async def frozen(world: World, **said: Any) -> RunSpec:
    """The run that is planned where the teacher's manifest says this."""
    teacher = replace(manifest_of(WeightsKind.TEACHER), **said)
    world.blobs.put(manifest_key(LINE, PRODUCT, teacher.weights), teacher.to_json())
    registry = Registry(world.blobs)
    registry.point(teacher, expected=registry.pointer(WeightsKind.TEACHER, Place(LINE, PRODUCT)), released_at=NOON)
    process = world.process()
    [action] = process.plan(await process.observe(UNIT), world.clock.now())
    await process.act(UNIT, action)
    [run] = (await world.state()).runs
    return run.spec


async def test_normals_that_the_teacher_found_odd_are_no_members() -> None:
    world = await World().begin()
    spec = await frozen(world, left_out=(name(-3),), doubted=(name(-7),))
    chosen = read_training_set(world.blobs, LINE, PRODUCT, spec.training_set)
    members = {member.capture_id for member in chosen.members if member.role is MemberRole.NORMAL}
    assert members == {name(-number) for number in range(1, 21)} - {name(-3), name(-7)}


@pytest.mark.parametrize(("teacher_px", "side_px", "times"), [(128, 256, 1), (384, 256, 1), (768, 512, 4)])
async def test_who_learns_from_a_teacher_that_sees_more_sees_more_too(
    teacher_px: int, side_px: int, times: float
) -> None:
    spec = await frozen(await World().begin(), input_px=teacher_px)
    assert spec.input_px == side_px
    assert spec.train_s == times * POLICIES.train_s


async def test_a_run_takes_over_what_the_normals_of_its_teacher_were() -> None:
    spec = await frozen(await World().begin(), profile=PROFILE)
    assert (spec.profile, spec.bits) == (PROFILE, 12)
    assert (await frozen(await World().begin())).bits == 0
