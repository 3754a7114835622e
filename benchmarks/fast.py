"""The fast segmenter beside what it learns from.

    python -m benchmarks.fast ../shared/data --sets bottle,bsdata_pitting --slow teacher

A teacher is fitted on ten normals of each set and seed, and labels a stream of up to 150 images, 20% of them defective.
Without an answer by a person, a fast segmenter is trained on the teacher's map, or on that of a residual trained first
(``--slow residual``), as the trainer does; the gate compares it with what it learned from.

Each model is measured on unseen images, at its own threshold, and timed whole (preprocessing, network, marks) on one
thread: images in turn, all models of an image after each other, CPU seconds, so that other processes count little. One
line of JSON each. About two minutes a set on an idle core, with ``--slow residual`` four.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gate import Shift, picture, quality
from benchmarks.learning import LabelledStream, freeze_stream, label_stream, spec_of, train
from services.trainer.domain.method import input_px_of
from services.trainer.domain.size import SizePolicy
from services.trainer.domain.training_set import TrainingSet
from services.trainer.job.candidate import make_candidate
from services.trainer.job.evaluation import score_held_out
from services.trainer.job.evidence import gather_evidence
from services.trainer.job.examples import as_inputs
from services.trainer.job.learner import LearnerSources
from services.trainer.job.learners import make_learner
from siad.contracts.fit_settings import FitSettings
from siad.models.bundle import Bundle, open_bundle
from siad.models.gate_evidence import CrossFittedCandidate
from siad.models.predictor import Predictor
from siad.vision.gate import judge_release
from siad.vision.images import Image

ROUNDS = 3


def train_fast(stream: LabelledStream, slow: Bundle, chosen: TrainingSet, seed: int) -> tuple[Bundle, float]:
    """Train a fast segmenter.

    The seconds are those of memory, examples and training.
    """
    spec = spec_of(stream, chosen)
    spec = replace(spec, segmenter="fast", input_px=input_px_of("fast", spec.input_px, SizePolicy()))
    inputs = as_inputs(spec, stream.read)
    began_s = time.process_time()
    sources = LearnerSources(teacher=lambda: stream.bundle, slow=lambda: slow, read=inputs)
    learner = make_learner(spec, chosen, sources, device=torch.device("cpu"), seed=seed)
    learner.prepare(chosen, inputs)
    while not learner.is_done:
        learner.run_epoch()
    seconds = time.process_time() - began_s
    scored = score_held_out(chosen, stream.read, learner.scorers(spec), input_px=spec.input_px)
    bundle, _ = make_candidate(learner.network(), spec, scored, normal=picture(stream.normals[0]))
    return bundle, seconds


def times(predictors: Mapping[str, Predictor], images: Sequence[Image]) -> dict[str, float]:
    """Median CPU milliseconds an image takes, by model."""
    taken: dict[str, list[float]] = {name: [] for name in predictors}
    for _ in range(ROUNDS):
        for image_HWC in images:
            for name, predictor in predictors.items():
                began_s = time.process_time()
                predictor.predict([image_HWC])
                taken[name].append(1000 * (time.process_time() - began_s))
    return {name: statistics.median(each) for name, each in taken.items()}


def run(data: Path, name: str, seed: int, slow_form: str) -> None:
    """Measure one set and seed."""
    shift = Shift(data, name, seed)
    stream = label_stream(data, name, shift)
    chosen, bundles = freeze_stream(stream, []), {"teacher": stream.bundle}
    if slow_form == "residual":
        bundles["residual"] = train(stream, chosen, seed).bundle
    slow = bundles[slow_form]
    bundles["fast"], seconds = train_fast(stream, slow, chosen, seed)
    predictors = {model: open_bundle(bundle.manifest, bundle.parts) for model, bundle in bundles.items()}
    ms = times(predictors, [picture(path) for path in shift.test_goods[:10]])
    for model, predictor in predictors.items():
        told: dict[str, object] = {"set": name, "seed": seed, "model": model, "ms": round(ms[model], 1)}
        if model == "fast":
            told |= {"ratio": round(ms["fast"] / ms[slow_form], 3), "learned": slow_form, "cpu_s": round(seconds, 1)}
            budget = FitSettings.budget_of(stream.bundle.manifest)
            evidence = gather_evidence(
                CrossFittedCandidate(predictor), predictors[slow_form], chosen, stream.read, budget=budget
            )
            decision = judge_release(evidence)
            told |= {"accepted": decision.accepted, "text": decision.text}
        figures = {key: round(value, 4) for key, value in quality(predictor, shift).items()}
        print(json.dumps(told | figures), flush=True)


def main() -> None:
    """Measure sets and seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("--sets", default="bottle,dobot_cubes,bsdata_pitting,magnetic_tile,elpv-mono")
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas")
    parser.add_argument("--slow", choices=("teacher", "residual"), default="teacher", help="what the fast form learns")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in map(int, given.seeds.split(",")):
        for name in given.sets.split(","):
            run(given.data, name, seed, given.slow)


if __name__ == "__main__":
    main()
