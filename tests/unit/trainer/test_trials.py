"""From an accepted candidate through a trial to its release, on a store in memory."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from services.trainer.adapters.trials import AnnouncedTrials
from services.trainer.domain.explain import PlaceReport
from services.trainer.reconcile import SegmenterReconciler, TrialReconciler
from siad.apps.local.trials import TrialRow, order_end
from siad.contracts.codec import decode
from siad.contracts.documents import LineState, write_line
from siad.contracts.events import Decision, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.keys import line_pointer_key, manifest_key, quarantine_key
from siad.contracts.learning import LearningHold
from siad.contracts.place import Place
from siad.contracts.topics import TRIAL
from siad.contracts.trials import ShadowJudged, TrialAction, TrialChanged, TrialOutcome, TrialPhase, TrialState
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.brakes import StoredHolds
from siad.runtime.store.registry import Registry
from siad.runtime.store.trials import StoredTrials
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL
from tests.events import NOON, make_line_changed
from tests.unit.trainer.test_trainer_plan import LINE, PRODUCT, World, manifest_of

PLACE = Place(LINE, PRODUCT)


@dataclass
class Plant:
    """A line whose candidates are tried first."""

    world: World = field(default_factory=World)
    seen: int = 0

    async def begin(self, rollout: str = "shadow") -> "Plant":
        await self.world.begin()
        self.set_rollout(rollout)
        return self

    def set_rollout(self, rollout: str) -> None:
        settings = make_line_changed(line=LINE, product=PRODUCT, rollout=rollout)
        self.world.blobs.put(line_pointer_key(LINE), write_line(LineState(settings=settings)))

    async def settle(self) -> list[str]:
        """Let new processes act until neither reconciler has anything left to do."""
        process = self.world.process()
        assert isinstance(process.trials, AnnouncedTrials)
        trials = TrialReconciler(segmenters=process, trials=process.trials, nudges=(process.nudge, asyncio.Event()))
        done: list[str] = []
        while True:
            before = len(done)
            done += await self.world.settle(process)
            for name in await trials.names():
                steps = trials.plan(await trials.observe(name), self.world.clock.now())
                for step in steps:
                    await trials.act(name, step)
                    done.append(type(step).__name__)
            if len(done) == before:
                return done

    async def trial(self) -> TrialState:
        newest = await self.store.newest(PLACE)
        assert newest is not None
        return newest

    @property
    def store(self) -> StoredTrials:
        return StoredTrials(AsyncBlobs(self.world.blobs, workers=1))

    async def judge(self, count: int, *, candidate: bool = False, serving: bool = False, **changes: Any) -> None:
        """Add captures that candidate and serving weights reject, or pass."""
        trial = await self.trial()
        events = [pair_of(trial, self.seen + n, candidate=candidate, serving=serving) for n in range(count)]
        self.seen += count
        await self.store.add(PLACE, trial.spec.number, trial.phase, [replace(event, **changes) for event in events])

    async def judge_level(self, **changes: Any) -> None:
        """Add captures enough to promote a candidate that decides as what serves."""
        await self.judge(200, **changes)
        await self.judge(20, candidate=True, serving=True, **changes)

    def told(self) -> list[TrialChanged]:
        sent = [message for message in self.world.producer.sent if message.topic == TRIAL.name]
        return [decode(TrialChanged, message.value) for message in sent]

    async def report(self) -> PlaceReport:
        process: SegmenterReconciler = self.world.process()
        process.plan(await process.observe(f"trainer/{PLACE}"), self.world.clock.now())
        [report] = process.reports(LINE)
        return report


def pair_of(trial: TrialState, number: int, *, candidate: bool, serving: bool) -> ShadowJudged:
    decisions = {True: Decision.REJECT, False: Decision.PASS}
    return ShadowJudged(
        capture_id=f"{number:032x}",
        line=LINE,
        product=PRODUCT,
        received_at=NOON,
        trial=trial.spec.number,
        phase=trial.phase,
        candidate=trial.spec.candidate,
        serving=trial.spec.serving,
        candidate_decision=decisions[candidate],
        candidate_score=0.5,
        candidate_threshold=0.4,
        serving_decision=decisions[serving],
        serving_score=0.5,
        serving_threshold=0.4,
        serving_margin=2.0 if serving else -1.0,
        mask_disagreement=0.25 if candidate and serving else 0.0,
        decided_by_candidate=False,
        spent_s=0.01,
        judged_at=NOON,
    )


async def test_a_level_candidate_is_released_after_its_trial() -> None:
    plant = await Plant().begin()
    assert (await plant.settle())[-2:] == ["OpenTrial", "AnnounceTrial"]
    assert plant.world.segmenter() is None
    assert "waits for proof that it rejects at most 10.0% more" in (await plant.report()).reasons[-1]
    await plant.judge_level()
    assert await plant.settle() == [
        "AnnounceTrial",
        "EndTrial",
        "AnnounceTrial",
        "ReleaseCandidate",
        "AnnounceSegmenter",
    ]
    pointer = plant.world.segmenter()
    assert pointer is not None
    assert pointer.weights == (await plant.trial()).spec.candidate
    assert [event.phase for event in plant.told()] == [TrialPhase.SHADOW, TrialPhase.SHADOW, TrialPhase.ENDED]
    row = TrialRow.of(await plant.trial())
    assert (row.outcome, row.captures, row.mask_disagreement) == ("promoted", 220, 0.25)


async def test_a_worse_candidate_is_dropped_and_never_released() -> None:
    plant = await Plant().begin()
    await plant.settle()
    await plant.judge(60)
    await plant.judge(40, candidate=True)
    assert "EndTrial" in await plant.settle()
    assert plant.world.segmenter() is None
    assert "ended as dropped: it rejects more captures than the budget" in (await plant.report()).reasons[-1]
    assert "OpenTrial" not in await plant.settle(), "a dropped candidate is not tried again"


async def test_a_canary_decides_a_share_before_all() -> None:
    plant = await Plant().begin("canary")
    await plant.settle()
    await plant.judge_level()
    assert "StartCanary" in await plant.settle()
    assert (await plant.trial()).phase is TrialPhase.CANARY
    assert plant.told()[-1].canary_share == 0.1
    await plant.judge_level()
    assert "EndTrial" not in await plant.settle(), "it has decided nothing yet"
    await plant.judge_level(decided_by_candidate=True)
    assert "ReleaseCandidate" in await plant.settle()


async def test_a_canary_that_is_worse_ends_at_once() -> None:
    plant = await Plant().begin("canary")
    await plant.settle()
    await plant.judge_level()
    await plant.settle()
    await plant.judge(20, candidate=True, decided_by_candidate=True)
    assert await plant.settle() == ["AnnounceTrial", "EndTrial", "AnnounceTrial"]
    assert plant.told()[-1].phase is TrialPhase.ENDED
    assert plant.world.segmenter() is None


async def test_repeated_pairs_count_once() -> None:
    plant = await Plant().begin()
    await plant.settle()
    trial = await plant.trial()
    events = [pair_of(trial, n, candidate=n % 2 == 0, serving=False) for n in range(10)]
    assert await plant.store.add(PLACE, 1, TrialPhase.SHADOW, events) == 10
    assert await plant.store.add(PLACE, 1, TrialPhase.SHADOW, events) == 0
    other = replace(events[0], capture_id="f" * 32, candidate=WeightsId("0" * 64))
    assert await plant.store.add(PLACE, 1, TrialPhase.SHADOW, [other]) == 0, "other weights judged it"
    assert await plant.store.add(PLACE, 7, TrialPhase.SHADOW, events) == 0, "there is no such trial"


async def test_killed_at_any_write_the_trial_ends_alike() -> None:
    writes = 0
    while True:
        plant = await Plant().begin()
        await plant.settle()
        plant.world.blobs.lives = writes
        try:
            await plant.judge_level()
            await plant.settle()
        except ProcessKilled:
            plant.world.blobs.lives = IMMORTAL
            plant.seen = 0  # the broker delivers what was not committed again
            await plant.judge_level()
            await plant.settle()
        else:
            break
        pointer, trial = plant.world.segmenter(), await plant.trial()
        assert pointer is not None
        assert (trial.spec.number, trial.end is None) == (1, False)
        writes += 1
    assert writes >= 4  # pairs twice, end and pointer


async def test_a_hold_keeps_a_candidate_from_service_and_still_lets_it_be_dropped() -> None:
    plant = await Plant().begin()
    await plant.settle()
    await plant.judge_level()
    holds = StoredHolds(AsyncBlobs(plant.world.blobs, workers=1))
    await holds.read(PLACE)
    held = LearningHold(is_on=True, by="kim", reason="", since_at=NOON, command_id="0" * 32)
    await holds.put(PLACE, held)
    assert await plant.settle() == ["AnnounceTrial"]
    assert "it is not promoted meanwhile: kim holds it" in (await plant.report()).reasons[-1]
    await plant.judge(100, candidate=True)
    assert "EndTrial" in await plant.settle()
    assert plant.world.segmenter() is None


async def test_other_weights_in_service_begin_another_trial() -> None:
    plant = await Plant().begin()
    await plant.settle()
    await plant.judge(50)
    other = manifest_of(WeightsKind.TEACHER, training_set=None)
    other = replace(other, image_threshold=other.image_threshold + 1)
    plant.world.blobs.put(manifest_key(LINE, PRODUCT, other.weights), other.to_json())
    registry = Registry(plant.world.blobs)
    registry.point(other, expected=registry.pointer(WeightsKind.TEACHER, PLACE), released_at=NOON)
    done = await plant.settle()
    assert "EndTrial" in done
    assert "OpenTrial" in done
    trial = await plant.trial()
    assert (trial.spec.number, trial.spec.serving, trial.pairs.captures) == (2, other.weights, 0)


async def test_a_candidate_in_quarantine_is_not_tried_on() -> None:
    plant = await Plant().begin()
    await plant.settle()
    candidate = (await plant.trial()).spec.candidate
    plant.world.blobs.put(quarantine_key(LINE, "weights", candidate), b"{}")
    await plant.judge_level()
    assert "EndTrial" in await plant.settle()
    end = (await plant.trial()).end
    assert end is not None
    assert (end.outcome, plant.world.segmenter()) == (TrialOutcome.INTERRUPTED, None)


async def test_a_newer_candidate_takes_its_place() -> None:
    plant = await Plant().begin()
    await plant.settle()
    await plant.world.label(150, 300)
    plant.world.clock.advance(601)
    done = await plant.settle()
    assert done[-4:] == ["EndTrial", "AnnounceTrial", "OpenTrial", "AnnounceTrial"]
    first, second = await plant.store.list_all(PLACE)
    assert first.end is not None
    assert first.end.outcome is TrialOutcome.SUPERSEDED
    assert second.is_open


@pytest.mark.parametrize(("action", "serves"), [(TrialAction.PROMOTE, True), (TrialAction.DROP, False)])
async def test_a_person_ends_a_trial(action: TrialAction, serves: bool) -> None:
    plant = await Plant().begin("canary")
    await plant.settle()
    await order_end(plant.world.blobs, PLACE, action, by="kim", reason="seen enough")
    with pytest.raises(ValueError, match="has an order already"):
        await order_end(plant.world.blobs, PLACE, action, by="kim", reason="again")
    await plant.settle()
    end = (await plant.trial()).end
    assert end is not None
    assert end.reason == "kim ordered it: seen enough"
    assert (plant.world.segmenter() is not None) is serves


async def test_an_undecided_trial_leaves_what_serves_and_a_person_may_promote() -> None:
    plant = await Plant().begin()
    await plant.settle()
    plant.world.clock.advance(timedelta(days=8).total_seconds())
    await plant.settle()
    end = (await plant.trial()).end
    assert end is not None
    assert end.outcome is TrialOutcome.UNDECIDED
    assert plant.world.segmenter() is None
    with pytest.raises(LookupError, match="ended as undecided"):
        await order_end(plant.world.blobs, PLACE, TrialAction.DROP, by="kim", reason="")
    await order_end(plant.world.blobs, PLACE, TrialAction.PROMOTE, by="kim", reason="")
    assert "ReleaseCandidate" in await plant.settle()


async def test_a_line_set_to_direct_releases_at_once() -> None:
    plant = await Plant().begin()
    await plant.settle()
    plant.set_rollout("direct")
    assert "ReleaseCandidate" in await plant.settle()
