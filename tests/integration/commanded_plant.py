"""A line with weights, and the processes that commands reach: console, labeler and trainer; no scorer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from siad.contracts import keys
from siad.contracts.codec import encode
from siad.contracts.documents import LineState, write_line
from siad.contracts.events import WeightsKind
from siad.contracts.place import Place
from siad.contracts.topics import LINE, TOPICS
from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunReport, RunSpec, SegmenterFigures, run_name
from siad.models.bundle import Bundle
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Message
from siad.runtime.store.registry import Registry
from tests.e2e.harness import Plant
from tests.fixtures.kafka import BusFile, quick_settings
from tests.synthetic import PRODUCT, bundle, release, settings

LINE_NAME: Final = "press-1"
PLACE: Final = Place(LINE_NAME, PRODUCT)
REFUSAL: Final = "rank agreement 0.71 on 24 captures of the stream, under 0.9"
FIGURES: Final = SegmenterFigures(
    normals=40, defects=12, false_rejects=1, detected=11, image_auroc=0.981, pixel_ap=0.634
)


def put_weights(blobs: S3Blobs) -> list[Bundle]:
    """Release a teacher and two segmenters, and refuse a third; what they are, in this order."""
    made = [bundle(line=LINE_NAME), *(bundle(WeightsKind.SEGMENTER, seed=seed, line=LINE_NAME) for seed in (1, 2, 3))]
    for one in made[:3]:
        release(blobs, one)
    Registry(blobs).store(made[3].manifest, made[3].parts)
    for number, one in enumerate(made[1:], start=1):
        _put_run(blobs, number, one, is_refused=number == 3)
    return made


def _put_run(blobs: S3Blobs, number: int, made: Bundle, *, is_refused: bool) -> None:
    now, run = datetime.now(UTC), run_name(LINE_NAME, PRODUCT, number)
    spec = RunSpec(
        run=run, line=LINE_NAME, product=PRODUCT, training_set=f"{number}" * 64, teacher=bundle().manifest.weights,
        serving="", ledger_until_at=now, false_reject_budget=0.05, input_px=64, epochs=15, train_s=60.0, frozen_at=now,
    )  # fmt: skip
    report = RunReport(
        run=run, weights=made.manifest.weights, candidate=FIGURES, serving=None, epochs=15, resumed_from_epoch=0,
        seconds=30.0, device="cpu",
    )  # fmt: skip
    judgement = CandidateJudgement(
        run=run, outcome=RunOutcome.REFUSED if is_refused else RunOutcome.ACCEPTED, weights=made.manifest.weights,
        reason=REFUSAL if is_refused else "image AUROC 0.981, pixel AP 0.634", judged_at=now,
    )  # fmt: skip
    for key, record in (
        (keys.run_spec_key(run), spec),
        (keys.run_report_key(run), report),
        (keys.run_judgement_key(run), judgement),
    ):
        blobs.put(key, record.to_json())


@asynccontextmanager
async def running_plant(
    bus_file: BusFile, env: Mapping[str, str], blobs: S3Blobs, folder: Path
) -> AsyncIterator[Plant]:
    """Register the line, and start the stages."""
    blobs.put(keys.line_pointer_key(LINE_NAME), write_line(LineState(settings=settings(line=LINE_NAME))))
    bus = open_bus(quick_settings(bus_file.bootstrap))
    await bus.create_topics(TOPICS)
    async with bus.producer() as producer:
        await producer.publish([Message(topic=LINE.name, key=LINE_NAME, value=encode(settings(line=LINE_NAME)))])
    plant = Plant(folder, {"SIAD_BUS_BOOTSTRAP": bus_file.bootstrap, **env})
    for name in ("console", "trainer"):
        plant.add(name).start()
    plant.add("labeler", scorer_url="http://127.0.0.1:9").start()  # nothing listens: commands need no scorer
    try:
        await asyncio.gather(plant["console"].wait_ready(), plant["trainer"].wait_ready())
        yield plant
    finally:
        await asyncio.gather(*(stage.stop() for stage in plant.stages.values()))
