"""Normals that the teacher found odd teach no segmenter either."""

from dataclasses import replace

from services.trainer.adapters.training_sets import load_training_set
from services.trainer.domain.training_set import Role
from siad.core.events import WeightsKind
from siad.core.keys import manifest_key
from siad.runtime.registry import Registry
from tests.unit.trainer.test_trainer_plan import LINE, NOON, PRODUCT, UNIT, World, manifest_of
from tests.unit.trainer.test_training_set import name


async def test_normals_that_the_teacher_found_odd_are_no_members() -> None:
    world = await World().begin()
    odd = replace(manifest_of(WeightsKind.TEACHER), left_out=(name(-3),), doubted=(name(-7),))
    world.blobs.put(manifest_key(LINE, PRODUCT, odd.weights), odd.to_json())
    registry = Registry(world.blobs)
    registry.point(odd, expected=registry.pointer(WeightsKind.TEACHER, LINE, PRODUCT), released_at=NOON)
    process = world.process()
    [action] = process.plan(await process.observe(UNIT), world.clock.now())
    await process.act(UNIT, action)
    [run] = (await world.state()).runs
    chosen = load_training_set(world.blobs, LINE, PRODUCT, run.spec.training_set)
    members = {member.capture_id for member in chosen.members if member.role is Role.NORMAL}
    assert members == {name(-number) for number in range(1, 21)} - {name(-3), name(-7)}
