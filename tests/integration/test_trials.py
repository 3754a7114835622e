"""Trials on real images, by the real stages: in memory, and on Kafka with an S3 store."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.inference import app as inference
from services.inference.settings import InferenceSettings
from services.trainer import app as trainer
from services.trainer.adapters.job_process import LocalJobs
from services.trainer.settings import TrainerSettings
from siad.contracts.codec import decode, encode
from siad.contracts.documents import LineState, write_line
from siad.contracts.events import LineChanged, VerdictGiven, WeightsKind
from siad.contracts.ids import record_key
from siad.contracts.keys import line_pointer_key
from siad.contracts.place import Place
from siad.contracts.topics import IMAGE, LINE, TOPICS, VERDICT
from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunSpec, run_name
from siad.contracts.trials import TrialOutcome, TrialPhase, TrialState
from siad.models.bundle import Bundle, open_bundle
from siad.models.teachers.feature_memory import fit
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.normals import Normals
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Bus, Message
from siad.runtime.store.registry import Registry
from siad.runtime.store.runs import StoredRuns
from siad.runtime.store.trials import StoredTrials
from siad.runtime.worker import StageProcess, serve
from siad.vision.images import Image
from tests import synthetic

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[3] / "shared" / "data" / "bottle"
PRODUCT, SIDE_PX, ROUNDS = synthetic.PRODUCT, 224, 400
RECIPE = MemoryRecipe(input_px=128, places_max=300, candidates_max=2000)


@dataclass(frozen=True)
class TriedLine:
    """A line whose teacher serves, and its candidate."""

    place: Place
    teacher: Bundle
    candidate: Bundle


def images_of(folder: str, count: int) -> list[Image]:
    paths = sorted((DATA / folder).iterdir())[:count]
    if not paths:
        pytest.skip("no images of bottles beside the project in shared/data")
    return [cv2.resize(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), (SIDE_PX, SIDE_PX)) for path in paths]


def with_threshold(made: Bundle, place: Place, kind: WeightsKind, threshold: float) -> Bundle:
    manifest = replace(made.manifest, line=place.line, product=place.product, kind=kind, image_threshold=threshold)
    return Bundle(manifest, made.parts)


def plant_lines(good: list[Image], bad: list[Image], normals: list[Image]) -> list[TriedLine]:
    """One candidate that rejects nearly everything, and one that spares false rejects and finds what it should."""
    place = Place("tried", PRODUCT)
    names = [f"{number:032x}" for number in range(len(normals))]
    made = fit(Normals.ordered(normals, names, place), false_reject_budget=0.05, recipe=RECIPE)
    judge = open_bundle(made.manifest, made.parts)
    scores, defects = (np.array([one.score for one in judge.predict(images)]) for images in (good, bad))
    between = float((np.quantile(scores, 0.99) + np.quantile(defects, 0.2)) / 2)
    low, lowest = float(np.quantile(scores, 0.7)), float(np.quantile(scores, 0.1))
    cases = {"worse": (between, lowest), "better": (low, between)}
    return [
        TriedLine(
            Place(f"tried-{name}", PRODUCT),
            with_threshold(made, Place(f"tried-{name}", PRODUCT), WeightsKind.TEACHER, serving),
            with_threshold(made, Place(f"tried-{name}", PRODUCT), WeightsKind.SEGMENTER, candidate),
        )
        for name, (serving, candidate) in cases.items()
    ]


async def put_accepted(blobs: Blobs, line: TriedLine, settings: LineChanged) -> None:
    """Store what the labeler, and a training run whose candidate the gate accepted, leave."""
    registry, now = Registry(blobs), datetime.now(UTC)
    blobs.put(line_pointer_key(settings.line), write_line(LineState(settings=settings)))
    for made in (line.teacher, line.candidate):
        registry.store(made.manifest, made.parts)
    registry.point(line.teacher.manifest, expected=None, released_at=now)
    runs, run = StoredRuns(AsyncBlobs(blobs)), run_name(*line.place, 1)
    spec = RunSpec(
        run=run, line=line.place.line, product=PRODUCT, training_set="0" * 64, teacher=line.teacher.manifest.weights,
        serving="", ledger_until_at=now, false_reject_budget=0.05, input_px=128, epochs=1, train_s=1.0, frozen_at=now,
    )  # fmt: skip
    await runs.put_spec(spec)
    weights = line.candidate.manifest.weights
    accepted = CandidateJudgement(
        run=run, outcome=RunOutcome.ACCEPTED, reason="planted", weights=weights, judged_at=now
    )
    await runs.put_judgement(accepted)


@asynccontextmanager
async def stages(bus: Bus, blobs: Blobs) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        judging = InferenceSettings(http_port=0, poll_s=0.5, drain_s=2.0, shadow_cpu_share=1.0)
        training = TrainerSettings(http_port=0, batch_wait_s=0.2, plan_every_s=0.5, drain_s=2.0, canary_share=0.5)
        assembled = {
            "inference": (judging, lambda stage: inference.assemble(stage, judging, bus=bus, blobs=blobs)),
            "trainer": (
                training,
                lambda stage: trainer.assemble(stage, training, bus=bus, blobs=blobs, jobs=LocalJobs(limit_s=60)),
            ),
        }
        for name, (settings, assemble) in assembled.items():
            stage = StageProcess(name, settings)
            serving = asyncio.create_task(serve(stage, assemble))

            async def end(stage: StageProcess = stage, serving: "asyncio.Task[None]" = serving) -> None:
                stage.stop.set()
                await serving

            stack.push_async_callback(end)
            async with asyncio.timeout(40):
                while stage.port is None and not serving.done():
                    await asyncio.sleep(0.05)
        yield


async def send(bus: Bus, blobs: Blobs, line: TriedLine, image_HWC: Image, number: int) -> str:
    done, data = cv2.imencode(".png", cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR))
    assert done
    event = synthetic.store_capture(blobs, bytes(data), key=str(number), line=line.place.line)
    async with bus.producer() as producer:
        key = record_key(event.line, event.capture_id, 4)
        await producer.publish([Message(topic=IMAGE.name, key=key, value=encode(event))])
    return event.capture_id


@pytest.mark.kafka
async def test_on_kafka_and_s3_a_worse_candidate_is_dropped_and_a_better_one_released(
    kafka_bus: KafkaBus, s3_blobs: S3Blobs
) -> None:
    await drop_the_worse_and_release_the_better(kafka_bus, s3_blobs)


async def test_in_memory_a_worse_candidate_is_dropped_and_a_better_one_released() -> None:
    await drop_the_worse_and_release_the_better(MemoryBus(partitions=2), MemoryBlobs())


async def drop_the_worse_and_release_the_better(bus: Bus, blobs: Blobs) -> None:
    good, bad = images_of("train/good", 60), images_of("test/broken_large", 20)
    lines = plant_lines(good[10:], bad, good[:10])
    trials = StoredTrials(AsyncBlobs(blobs))
    settings = [
        replace(synthetic.settings(line=line.place.line), rollout=mode)
        for line, mode in zip(lines, ("shadow", "canary"), strict=True)
    ]
    for line, setting in zip(lines, settings, strict=True):
        await put_accepted(blobs, line, setting)
    ended: dict[str, TrialState] = {}
    sent: list[str] = []
    await bus.create_topics(TOPICS)
    async with stages(bus, blobs):
        async with bus.producer() as producer:
            await producer.publish([Message(topic=LINE.name, key=one.line, value=encode(one)) for one in settings])
        stream = [*good[10:], *bad]
        for number in range(ROUNDS):
            for line in lines:
                if line.place.line not in ended:
                    sent.append(await send(bus, blobs, line, stream[(7 * number) % len(stream)], number))
                    if number % 5 == 0 and (trial := await trials.newest(line.place)) is not None and trial.end:
                        ended[line.place.line] = trial
            if len(ended) == len(lines):
                break
            await asyncio.sleep(0.05)  # second judgements take a share of what comes faster
        await asyncio.sleep(3.0)  # the release, and verdicts under way
    found = await read_verdicts(bus, set(sent))
    worse, better = (ended[line.place.line] for line in lines)
    assert worse.end is not None
    assert worse.end.outcome is TrialOutcome.DROPPED
    assert better.end is not None
    assert better.end.outcome is TrialOutcome.PROMOTED
    assert better.canary is not None
    registry = Registry(blobs)
    assert registry.pointer(WeightsKind.SEGMENTER, lines[0].place) is None
    released = registry.pointer(WeightsKind.SEGMENTER, lines[1].place)
    assert released is not None
    assert released.weights == lines[1].candidate.manifest.weights
    of_worse = [one for one in found if one.line == lines[0].place.line]
    assert {one.weights for one in of_worse} == {lines[0].teacher.manifest.weights}, "it never decides"
    canary = [one for one in found if one.line == lines[1].place.line and one.trial]
    assert {one.weights for one in canary} == {lines[1].candidate.manifest.weights}
    assert len(canary) >= 50
    assert set(Counter(one.capture_id for one in found).values()) == {1}
    assert better.phase is TrialPhase.ENDED


async def read_verdicts(bus: Bus, captures: set[str]) -> list[VerdictGiven]:
    """Read the verdicts of these captures from the broker."""
    found: list[VerdictGiven] = []
    async with asyncio.timeout(20), bus.tail(VERDICT.name, last=10_000) as reader:
        async for records in reader.backlog():
            verdicts = [decode(VerdictGiven, record.value) for record in records]
            found += [one for one in verdicts if one.capture_id in captures]
    return found
