"""`siad verdict` on a real broker and store: the same weights say the same, other weights say what they say."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from siad.contracts import keys
from siad.contracts.codec import encode
from siad.contracts.documents import LineState, write_line, write_receipt
from siad.contracts.events import ImageStored, WeightsKind
from siad.contracts.topics import LINE, TOPICS
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Message
from tests import synthetic
from tests.e2e.harness import Plant, StageProcess
from tests.fixtures.kafka import quick_settings
from tests.integration.test_inference_process import until_serving
from tests.synthetic import bundle, image_message, part_image, png, store_capture

pytestmark = pytest.mark.slow


def capture(blobs: S3Blobs, number: int, *, defect: bool) -> ImageStored:
    """A capture as ingest stores it."""
    receipt = store_capture(blobs, png(part_image(number, defect=defect)), key=f"part {number}")
    blobs.put(keys.capture_key(receipt.line, receipt.capture_id), write_receipt(receipt))
    return receipt


async def judge(plant: Plant, bootstrap: str, receipts: list[ImageStored], weights: str) -> None:
    bus = open_bus(quick_settings(bootstrap))
    await bus.create_topics(list(TOPICS))
    async with bus.producer() as producer:
        line = synthetic.settings()
        await producer.publish([Message(topic=LINE.name, key=line.line, value=encode(line))])
        inference = plant.add("inference", poll_s="1")
        async with plant.running():
            await until_serving(inference, weights)
            await producer.publish([image_message(one) for one in receipts])
            async with asyncio.timeout(60):
                while await judged(inference) < len(receipts):
                    await asyncio.sleep(0.1)


async def judged(inference: StageProcess) -> float:
    metrics = await inference.metrics()
    return sum(value for name, value in metrics.items() if name.startswith("siad_inference_verdicts_total"))


def ask(*args: str) -> str:
    done = CliRunner().invoke(app, ["verdict", *args])
    assert done.exit_code == 0, done.output
    return done.stdout


def ask_json(*args: str) -> dict[str, Any]:
    (one,) = json.loads(ask(*args, "--json"))["captures"]
    return dict(one)


def test_the_receipt_of_a_judged_part(
    store_env: Mapping[str, str], s3_blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap = f"embedded://{tmp_path}/bus.sqlite"
    for name, value in {"SIAD_BUS_BOOTSTRAP": bootstrap, **store_env}.items():
        monkeypatch.setenv(name, value)
    s3_blobs.put(keys.line_pointer_key(synthetic.LINE), write_line(LineState(settings=synthetic.settings())))
    teacher, segmenter = bundle(seed=11), bundle(WeightsKind.SEGMENTER, seed=12)
    synthetic.release(s3_blobs, teacher)
    bad, good = capture(s3_blobs, 0, defect=True), capture(s3_blobs, 1, defect=False)
    plant = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": bootstrap, **store_env})
    asyncio.run(judge(plant, bootstrap, [bad, good], teacher.manifest.weights))

    one = ask_json("part 0")
    (verdict,) = one["verdicts"]
    assert (verdict["decision"], verdict["weights"]) == ("reject", teacher.manifest.weights)
    assert 0 < verdict["decode_s"] < verdict["fetch_s"]
    assert verdict["mask_s"] > 0
    assert verdict["pixel_threshold"] == teacher.manifest.pixel_threshold
    assert one["agreement"].startswith("yes; the same weights, threshold, score")
    assert one["today"]["score"] == pytest.approx(verdict["score"], rel=1e-3)
    assert "learned from 10 normals" in one["lineage"]
    assert ask_json("part 1")["today"]["decision"] == "pass"

    synthetic.release(s3_blobs, segmenter)
    text = ask(bad.capture_id[:12], "--save", str(tmp_path / "saved"))
    assert f"other weights: teacher {teacher.manifest.weights[:12]} then" in text
    mask = cv2.imread(str(tmp_path / "saved" / f"{bad.capture_id}.mask-today.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    assert np.count_nonzero(mask) > 0
    assert (tmp_path / "saved" / f"{bad.capture_id}.mask-{teacher.manifest.weights[:12]}-verdict.png").exists()
