"""A training run on Ray Train, with one worker.

The worker trains, evaluates, stores and reports.

Checkpoints go to the store every few seconds. Ray Train knows a run by its name: a worker that replaces a dead one, and
a restarted job, resume from the last checkpoint.
"""

import tempfile
import time
from pathlib import Path
from typing import Final

import ray
import structlog
import torch
from ray import train
from ray.train.torch import TorchTrainer, get_device

from services.trainer.domain.records import RunReport, RunSpec
from services.trainer.domain.training_set import MemberRole, TrainingSet
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import score_held_out
from services.trainer.job.evidence import gather_evidence, with_history, without_learned
from services.trainer.job.examples import (
    ReadMembers,
    UnreadableTrainingSetError,
    as_inputs,
    without_misfits,
)
from services.trainer.job.learners import Learner, make_learner
from services.trainer.job.members import StoredMembers
from services.trainer.job.serving import learned_by_teacher, open_serving
from services.trainer.job.store import read_accepted_reports, read_spec, read_training_set, write_report
from siad.contracts.keys import checkpoints_prefix
from siad.contracts.place import Place
from siad.contracts.release_evidence import GateEvidence
from siad.models.bundle import Bundle, open_bundle
from siad.runtime.blobs.arrow import pyarrow_filesystem
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.logs import configure_logs
from siad.runtime.store.registry import Registry
from siad.vision.images import Image

log = structlog.get_logger()

CHECKPOINT_S: Final = 5.0  # of training that a dead worker loses at most
CHECKPOINTS_KEPT: Final = 2
FAILURES_MAX: Final = 3  # of workers in one job; then the job fails, and the trainer starts it again
STATE: Final = "training.pt"


def fit(run: str, store: StoreSettings) -> None:
    """Train ``run`` on the Ray that this process is connected to.

    Raises:
        ray.train.TrainingFailedError: its workers failed too often.
    """

    def loop() -> None:  # a closure, because Ray Train shows its configuration, which has secrets, on its dashboard
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
    """Train, evaluate, store and report, as the worker."""
    torch.set_num_threads(1)  # the one CPU that Ray reserves; torch would use all
    blobs = open_blobs(store)
    spec = read_spec(blobs, run)
    began_s = time.monotonic()
    training_set = read_training_set(blobs, spec.line, spec.product, spec.training_set)
    learner = make_learner(spec, training_set, lambda: _teacher(blobs, spec), device=get_device())
    training, resumed_from = learner.training, _resume(learner, spec)
    read = without_misfits(spec, StoredMembers(blobs).read)
    inputs = as_inputs(spec, read)
    if not learner.is_done:
        examples = learner.prepare(training_set, inputs)
        log.info("examples_ready", run=run, images=examples, seconds=round(time.monotonic() - began_s, 1))
        learn(learner)
    scored = score_held_out(training_set, read, learner.scorers(spec), input_px=spec.input_px)
    normal = _first_normal(training_set, inputs)
    bundle, figures = make_candidate(learner.network(), spec, scored, normal=normal)
    write_report(
        blobs,
        RunReport(
            run=run,
            weights=Registry(blobs).store(bundle.manifest, bundle.parts),
            candidate=figures,
            serving=None,
            epochs=training.epoch,
            resumed_from_epoch=resumed_from,
            seconds=round(training.seconds, 3),
            device=training.device.type,
            evidence=_evidence(blobs, spec, bundle, training_set, read),
        ),
    )
    log.info("candidate_stored", run=run, weights=bundle.manifest.weights, seconds=round(time.monotonic() - began_s, 1))


def _evidence(
    blobs: Blobs, spec: RunSpec, bundle: Bundle, training_set: TrainingSet, read: ReadMembers
) -> GateEvidence | None:
    """Compare the candidate with what serves; None where nothing usable does."""
    serving = open_serving(blobs, spec)
    if serving is None:
        return None
    candidate = open_bundle(bundle.manifest, bundle.parts)
    unseen = without_learned(training_set, learned_by_teacher(blobs, spec))
    evidence = gather_evidence(candidate, serving, unseen, read, budget=spec.false_reject_budget)
    return with_history(evidence, read_accepted_reports(blobs, spec), serving=serving.manifest.weights)


def _teacher(blobs: Blobs, spec: RunSpec) -> Bundle:
    """Read the bundle of the teacher that a segmenter builds on.

    Raises:
        MissingError, CorruptError: it is not whole; the job fails, and its run is closed after some attempts.
    """
    registry = Registry(blobs)
    manifest = registry.manifest(Place(spec.line, spec.product), spec.teacher)
    return Bundle(manifest, registry.parts(manifest))


def _resume(learner: Learner, spec: RunSpec) -> int:
    """Continue from the last checkpoint, if there is one; returns the epoch."""
    training = learner.training
    checkpoint = train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            training.restore(torch.load(Path(folder) / STATE, map_location=training.device, weights_only=True))
    log.info(
        "training_begins",
        run=spec.run,
        method=spec.method,
        note=spec.segmenter_note,
        epoch=training.epoch,
        device=training.device.type,
    )
    return training.epoch


def learn(learner: Learner) -> None:
    """Train to the end, with checkpoints.

    One is written after the first epoch, every ``CHECKPOINT_S``, and at the end.
    """
    saved_s, training = float("-inf"), learner.training
    while not learner.is_done:
        loss = learner.run_epoch()
        log.info("epoch_done", epoch=training.epoch, loss=round(loss, 4), seconds=round(training.seconds, 1))
        if learner.is_done or time.monotonic() - saved_s >= CHECKPOINT_S:
            with tempfile.TemporaryDirectory() as folder:
                torch.save(training.state(), Path(folder) / STATE)
                metrics = {"epoch": training.epoch, "loss": loss}
                train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder))
            saved_s = time.monotonic()


def _first_normal(training_set: TrainingSet, read: ReadMembers) -> Image:
    """Read the first readable normal, for the golden part."""
    normals = [member for member in training_set.members if member.role is MemberRole.NORMAL]
    for _, (image_HWC, _) in read(normals):
        return image_HWC
    msg = f"none of the {len(normals)} normals can be read"
    raise UnreadableTrainingSetError(msg)
