"""Scores of every released model on cells that were never sent.

Blocking: imports torch, and runs in a worker thread after the stream.
"""

from collections.abc import Sequence
from typing import Any

from siad.apps.lab.demo.cells import DEFECTIVE, LINE, NORMAL, PRODUCT, Cell
from siad.apps.lab.demo.releases import CellScores, NamedRelease, row_of
from siad.contracts.place import Place
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.registry import Registry
from siad.vision.images import decode_image


def compare_models(blobs: Blobs, releases: Sequence[NamedRelease], cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Score the cells by each model, one at a time."""
    scores: dict[str, dict[float, tuple[float, ...]]] = {}
    rows = []
    for release in releases:
        predictor = _open(blobs, release)
        if release.weights not in scores:
            scores[release.weights] = {label: _score(predictor, cells, label) for label in (NORMAL, DEFECTIVE)}
        found = scores[release.weights]
        rows.append(
            row_of(
                release,
                CellScores(threshold=predictor.image_threshold, good=found[NORMAL], defective=found[DEFECTIVE]),
            )
        )
    return rows


def _score(predictor: Predictor, cells: Sequence[Cell], label: float) -> tuple[float, ...]:
    images = (decode_image(cell.path.read_bytes()) for cell in cells if cell.probability == label)
    return tuple(float(predictor.maps([image_HWC])[0].max()) for image_HWC in images)


def _open(blobs: Blobs, release: NamedRelease) -> Predictor:
    registry = Registry(blobs)
    manifest = registry.manifest(Place(LINE, PRODUCT), release.weights)
    return open_bundle(manifest, registry.parts(manifest)).at_threshold(release.image_threshold)
