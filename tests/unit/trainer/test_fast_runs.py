"""Runs of a line that asks for a fast segmenter."""

from dataclasses import replace

from services.trainer.domain.plan import FreezeTrainingSet, plan
from services.trainer.domain.state import SegmenterState
from siad.contracts.quarantine import QuarantineIndex
from siad.contracts.training_runs import RunSpec
from tests.unit.trainer.test_trainer_plan import POLICIES, World


async def state_of(world: World, *, segmenter: str) -> SegmenterState:
    """A line with a feature memory whose setting is ``segmenter``."""
    state = await world.state()
    assert state.settings is not None
    assert state.teacher.manifest is not None
    manifest = replace(state.teacher.manifest, method="feature-memory", input_px=384)
    settings = replace(state.settings, segmenter=segmenter)
    return replace(state, settings=settings, teacher=replace(state.teacher, manifest=manifest))


async def frozen(world: World, state: SegmenterState) -> RunSpec:
    [action] = plan(state, world.clock.now(), replace(POLICIES, workers=3)).actions
    assert isinstance(action, FreezeTrainingSet)
    return action.spec


async def test_the_first_learns_the_teacher_at_two_thirds_of_its_side() -> None:
    world = await World().begin()
    spec = await frozen(world, await state_of(world, segmenter="fast"))
    assert (spec.method, spec.input_px, spec.distilled, spec.workers) == ("fast", 256, "", 3)
    slow = await frozen(world, await state_of(world, segmenter="residual"))
    assert (slow.method, slow.input_px, slow.distilled) == ("residual", 384, "")
    assert spec.train_s == slow.train_s, "it shows images to the slow weights too"


async def test_a_later_one_learns_the_residual_in_service_unless_it_is_in_quarantine() -> None:
    world = await World().begin()
    await world.settle()
    await world.label(150, 400)
    world.clock.advance(POLICIES.schedule.cooldown_s)
    state = await state_of(world, segmenter="fast")
    [run] = state.runs
    state = replace(state, runs=(replace(run, spec=replace(run.spec, segmenter="residual")),))
    assert state.segmenter is not None
    serving = state.segmenter.weights
    assert (await frozen(world, replace(state, announced=state.segmenter.revision))).distilled == serving
    tainted = replace(state, announced=state.segmenter.revision, quarantine=QuarantineIndex(weights={serving}))
    assert (await frozen(world, tainted)).distilled == ""
