"""Commands of people in the stages that carry them out: once, whatever the moment of a crash."""

from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from services.labeler.handlers import on_hold_or_resume
from services.trainer.adapters.run_requests import StoredRunRequests
from services.trainer.handlers import on_train
from siad.audit.commanded_rollback import CommandedRollbacks
from siad.contracts.commands import CommandFate, CommandGiven, CommandKind, CommandOutcome
from siad.contracts.documents import LineState, write_line
from siad.contracts.events import SegmenterReleased, SegmenterStatus, WeightsKind
from siad.contracts.keys import line_pointer_key, part_key
from siad.contracts.learning import LearningMode, why_not_learning
from siad.contracts.manifest import part_of
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.commands import Act, CommandDesk
from siad.runtime.store.brakes import StoredHolds
from siad.runtime.store.commands import StoredCommands
from siad.runtime.store.registry import Registry
from siad.runtime.store.runs import StoredRuns
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL, MortalBlobs
from tests.events import NOON, make_line_changed
from tests.manifests import make_manifest

PLACE = Place("l", "p")
TRAIN = CommandGiven(
    command_id="0a" * 16, line="l", product="p", kind=CommandKind.TRAIN, by="ann", given_at=NOON, reason="new lamp"
)
HOLD = replace(TRAIN, command_id="0b" * 16, kind=CommandKind.HOLD)
RESUME = replace(TRAIN, command_id="0c" * 16, kind=CommandKind.RESUME)


@dataclass
class Plant:
    """A line with a teacher and two segmenters; processes come and go."""

    blobs: MortalBlobs = field(default_factory=MortalBlobs)
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOON))
    segmenters: list[str] = field(default_factory=list)  # oldest first

    def __post_init__(self) -> None:
        settings = make_line_changed(line="l", product="p")
        self.blobs.put(line_pointer_key("l"), write_line(LineState(settings=settings)))
        self.teacher = self.release(WeightsKind.TEACHER, 1.0)
        self.segmenters = [self.release(WeightsKind.SEGMENTER, threshold) for threshold in (2.0, 3.0)]

    def release(self, kind: WeightsKind, threshold: float) -> str:
        registry, part = Registry(self.blobs), part_of("bank", b"part")
        manifest = make_manifest(kind=kind, line="l", product="p", parts=(part,), image_threshold=threshold)
        registry.store(manifest, {"bank": b"part"})
        registry.point(manifest, expected=registry.pointer(kind, PLACE), released_at=NOON)
        return manifest.weights

    def pointer(self, kind: WeightsKind = WeightsKind.SEGMENTER) -> Pointer:
        found = Registry(self.blobs).pointer(kind, PLACE)
        assert found is not None
        return found

    def desk(self, stage: str) -> CommandDesk:
        """A new process of a stage."""
        store = AsyncBlobs(self.blobs, workers=1)
        hold = partial(on_hold_or_resume, holds=StoredHolds(store), clock=self.clock)
        train = partial(on_train, requests=StoredRunRequests(store), clock=self.clock)
        acts: dict[CommandKind, Act] = {
            CommandKind.TRAIN: train,
            CommandKind.HOLD: hold,
            CommandKind.RESUME: hold,
            CommandKind.ROLLBACK: CommandedRollbacks(store, self.clock).roll_back,
        }
        return CommandDesk(stage=stage, outcomes=StoredCommands(store), acts=acts, clock=self.clock)

    async def outcome(self, command: CommandGiven) -> CommandOutcome:
        found = await StoredCommands(AsyncBlobs(self.blobs, workers=1)).outcome("l", command.command_id)
        assert found is not None
        return found

    async def carry_out(self, command: CommandGiven) -> CommandOutcome:
        await self.desk(command.stage).carry_out(command)
        return await self.outcome(command)

    def rollback(self, weights: str, moves: WeightsKind = WeightsKind.SEGMENTER) -> CommandGiven:
        return replace(
            TRAIN,
            command_id="0d" * 16,
            kind=CommandKind.ROLLBACK,
            weights=weights,
            moves=moves,
            moves_revision=self.pointer(moves).revision,
        )

    async def requests(self) -> int:
        return await StoredRuns(AsyncBlobs(self.blobs, workers=1)).newest_request(PLACE)

    async def pause(self) -> str:
        hold = await StoredHolds(AsyncBlobs(self.blobs, workers=1)).read(PLACE)
        return why_not_learning(LearningMode.AUTO, None, line="l", hold=hold)


def test_each_command_is_for_one_stage() -> None:
    plant = Plant()
    assert [one.stage for one in (TRAIN, HOLD, RESUME)] == ["trainer", "labeler", "labeler"]
    assert plant.rollback(plant.segmenters[0]).stage == "trainer"
    assert plant.rollback(plant.teacher, WeightsKind.TEACHER).stage == "labeler"
    assert replace(TRAIN, kind=CommandKind.UNSPECIFIED).stage == ""


async def test_a_stage_leaves_the_commands_of_others_alone() -> None:
    plant = Plant()
    assert await plant.desk("labeler").carry_out(TRAIN) == []
    assert await plant.requests() == 0


async def test_a_rollback_moves_the_pointer_announces_it_and_is_not_repeated() -> None:
    plant = Plant()
    first, second = plant.segmenters
    command = plant.rollback(first)
    [event] = await plant.desk("trainer").carry_out(command)
    assert isinstance(event, SegmenterReleased)
    assert (event.weights, event.status) == (first, SegmenterStatus.SERVING)
    assert plant.pointer().rejected == (second,)
    moved = plant.pointer()
    assert await plant.desk("trainer").carry_out(command) == []
    assert plant.pointer() == moved
    assert (await plant.outcome(command)).fate is CommandFate.DONE


async def test_a_rollback_to_the_teacher_withdraws_the_segmenter() -> None:
    plant = Plant()
    outcome = await plant.carry_out(plant.rollback(plant.teacher))
    assert outcome.fate is CommandFate.DONE
    assert plant.pointer().status is SegmenterStatus.WITHDRAWN


async def test_a_rollback_of_what_has_moved_since_is_refused() -> None:
    plant = Plant()
    command = plant.rollback(plant.segmenters[0])
    plant.release(WeightsKind.SEGMENTER, 4.0)
    before = plant.pointer()
    outcome = await plant.carry_out(command)
    assert (outcome.fate, plant.pointer()) == (CommandFate.REFUSED, before)
    assert "changed after this was confirmed" in outcome.detail


async def test_a_rollback_to_weights_that_were_deleted_is_refused() -> None:
    plant = Plant()
    command = plant.rollback(plant.segmenters[0])
    plant.blobs.delete(part_key(part_of("bank", b"part").sha256))
    before = plant.pointer()
    outcome = await plant.carry_out(command)
    assert (outcome.fate, plant.pointer()) == (CommandFate.REFUSED, before)
    assert "lack bank" in outcome.detail


async def test_hold_stops_learning_and_resume_ends_it() -> None:
    plant = Plant()
    assert (await plant.carry_out(RESUME)).fate is CommandFate.REFUSED
    assert (await plant.carry_out(HOLD)).fate is CommandFate.DONE
    assert "ann holds it" in await plant.pause()
    assert "new lamp" in await plant.pause()
    refused = await plant.carry_out(TRAIN)
    assert (refused.fate, await plant.requests()) == (CommandFate.REFUSED, 0)
    assert "ann holds it" in refused.detail
    await plant.carry_out(replace(RESUME, command_id="1c" * 16))
    assert await plant.pause() == ""


async def test_a_late_repeat_of_a_hold_does_not_hold_again() -> None:
    plant = Plant()
    await plant.carry_out(HOLD)
    await plant.carry_out(RESUME)
    await plant.carry_out(HOLD)
    assert await plant.pause() == ""


@pytest.mark.parametrize("kind", ["train", "hold", "resume", "rollback"])
async def test_a_crash_at_any_write_carries_a_command_out_once(kind: str) -> None:
    writes = 0
    while True:
        plant = Plant()
        if kind == "resume":
            await plant.carry_out(HOLD)
        command = {
            "train": TRAIN, "hold": HOLD, "resume": RESUME, "rollback": plant.rollback(plant.segmenters[0])
        }[kind]  # fmt: skip
        plant.blobs.lives = writes
        try:
            await plant.desk(command.stage).carry_out(command)
        except ProcessKilled:
            plant.blobs.lives = IMMORTAL
            await plant.carry_out(command)
        else:
            break
        assert (await plant.outcome(command)).fate is CommandFate.DONE
        assert await plant.requests() == (1 if kind == "train" else 0)
        assert plant.pointer().revision == (3 if kind == "rollback" else 2)
        writes += 1
    assert writes == 2  # the act, and its outcome


async def test_another_command_moves_on_from_where_the_first_left_off() -> None:
    plant = Plant()
    await plant.carry_out(TRAIN)
    outcome = await plant.carry_out(replace(TRAIN, command_id="1a" * 16))
    assert (outcome.fate, await plant.requests()) == (CommandFate.DONE, 2)
