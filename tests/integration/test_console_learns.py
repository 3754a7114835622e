"""The loop behind the page: what a person answers in Chromium changes what the next segmenter judges.

Some parts bear a printed square, which is harmless and which the teacher rejects. A person answers ten of them in the
page. The trainer's own functions then train two segmenters on the same captures: with the stored answers and without.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.trainer.domain.corrections import correction_of
from services.trainer.domain.freeze import freeze
from services.trainer.domain.ledger import row_of
from services.trainer.domain.training_set import FreezePolicy, NormalCapture, TrainingSet
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import score_held_out
from services.trainer.job.examples import as_inputs
from services.trainer.job.learner import LearnerSources
from services.trainer.job.learners import make_learner
from services.trainer.job.members import StoredMembers
from siad.contracts import keys
from siad.contracts.codec import Event, encode
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.documents import write_receipt
from siad.contracts.events import Decision, ImageStored, Intent, PseudoMaskCreated
from siad.contracts.ids import sha256_hex
from siad.contracts.topics import LINE, TOPICS, VERDICT, Topic
from siad.contracts.training_runs import RunSpec
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Message
from siad.vision.masks import encode_mask
from tests.e2e.harness import Plant, StageProcess
from tests.fixtures.browser import run_script
from tests.fixtures.kafka import BusFile, quick_settings
from tests.synthetic import PRODUCT, SIDE_PX, bundle, part_image, png, settings, store_capture
from tests.unit.console.world import verdict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("browser_and_page")]

LINE_NAME: Final = "press-1"
GOODS, BLOBS, PRINTS = range(45), range(100, 124), range(200, 210)
UNSEEN: Final = range(900, 920)


@pytest.fixture
async def console(bus_file: BusFile, store_env: Mapping[str, str], tmp_path: Path) -> AsyncIterator[StageProcess]:
    plant = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": bus_file.bootstrap, **store_env})
    plant.add("console")
    async with plant.running():
        yield plant["console"]


def printed_part(seed: int) -> NDArray[np.uint8]:
    """A good part with a faint printed square, somewhere."""
    image_HWC = part_image(seed)
    x, y = (int(at) for at in np.random.default_rng(seed).integers(10, SIDE_PX - 20, 2))
    cv2.rectangle(image_HWC, (x, y), (x + 9, y + 9), 65.0, -1)
    return image_HWC


def store_normals(blobs: Blobs) -> list[NormalCapture]:
    """Store twelve normals."""
    receipts = [
        store_capture(blobs, png(part_image(seed)), key=f"normal-{seed}", line=LINE_NAME, intent=Intent.NORMAL)
        for seed in range(1000, 1012)
    ]
    return [NormalCapture.of(receipt) for receipt in receipts]


def make_labels(
    blobs: Blobs, teacher: Predictor, images: Mapping[str, NDArray[np.uint8]]
) -> list[tuple[ImageStored, PseudoMaskCreated]]:
    """Store captures with the teacher's marks, as the labeler would."""
    weights = teacher.manifest.weights
    found = []
    for name, image_HWC in images.items():
        receipt = store_capture(blobs, png(image_HWC), key=name, line=LINE_NAME)
        blobs.put(keys.capture_key(LINE_NAME, receipt.capture_id), write_receipt(receipt))
        [finding] = teacher.predict([image_HWC])
        mask, key = encode_mask(finding.pseudo_mask_HW), keys.mask_key(LINE_NAME, receipt.capture_id, weights)
        blobs.put(key, mask)
        pseudo_mask = PseudoMaskCreated(
            capture_id=receipt.capture_id, image_id=receipt.image_id, image_uri=receipt.image_uri, line=LINE_NAME,
            product=PRODUCT, captured_at=receipt.captured_at, received_at=receipt.received_at,
            mask_uri=blobs.uri(key), mask_sha256=sha256_hex(mask), weights=weights, score=finding.score,
            threshold=teacher.manifest.image_threshold, defect_ratio=finding.defect_ratio, regions=(),
            confidence=finding.confidence, serial=receipt.serial,
        )  # fmt: skip
        found.append((receipt, pseudo_mask))
    return found


def message(topic: Topic, key: str, event: Event) -> Message:
    """An event as its stage publishes it."""
    return Message(topic=topic.name, key=key, value=encode(event))


def shown(pseudo_mask: PseudoMaskCreated) -> Message:
    """The verdict by which the console shows a capture."""
    names = ("capture_id", "image_id", "image_uri", "line", "product", "serial", "mask_uri", "weights", "threshold")
    taken = {name: getattr(pseudo_mask, name) for name in names}
    event = verdict(1, score=pseudo_mask.score, decision=Decision.REJECT, **taken)
    return message(VERDICT, event.capture_id, event)


def learn(
    blobs: Blobs,
    normals: Sequence[NormalCapture],
    labels: Sequence[PseudoMaskCreated],
    corrections: Sequence[CaptureCorrected],
) -> Predictor:
    """Train the default segmenter, as a job does, on what the trainer would freeze."""
    teacher = bundle(line=LINE_NAME)
    chosen = freeze(
        map(row_of, labels),
        normals,
        map(correction_of, corrections),
        teachers=[teacher.manifest.weights],
        policy=FreezePolicy(held_out_goods_min=2, held_out_defects_min=2),
    )
    assert isinstance(chosen, TrainingSet), chosen
    spec = RunSpec(
        run=f"{LINE_NAME}.{PRODUCT}.000001", line=LINE_NAME, product=PRODUCT, training_set=chosen.digest,
        teacher=teacher.manifest.weights, serving="", ledger_until_at=datetime.now(UTC), false_reject_budget=0.05,
        input_px=teacher.manifest.input_px, epochs=15, train_s=600.0, frozen_at=datetime.now(UTC), segmenter="residual",
    )  # fmt: skip
    read = StoredMembers(blobs).read
    inputs = as_inputs(spec, read)
    sources = LearnerSources(teacher=lambda: teacher, slow=lambda: teacher, read=inputs)
    learner = make_learner(spec, chosen, sources, device=torch.device("cpu"))
    learner.prepare(chosen, inputs)
    while not learner.is_done:
        learner.run_epoch()
    scored = score_held_out(chosen, read, learner.scorers(spec), input_px=spec.input_px)
    made, _ = make_candidate(learner.network(), spec, scored, normal=part_image(1000))
    return open_bundle(made.manifest, made.parts)


def count_rejects(predictor: Predictor) -> tuple[int, int]:
    """Of unseen parts: prints that it rejects, and defects."""
    prints = predictor.predict([printed_part(seed) for seed in UNSEEN])
    defects = predictor.predict([part_image(seed, defect=True) for seed in UNSEEN])
    return sum(one.is_defect for one in prints), sum(one.is_defect for one in defects)


@pytest.mark.timeout(900)  # it takes 49 s of processor time
async def test_ten_answers_in_the_page_teach_the_next_segmenter(
    console: StageProcess, bus_file: BusFile, s3_blobs: S3Blobs
) -> None:
    made = bundle(line=LINE_NAME)
    teacher = open_bundle(made.manifest, made.parts)
    normals = store_normals(s3_blobs)
    parts = {f"good-{seed}": part_image(seed) for seed in GOODS}
    parts |= {f"blob-{seed}": part_image(seed, defect=True) for seed in BLOBS}
    labels = [label for _, label in make_labels(s3_blobs, teacher, parts)]
    wrong = make_labels(s3_blobs, teacher, {f"print-{seed}": printed_part(seed) for seed in PRINTS})
    assert all(one.score >= one.threshold for _, one in wrong), "the teacher must be wrong about the prints"
    bus = open_bus(quick_settings(bus_file.bootstrap))
    await bus.create_topics(TOPICS)
    async with bus.producer() as producer:
        line = message(LINE, LINE_NAME, settings(line=LINE_NAME))
        await producer.publish([line, *(shown(one) for _, one in wrong)])
    await asyncio.to_thread(run_script, "answer_good.ts", console, LINE_NAME, str(len(PRINTS)))

    answers = [
        CaptureCorrected.from_json(s3_blobs.get(keys.correction_key(LINE_NAME, receipt.capture_id, 1)).data)
        for receipt, _ in wrong
    ]
    assert {(one.verdict, one.objects[0].fate) for one in answers} == {("good", "deleted")}
    labels += [label for _, label in wrong]
    taught = count_rejects(learn(s3_blobs, normals, labels, answers))
    untaught = count_rejects(learn(s3_blobs, normals, labels, ()))
    assert taught[0] <= 0.1 * len(UNSEEN) < 0.9 * len(UNSEEN) <= untaught[0], (taught, untaught)
    assert min(taught[1], untaught[1]) >= 0.9 * len(UNSEEN), (taught, untaught)
