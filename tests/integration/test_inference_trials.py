"""Candidates beside what serves: pairs of the shadow, canary decisions, and one verdict for each capture."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from prometheus_client import REGISTRY

from siad.contracts.codec import decode, encode
from siad.contracts.events import Decision, VerdictGiven, WeightsKind
from siad.contracts.topics import SHADOW, TRIAL, VERDICT
from siad.contracts.trials import ShadowJudged, TrialChanged, TrialPhase
from siad.models.bundle import Bundle
from siad.runtime.bus.port import Message
from siad.runtime.store.registry import Registry
from tests import synthetic
from tests.integration.inference_plant import S1, S1_ID, T1, T1_ID, TOPICS, Plant

BLIND = Bundle(replace(S1.manifest, image_threshold=1e9), S1.parts)  # passes everything


@dataclass
class TriedPlant(Plant):
    """A line where the teacher serves, and a segmenter is tried."""

    revision: int = 0
    candidate: Bundle = field(default=S1)
    is_stored: bool = True

    async def move(self, phase: TrialPhase, *, share: float = 0.1) -> None:
        """Publish a phase of the trial, as the trainer does."""
        self.revision += 1
        if self.is_stored:
            Registry(self.blobs).store(self.candidate.manifest, self.candidate.parts)
        trial = TrialChanged(
            line=synthetic.LINE,
            product=synthetic.PRODUCT,
            revision=self.revision,
            trial=1,
            phase=phase,
            candidate=self.candidate.manifest.weights,
            serving=T1_ID,
            serving_kind=WeightsKind.TEACHER,
            canary_share=share,
            changed_at=datetime.now(UTC),
        )
        await self.send(Message(topic=TRIAL.name, key=f"{trial.line}/{trial.product}", value=encode(trial)))
        await asyncio.sleep(0.3)  # the stage reads the topic

    def pairs(self) -> dict[str, ShadowJudged]:
        return {one.capture_id: one for one in (decode(ShadowJudged, r.value) for r in self.bus.records(SHADOW.name))}

    async def pair(self, capture: str) -> ShadowJudged:
        async with asyncio.timeout(10):
            while (found := self.pairs().get(capture)) is None:
                await asyncio.sleep(0.01)
        return found

    def records(self, capture: str) -> int:
        return sum(decode_id(record.value) == capture for record in self.bus.records(VERDICT.name))


def decode_id(value: Any) -> str:
    return decode(VerdictGiven, value).capture_id


def counted(outcome: str) -> float:
    labels = {"line": synthetic.LINE, "outcome": outcome}
    return REGISTRY.get_sample_value("siad_inference_shadows_total", labels) or 0.0


async def begin(plant: TriedPlant) -> None:
    await plant.bus.create_topics([*TOPICS, TRIAL, SHADOW])
    await plant.make_line()
    await plant.release(T1)


async def test_a_candidate_in_the_shadow_judges_and_decides_nothing() -> None:
    plant = TriedPlant(candidate=BLIND)
    await begin(plant)
    async with plant.running(shadow_cpu_share=1.0):
        await plant.until_serving(T1_ID)
        alone = await plant.capture(defect=True)
        await plant.verdict(alone)
        await plant.move(TrialPhase.SHADOW)
        capture = await plant.capture(defect=True)
        verdict, pair = await plant.verdict(capture), await plant.pair(capture)
        assert (verdict.decision, verdict.weights, verdict.trial) == (Decision.REJECT, T1_ID, 0)
        assert (pair.serving_decision, pair.candidate_decision) == (Decision.REJECT, Decision.PASS)
        assert (pair.phase, pair.mask_disagreement, pair.decided_by_candidate) == (TrialPhase.SHADOW, 1.0, False)
        assert pair.serving_score == verdict.score
        assert pair.spent_s > 0
        await plant.move(TrialPhase.ENDED)
        late = await plant.capture()
        await plant.verdict(late)
        await asyncio.sleep(0.2)
        assert set(plant.pairs()) == {capture}


async def test_a_canary_decides_its_share_once_and_what_serves_is_its_shadow() -> None:
    plant = TriedPlant()
    await begin(plant)
    async with plant.running(shadow_cpu_share=1.0):
        await plant.until_serving(T1_ID)
        await plant.move(TrialPhase.SHADOW)
        await plant.pair(await plant.capture())  # loads the candidate
        await plant.move(TrialPhase.CANARY, share=1.0)
        capture = await plant.capture(defect=True)
        verdict, pair = await plant.verdict(capture), await plant.pair(capture)
        assert (verdict.weights, verdict.weights_kind, verdict.trial) == (S1_ID, WeightsKind.SEGMENTER, 1)
        assert (pair.decided_by_candidate, pair.candidate_score) == (True, verdict.score)
        assert pair.serving_decision is Decision.REJECT
        assert plant.records(capture) == 1
        await plant.move(TrialPhase.ENDED)
        after = await plant.verdict(await plant.capture())
        assert (after.weights, after.trial) == (T1_ID, 0)


async def test_a_candidate_that_can_not_be_loaded_decides_nothing() -> None:
    plant = TriedPlant(is_stored=False)
    await begin(plant)
    async with plant.running(shadow_cpu_share=1.0):
        await plant.until_serving(T1_ID)
        await plant.move(TrialPhase.CANARY, share=1.0)
        before = counted("no-weights")
        verdict = await plant.verdict(await plant.capture())
        assert (verdict.weights, verdict.trial, verdict.decision) == (T1_ID, 0, Decision.PASS)
        async with asyncio.timeout(10):
            while counted("no-weights") == before:
                await asyncio.sleep(0.01)


async def test_without_a_budget_nothing_is_judged_twice() -> None:
    plant = TriedPlant()
    await begin(plant)
    async with plant.running(shadow_cpu_share=0.0):
        await plant.until_serving(T1_ID)
        await plant.move(TrialPhase.SHADOW)
        before = counted("over-budget")
        for _ in range(3):
            await plant.verdict(await plant.capture())
        assert counted("over-budget") == before + 3
        assert plant.pairs() == {}


async def test_memory_that_serving_weights_need_is_never_taken() -> None:
    plant = TriedPlant()
    await begin(plant)
    async with plant.running(shadow_cpu_share=1.0, models_max=2):
        await plant.until_serving(T1_ID)
        await plant.release(synthetic.bundle(seed=2))
        await plant.until_serving(synthetic.bundle(seed=2).manifest.weights)  # the one before stays for a way back
        await plant.release(T1)
        await plant.until_serving(T1_ID)
        await plant.move(TrialPhase.SHADOW)
        before = counted("no-weights")
        await plant.verdict(await plant.capture())
        async with asyncio.timeout(10):
            while counted("no-weights") == before:
                await asyncio.sleep(0.01)
        assert plant.pairs() == {}
