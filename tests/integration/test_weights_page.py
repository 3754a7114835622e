"""The page Weights in Chromium: what serves and why, and commands that stages carry out."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from siad.contracts.events import Decision, PseudoMaskCreated, SegmenterStatus, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.topics import PSEUDO_MASK, VERDICT
from siad.models.bundle import open_bundle
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Message
from siad.runtime.store.registry import Registry
from tests.fixtures.browser import run_script
from tests.fixtures.kafka import BusFile, quick_settings
from tests.integration.commanded_plant import LINE_NAME, PLACE, REFUSAL, put_weights, running_plant
from tests.integration.test_console_learns import make_labels, message
from tests.synthetic import part_image
from tests.unit.console.world import verdict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("browser_and_page")]

DIFFERENT = range(100, 104)  # parts with a defect that the teacher marks and the segmenter passes


def _passed(pseudo_mask: PseudoMaskCreated, weights: WeightsId) -> Message:
    """The verdict of a segmenter that sees nothing."""
    names = ("capture_id", "image_id", "image_uri", "line", "product", "serial", "threshold")
    taken = {name: getattr(pseudo_mask, name) for name in names}
    score = pseudo_mask.threshold / 2
    event = verdict(
        1, score=score, decision=Decision.PASS, weights=weights, weights_kind=WeightsKind.SEGMENTER, **taken
    )
    return message(VERDICT, event.capture_id, event)


@pytest.mark.timeout(300)
async def test_a_person_holds_learning_rolls_back_and_returns(
    bus_file: BusFile, store_env: Mapping[str, str], s3_blobs: S3Blobs, tmp_path: Path
) -> None:
    teacher, first, second, refused = put_weights(s3_blobs)
    images = {f"part-{seed}": part_image(seed, defect=True) for seed in DIFFERENT}
    labels = [label for _, label in make_labels(s3_blobs, open_bundle(teacher.manifest, teacher.parts), images)]
    async with running_plant(bus_file, store_env, s3_blobs, tmp_path) as plant:
        bus = open_bus(quick_settings(bus_file.bootstrap))
        async with bus.producer() as producer:
            marks = [message(PSEUDO_MASK, one.capture_id, one) for one in labels]
            await producer.publish([*marks, *(_passed(one, second.manifest.weights) for one in labels)])
        folder = os.environ.get("SIAD_PICTURES", "")
        found = await asyncio.to_thread(
            run_script, "weights.ts", plant["console"], LINE_NAME, REFUSAL, *([folder] if folder else [])
        )
    weights = [one.manifest.weights for one in (first, second, refused, teacher)]
    assert found["judges"] == [weights[1], weights[0], weights[1]]
    assert set(found["listed"]) == set(weights)
    assert found["differences"] == len(DIFFERENT)
    pointer = Registry(s3_blobs).pointer(WeightsKind.SEGMENTER, PLACE)
    assert pointer is not None
    assert (pointer.weights, pointer.status) == (weights[1], SegmenterStatus.SERVING)
