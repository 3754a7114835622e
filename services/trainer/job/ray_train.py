"""A training run on Ray Train: one worker that learns, examines, stores and reports. Runs inside the job.

Checkpoints go to the store every few seconds; a worker that dies is replaced, and goes on from the last of them, and so
does a job that is started again, because Ray Train knows the run by its name.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ray
import structlog
import torch
from ray import train
from ray.train.torch import TorchTrainer, get_device

from services.trainer.domain.records import RunReport, RunSpec
from services.trainer.domain.training_set import MemberRole
from services.trainer.job.candidate import (
    cut_to,
    examples_of,
    figures_of,
    make_candidate,
    score_held_out,
    scorer_of,
)
from services.trainer.job.members import StoredMembers
from services.trainer.job.store import read_spec, read_training_set, write_report
from siad.contracts.keys import checkpoints_prefix
from siad.contracts.place import Place
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.models.segmenter import new_segmenter
from siad.models.training.segmenter import SegmenterTraining, TrainingRecipe
from siad.runtime.blobs.arrow import pyarrow_filesystem
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.logs import configure_logs
from siad.runtime.store.registry import Registry
from siad.vision.region import RegionOfInterest

log = structlog.get_logger()

CHECKPOINT_S = 5.0  # of training lost at most when a worker dies
CHECKPOINTS_KEPT = 2
FAILURES_MAX = 3  # of workers in one job; past it the job falls, and the trainer starts it again
STATE = "training.pt"


def fit(run: str, store: StoreSettings) -> None:
    """Train ``run`` on the Ray that this process is connected to.

    Raises:
        ray.train.TrainingFailedError: its workers fell too often.
    """

    def loop() -> None:  # a closure: what Ray Train is given as configuration, it shows on its dashboard
        configure_logs("trainer")
        work(run, store)

    folder = Path(store.bucket) / checkpoints_prefix(run)
    TorchTrainer(
        loop,
        scaling_config=train.ScalingConfig(num_workers=1, use_gpu=ray.cluster_resources().get("GPU", 0) >= 1),
        run_config=train.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            storage_filesystem=pyarrow_filesystem(store),
            checkpoint_config=train.CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
            failure_config=train.FailureConfig(max_failures=FAILURES_MAX),
        ),
    ).fit()


def work(run: str, store: StoreSettings) -> None:
    """What the worker does: learn, examine, store, report."""
    torch.set_num_threads(1)  # the one CPU that Ray counts for us; torch would take them all
    blobs = open_blobs(store)
    spec = read_spec(blobs, run)
    training, resumed_from = _training_of(spec)
    began_s = time.monotonic()
    chosen = read_training_set(blobs, spec.line, spec.product, spec.training_set)
    look, interest = StoredMembers(blobs).look, RegionOfInterest(spec.region)
    if not training.is_done:
        examples = examples_of(chosen, cut_to(interest, look), input_px=spec.input_px)
        log.info("examples_ready", run=run, images=len(examples), seconds=round(time.monotonic() - began_s, 1))
        learn(training, lambda: training.run_epoch(examples))
    serving = _serving(blobs, spec)
    scorers = {"candidate": scorer_of(training.segmenter, input_px=spec.input_px, interest=interest)}
    if serving is not None:
        scorers["serving"] = serving.maps
    scored = score_held_out(chosen, look, scorers, input_px=spec.input_px)
    normals = [member for member in chosen.members if member.role is MemberRole.NORMAL]
    _, (normal_HWC, _) = next(iter(look(normals)))  # the first that can be read, for the golden part
    bundle, figures = make_candidate(training.segmenter, spec, scored["candidate"], normal=interest.cut(normal_HWC))
    write_report(
        blobs,
        RunReport(
            run=run,
            weights=Registry(blobs).store(bundle.manifest, bundle.parts),
            candidate=figures,
            serving=figures_of(scored["serving"], image_threshold=serving.manifest.image_threshold)
            if serving is not None
            else None,
            epochs=training.epoch,
            resumed_from_epoch=resumed_from,
            seconds=round(training.seconds, 3),
            device=training.device.type,
        ),
    )
    log.info("candidate_stored", run=run, weights=bundle.manifest.weights, seconds=round(time.monotonic() - began_s, 1))


def _training_of(spec: RunSpec) -> tuple[SegmenterTraining, int]:
    """A fresh training, or the one that the last checkpoint holds; and the epoch it goes on from."""
    recipe = TrainingRecipe(epochs=spec.epochs, train_s=spec.train_s)
    training = SegmenterTraining(new_segmenter(), recipe, get_device())
    checkpoint = train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            training.restore(torch.load(Path(folder) / STATE, map_location=training.device, weights_only=True))
    log.info("training_begins", run=spec.run, epoch=training.epoch, device=training.device.type)
    return training, training.epoch


def learn(training: SegmenterTraining, run_epoch: Callable[[], float]) -> None:
    """Train to the end, with a checkpoint after the first epoch, every few seconds, and at the end."""
    saved_s = float("-inf")
    while not training.is_done:
        loss = run_epoch()
        log.info("epoch_done", epoch=training.epoch, loss=round(loss, 4), seconds=round(training.seconds, 1))
        if training.is_done or time.monotonic() - saved_s >= CHECKPOINT_S:
            with tempfile.TemporaryDirectory() as folder:
                torch.save(training.state(), Path(folder) / STATE)
                metrics = {"epoch": training.epoch, "loss": loss}
                train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder))
            saved_s = time.monotonic()


def _serving(blobs: Blobs, spec: RunSpec) -> Predictor | None:
    """The segmenter that serves now."""
    if not spec.serving:
        return None
    registry = Registry(blobs)
    manifest = registry.manifest(Place(spec.line, spec.product), spec.serving)
    return open_bundle(manifest, registry.parts(manifest))
