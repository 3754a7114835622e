"""Candidates that are better, level or worse, and what the gate says.

    python -m benchmarks.gate ../shared/data --sets bottle --seeds 1

A teacher is fitted on ten normals of each set and seed. A stream of up to 150 images, 20% of them defective, is scored;
30% are held out by hash, as the labeler does. Candidates, from a good one to a disaster:

- ``refit``: normals and the lowest half of the stream's captures, as the labeler fits it
- ``normals``: 40 normals more
- ``spoilt``: as ``refit``, with eight defective images among the normals
- ``halved``: the teacher itself with its threshold halved
- ``blind``: the teacher itself with its threshold doubled
- ``other``: a teacher of ten normals with 192 px of input
- ``segmenter``: as ``siad routine`` trains it on the teacher's pseudo-masks

Each is measured on images that no candidate saw; then the gate decides. One line of JSON each; five minutes a set.
"""

import argparse
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.calibration import BUDGET, image_set
from siad.apps.lab.evaluate.folder import LabelledSample
from siad.apps.lab.evaluate.run import Progress
from siad.apps.lab.routine.captures import label
from siad.apps.lab.routine.line import WHOLE, CannotLearnError, Lesson, choose_naming, learn
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import sha256_hex
from siad.contracts.place import Place
from siad.contracts.release_evidence import EvidenceKind, HeldOutCapture
from siad.models.bundle import Bundle, open_bundle
from siad.models.gate_evidence import HeldOutPixels, collect_evidence
from siad.models.predictor import Predictor
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.models.teachers.refit import Comparison, refit_teacher
from siad.models.teachers.synthetic_estimate import shrink_map
from siad.vision.gate import judge_release
from siad.vision.images import Image, decode_image
from siad.vision.ranking import average_precision
from siad.vision.scores import false_reject_rate, image_auroc

STREAM_MAX, DEFECT_SHARE = 150, 0.2
TEST_GOODS, TEST_DEFECTS = 30, 45
HELD_OUT, LOWEST = 0.3, 0.5  # of the stream, as the labeler has them
CANDIDATES = ("refit", "normals", "spoilt", "halved", "blind", "other", "segmenter")
PLACE = Place("benchmark", "p")
SETTINGS = FitSettings(false_reject_budget=BUDGET)

Files = Sequence[Path]


class Shift:
    """Files of one set and seed: normals, stream and test."""

    def __init__(self, data: Path, name: str, seed: int) -> None:
        files = image_set(data, name)
        rng = np.random.default_rng(seed)
        goods = [files.normals[index] for index in rng.permutation(len(files.normals))]
        self.normals, goods = goods[: files.count], goods[files.count :]
        defects = [files.defects[index] for index in rng.permutation(len(files.defects))]
        bad = min(round(STREAM_MAX * DEFECT_SHARE), len(defects) // 2)
        self.test_goods, goods = [*files.goods, *goods][:TEST_GOODS], [*files.goods, *goods][TEST_GOODS:]
        self.test_defects, defects = defects[:TEST_DEFECTS], defects[-bad:]
        self.stream_defects = [path for path, _ in defects]
        stream_goods = goods[: round(bad / DEFECT_SHARE * (1 - DEFECT_SHARE))]
        self.more, self.stream = goods[len(stream_goods) :][:40], [*stream_goods, *self.stream_defects]

    def read(self, captures: Sequence[HeldOutCapture]) -> Iterator[tuple[HeldOutCapture, HeldOutPixels]]:
        """Read captures of the stream."""
        by_id = {name_of(path): path for path in self.stream}
        for capture in captures:
            yield capture, (picture(by_id[capture.capture_id]), None)


def name_of(path: Path) -> str:
    """Derive a capture id for a file."""
    return sha256_hex(str(path).encode())[:32]


def is_held_out(path: Path) -> bool:
    """Whether the hash of its id holds a capture out."""
    return int(sha256_hex(name_of(path).encode())[:8], 16) / 2**32 < HELD_OUT


def picture(path: Path) -> Image:
    """Decode a file."""
    return decode_image(path.read_bytes())


def normals_of(paths: Files, unconfirmed: Files = ()) -> Normals:
    """Read normals, and captures of the stream beside them."""
    every = [*paths, *unconfirmed]
    normals = Normals.ordered([picture(path) for path in every], [name_of(path) for path in every], PLACE)
    return replace(normals, unconfirmed=frozenset(map(name_of, unconfirmed)))


def quality(predictor: Predictor, shift: Shift) -> dict[str, float]:
    """Figures on unseen images, by their true labels."""
    goods = [float(predictor.maps([picture(path)])[0].max()) for path in shift.test_goods]
    defects, maps, masks = [], [], []
    for path, mask in shift.test_defects:
        [map_HW] = predictor.maps([picture(path)])
        defects.append(float(map_HW.max()))
        if mask is not None:
            maps.append(shrink_map(map_HW).ravel())
            masks.append(shrink_map((picture(mask)[:, :, 0] > 0).astype(np.float32)).ravel() >= 0.5)
    cut = predictor.manifest.image_threshold
    return {
        "image_auroc": image_auroc([*goods, *defects], [False] * len(goods) + [True] * len(defects)),
        "pixel_ap": average_precision(np.concatenate(masks), np.concatenate(maps)) if masks else 0.0,
        "false_rejects": false_reject_rate(goods, threshold=cut),
        "misses": 1 - false_reject_rate(defects, threshold=cut),
    }


def candidates(
    shift: Shift, bundle: Bundle, comparison: Comparison, wanted: Collection[str]
) -> Iterator[tuple[str, Predictor]]:
    """Make the wanted candidates, one at a time."""
    teacher = comparison.serving
    scores = {path: float(teacher.maps([picture(path)])[0].max()) for path in shift.stream}
    ranked = sorted(shift.stream, key=lambda path: scores[path])
    low = [path for path in ranked[: int(len(ranked) * LOWEST)] if not is_held_out(path)]
    spoilt = [path for path in shift.stream_defects if not is_held_out(path)][:8]
    for name, paths, unconfirmed in (
        ("refit", shift.normals, low),
        ("normals", [*shift.normals, *shift.more], []),
        ("spoilt", [*shift.normals, *spoilt], low),
    ):
        if name in wanted:
            made = refit_teacher(normals_of(paths, unconfirmed), SETTINGS, comparison).bundle
            yield name, open_bundle(made.manifest, made.parts)
    for name, factor in (("halved", 0.5), ("blind", 2.0)):
        if name not in wanted:
            continue
        manifest = teacher.manifest
        moved = replace(manifest, image_threshold=factor * manifest.image_threshold)
        yield name, Predictor(moved, teacher._runner)  # noqa: SLF001 - the same network
    if "other" in wanted:
        small = fit_teacher(normals_of(shift.normals), replace(SETTINGS, input_px=192))
        yield "other", open_bundle(small.manifest, small.parts)
    if "segmenter" not in wanted:
        return
    marked = label(teacher, [LabelledSample(path=path, kind="") for path in shift.stream], progress=Progress())
    known = [LabelledSample(path=path, kind="good") for path in shift.normals]
    lesson = Lesson(normals=known, labels=marked)
    naming = choose_naming(bundle.manifest, lesson, policy=WHOLE, seed=0)
    try:
        yield "segmenter", learn(bundle, teacher, lesson, policy=WHOLE, naming=naming).predictor
    except CannotLearnError as error:
        print(json.dumps({"candidate": "segmenter", "reason": str(error)}), flush=True)


def run(data: Path, name: str, seed: int, wanted: Collection[str]) -> None:
    """Measure and judge the candidates of one set and seed."""
    shift = Shift(data, name, seed)
    bundle = fit_teacher(normals_of(shift.normals), SETTINGS)
    teacher = open_bundle(bundle.manifest, bundle.parts)
    held_out = [
        HeldOutCapture(capture_id=name_of(path), kind=EvidenceKind.STREAM) for path in shift.stream if is_held_out(path)
    ]
    comparison = Comparison(serving=teacher, captures=held_out, read=shift.read)
    serving = quality(teacher, shift)
    print(json.dumps({"set": name, "seed": seed, "candidate": "teacher", **rounded(serving)}), flush=True)
    for candidate, predictor in candidates(shift, bundle, comparison, wanted):
        evidence = collect_evidence(predictor, teacher, held_out, shift.read, budget=BUDGET)
        decision = judge_release(evidence)
        found = quality(predictor, shift)
        gain = found["image_auroc"] + found["pixel_ap"] - serving["image_auroc"] - serving["pixel_ap"]
        line = {"set": name, "seed": seed, "candidate": candidate, "accepted": decision.accepted}
        print(json.dumps({**line, "gain": round(gain, 4), **rounded(found), "text": decision.text}), flush=True)


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Round figures for the report."""
    return {name: round(value, 4) for name, value in figures.items()}


def main() -> None:
    """Run the sets and seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("--sets", default="bottle,dobot_cubes,bsdata_pitting,magnetic_tile,elpv-mono")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--candidates", default=",".join(CANDIDATES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(options.seeds):
        for name in options.sets.split(","):
            run(options.data, name, seed, options.candidates.split(","))


if __name__ == "__main__":
    main()
