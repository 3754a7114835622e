"""The residual segmenter, without and with answers by a person.

    python -m benchmarks.learning ../shared/data --sets bottle --seeds 0 --answers near:0,near:20,mix:20

A teacher is fitted on ten normals (solar cells: 20) of each set and seed, and labels a stream of up to 150 images, 20%
of them defective. A training set is frozen and a segmenter trained on it, as the trainer does. A simulated person, who
knows the truth, answers about some images of the stream first:

- ``near:N``: the N images with scores nearest the threshold
- ``mix:N``: 70% of them from the upper half of the marked images, the others nearest the threshold

Each model is measured on unseen images, at its own threshold; ``--gate`` asks the gate too. One line of JSON each.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.calibration import image_set
from benchmarks.gate import SETTINGS, Shift, name_of, normals_of, picture, quality
from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.folds import answer_folds
from services.trainer.domain.freeze import freeze
from services.trainer.domain.ledger import LedgerRow
from services.trainer.domain.training_set import (
    FreezePolicy,
    MemberRole,
    NormalCapture,
    TooFewCaptures,
    TrainingMember,
    TrainingSet,
)
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import score_held_out
from services.trainer.job.evidence import cross_fitted, gather_evidence
from services.trainer.job.examples import MemberPixels, as_inputs
from services.trainer.job.learner import CrossFit, LearnerSources
from services.trainer.job.learners import make_learner
from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.contracts.fit_settings import FitSettings
from siad.contracts.normals_profile import SizeRule
from siad.contracts.training_runs import RunSpec
from siad.models.bundle import Bundle, open_bundle
from siad.models.gate_evidence import CrossFittedCandidate
from siad.models.predictor import Predictor
from siad.models.teachers.fit import fit_teacher
from siad.vision.decide import Finding
from siad.vision.gate import judge_release
from siad.vision.merit_change import merit_change
from siad.vision.plausibility import Misfit

START = datetime(2026, 1, 1, tzinfo=UTC)
UPPER_SHARE = 0.7  # of the answers, about marked images
FEW = FreezePolicy(normals_min=2, defects_min=2, held_out_defects_min=1, held_out_goods_min=2)

Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LabelledStream:
    """A stream with the teacher's findings and the truth."""

    bundle: Bundle
    normals: Sequence[Path]
    findings: Mapping[Path, Finding]
    truths: Mapping[Path, Path | None]  # of defective images: the file of the mask, if there is one

    def answered(self, how: str, count: int) -> list[Path]:
        """Choose the images that the person answers about."""
        threshold = self.bundle.manifest.image_threshold
        scores = {path: finding.score for path, finding in self.findings.items()}
        near = sorted(scores, key=lambda path: abs(np.log(max(scores[path], 1e-6) / threshold)))
        if how == "near":
            return near[:count]
        marked = sorted((path for path in scores if scores[path] >= threshold), key=lambda path: -scores[path])
        upper = [marked[index] for index in np.random.default_rng(0).permutation(-(-len(marked) // 2))]
        first = upper[: round(UPPER_SHARE * count)]
        return first + [path for path in near if path not in first][: count - len(first)]

    def rows(self) -> list[LedgerRow]:
        """Ledger of the pseudo-masks."""
        return [
            LedgerRow(
                capture_id=name_of(path),
                image_id=name_of(path),
                image_uri=str(path),
                captured_at=START + timedelta(seconds=index),
                received_at=START + timedelta(seconds=index),
                mask_uri=str(path),
                mask_sha256="",
                weights=self.bundle.manifest.weights,
                score=finding.score,
                threshold=self.bundle.manifest.image_threshold,
                defect_ratio=finding.defect_ratio,
                confidence=finding.confidence,
            )
            for index, (path, finding) in enumerate(self.findings.items())
        ]

    def correction(self, path: Path) -> CorrectionRow:
        """Answer of the person about one image."""
        truth = self.truths.get(path)
        return CorrectionRow(
            capture_id=name_of(path),
            image_id=name_of(path),
            image_uri=str(path),
            serial="",
            captured_at=START,
            received_at=START,
            revision=1,
            verdict=CorrectionVerdict.DEFECT if path in self.truths else CorrectionVerdict.GOOD,
            mask_uri="" if truth is None else str(truth),
            mask_sha256="",
            weights=self.bundle.manifest.weights,
            score=self.findings[path].score,
            threshold=self.bundle.manifest.image_threshold,
            selection=Selection.NEAREST,
            corrected_at=START + timedelta(seconds=list(self.findings).index(path)),
        )

    def read(self, members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        """Read members as the training job does."""
        for member in members:
            path = Path(member.image_uri)
            mask: Mask | None = None
            if member.mask_uri and Path(member.mask_uri) != path:  # a person's outline
                mask = np.where(picture(Path(member.mask_uri))[:, :, 0] > 127, 255, 0).astype(np.uint8)
            elif member.mask_uri and member.role is not MemberRole.NORMAL:
                mask = self.findings[path].pseudo_mask_HW
            yield member, (picture(path), mask)


def label_stream(data: Path, name: str, shift: Shift) -> LabelledStream:
    """Fit a teacher, and label the stream by it."""
    bundle = fit_teacher(normals_of(shift.normals), SETTINGS)
    teacher = open_bundle(bundle.manifest, bundle.parts)
    findings = {path: found for path in shift.stream if isinstance(found := examine(teacher, path), Finding)}
    masks = dict(image_set(data, name).defects)
    truths = {path: masks[path] for path in shift.stream_defects if path in findings}
    return LabelledStream(bundle, shift.normals, findings, truths)


def examine(teacher: Predictor, path: Path) -> Finding | Misfit:
    """Examine an image by the teacher."""
    return teacher.examine([picture(path)], sizes=SizeRule.ANY)[0]  # pitting has images of several sizes


def freeze_stream(stream: LabelledStream, answers: Sequence[Path], policy: FreezePolicy = FEW) -> TrainingSet:
    """Freeze a training set, as the trainer does.

    Ends the benchmark where there is none.
    """
    names = [name_of(path) for path in stream.normals]
    normals = [
        NormalCapture(capture_id=name, image_id=name, image_uri=str(path))
        for name, path in zip(names, stream.normals, strict=True)
    ]
    corrections = [stream.correction(path) for path in answers]
    chosen = freeze(stream.rows(), normals, corrections, teachers=[stream.bundle.manifest.weights], policy=policy)
    if isinstance(chosen, TooFewCaptures):
        raise SystemExit(chosen.reason)
    return chosen


def spec_of(stream: LabelledStream, chosen: TrainingSet) -> RunSpec:
    """Describe the run of a residual segmenter."""
    manifest = stream.bundle.manifest
    return RunSpec(
        run="benchmark.p.000001",
        line="benchmark",
        product="p",
        training_set=chosen.digest,
        teacher=manifest.weights,
        serving="",
        ledger_until_at=START,
        false_reject_budget=FitSettings.budget_of(manifest),
        input_px=manifest.input_px,
        epochs=15,
        train_s=600.0,
        frozen_at=START,
        profile=manifest.profile,
        sizes=SizeRule.ANY.value,
        segmenter="residual",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedBundle:
    """A trained segmenter, and the networks that did not learn some answers."""

    bundle: Bundle
    fits: Sequence[CrossFit]
    seconds: float  # of examples, training and cross-fitting

    def open(self) -> CrossFittedCandidate:
        """Open it as the gate needs it."""
        return cross_fitted(open_bundle(self.bundle.manifest, self.bundle.parts), self.fits)


def train(
    stream: LabelledStream, chosen: TrainingSet, seed: int, *, folds: Sequence[frozenset[str]] = ()
) -> TrainedBundle:
    """Train a segmenter as the job does, and again without each fold."""
    spec = spec_of(stream, chosen)
    began_s = time.monotonic()
    inputs = as_inputs(spec, stream.read)
    sources = LearnerSources(teacher=lambda: stream.bundle, slow=lambda: stream.bundle, read=inputs)
    learner = make_learner(spec, chosen, sources, device=torch.device("cpu"), seed=seed)
    learner.prepare(chosen, inputs)
    while not learner.is_done:
        learner.run_epoch()
    fits = learner.cross_fit(folds)
    seconds = time.monotonic() - began_s
    scored = score_held_out(chosen, stream.read, learner.scorers(spec), input_px=spec.input_px)
    bundle, _ = make_candidate(learner.network(), spec, scored, normal=picture(stream.normals[0]))
    return TrainedBundle(bundle=bundle, fits=fits, seconds=seconds)


def run(data: Path, name: str, seed: int, given: argparse.Namespace) -> None:
    """Measure one set and seed."""
    shift = Shift(data, name, seed)
    stream = label_stream(data, name, shift)
    teacher = open_bundle(stream.bundle.manifest, stream.bundle.parts)
    about = {"set": name, "seed": seed}
    show(about | {"model": "teacher"}, teacher, shift)
    for case in given.answers.split(","):
        how, count = case.split(":")
        answers = stream.answered(how, int(count))
        chosen = freeze_stream(stream, answers)
        trained = train(stream, chosen, seed, folds=answer_folds(chosen, taught=()) if given.gate else ())
        candidate = trained.open()
        told = about | {"model": f"residual {case}", "outlined": sum(path in stream.truths for path in answers)}
        if given.gate:
            budget = FitSettings.budget_of(stream.bundle.manifest)
            evidence = gather_evidence(candidate, teacher, chosen, stream.read, budget=budget)
            decision, change = judge_release(evidence), merit_change(evidence)
            told |= {"accepted": decision.accepted, "text": decision.text, "figures": dict(decision.figures)}
            told |= {} if change is None else {"gain": change.gain, "scatter": change.scatter}
        show(told | {"train_s": round(trained.seconds, 1)}, candidate.predictor, shift)


def show(about: Mapping[str, object], predictor: Predictor, shift: Shift) -> None:
    """Measure a model on unseen images, and print its line."""
    figures = {key: round(value, 4) for key, value in quality(predictor, shift).items()}
    print(json.dumps({**about, **figures}), flush=True)


def main() -> None:
    """Measure sets and seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("--sets", default="bottle,dobot_cubes,bsdata_pitting,magnetic_tile,elpv-mono")
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas")
    parser.add_argument("--answers", default="near:0,near:5,near:20,mix:20", help="ways and numbers of answers")
    parser.add_argument("--gate", action="store_true", help="ask the gate about each segmenter")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in map(int, given.seeds.split(",")):
        for name in given.sets.split(","):
            run(given.data, name, seed, given)


if __name__ == "__main__":
    main()
