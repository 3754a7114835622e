"""A training run on Ray Train, with one or more workers.

Each worker prepares its share of the examples and its part of every batch; the first one evaluates, stores and reports.

Checkpoints go to the store every few seconds. Ray Train knows a run by its name: workers that replace dead ones (if one
dies, all start again), and a restarted job, resume from the last checkpoint.
"""

import tempfile
import time
from pathlib import Path
from typing import Any, Final

import ray
import structlog
import torch
from ray import train
from ray.train.torch import TorchTrainer, get_device

from services.trainer.domain.folds import answer_folds
from services.trainer.domain.training_set import MemberRole, TrainingSet
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import score_held_out
from services.trainer.job.evidence import cross_fitted, gather_evidence, with_history, without_learned
from services.trainer.job.examples import (
    ReadMembers,
    UnreadableTrainingSetError,
    as_inputs,
    without_misfits,
)
from services.trainer.job.learner import Learner, LearnerSources
from services.trainer.job.learners import make_learner
from services.trainer.job.members import StoredMembers
from services.trainer.job.serving import learned_by_teacher, open_serving, read_slow, read_teacher, taught_to
from services.trainer.job.store import read_accepted_reports, read_spec, read_training_set, write_report
from siad.contracts.keys import checkpoints_prefix
from siad.contracts.release_evidence import GateEvidence
from siad.contracts.training_runs import RunReport, RunSpec
from siad.models.bundle import open_bundle
from siad.models.gate_evidence import CrossFittedCandidate
from siad.models.training.descent import DecoderTraining
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


class TooFewCpusError(Exception):
    """A run with more workers than Ray has CPUs.

    It would wait for ever.
    """

    def __init__(self, run: str, workers: int, *, cpus: float) -> None:
        super().__init__(
            f"run {run} has {workers} workers, and Ray has {cpus:g} CPUs, so its job was not started; add CPUs to Ray, "
            "or lower SIAD_TRAINER_WORKERS for the runs after this one"
        )


def fit(run: str, store: StoreSettings) -> None:
    """Train ``run`` on the Ray that this process is connected to.

    Raises:
        ray.train.TrainingFailedError: its workers failed too often.
        TooFewCpusError: Ray has fewer CPUs than the run has workers.
        TransientError: the store is unavailable or denies access.
    """
    workers = read_spec(open_blobs(store), run).workers
    resources = ray.cluster_resources()
    if resources.get("CPU", 0) < workers:
        raise TooFewCpusError(run, workers, cpus=resources.get("CPU", 0))

    def loop() -> None:  # a closure, because Ray Train shows its configuration, which has secrets, on its dashboard
        configure_logs("trainer")
        work(run, store)

    folder = Path(store.bucket) / checkpoints_prefix(run)
    TorchTrainer(
        loop,
        scaling_config=train.ScalingConfig(num_workers=workers, use_gpu=resources.get("GPU", 0) >= workers),
        run_config=train.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            storage_filesystem=pyarrow_filesystem(store),
            checkpoint_config=train.CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
            failure_config=train.FailureConfig(max_failures=FAILURES_MAX),
        ),
    ).fit()


def work(run: str, store: StoreSettings) -> None:
    """Train as a worker; as the first, evaluate, store and report too."""
    torch.set_num_threads(1)  # the one CPU that Ray reserves; torch would use all
    blobs = open_blobs(store)
    spec = read_spec(blobs, run)
    began_s = time.monotonic()
    training_set = read_training_set(blobs, spec.line, spec.product, spec.training_set)
    read = without_misfits(spec, StoredMembers(blobs).read)
    inputs = as_inputs(spec, read)
    sources = LearnerSources(
        teacher=lambda: read_teacher(blobs, spec), slow=lambda: read_slow(blobs, spec), read=inputs
    )
    learner = make_learner(spec, training_set, sources, device=get_device())
    training, resumed_from = learner.training, _resume(learner, spec)
    folds = answer_folds(training_set, taught=taught_to(blobs, spec, training_set))
    if not learner.is_done or folds:
        examples = learner.prepare(training_set, inputs)
        log.info("examples_ready", run=run, images=examples, seconds=round(time.monotonic() - began_s, 1))
        learn(learner)
    fits = learner.cross_fit(folds)
    if not training.workers.is_first:
        return
    scored = score_held_out(training_set, read, learner.scorers(spec), input_px=spec.input_px)
    normal = _first_normal(training_set, inputs)
    bundle, figures = make_candidate(learner.network(), spec, scored, normal=normal)
    candidate = cross_fitted(open_bundle(bundle.manifest, bundle.parts), fits)
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
            evidence=_evidence(blobs, spec, candidate, training_set, read),
        ),
    )
    log.info("candidate_stored", run=run, weights=bundle.manifest.weights, seconds=round(time.monotonic() - began_s, 1))


def _evidence(
    blobs: Blobs, spec: RunSpec, candidate: CrossFittedCandidate, training_set: TrainingSet, read: ReadMembers
) -> GateEvidence | None:
    """Compare the candidate with what serves; None where nothing usable does."""
    serving = open_serving(blobs, spec)
    if serving is None:
        return None
    unseen = without_learned(training_set, learned_by_teacher(blobs, spec))
    evidence = gather_evidence(candidate, serving, unseen, read, budget=spec.false_reject_budget)
    return with_history(evidence, read_accepted_reports(blobs, spec), serving=serving.manifest.weights)


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
        worker=training.workers.rank,
        workers=training.workers.size,
    )
    return training.epoch


def learn(learner: Learner) -> None:
    """Train to the end, with checkpoints.

    One is written after the first epoch, every ``CHECKPOINT_S`` of training, and at the end. Workers agree on the
    seconds of training, so all of them report the same epochs, as Ray Train requires; the first one's state is kept.
    """
    saved_s, training = float("-inf"), learner.training
    while not learner.is_done:
        loss = learner.run_epoch()
        log.info("epoch_done", epoch=training.epoch, loss=round(loss, 4), seconds=round(training.seconds, 1))
        if learner.is_done or training.seconds - saved_s >= CHECKPOINT_S:
            _report(training, {"epoch": training.epoch, "loss": loss})
            saved_s = training.seconds


def _report(training: DecoderTraining, metrics: dict[str, Any]) -> None:
    if not training.workers.is_first:
        train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(training.state(), Path(folder) / STATE)
        train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder))


def _first_normal(training_set: TrainingSet, read: ReadMembers) -> Image:
    """Read the first readable normal, for the golden part."""
    normals = [member for member in training_set.members if member.role is MemberRole.NORMAL]
    for _, (image_HWC, _) in read(normals):
        return image_HWC
    msg = f"none of the {len(normals)} normals can be read"
    raise UnreadableTrainingSetError(msg)
