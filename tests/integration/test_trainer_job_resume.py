"""Training on two Ray workers, interrupted in every way, gives the weights of an uninterrupted one."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from siad.apps.local.ray_node import RayNode
from siad.apps.local.weed import WeedNode
from siad.runtime.blobs.s3 import S3Blobs
from tests.fixtures.store import settings_of
from tests.integration.trainer_job_plant import JOB_S, Plant

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1900)]
WORKERS = 2


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedNode]:
    """A store that a test may kill."""
    node = WeedNode(tmp_path_factory.mktemp("weed-jobs"))
    node.start()
    yield node
    node.kill()


@pytest.fixture(scope="module")
def plant(node: WeedNode) -> Plant:
    env = node.environment("siad-jobs")
    blobs = S3Blobs(settings_of(env))
    blobs.ensure_bucket()
    return Plant(blobs, env)


@pytest.fixture(scope="module")
def uninterrupted(plant: Plant, ray_node: RayNode, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights of a run of two workers that nothing disturbed."""
    run, log = plant.freeze(1, workers=WORKERS), tmp_path_factory.mktemp("uninterrupted") / "job.log"
    report = plant.run_job(run, log, ray=ray_node.address)
    assert report.resumed_from_epoch == 0
    assert '"worker": 1, "workers": 2' in log.read_text(), log.read_text()[-4000:]
    return report.weights


def test_after_a_killed_worker(plant: Plant, ray_node: RayNode, uninterrupted: str, tmp_path: Path) -> None:
    run, log = plant.freeze(2, workers=WORKERS), tmp_path / "job.log"
    with plant.job(run, log, ray=ray_node.address) as job:
        os.kill(plant.wait_for_checkpoint(run, log, job), signal.SIGKILL)
        assert job.wait(timeout=JOB_S) == 0, log.read_text()[-4000:]
    report = plant.report(run)
    assert report is not None
    assert report.resumed_from_epoch >= 1
    assert report.weights == uninterrupted


def test_after_a_killed_driver(plant: Plant, ray_node: RayNode, uninterrupted: str, tmp_path: Path) -> None:
    run, log = plant.freeze(3, workers=WORKERS), tmp_path / "job.log"
    with plant.job(run, log, ray=ray_node.address) as job:
        plant.wait_for_checkpoint(run, log, job)
        job.kill()
        job.wait()
    assert plant.report(run) is None
    report = plant.run_job(run, tmp_path / "again.log", ray=ray_node.address)
    assert report.resumed_from_epoch >= 1
    assert report.weights == uninterrupted


def test_after_an_outage_of_the_store(
    plant: Plant, node: WeedNode, ray_node: RayNode, uninterrupted: str, tmp_path: Path
) -> None:
    run, log = plant.freeze(4, workers=WORKERS), tmp_path / "job.log"
    with plant.job(run, log, ray=ray_node.address) as job:
        plant.wait_for_checkpoint(run, log, job)
        node.kill()
        try:
            assert job.wait(timeout=JOB_S) != 0, "a job must not end well without its store"
        finally:
            node.start()
    assert plant.report(run) is None
    report = plant.run_job(run, tmp_path / "again.log", ray=ray_node.address)
    assert report.resumed_from_epoch >= 1
    assert report.weights == uninterrupted
