"""Quality of a U-Net trained on pseudo-masks alone.

On real solar cells, measured against the data set's own labels.

``python -m benchmarks.segmenter --cells 200 --seed 0``: a teacher fitted on 20 normals marks a stream of mixed cells, a
segmenter is trained on the marks, and both are measured on unseen cells. Prints one line of JSON.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import torch

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
from services.trainer.job.examples import MemberPixels
from services.trainer.job.learners import UnetLearner
from siad.apps.lab.demo.cells import Cell, draw_shift, find_cells
from siad.contracts.ids import sha256_hex
from siad.contracts.place import Place
from siad.contracts.training_runs import RunSpec
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers.feature_memory import fit
from siad.models.teachers.normals import Normals
from siad.models.training.recipe import TrainingRecipe
from siad.vision.images import Image, decode_image
from siad.vision.scores import false_reject_rate, image_auroc

BUDGET = 0.05
START = datetime(2026, 1, 1, tzinfo=UTC)


def name_of(cell: Cell) -> str:
    """Derive a capture id for a cell."""
    return sha256_hex(cell.serial.encode())[:32]


def pixels_of(cell: Cell) -> Image:
    """Decode the image of a cell."""
    return decode_image(cell.path.read_bytes())


class Line:
    """A line in memory, with the teacher's masks of its cells."""

    def __init__(self, cells: list[Cell], *, normals: int, stream: int, seed: int) -> None:
        shift = draw_shift(cells, normals=normals, stream=stream, seed=seed)
        self.by_name = {name_of(cell): cell for cell in cells}
        used = {*shift.normals, *shift.stream}
        self.unseen = [cell for cell in cells if cell not in used and cell.probability in (0.0, 1.0)]
        self.normals = [
            NormalCapture(capture_id=(n := name_of(c)), image_id=n, image_uri=c.serial) for c in shift.normals
        ]
        images = [pixels_of(cell) for cell in shift.normals]
        names = [normal.capture_id for normal in self.normals]
        normal_images = Normals.ordered(images, names, Place("benchmark", "cell"))
        self.teacher = predictor_of(fit(normal_images, false_reject_budget=BUDGET))
        self.masks: dict[str, np.ndarray] = {}
        self.rows = [self._label(index, cell) for index, cell in enumerate(shift.stream)]

    def _label(self, index: int, cell: Cell) -> LedgerRow:
        [finding] = self.teacher.predict([pixels_of(cell)])
        name = name_of(cell)
        self.masks[name] = finding.mask_HW
        moment = START + timedelta(seconds=index)
        return LedgerRow(
            capture_id=name,
            image_id=name,
            image_uri=cell.serial,
            captured_at=moment,
            received_at=moment,
            mask_uri="",
            mask_sha256="",
            weights="t",
            score=finding.score,
            threshold=self.teacher.manifest.image_threshold,
            defect_ratio=finding.defect_ratio,
            confidence=finding.confidence,
        )

    def look(self, members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        """What the job would fetch from the store."""
        for member in members:
            mask_hw = None if member.role is MemberRole.NORMAL else self.masks[member.capture_id]
            yield member, (pixels_of(self.by_name[member.capture_id]), mask_hw)

    def truth(self, chosen: TrainingSet) -> dict[str, float]:
        """Count members of each kind by the data set's label.

        It shows what the shares of ``FreezePolicy`` select.
        """
        table: dict[str, float] = {}
        for member in chosen.members:
            key = f"{member.role.value} {self.by_name[member.capture_id].probability:.2f}"
            table[key] = table.get(key, 0) + 1
        return dict(sorted(table.items()))


def predictor_of(bundle: Bundle) -> Predictor:
    """Open a bundle as a pod would."""
    return open_bundle(bundle.manifest, bundle.parts)


def quality(predictor: Predictor, cells: list[Cell]) -> dict[str, float]:
    """Image AUROC, false rejects and detections on labelled cells."""
    scores = np.array([predictor.predict([pixels_of(cell)])[0].score for cell in cells])
    bad = np.array([cell.probability == 1.0 for cell in cells])
    cut = predictor.manifest.image_threshold
    return {
        "image_auroc": round(image_auroc(scores, bad.tolist()), 4),
        "false_reject_rate": round(false_reject_rate(scores[~bad], threshold=cut), 4),
        "detection_rate": round(false_reject_rate(scores[bad], threshold=cut), 4),
        "cells": len(cells),
    }


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--normals", type=int, default=20)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=TrainingRecipe().epochs)
    parser.add_argument("--train-s", type=float, default=TrainingRecipe().train_s)
    parser.add_argument("--input-px", type=int, default=256)
    parser.add_argument("--unseen", type=int, default=300)
    given = parser.parse_args()
    torch.set_num_threads(1)
    line = Line(find_cells(), normals=given.normals, stream=given.cells, seed=given.seed)
    chosen = freeze(line.rows, line.normals, teachers=["t"], policy=FreezePolicy())
    if isinstance(chosen, TooFewCaptures):
        raise SystemExit(chosen.reason)
    spec = RunSpec(
        run="l.p.000001",
        line="l",
        product="p",
        training_set=chosen.digest,
        teacher=line.teacher.manifest.weights,
        serving="",
        ledger_until_at=START,
        false_reject_budget=BUDGET,
        input_px=given.input_px,
        epochs=given.epochs,
        train_s=given.train_s,
        frozen_at=START,
    )
    began = time.monotonic()
    recipe = TrainingRecipe(epochs=spec.epochs, train_s=spec.train_s, seed=given.seed)
    learner = UnetLearner(recipe, input_px=spec.input_px, device=torch.device("cpu"))
    learner.prepare(chosen, line.look)
    losses = []
    while not learner.is_done:
        losses.append(round(learner.run_epoch(), 4))
    trained = time.monotonic()
    scored = score_held_out(chosen, line.look, learner.scorers(spec), input_px=spec.input_px)
    normal = pixels_of(line.by_name[line.normals[0].capture_id])
    bundle, figures = make_candidate(learner.network(), spec, scored, normal=normal)
    cells = line.unseen[:: max(1, len(line.unseen) // given.unseen)]
    report = {
        "set": line.truth(chosen),
        "losses": losses,
        "train_s": round(trained - began, 1),
        "check_s": round(time.monotonic() - trained, 1),
        "figures": json.loads(figures.to_json()),
        "teacher": quality(line.teacher, cells),
        "segmenter": quality(predictor_of(bundle), cells),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
