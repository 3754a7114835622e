"""From pseudo-masks to a released segmenter, on a store in memory, with a crash at every write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from services.trainer.adapters.ledger import ParquetLedger
from services.trainer.adapters.training_sets import StoredTrainingSets
from services.trainer.adapters.trials import AnnouncedTrials
from services.trainer.domain.job_end import JobEnd
from services.trainer.domain.judge import JudgePolicy
from services.trainer.domain.plan import RunJob, TrainerPolicies, plan
from services.trainer.domain.schedule import SchedulePolicy
from services.trainer.domain.size import SizePolicy
from services.trainer.domain.state import SegmenterState
from services.trainer.domain.training_set import FreezePolicy
from services.trainer.job.store import read_spec, read_training_set, write_report
from services.trainer.reconcile import SegmenterReconciler
from siad.contracts.codec import decode
from siad.contracts.documents import LineState, write_line, write_receipt
from siad.contracts.errors import CorruptError, DeniedError, MissingError, TransientError
from siad.contracts.events import ImageStored, Intent, SegmenterReleased, WeightsKind
from siad.contracts.ids import CaptureId, ImageId, sha256_hex
from siad.contracts.keys import (
    ledger_key,
    line_pointer_key,
    manifest_key,
    normal_key,
    run_spec_key,
    weights_pointer_key,
)
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.training_runs import RunOutcome, RunReport, SegmenterFigures
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob
from siad.runtime.store.brakes import StoredBrakes, StoredHolds
from siad.runtime.store.lines import StoredLines
from siad.runtime.store.quarantine import AsyncQuarantine
from siad.runtime.store.registry import Registry
from siad.runtime.store.releases import ReleasePublisher
from siad.runtime.store.runs import StoredRuns
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL, MortalBlobs, MortalProducer
from tests.events import NOON, make_image_stored, make_line_changed
from tests.manifests import make_manifest
from tests.unit.trainer.test_training_set import name, rows

LINE, PRODUCT, UNIT = "l", "p", "trainer/l/p"
GOOD = SegmenterFigures(normals=40, defects=12, false_rejects=1, detected=10, image_auroc=0.95, pixel_ap=0.6)
POLICIES = TrainerPolicies(
    schedule=SchedulePolicy(captures_min=100, cooldown_s=600, attempts_max=3, retry_s=(0.0,)),
    freeze=FreezePolicy(),
    judge=JudgePolicy(),
    size=SizePolicy(),
    epochs=15,
    train_s=45.0,
)


@dataclass
class VanishingBlobs(MortalBlobs):
    """Lists an object that is deleted before it is read."""

    vanished: str = ""

    def get(self, key: str) -> Blob:
        if key == self.vanished:
            raise MissingError(key)
        return MortalBlobs.get(self, key)


@dataclass
class Jobs:
    """Leaves a report, as the job would; or falls."""

    blobs: MemoryBlobs
    figures: SegmenterFigures = GOOD
    serving: SegmenterFigures | None = None
    falls: int = 0
    started: list[str] = field(default_factory=list)
    goes_on: bool = False  # a job of another trainer, which is joined
    refusal: DeniedError | None = None
    removed: list[str] = field(default_factory=list)  # jobs of cancelled runs

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        yield

    async def end(self, run: str) -> None:
        self.removed.append(run)

    async def is_running(self, run: str) -> bool:
        return self.goes_on

    async def run(self, run: str) -> JobEnd:
        self.started.append(run)
        if self.refusal is not None:
            raise self.refusal
        if self.falls > 0:
            self.falls -= 1
            return JobEnd(1, "ended by signal 9")
        spec = read_spec(self.blobs, run)
        assert read_training_set(self.blobs, LINE, PRODUCT, spec.training_set).digest == spec.training_set
        manifest = manifest_of(WeightsKind.SEGMENTER, training_set=spec.training_set)
        self.blobs.put(manifest_key(LINE, PRODUCT, manifest.weights), manifest.to_json())
        write_report(
            self.blobs,
            RunReport(
                run=run,
                weights=manifest.weights,
                candidate=self.figures,
                serving=self.serving if spec.serving else None,
                epochs=15,
                resumed_from_epoch=0,
                seconds=30.0,
                device="cpu",
            ),
        )
        return JobEnd(0)


def manifest_of(kind: WeightsKind, *, training_set: str | None = None) -> Manifest:
    return make_manifest(kind=kind, method="unet", line=LINE, product=PRODUCT, training_set=training_set)


@dataclass
class World:
    """A line with a teacher, twenty normals, and captures that the teacher has marked."""

    blobs: MortalBlobs = field(default_factory=MortalBlobs)
    clock: FakeClock = field(default_factory=FakeClock)
    producer: MortalProducer = field(default_factory=MortalProducer)
    jobs: Jobs = field(init=False)

    async def begin(self, *, captures: int = 150) -> "World":
        self.jobs = Jobs(self.blobs)
        settings = make_line_changed(line=LINE, product=PRODUCT)
        self.blobs.put(line_pointer_key(LINE), write_line(LineState(settings=settings)))
        for number in range(1, 21):
            self.blobs.put(normal_key(LINE, PRODUCT, name(-number)), write_receipt(normal(number)))
        teacher = manifest_of(WeightsKind.TEACHER)
        self.blobs.put(manifest_key(LINE, PRODUCT, teacher.weights), teacher.to_json())
        Registry(self.blobs).point(teacher, expected=None, released_at=NOON)
        if captures:
            await self.label(0, captures)
        return self

    async def label(self, first: int, last: int) -> None:
        key = ledger_key(Place(LINE, PRODUCT), "siad.pseudo-mask.v1", 0, first, last)
        await ParquetLedger(AsyncBlobs(self.blobs, workers=1)).write(key, rows(last)[first:])

    def process(self) -> SegmenterReconciler:
        store = AsyncBlobs(self.blobs, workers=1)
        return SegmenterReconciler(
            ledger=ParquetLedger(store),
            training_sets=StoredTrainingSets(store),
            runs=StoredRuns(store),
            jobs=self.jobs,
            releases=ReleasePublisher(store, self.producer),
            lines=StoredLines(store),
            brakes=StoredBrakes(store),
            holds=StoredHolds(store),
            quarantine=AsyncQuarantine(store),
            trials=AnnouncedTrials(store, self.producer),
            policies=POLICIES,
            nudge=asyncio.Event(),
            clock=self.clock,
        )

    async def settle(self, process: SegmenterReconciler | None = None) -> list[str]:
        """Plan and act until nothing is left to do; give the names of what was done."""
        process = process or self.process()
        done: list[str] = []
        while actions := process.plan(await process.observe(UNIT), self.clock.now()):
            before = len(done)
            for action in actions:
                process.nudge.clear()
                await process.act(UNIT, action)
                done.append(type(action).__name__)
            if not process.nudge.is_set():
                break  # nothing came of it: the next look comes with time
            assert before < 50, done
        return done

    def events(self) -> list[SegmenterReleased]:
        return [decode(SegmenterReleased, message.value) for message in self.producer.sent]

    def segmenter(self) -> Pointer | None:
        return Registry(self.blobs).pointer(WeightsKind.SEGMENTER, Place(LINE, PRODUCT))

    async def state(self) -> SegmenterState:
        return await self.process().observe(UNIT)


def normal(number: int) -> ImageStored:
    image_id = ImageId(sha256_hex(name(-number).encode()))
    return make_image_stored(capture_id=CaptureId(name(-number)), image_id=image_id, intent=Intent.NORMAL)


def learning_s() -> float:
    return REGISTRY.get_sample_value("siad_trainer_learning_seconds_sum", {"line": LINE}) or 0.0


async def test_enough_captures_become_a_serving_segmenter_that_everybody_knows_of() -> None:
    world, before_s = await World().begin(), learning_s()
    actions = ["FreezeTrainingSet", "RunJob", "JudgeCandidate", "ReleaseCandidate", "AnnounceSegmenter"]
    assert await world.settle() == actions
    pointer = world.segmenter()
    assert pointer is not None
    assert pointer.revision == 1
    [event] = world.events()
    assert (event.weights, event.revision) == (pointer.weights, 1)
    newest = max(row.received_at for file in (await world.state()).files for row in file.rows)
    assert learning_s() - before_s == (world.clock.now() - newest).total_seconds()
    assert await world.settle() == ["AnnounceSegmenter"]  # a new process says it again, and that is all


async def test_killed_at_any_write_the_next_process_ends_at_the_same_place() -> None:
    calm = await World().begin()
    await calm.settle()
    writes = 0
    while True:
        world = await World().begin()
        world.blobs.lives = writes
        try:
            await world.settle()
        except ProcessKilled:
            world.blobs.lives = IMMORTAL
            await world.settle()
        else:
            break
        found, wanted = world.segmenter(), calm.segmenter()
        assert found is not None
        assert wanted is not None
        assert (found.weights, found.revision) == (wanted.weights, wanted.revision)
        assert [event.revision for event in world.events()][-1] == 1
        assert len((await world.state()).runs) == 1
        writes += 1
    assert writes >= 7  # set, spec, attempt, manifest, report, judgement, pointer


async def test_too_few_captures_are_waited_for() -> None:
    world = await World().begin(captures=90)
    assert await world.settle() == []
    await world.label(90, 130)
    assert "ReleaseCandidate" in await world.settle()


async def test_a_weak_candidate_is_refused_and_what_serves_goes_on() -> None:
    world = await World().begin()
    await world.settle()
    before = world.segmenter()
    world.jobs.serving, world.jobs.figures = GOOD, replace(GOOD, image_auroc=0.7)
    await world.label(150, 300)
    world.clock.advance(601)
    assert await world.settle() == ["AnnounceSegmenter", "FreezeTrainingSet", "RunJob", "JudgeCandidate"]
    assert world.segmenter() == before
    judgement = (await world.state()).runs[-1].judgement
    assert judgement is not None
    assert judgement.outcome is RunOutcome.REFUSED
    assert "image AUROC 0.700" in judgement.reason


async def test_a_line_rests_between_two_runs() -> None:
    world = await World().begin()
    process = world.process()
    await world.settle(process)
    await world.label(150, 300)
    world.clock.advance(599)
    assert await world.settle(process) == []
    world.clock.advance(2)
    assert "FreezeTrainingSet" in await world.settle(process)


async def test_old_captures_drawn_again_are_nothing_new() -> None:
    world = await World().begin()
    process = world.process()
    await world.settle(process)
    again = [replace(row, weights="t2") for row in rows(150)]
    key = ledger_key(Place(LINE, PRODUCT), "siad.pseudo-mask.v1", 0, 150, 299)
    await ParquetLedger(AsyncBlobs(world.blobs)).write(key, again)
    world.clock.advance(10_000)
    assert await world.settle(process) == []


async def test_a_job_that_falls_is_started_again_and_then_written_off() -> None:
    world = await World().begin()
    world.jobs.falls = 2
    assert (await world.settle()).count("RunJob") == 3
    assert world.segmenter() is not None

    world = await World().begin()
    world.jobs.falls = 99
    assert (await world.settle())[-1] == "AbandonRun"
    assert len(world.jobs.started) == 3
    judgement = (await world.state()).runs[-1].judgement
    assert judgement is not None
    assert judgement.outcome is RunOutcome.FAILED
    assert judgement.reason == "3 starts of its job ended without a report; the last: ended by signal 9"


async def test_captures_of_a_failed_run_are_used_again_after_the_cooldown() -> None:
    world = await World().begin()
    process = world.process()
    world.jobs.falls = 3
    assert (await world.settle(process))[-1] == "AbandonRun"
    world.clock.advance(599)
    assert await world.settle(process) == []
    world.clock.advance(2)
    assert "ReleaseCandidate" in await world.settle(process)
    failed, accepted = (await world.state()).runs
    assert failed.spec.training_set == accepted.spec.training_set


async def test_a_candidate_that_was_rolled_back_is_not_released_again() -> None:
    world = await World().begin()
    process = world.process()
    await world.settle(process)
    other = manifest_of(WeightsKind.SEGMENTER, training_set="9" * 64)
    world.blobs.put(manifest_key(LINE, PRODUCT, other.weights), other.to_json())
    Registry(world.blobs).point(other, expected=world.segmenter(), released_at=NOON)
    assert await world.settle(process) == ["AnnounceSegmenter"]
    pointer = world.segmenter()
    assert pointer is not None
    assert pointer.weights == other.weights


async def test_news_that_the_broker_did_not_take_is_told_later() -> None:
    world = await World().begin()
    world.producer.down = True
    process = world.process()
    with pytest.raises(TransientError):
        await world.settle(process)
    world.producer.down = False
    assert await world.settle(process) == ["AnnounceSegmenter"]


async def test_a_line_that_is_gone_is_trained_no_more() -> None:
    world = await World().begin()
    blob = world.blobs.get(line_pointer_key(LINE))
    world.blobs.put(line_pointer_key(LINE), blob.data.replace(b'"is_gone": false', b'"is_gone": true'))
    assert await world.settle() == []


async def test_a_damaged_record_is_reported() -> None:
    world = await World().begin()
    world.blobs.put(weights_pointer_key("segmenter", LINE, PRODUCT), b"{}")
    with pytest.raises(CorruptError):  # siad.runtime.reconcile puts off this line and goes on with the others
        await world.state()


async def test_a_deleted_pointer_to_the_teacher_is_reported() -> None:
    world = await World().begin()
    world.blobs.delete(weights_pointer_key("teacher", LINE, PRODUCT))
    with pytest.raises(MissingError, match="the pointer to the teacher of l/p was deleted"):
        await world.state()


async def test_a_damaged_manifest_of_the_teacher_delays_only_the_next_run() -> None:
    world = await World().begin()
    process = world.process()
    [freeze] = process.plan(await process.observe(UNIT), world.clock.now())
    await process.act(UNIT, freeze)
    key = manifest_key(LINE, PRODUCT, manifest_of(WeightsKind.TEACHER).weights)
    manifest = world.blobs.get(key).data
    world.blobs.put(key, b"{}")
    assert "ReleaseCandidate" in await world.settle()
    await world.label(150, 300)
    world.clock.advance(601)
    following = plan(await world.state(), world.clock.now(), POLICIES)
    assert "a readable manifest of teacher" in following.waits_for
    world.blobs.put(key, manifest)
    assert "FreezeTrainingSet" in await world.settle()


async def test_a_run_that_is_due_names_the_captures_it_waits_for() -> None:
    world = await World().begin(captures=0)
    ledger = ParquetLedger(AsyncBlobs(world.blobs, workers=1))
    passed = [row for row in rows(300) if not row.is_defect]
    await ledger.write(ledger_key(Place(LINE, PRODUCT), "siad.pseudo-mask.v1", 0, 0, 299), passed)
    following = plan(await world.state(), world.clock.now(), POLICIES)
    assert following.actions == ()
    assert "clear defects for training (has 0 of 8)" in following.waits_for


async def test_a_normal_that_is_deleted_while_normals_are_read_is_left_out() -> None:
    world = await World(blobs=VanishingBlobs(vanished=normal_key(LINE, PRODUCT, name(-1)))).begin()
    assert len((await world.state()).normals) == 19


async def test_a_damaged_file_or_normal_is_left_out() -> None:
    world = await World().begin()
    world.blobs.put(ledger_key(Place(LINE, PRODUCT), "siad.pseudo-mask.v1", 1, 0, 9), b"no parquet")
    world.blobs.put(normal_key(LINE, PRODUCT, "ff" * 16), b"{}")
    state = await world.state()
    assert len(state.normals) == 20
    assert sum(len(file.rows) for file in state.files) == 150
    assert "ReleaseCandidate" in await world.settle()


async def test_only_lines_with_a_teacher_are_looked_at() -> None:
    world = await World().begin()
    assert await world.process().names() == [UNIT]


async def test_a_run_remembers_the_numbers_it_was_frozen_by() -> None:
    world = await World().begin()
    process = world.process()
    [action] = process.plan(await process.observe(UNIT), world.clock.now())
    await process.act(UNIT, action)
    [run] = (await world.state()).runs
    assert run.spec.false_reject_budget == 0.05
    assert run.spec.run == "l.p.000001"
    assert world.blobs.head(run_spec_key(run.spec.run)) is not None
    [job] = process.plan(await process.observe(UNIT), world.clock.now() + timedelta(seconds=1))
    assert job == RunJob("l.p.000001", 1)
