"""Real training runs on Ray Train, checkpoints in a real store."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from siad.apps.local.ray_node import RayNode
from siad.contracts.keys import checkpoints_prefix
from siad.models.bundle import open_bundle
from siad.runtime.blobs.s3 import S3Blobs
from tests.integration.trainer_job_plant import JOB_S, PLACE, Plant
from tests.synthetic import bundle, part_image

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def plant(s3_blobs: S3Blobs, store_env: Mapping[str, str]) -> Plant:
    return Plant(s3_blobs, store_env)


@pytest.mark.timeout(700)
def test_a_killed_worker_goes_on_from_its_checkpoint_and_brings_a_candidate(
    ray_node: RayNode, plant: Plant, tmp_path: Path
) -> None:
    run, log = plant.freeze(1, segmenter="unet", train_s=15.0), tmp_path / "job.log"
    with plant.job(run, log, ray=ray_node.address) as job:
        os.kill(plant.wait_for_checkpoint(run, log, job), signal.SIGKILL)
        assert job.wait(timeout=JOB_S) == 0, log.read_text()[-4000:]

    report = plant.report(run)
    assert report is not None
    assert report.resumed_from_epoch >= 1
    assert report.candidate.image_auroc > 0.9
    manifest = plant.registry.manifest(PLACE, report.weights)
    predictor = open_bundle(manifest, plant.registry.parts(manifest))
    good, bad = predictor.predict([part_image(9001), part_image(9002, defect=True)])
    assert bad.score > good.score
    assert 1 <= len(_checkpoints(plant.blobs, run)) <= 2


@pytest.mark.timeout(700)
def test_a_residual_is_trained_on_the_teacher_in_the_store(ray_node: RayNode, plant: Plant, tmp_path: Path) -> None:
    report = plant.run_job(plant.freeze(1), tmp_path / "job.log", ray=ray_node.address)
    assert report.evidence is not None, "the candidate is compared with the teacher in service"
    manifest = plant.registry.manifest(PLACE, report.weights)
    teacher = bundle(line=PLACE.line).manifest
    assert (manifest.method, manifest.parent, manifest.input_px) == ("residual", plant.teacher, teacher.input_px)
    good, bad = open_bundle(manifest, plant.registry.parts(manifest)).predict(
        [part_image(9001), part_image(9002, defect=True)]
    )
    assert (good.is_defect, bad.is_defect) == (False, True)


@pytest.mark.timeout(700)
def test_a_job_with_more_workers_than_ray_has_cpus_ends_with_the_setting_to_lower(
    ray_node: RayNode, plant: Plant, tmp_path: Path
) -> None:
    run, log = plant.freeze(1, workers=40), tmp_path / "job.log"
    with plant.job(run, log, ray=ray_node.address) as job:
        assert job.wait(timeout=JOB_S) == 1
    assert "has 40 workers, and Ray has 2 CPUs" in log.read_text()
    assert "SIAD_TRAINER_WORKERS" in log.read_text()


def _checkpoints(blobs: S3Blobs, run: str) -> set[str]:
    keys = [info.key.split("/") for info in blobs.list(f"{checkpoints_prefix(run)}/checkpoint_")]
    return {folder for _, _, folder, *files in keys if files}
