"""What teachers are fitted on and compared on, from the store."""

from dataclasses import dataclass, replace

from services.labeler.adapters.lines import LabelerLines
from services.labeler.domain.fitting import choose_normals
from services.labeler.domain.refits import (
    STREAM_METHODS,
    LearnedCaptures,
    choose_captures,
    choose_held_out_normals,
)
from services.labeler.ports import (
    CorrectionReader,
    DeletionGuard,
    EvidenceCapture,
    FitOrder,
    QuarantineReader,
    StreamRecords,
    ThresholdLookup,
)
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection, ThresholdSet
from siad.contracts.deletion import DeletionIndex
from siad.contracts.events import ImageStored
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.contracts.quarantine import QuarantineIndex
from siad.contracts.refits import FitCounts
from siad.contracts.release_evidence import EvidenceKind, HeldOutCapture
from siad.contracts.stream_scores import StreamScore


@dataclass(frozen=True, slots=True)
class BarredCaptures:
    """Captures that no teacher may learn: deleted ones, and those in quarantine."""

    deletions: DeletionGuard
    quarantine: QuarantineReader

    async def read(self, line: str) -> tuple[DeletionIndex, QuarantineIndex]:
        """Read both; the first covers the captures of the second too."""
        deletions, quarantine = await self.deletions.read(line), await self.quarantine.read(line)
        captures = frozenset((*deletions.captures, *quarantine.captures))
        return DeletionIndex(captures, deletions.before_at), quarantine


class StoredFitOrders:
    """Counts and chooses normals, corrections and captures of the stream."""

    def __init__(
        self,
        lines: LabelerLines,
        stream: StreamRecords,
        corrections: CorrectionReader,
        barred: "BarredCaptures",
        thresholds: ThresholdLookup,
    ) -> None:
        self._lines, self._stream = lines, stream
        self._corrections, self._barred, self._thresholds = corrections, barred, thresholds

    async def counts(self, place: Place) -> FitCounts:
        """Count what there is to fit on, without what is in quarantine."""
        quarantine = await self._barred.quarantine.read(place.line)
        corrections = (await self._corrections.latest(place)).values()
        return FitCounts(
            normals=sum(name not in quarantine.captures for name in await self._lines.normal_names(place)),
            goods=sum(_unless_tainted(one, quarantine).verdict is CorrectionVerdict.GOOD for one in corrections),
            stream=(await self._stream.read(place)).captures,
        )

    async def gather(self, place: Place, settings: FitSettings, *, serving: str, segmenter: str = "") -> FitOrder:
        """Choose what a fit learns and is compared on.

        A first teacher learns normals alone, and is compared with nothing.
        """
        deletions, quarantine = await self._barred.read(place.line)
        every = await self._lines.normals(place)
        normals = choose_normals(every, deletions)
        if not serving:
            return FitOrder(normals=normals, settings=settings)
        corrections = {
            name: _unless_tainted(one, quarantine)
            for name, one in (await self._corrections.latest(place)).items()
            if not deletions.covers(name, one.received_at)
        }
        threshold = self._thresholds.of(place, WeightsId(serving))
        rows = [
            _at_most(row, threshold) if serving.startswith(row.weights) else row
            for row in (await self._stream.read(place)).rows
            if not deletions.covers(row.capture_id, row.received_at)
        ]
        chosen = choose_captures(
            rows,
            corrections,
            known={normal.capture_id for normal in every},
            learns_stream=settings.method in STREAM_METHODS,
        )
        return FitOrder(
            normals=normals,
            settings=settings,
            goods=chosen.goods,
            stream=await self._lines.receipts(place.line, chosen.stream),
            held_out=[
                *await self._held_out(place, chosen),
                *(
                    _evidence(one, EvidenceKind.NORMAL)
                    for one in choose_held_out_normals(
                        every,
                        normals,
                        barred=lambda one: (
                            one.capture_id in corrections or deletions.covers(one.capture_id, one.received_at)
                        ),
                    )
                ),
            ],
            serving=serving,
            segmenter=segmenter,
        )

    async def _held_out(self, place: Place, chosen: LearnedCaptures) -> list[EvidenceCapture]:
        receipts = await self._lines.receipts(place.line, chosen.held_out)
        stream = [_evidence(one, EvidenceKind.STREAM) for one in receipts]
        return [*stream, *map(_corrected, chosen.corrected)]


def _unless_tainted(one: CaptureCorrected, quarantine: QuarantineIndex) -> CaptureCorrected:
    """Take a correction in quarantine for unsure."""
    if quarantine.has_correction(one.capture_id, one.revision):
        return replace(one, verdict=CorrectionVerdict.UNSURE)
    return one


def _at_most(row: StreamScore, set_since: ThresholdSet | None) -> StreamScore:
    """Judge a score by the lower of its two thresholds."""
    return row if set_since is None else replace(row, threshold=min(row.threshold, set_since.image_threshold))


def _evidence(one: ImageStored, kind: EvidenceKind) -> EvidenceCapture:
    about = HeldOutCapture(capture_id=one.capture_id, kind=kind)
    return EvidenceCapture(about=about, image_id=one.image_id, image_uri=one.image_uri)


def _corrected(one: CaptureCorrected) -> EvidenceCapture:
    kind = EvidenceKind.GOOD if one.verdict is CorrectionVerdict.GOOD else EvidenceKind.DEFECT
    return EvidenceCapture(
        about=HeldOutCapture(capture_id=one.capture_id, kind=kind, is_drawn=one.selection is Selection.RANDOM),
        image_id=one.image_id,
        image_uri=one.image_uri,
        mask_uri=one.mask_uri,
        mask_sha256=one.mask_sha256,
    )
