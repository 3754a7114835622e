"""One real training run on Ray Train, checkpoints in a real store, its worker killed in the middle."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from services.trainer.adapters.runs import StoredRuns
from services.trainer.adapters.training_sets import StoredTrainingSets
from services.trainer.domain.freeze import freeze
from services.trainer.domain.ledger import LedgerRow
from services.trainer.domain.records import RunSpec, run_name
from services.trainer.domain.training_set import FreezePolicy, NormalCapture, TrainingSet
from siad.apps.local.ray_node import RayNode
from siad.contracts.ids import sha256_hex
from siad.contracts.keys import checkpoints_prefix, mask_key
from siad.contracts.place import Place
from siad.models.bundle import open_bundle
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.store.registry import Registry
from siad.vision.masks import encode_mask
from tests.synthetic import PRODUCT, bundle, part_image, png

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
RUN = run_name("press-1", "lid", 1)
TEACHER = "ab" * 32
JOB_S = 240.0  # starting takes 20 to 30 s on two idle cores, twice, since a worker is killed
WORKER = re.compile(r"pid=(\d+)\).*\"event\": \"epoch_done\"")
NOTED = "checkpoint_manager_snapshot.json"  # Ray Train's own list of checkpoints

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.mark.timeout(400)
def test_a_killed_worker_goes_on_from_its_checkpoint_and_brings_a_candidate(
    ray_node: RayNode, s3_blobs: S3Blobs, store_env: Mapping[str, str], tmp_path: Path
) -> None:
    asyncio.run(_write_run(s3_blobs))
    log = tmp_path / "job.log"
    with _job(log, {**store_env, "RAY_ADDRESS": ray_node.address}) as job:
        worker = _wait_for_worker(log, job, s3_blobs)
        os.kill(worker, signal.SIGKILL)
        assert job.wait(timeout=JOB_S) == 0, log.read_text()[-4000:]

    [run] = asyncio.run(StoredRuns(AsyncBlobs(s3_blobs)).read(Place("press-1", "lid")))
    report = run.report
    assert report is not None
    assert report.resumed_from_epoch >= 1
    assert report.candidate.image_auroc > 0.9
    registry = Registry(s3_blobs)
    manifest = registry.manifest(Place("press-1", "lid"), report.weights)
    predictor = open_bundle(manifest, registry.parts(manifest))
    good, bad = predictor.predict([part_image(9001), part_image(9002, defect=True)])
    assert bad.score > good.score
    assert 1 <= len(_checkpoints(s3_blobs)) <= 2


@pytest.mark.timeout(300)
def test_a_residual_is_trained_on_the_teacher_in_the_store(
    ray_node: RayNode, s3_blobs: S3Blobs, store_env: Mapping[str, str], tmp_path: Path
) -> None:
    place, run = Place("press-1", PRODUCT), run_name("press-1", PRODUCT, 1)
    made, registry = bundle(line="press-1"), Registry(s3_blobs)
    teacher = registry.store(made.manifest, made.parts)
    asyncio.run(_write_run(s3_blobs, run=run, product=PRODUCT, teacher=teacher, train_s=60.0, segmenter="residual"))
    log = tmp_path / "job.log"
    with _job(log, {**store_env, "RAY_ADDRESS": ray_node.address}, run=run) as job:
        assert job.wait(timeout=JOB_S) == 0, log.read_text()[-4000:]

    [state] = asyncio.run(StoredRuns(AsyncBlobs(s3_blobs)).read(place))
    assert state.report is not None
    assert state.report.evidence is not None, "the candidate is compared with the teacher in service"
    manifest = registry.manifest(place, state.report.weights)
    assert (manifest.method, manifest.parent, manifest.input_px) == ("residual", teacher, made.manifest.input_px)
    good, bad = open_bundle(manifest, registry.parts(manifest)).predict(
        [part_image(9001), part_image(9002, defect=True)]
    )
    assert (good.is_defect, bad.is_defect) == (False, True)


def _checkpoints(blobs: S3Blobs) -> set[str]:
    keys = [info.key.split("/") for info in blobs.list(f"{checkpoints_prefix(RUN)}/checkpoint_")]
    return {folder for _, _, folder, *files in keys if files}


async def _write_run(
    blobs: S3Blobs,
    *,
    run: str = RUN,
    product: str = "lid",
    teacher: str = TEACHER,
    train_s: float = 15.0,
    segmenter: str = "unet",
) -> None:
    """What the trainer would have left: images, masks, a frozen training set, a spec."""
    store = AsyncBlobs(blobs)
    chosen = _training_set(blobs)
    await StoredTrainingSets(store).put(Place("press-1", product), chosen)
    await StoredRuns(store).put_spec(
        RunSpec(
            run=run,
            line="press-1",
            product=product,
            training_set=chosen.digest,
            teacher=teacher,
            serving="",
            ledger_until_at=NOON,
            false_reject_budget=0.05,
            input_px=64,
            epochs=10_000,
            train_s=train_s,
            frozen_at=NOON,
            segmenter=segmenter,
        )
    )
    store.close()


def _training_set(blobs: S3Blobs) -> TrainingSet:
    normals = [
        NormalCapture(capture_id=name, image_id=image_id, image_uri=uri) for name, image_id, uri in _images(blobs, 12)
    ]
    rows = [_row(blobs, index) for index in range(80)]
    chosen = freeze(rows, normals, teachers=[TEACHER], policy=FreezePolicy())
    assert isinstance(chosen, TrainingSet), chosen
    return chosen


def _images(blobs: S3Blobs, count: int) -> Iterator[tuple[str, str, str]]:
    for index in range(count):
        yield _image(blobs, part_image(5000 + index), f"normal-{index}")


def _image(blobs: S3Blobs, image_HWC: np.ndarray, name: str) -> tuple[str, str, str]:
    data = png(image_HWC)
    image_id = sha256_hex(data)
    key = f"images/press-1/2026-05-04/{image_id}.png"
    blobs.put(key, data)
    return sha256_hex(name.encode())[:32], image_id, blobs.uri(key)


def _row(blobs: S3Blobs, index: int) -> LedgerRow:
    """A capture as a perfect teacher would have marked it: every third one has a blob."""
    is_defect = index % 3 == 0
    image_HWC = part_image(index, defect=is_defect)
    capture_id, image_id, uri = _image(blobs, image_HWC, f"part-{index}")
    mask_HW = np.where(image_HWC[:, :, 0] > 200, 255, 0).astype(np.uint8) if is_defect else np.zeros((64, 64), np.uint8)
    data = encode_mask(mask_HW)
    key = mask_key("press-1", capture_id, TEACHER)
    blobs.put(key, data)
    moment = NOON + timedelta(seconds=index)
    return LedgerRow(
        capture_id=capture_id,
        image_id=image_id,
        image_uri=uri,
        captured_at=moment,
        received_at=moment,
        mask_uri=blobs.uri(key),
        mask_sha256=sha256_hex(data),
        weights=TEACHER,
        score=(9.0 if is_defect else 1.0) + index / 1000,
        threshold=5.0,
        defect_ratio=float((mask_HW > 0).mean()),
    )


@contextmanager
def _job(log: Path, env: Mapping[str, str], *, run: str = RUN) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        job = subprocess.Popen(
            [sys.executable, "-m", "services.trainer.job", "--run", run],
            env={**os.environ, **env, "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield job
        finally:
            if job.poll() is None:
                job.kill()
                job.wait()


def _wait_for_worker(log: Path, job: subprocess.Popen[bytes], blobs: S3Blobs) -> int:
    """The process that trains, once Ray has taken note of its first checkpoint."""
    deadline = time.monotonic() + JOB_S
    while time.monotonic() < deadline:
        assert job.poll() is None, log.read_text()[-4000:]
        found = WORKER.findall(log.read_text())
        if found and blobs.head(f"{checkpoints_prefix(RUN)}/{NOTED}") is not None:
            return int(found[-1])
        time.sleep(0.2)
    pytest.fail(f"no epoch done in {JOB_S:g} s:\n{log.read_text()[-4000:]}")
