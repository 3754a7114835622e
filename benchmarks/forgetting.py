"""What a line forgets that shows one kind of defect after another.

    python -m benchmarks.forgetting ../shared/data --set magnetic_tile --rounds 10

A teacher is fitted on ten normals. Every round brings good images and a few defects of one kind, in turn; a simulated
person outlines all of them. The training set is small, so that it can't hold the past whole: with replay it keeps a
share of older captures and answers, without (``FreezePolicy.older_share=0``) the newest alone. A segmenter is trained,
and what serves is replaced where the gate accepts it. One line of JSON a round:

- ``trained``: pixel AP of the new segmenter on unseen defects, by kind
- ``serves``: likewise, of what serves after the gate
- ``forgotten``: for each, the most that a kind has lost against its best so far
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.calibration import image_set
from benchmarks.gate import SETTINGS, normals_of, picture
from benchmarks.learning import FEW, LabelledStream, examine, freeze_stream, train
from services.trainer.job.evidence import gather_evidence
from siad.contracts.fit_settings import FitSettings
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.synthetic_estimate import shrink_map
from siad.vision.decide import Finding
from siad.vision.gate import judge_release
from siad.vision.ranking import average_precision

BEFORE, GOODS, DEFECTS = 48, 12, 6  # good images before the first round, and images of a round
UNSEEN = 10  # of a kind, to measure by
BOUNDED = replace(FEW, members_max=110, corrections_max=18)  # three rounds of answers
ARMS = {"replay": BOUNDED, "newest": replace(BOUNDED, older_share=0.0)}

Outlined = tuple[Path, Path | None]


@dataclass(frozen=True, slots=True)
class Course:
    """Images of a line that shows one kind of defect after another."""

    normals: Sequence[Path]
    goods: Sequence[Path]
    shown: Mapping[str, Sequence[Outlined]]
    unseen: Mapping[str, Sequence[Outlined]]

    def rounds(self, count: int) -> Iterator[tuple[str, list[Path], list[Outlined]]]:
        """Yield the kind, the good images and the defects of each round."""
        kinds = sorted(self.shown)
        for index in range(count):
            kind, turn = kinds[index % len(kinds)], index // len(kinds)
            goods = self.goods[BEFORE + GOODS * index if index else 0 : BEFORE + GOODS * (index + 1)]
            yield kind, [*goods], [*self.shown[kind][DEFECTS * turn : DEFECTS * (turn + 1)]]


def course_of(data: Path, name: str, seed: int) -> Course:
    """Divide a set into a course and unseen images."""
    files, rng = image_set(data, name), np.random.default_rng(seed)
    goods = [files.normals[index] for index in rng.permutation(len(files.normals))]
    by_kind: dict[str, list[Outlined]] = {}
    for index in rng.permutation(len(files.defects)):
        path, mask = files.defects[index]
        by_kind.setdefault(path.parent.name, []).append((path, mask))
    return Course(
        normals=goods[: files.count],
        goods=goods[files.count :],
        shown={kind: every[UNSEEN:] for kind, every in by_kind.items()},
        unseen={kind: every[:UNSEEN] for kind, every in by_kind.items()},
    )


def pixel_aps(predictor: Predictor, course: Course) -> dict[str, float]:
    """Pixel AP on unseen defects, by kind."""
    found = {}
    for kind, every in course.unseen.items():
        maps = [shrink_map(predictor.maps([picture(path)])[0]) for path, _ in every]
        masks = [shrink_map((picture(mask)[:, :, 0] > 0).astype(np.float32)) >= 0.5 for _, mask in every if mask]
        truth = np.concatenate([one.ravel() for one in masks])
        found[kind] = round(average_precision(truth, np.concatenate([one.ravel() for one in maps])), 4)
    return found


def run(course: Course, arm: str, rounds: int, seed: int) -> None:
    """Learn round after round, and print what each kind has lost."""
    bundle = fit_teacher(normals_of(course.normals), SETTINGS)
    teacher = serving = open_bundle(bundle.manifest, bundle.parts)
    budget = FitSettings.budget_of(bundle.manifest)
    findings: dict[Path, Finding] = {}
    truths: dict[Path, Path | None] = {}
    series: dict[str, list[dict[str, float]]] = {"trained": [], "serves": [pixel_aps(teacher, course)]}
    print(json.dumps({"arm": arm, "round": 0, "serves": series["serves"][0]}), flush=True)
    for number, (kind, goods, defects) in enumerate(course.rounds(rounds), start=1):
        for path in [*goods, *(path for path, _ in defects)]:
            if isinstance(found := examine(teacher, path), Finding):
                findings[path] = found
        truths |= {path: mask for path, mask in defects if path in findings}
        stream = LabelledStream(bundle, course.normals, findings, truths)
        chosen = freeze_stream(stream, [*truths], ARMS[arm])
        made = train(stream, chosen, seed).open()  # without cross-fits: what serves may have learned these answers
        decision = judge_release(gather_evidence(made, serving, chosen, stream.read, budget=budget))
        candidate = made.predictor
        serving = candidate if decision.accepted else serving
        series["trained"].append(pixel_aps(candidate, course))
        series["serves"].append(series["trained"][-1] if decision.accepted else series["serves"][-1])
        told = {key: every[-1] for key, every in series.items()}
        told |= {"forgotten": {key: _forgotten(every) for key, every in series.items()}}
        about = {"arm": arm, "round": number, "kind": kind, "accepted": decision.accepted, "text": decision.text}
        print(json.dumps(about | told), flush=True)


def _forgotten(series: Sequence[Mapping[str, float]]) -> float:
    """Most that a kind has lost against its best so far."""
    return round(max(max(one[kind] for one in series) - series[-1][kind] for kind in series[-1]), 4)


def main() -> None:
    """Measure both arms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("--set", default="magnetic_tile", dest="name", help="a set with several kinds of defects")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for arm in ARMS:
        run(course_of(given.data, given.name, given.seed), arm, given.rounds, given.seed)


if __name__ == "__main__":
    main()
