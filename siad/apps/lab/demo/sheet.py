"""Contact sheet of the demo, worst errors first."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from siad.apps.lab.demo.cells import DEFECTIVE, LINE, NORMAL, PRODUCT, Cell
from siad.apps.lab.demo.report import ModelVerdict
from siad.apps.lab.sheet import draw_sheet, encode_sheet
from siad.apps.lab.sheet_rows import SheetRow, worst_first
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
    """Score of one cell, for the choice of rows."""

    cell: Cell
    is_defect: bool  # according to the experts
    score: float
    threshold: float


def write_sheet(path: Path, blobs: Blobs, verdicts: Mapping[str, tuple[Cell, ModelVerdict]], *, weights: str) -> bool:
    """Draw verdicts of some weights on unseen cells.

    False if there are none.

    Args:
        path: of the PNG.
        blobs: store of the weights.
        verdicts: by capture; verdicts of other weights and cells with uncertain labels are left out.
        weights: the weights.
    """
    certain = [(cell, verdict) for cell, verdict in verdicts.values() if cell.probability in (NORMAL, DEFECTIVE)]
    own = [(cell, verdict) for cell, verdict in certain if verdict.weights == weights]
    if not own:
        return False
    predictor = _open(blobs, weights)
    threshold = predictor.manifest.image_threshold
    entries = [_CellEntry(cell, cell.probability == DEFECTIVE, verdict.score, threshold) for cell, verdict in own]
    kind = "segmenter" if predictor.manifest.kind is WeightsKind.SEGMENTER else "teacher"
    title = f"{LINE}: the {kind} on cells that it was not fitted on"
    rows = [_row(entry, predictor) for entry in worst_first(entries)]
    path.write_bytes(encode_sheet(draw_sheet(rows, title=title)))
    return True


def _row(entry: _CellEntry, predictor: Predictor) -> SheetRow:
    image_HWC = decode_image(entry.cell.path.read_bytes())
    [map_HW] = predictor.maps([image_HWC])
    return SheetRow(
        name=entry.cell.serial,
        image_HWC=image_HWC,
        map_HW=map_HW,
        mask_HW=predictor.decide(map_HW).mask_HW,
        truth_HW=None,  # the set has labels, but no masks
        is_defect=entry.is_defect,
        score=float(map_HW.max()),
        threshold=entry.threshold,
    )


def _open(blobs: Blobs, weights: str) -> Predictor:
    registry = Registry(blobs)
    manifest = registry.manifest(Place(LINE, PRODUCT), WeightsId(weights))
    return open_bundle(manifest, registry.parts(manifest))
