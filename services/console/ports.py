"""Ports of the console. Every call may raise ``TransientError``."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from services.console.domain.book import CorrectionBook, CorrectionId
from services.console.domain.captures import CaptureWindow
from services.console.domain.corrections import StoredMask
from services.console.domain.deferrals import Deferral
from services.console.domain.leases import LeaseHolder
from services.console.domain.listing import CapturePage, PageRequest
from services.console.domain.serving import WeightsInService
from siad.contracts.corrections import CaptureCorrected, ThresholdSet
from siad.contracts.deletion import DeletionIndex
from siad.contracts.events import ImageStored, LineChanged, PseudoMaskCreated, VerdictGiven
from siad.contracts.expiry import Expiry
from siad.contracts.ids import WeightsId
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.quarantine import QuarantineIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskImage:
    """A mask as it is stored."""

    png: bytes  # uint8 [H, W], 0 good, 128 unsure, 255 defect; equal masks have equal bytes
    sha256: str
    width_px: int
    height_px: int
    defect_px: int  # pixels marked defective


class CaptureStore(Protocol):
    """Receipts and images in the store."""

    async def receipt(self, line: str, capture_id: str) -> ImageStored | None:
        """Read the receipt of a capture; None for an unknown one."""
        ...

    async def is_erased(self, line: str, capture_id: str, received_at: datetime | None) -> bool:
        """Whether a capture was erased, by itself or with its line.

        Args:
            line: its line.
            capture_id: the capture.
            received_at: of its receipt; None where there is none.
        """
        ...

    async def image(self, receipt: ImageStored) -> bytes | None:
        """Read an image; None where it was deleted by age."""
        ...

    async def has_image(self, receipt: ImageStored) -> bool:
        """Whether the image still exists."""
        ...


class KnownLines(Protocol):
    """Lines that were ever registered."""

    async def is_known(self, line: str) -> bool:
        """Whether the line exists or existed."""
        ...


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """One record of a topic, decoded."""

    partition: int
    offset: int
    event: VerdictGiven | PseudoMaskCreated | CaptureCorrected | None  # None: unreadable, and left out


@dataclass(frozen=True, slots=True)
class TopicBatch:
    """Records of one topic, in order per partition."""

    topic: str
    records: Sequence[TopicRecord]


class Projection(Protocol):
    """Captures and corrections of every line, built from topics and store."""

    @property
    def is_lasting(self) -> bool:
        """Whether it outlives the process, so that topics are not read again."""
        ...

    async def load(self, window: CaptureWindow, book: CorrectionBook) -> None:
        """Fill what the process holds in memory."""
        ...

    async def positions(self, topic: str) -> Mapping[int, int]:
        """Read the offsets that come next, by partition."""
        ...

    async def rewind(self, topic: str, positions: Mapping[int, int]) -> None:
        """Set back the offsets of a topic that was created again."""
        ...

    async def apply(self, batch: TopicBatch) -> None:
        """Apply records in order, with the offsets that come next, or nothing.

        Records that were applied before change nothing.
        """
        ...

    async def add_corrections(self, corrections: Sequence[CaptureCorrected], *, is_published: bool) -> None:
        """Enter corrections; a repeat changes nothing."""
        ...

    async def answered(self) -> Sequence[tuple[str, str]]:
        """Name line and id of every capture with a correction."""
        ...

    async def withdraw(self, captures: Sequence[tuple[str, str]]) -> None:
        """Remove the corrections of captures, which are open again."""
        ...

    async def page(self, request: PageRequest) -> CapturePage:
        """Read one page of a line's captures."""
        ...

    async def lines(self) -> Sequence[str]:
        """Name every line with captures."""
        ...

    async def leased(self, holder: LeaseHolder) -> Collection[str]:
        """Name the captures of a line that other pages show."""
        ...

    async def lease(self, holder: LeaseHolder, captures: Collection[str]) -> Collection[str]:
        """Give or renew leases; return the captures that the page has now."""
        ...

    async def release(self, holder: LeaseHolder, captures: Collection[str]) -> None:
        """End leases of a page; others stay."""
        ...

    async def defer(self, deferral: Deferral) -> None:
        """Put a capture off; a repeat replaces reason and time."""
        ...

    async def resume(self, line: str, capture_id: str, person: str) -> None:
        """End a deferral; a repeat is harmless."""
        ...

    async def deferred(self, line: str, person: str, now: datetime) -> Collection[str]:
        """Name the captures of a line that a person put off."""
        ...

    async def deferrals(self, line: str, captures: Collection[str], now: datetime) -> Mapping[str, Sequence[Deferral]]:
        """Read the running deferrals of captures, the newest first."""
        ...

    async def drop(self, line: str, deletions: DeletionIndex) -> int:
        """Remove what was erased of a line; return how many captures."""
        ...

    async def expire(self, line: str, first_day: date) -> int:
        """Remove unanswered captures of earlier days; return how many."""
        ...


class ErasedCaptures(Protocol):
    """Captures that were erased on request or by age."""

    async def deletions(self, line: str) -> DeletionIndex:
        """Return the deletion records of a line, a few seconds old."""
        ...

    async def expiry(self, line: str) -> Expiry:
        """Read the first days of which captures of a line are kept."""
        ...

    async def erased(self, line: str, captures: Collection[tuple[str, datetime]]) -> set[str]:
        """Return which of the captures, named with ``received_at``, were erased."""
        ...


class QuarantinedData(Protocol):
    """Captures and corrections that operators put in quarantine."""

    async def recent(self, line: str) -> QuarantineIndex:
        """Return the quarantine of a line, a few seconds old."""
        ...

    async def read(self, line: str) -> QuarantineIndex:
        """Read what is in quarantine of a line now."""
        ...


class ServingWeights(Protocol):
    """The weights that judge a place now."""

    async def serving(self, place: Place) -> WeightsInService | None:
        """Read them; None where none was released, or the pointer is unreadable."""
        ...


class TrainingRuns(Protocol):
    """Training runs of a line and product."""

    async def last_frozen_at(self, place: Place) -> datetime | None:
        """Read when the last run was specified, without failed ones."""
        ...


class CorrectionStore(Protocol):
    """Records of corrections in the store, and their masks."""

    async def revisions(self, line: str, capture_id: str) -> list[CaptureCorrected]:
        """Read every revision of a capture's correction, oldest first."""
        ...

    async def names(self) -> list[CorrectionId]:
        """List every record."""
        ...

    async def read(self, name: CorrectionId) -> CaptureCorrected | None:
        """Read one record; None where it was erased meanwhile."""
        ...

    async def put_mask(self, line: str, capture_id: str, mask: MaskImage) -> StoredMask:
        """Write a mask under its digest."""
        ...

    async def delete(self, correction: CaptureCorrected) -> None:
        """Delete a record and its mask, of a capture that was erased."""
        ...

    async def put_record(self, correction: CaptureCorrected) -> None:
        """Write the record once.

        Raises:
            ConflictError: there is such a revision already.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredThreshold:
    """A threshold as it was read."""

    threshold: ThresholdSet
    etag: str  # the next conditional put must match it


class AnnouncedThresholds(Protocol):
    """Thresholds on the topic, which labeler and inference use."""

    def all(self) -> Collection[ThresholdSet]:
        """Return the threshold of all weights that have one."""
        ...


class ThresholdStore(Protocol):
    """Thresholds in store and on bus, and the manifests behind them."""

    async def read(self, place: Place, weights: WeightsId) -> StoredThreshold | None:
        """Read the threshold of some weights; None for that of the manifest.

        Raises:
            CorruptError: the object at its key is no threshold.
        """
        ...

    async def put(self, threshold: ThresholdSet, expected: StoredThreshold | None) -> None:
        """Move a threshold.

        Raises:
            ConflictError: another process moved it since ``expected`` was read.
        """
        ...

    async def announce(self, threshold: ThresholdSet) -> None:
        """Publish a threshold, and return once the broker has acknowledged it."""
        ...

    async def withdraw(self, place: Place, weights: WeightsId) -> None:
        """Publish that some weights have the threshold of their manifest again."""
        ...

    async def manifest(self, place: Place, weights: WeightsId) -> Manifest:
        """Read the manifest of some weights.

        Raises:
            MissingError, CorruptError: it cannot be read.
        """
        ...


class PresentLines(Protocol):
    """Settings of lines at present."""

    def lookup(self, key: str) -> LineChanged | None:
        """Return the settings of a line; None where there is none."""
        ...


class MaskReader(Protocol):
    """Reads masks and the sizes of images, in threads."""

    async def read_mask(self, data: bytes) -> MaskImage:
        """Decode a mask.

        Raises:
            ImageError: the bytes are no mask.
        """
        ...

    async def read_size(self, image: bytes) -> tuple[int, int]:
        """Width and height of an image, upright; px."""
        ...


class EventPublisher(Protocol):
    """Publishes events; returns once the broker has acknowledged them."""

    async def publish(self, corrections: Sequence[CaptureCorrected]) -> None:
        """Publish corrections, in order."""
        ...
