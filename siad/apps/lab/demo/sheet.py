"""The demo's contact sheet: cells on which the experts were sure and the model that judges now was not right."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from siad.apps.lab.demo.cells import DEFECTIVE, NORMAL, Cell
from siad.apps.lab.demo.report import ModelVerdict
from siad.apps.lab.demo.run import LINE, PRODUCT
from siad.apps.lab.sheet import SheetRow, draw_sheet, encode_sheet, worst_first
from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.registry import Registry
from siad.vision.images import decode_image


@dataclass(frozen=True, slots=True)
class _CellEntry:
    """What was said of one cell, as the sheet chooses by it."""

    cell: Cell
    is_defect: bool  # by the experts
    score: float
    threshold: float


def write_sheet(path: Path, blobs: Blobs, judged: Mapping[str, tuple[Cell, ModelVerdict]], *, weights: str) -> bool:
    """Draw what some weights said of cells that they had not seen; says whether there was any.

    Args:
        path: of the PNG.
        blobs: where the weights lie.
        judged: by capture; opinions of other weights and cells of which the experts were unsure are left out.
        weights: whose opinions.
    """
    sure = [(cell, said) for cell, said in judged.values() if cell.probability in (NORMAL, DEFECTIVE)]
    own = [(cell, said) for cell, said in sure if said.weights == weights]
    if not own:
        return False
    examiner = _open(blobs, weights)
    threshold = examiner.manifest.image_threshold
    chosen = worst_first([_CellEntry(cell, cell.probability == DEFECTIVE, said.score, threshold) for cell, said in own])
    kind = "segmenter" if examiner.manifest.kind is WeightsKind.SEGMENTER else "teacher"
    title = f"{LINE}: the {kind} on cells that it has not seen"
    path.write_bytes(encode_sheet(draw_sheet([_row(one, examiner) for one in chosen], title=title)))
    return True


def _row(said: _CellEntry, examiner: Predictor) -> SheetRow:
    image_HWC = decode_image(said.cell.path.read_bytes())
    [map_HW] = examiner.maps([image_HWC])
    return SheetRow(
        name=said.cell.serial,
        image_HWC=image_HWC,
        map_HW=map_HW,
        mask_HW=examiner.decide(map_HW).mask_HW,
        truth_HW=None,  # the set has labels, but no masks
        is_defect=said.is_defect,
        score=float(map_HW.max()),
        threshold=said.threshold,
    )


def _open(blobs: Blobs, weights: str) -> Predictor:
    registry = Registry(blobs)
    manifest = registry.manifest(Place(LINE, PRODUCT), WeightsId(weights))
    return open_bundle(manifest, registry.parts(manifest))
