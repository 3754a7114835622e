"""Ports of the labeler's handlers, reconciler and routes.

Every call may raise ``TransientError``.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.labeler.domain.teacher_facts import TeacherFacts
from siad.contracts.corrections import CaptureCorrected, ThresholdSet
from siad.contracts.deletion import DeletionIndex
from siad.contracts.events import ImageStored, PseudoMaskCreated, Region, WeightsKind
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId
from siad.contracts.learning import LearningBrake, LearningHold, LearningMode
from siad.contracts.manifest import Manifest
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.quarantine import QuarantineIndex
from siad.contracts.refits import FitCounts, RefitRecord
from siad.contracts.release_evidence import GateEvidence, HeldOutCapture
from siad.contracts.stream_scores import StreamScores


class FitRefusedError(Exception):
    """A fit that its normals or settings rule out, however often repeated."""


class ScorerBugError(Exception):
    """A capture on which the scorer failed for an unknown reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMask:
    """A teacher's result for one capture; the store has the mask."""

    mask_uri: str
    mask_sha256: str
    score: float
    threshold: float
    defect_ratio: float
    regions: tuple[Region, ...]
    confidence: float
    image_hash: str = ""  # of the image, see ``siad.vision.image_hash``; empty: a scorer of an earlier version


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceCapture:
    """A held-out capture, and where its image and mask are."""

    about: HeldOutCapture
    image_id: str
    image_uri: str
    mask_uri: str = ""  # of a corrected defect; empty: none
    mask_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOrder:
    """What a teacher is fitted on and compared with."""

    normals: Sequence[ImageStored]
    settings: FitSettings
    goods: Sequence[CaptureCorrected] = ()  # confirmed good
    stream: Sequence[ImageStored] = ()  # that scored low
    held_out: Sequence[EvidenceCapture] = ()
    serving: str = ""  # weights to compare with; empty for none
    segmenter: str = ""  # in service: no capture of the stream that it rejects is learned; empty for none


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTeacher:
    """Stored weights, and how they compare."""

    weights: WeightsId
    evidence: GateEvidence | None  # None: nothing to compare with


class SizeRules(Protocol):
    """Size rules of lines, at any revision."""

    async def size_rule(self, event: ImageStored) -> SizeRule:
        """Return the rule of the settings that a capture names.

        Raises:
            TransientError: the store is unavailable.
        """
        ...


class LabelRules(SizeRules, Protocol):
    """What lines say about labelling."""

    async def labelled_share(self, line: str, revision: int) -> float:
        """Return the share of the settings that a capture names."""
        ...

    async def receipts(self, line: str, captures: Sequence[str]) -> list[ImageStored]:
        """Read captures by their ids, in order; log and omit unreadable ones."""
        ...


class SegmenterLookup(Protocol):
    """Segmenters in service."""

    def serves(self, place: Place) -> bool:
        """Whether a segmenter is known to judge a line and product."""
        ...

    async def spread(self, place: Place, weights: str) -> float | None:
        """Return the spread of the normals' scores; None where unreadable."""
        ...

    def count_not_labelled(self, line: str) -> None:
        """Count a capture that is not labelled by choice."""
        ...


class ThresholdLookup(Protocol):
    """Thresholds set for weights since they were fitted."""

    def of(self, place: Place, weights: WeightsId) -> ThresholdSet | None:
        """Return the threshold that was set; None for that of the manifest."""
        ...


class MaskScorer(Protocol):
    """Draws pseudo-masks."""

    async def draw(self, event: ImageStored, *, weights: WeightsId, sizes: SizeRule = SizeRule.NORMALS) -> DrawnMask:
        """Draw the pseudo-mask of one capture and store it.

        Raises:
            MisfitError: the image does not fit the normals of the weights.
            PoisonError: the image is missing, differs from its digest, or is not an image.
            ScorerBugError: the weights fail on this image.
            DeniedError: the store denies access to the scorer.
            TransientError: the scorer, its memory, the store or the weights are unavailable.
        """
        ...


class TeacherFitter(Protocol):
    """Fits teachers."""

    async def fit(self, place: Place, order: FitOrder) -> FittedTeacher:
        """Fit a teacher and store its weights; no pointer moves.

        Raises:
            FitRefusedError: these normals and settings give no teacher.
            DeniedError: the store denies access to the scorer.
            TransientError: the scorer, its memory or the store are unavailable.
        """
        ...


class TeacherLookup(Protocol):
    """Finds the teacher of a line and product."""

    async def current(self, line: str, product: str) -> WeightsId | None:
        """Return the weights in service; None before the first.

        Raises:
            TransientError: the store is unavailable, or the pointer in it is damaged.
        """
        ...


class TeacherReports(Protocol):
    """Describes the teachers in service."""

    async def facts(self) -> list[TeacherFacts]:
        """Describe every teacher in service, by line and product.

        Raises:
            TransientError: the store is unavailable.
        """
        ...


class TeacherReleases(Protocol):
    """Reads, moves and announces the pointers of teachers."""

    async def pointer(self, kind: WeightsKind, place: Place) -> Pointer | None:
        """Return the pointer of one kind; None before the first release.

        Raises:
            CorruptError: the object at its key is not this pointer.
        """
        ...

    async def manifest(self, pointer: Pointer) -> Manifest:
        """Read the manifest of the weights that a pointer names.

        Raises:
            MissingError, CorruptError: it cannot be read.
        """
        ...

    async def point(self, place: Place, weights: WeightsId, *, expected: Pointer | None, at: datetime) -> Pointer:
        """Put stored weights in service.

        Raises:
            ConflictError: another process moved the pointer since ``expected`` was read.
            MissingError, CorruptError: the manifest of the weights cannot be read.
        """
        ...

    async def announce(self, pointer: Pointer) -> None:
        """Publish the pointer's position; return once the broker has acknowledged it."""
        ...


class LineRecords(LabelRules, Protocol):
    """Reads lines, normals and captures; keeps the marks of finished backfills."""

    async def places_with_normals(self) -> list[Place]:
        """List every line and product that has a normal."""
        ...

    async def normal_names(self, place: Place) -> list[str]:
        """List the ids of the captures known to be good."""
        ...

    async def normals(self, place: Place) -> list[ImageStored]:
        """Read the captures known to be good."""
        ...

    async def captures(self, line: str, *, wanted: Callable[[ImageStored], bool], newest: int) -> Sequence[ImageStored]:
        """Read the ``newest`` captures of a line that are ``wanted``, oldest first."""
        ...

    async def fit_settings(self, line: str) -> FitSettings | None:
        """Read a line's request for its teacher; None for a removed line.

        Raises:
            CorruptError: the line's record cannot be read.
        """
        ...

    async def learning(self, line: str) -> LearningMode:
        """Read whether a person lets a line learn.

        Raises:
            CorruptError: the line's record cannot be read.
        """
        ...

    async def shards(self, line: str) -> int:
        """Return into how many record keys the line's captures are spread.

        Raises:
            CorruptError: the line's record cannot be read.
        """
        ...

    async def is_backfilled(self, place: Place) -> bool:
        """Whether the captures from before the first teacher were labelled."""
        ...

    async def backfill_list(self, place: Place) -> tuple[str, ...] | None:
        """Read the captures that the backfill labels; None before they are chosen.

        Raises:
            CorruptError: the list cannot be read.
        """
        ...

    async def set_backfill_list(self, place: Place, captures: tuple[str, ...]) -> None:
        """Store the captures that the backfill labels."""
        ...

    async def set_backfilled(self, place: Place, *, weights: WeightsId, captures: int) -> None:
        """Record that they were."""
        ...


class StreamRecords(Protocol):
    """Keeps the newest scores of each stream."""

    def note(self, mask: PseudoMaskCreated) -> None:
        """Remember a score; it is stored within seconds."""
        ...

    async def read(self, place: Place) -> StreamScores:
        """Read the stored scores of a line and product."""
        ...


class CorrectionReader(Protocol):
    """Reads what people corrected."""

    async def latest(self, place: Place) -> dict[str, CaptureCorrected]:
        """Read the latest correction of each capture; log and omit unreadable ones."""
        ...


class FitOrders(Protocol):
    """Chooses what teachers are fitted on."""

    async def counts(self, place: Place) -> FitCounts:
        """Count what there is to fit on.

        Raises:
            TransientError: the store is unavailable.
        """
        ...

    async def gather(self, place: Place, settings: FitSettings, *, serving: str, segmenter: str = "") -> FitOrder:
        """Choose what a fit learns and is compared on.

        Args:
            place: line and product.
            settings: of the line.
            serving: the teacher in service; empty for none.
            segmenter: the segmenter in service; empty for none.

        Raises:
            TransientError: the store is unavailable.
        """
        ...


class BrakeRecords(Protocol):
    """Keeps the brakes of learning."""

    async def read(self, place: Place) -> LearningBrake | None:
        """Read the brake of a place; None: it was never on.

        Raises:
            CorruptError: it can't be read.
        """
        ...

    async def put(self, place: Place, brake: LearningBrake) -> None:
        """Store a brake.

        Raises:
            ConflictError: another process moved it since it was read.
        """
        ...


class HoldRecords(Protocol):
    """Keeps holds of learning by people."""

    async def read(self, place: Place) -> LearningHold | None:
        """Read the hold of a place; None: there was none."""
        ...

    async def put(self, place: Place, hold: LearningHold) -> None:
        """Store a hold or its end; ConflictError if it moved since."""
        ...


class RefitRecords(Protocol):
    """Keeps the records of fits."""

    async def last(self, place: Place) -> RefitRecord | None:
        """Read the latest record; None before the first.

        Raises:
            CorruptError: it can't be read.
        """
        ...

    async def put(self, record: RefitRecord) -> None:
        """Store a record; one of the same number stays as it is."""
        ...


class DeletionGuard(Protocol):
    """Keeps captures that are deleted on request out of the work."""

    async def recent(self, line: str) -> DeletionIndex:
        """Return the deletions of a line, at most a few seconds old."""
        ...

    async def read(self, line: str) -> DeletionIndex:
        """Read the deletions of a line."""
        ...

    async def unless_erased(
        self, event: ImageStored, handle: Callable[[], Awaitable[list[PseudoMaskCreated]]]
    ) -> list[PseudoMaskCreated]:
        """Handle a capture; return [] without effect where it is deleted."""
        ...


class QuarantineReader(Protocol):
    """Reads captures, corrections and weights in quarantine."""

    async def read(self, line: str) -> QuarantineIndex:
        """List all that is in quarantine of a line."""
        ...
