"""The pages Lines and Settings in Chromium, on a real ingest and console."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from siad.contracts import keys
from siad.contracts.documents import read_receipt
from siad.contracts.events import Decision, WeightsKind
from siad.contracts.topics import VERDICT
from siad.models.bundle import Bundle, open_bundle
from siad.models.teachers.feature_memory import fit
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.vision.images import decode_image
from tests.e2e.harness import Plant
from tests.fixtures.browser import run_script
from tests.fixtures.kafka import BusFile, quick_settings
from tests.integration.test_console_learns import make_labels, message
from tests.synthetic import PRODUCT, TINY, normals_of, part_image, png, release
from tests.unit.console.world import verdict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("browser_and_page")]
LINE_NAME = "press-1"
GOODS, DEFECTS = range(40), range(100, 106)


@pytest.fixture
async def plant(bus_file: BusFile, store_env: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Plant]:
    plant = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": bus_file.bootstrap, **store_env})
    ingest = plant.add("ingest")
    plant.add("console", ingest_url=ingest.url)
    async with plant.running():
        yield plant


def fit_stored(blobs: S3Blobs) -> Bundle:
    """Fit a teacher on the normals that ingest stored, as the labeler has it done."""
    receipts = [read_receipt(blobs.get(info.key).data) for info in blobs.list(keys.normals_prefix(LINE_NAME, PRODUCT))]
    images = [decode_image(blobs.get(blobs.key_of(one.image_uri)).data) for one in receipts]
    names = [one.capture_id for one in receipts]
    return fit(normals_of(images, names, line=LINE_NAME), false_reject_budget=0.05, recipe=TINY)


async def judge(bus_file: BusFile, blobs: S3Blobs, teacher: Bundle) -> None:
    """Publish the verdicts of the teacher on good and defective parts."""
    images = {f"good-{seed}": part_image(seed) for seed in GOODS}
    images |= {f"dent-{seed}": part_image(seed, defect=True) for seed in DEFECTS}
    labels = make_labels(blobs, open_bundle(teacher.manifest, teacher.parts), images)
    names = ("capture_id", "image_id", "image_uri", "line", "product", "serial", "threshold", "score", "mask_uri")
    events = [
        replace(
            verdict(number, weights=teacher.manifest.weights, weights_kind=WeightsKind.TEACHER),
            decision=Decision.REJECT if one.score >= one.threshold else Decision.PASS,
            **{name: getattr(one, name) for name in names},
        )
        for number, (_, one) in enumerate(labels)
    ]
    bus = open_bus(quick_settings(bus_file.bootstrap))
    async with bus.producer() as producer:
        await producer.publish([message(VERDICT, event.capture_id, event) for event in events])


async def settings_of(plant: Plant) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=plant["ingest"].url) as http:
        found: dict[str, Any] = (await http.get(f"/v1/lines/{LINE_NAME}")).json()
    return found


@pytest.mark.timeout(300)
async def test_a_person_drops_ten_parts_watches_the_line_and_moves_its_budget(
    plant: Plant, bus_file: BusFile, s3_blobs: S3Blobs, tmp_path: Path
) -> None:
    pictures = [folder] if (folder := os.environ.get("SIAD_PICTURES")) else []
    parts = tmp_path / "parts"
    parts.mkdir()
    for seed in range(1000, 1010):
        (parts / f"part-{seed}.png").write_bytes(png(part_image(seed)))
    (parts / "notes.png").write_text("no image")
    found = await asyncio.to_thread(run_script, "new_line.ts", plant["console"], LINE_NAME, str(parts), *pictures)
    assert "notes.png" in found["refused"]
    assert "no image" in found["refused"] or "can't be" in found["refused"] or "format" in found["refused"]
    assert (await settings_of(plant))["product"] == PRODUCT

    teacher = fit_stored(s3_blobs)
    release(s3_blobs, teacher)
    await judge(bus_file, s3_blobs, teacher)
    found = await asyncio.to_thread(run_script, "line_settings.ts", plant["console"], LINE_NAME, *pictures)
    saved = await settings_of(plant)
    assert saved["false_reject_budget"] > 0.05
    assert (saved["classes"], saved["product"]) == (["scratch"], "lid")
    assert found["verdicts"] == 5
