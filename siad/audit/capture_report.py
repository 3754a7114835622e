"""Everything that the plant knows about one capture, for operators."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from siad.contracts import keys
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import ImageStored, Intent, VerdictGiven, WeightsKind
from siad.contracts.expiry import Expiry
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.quarantine import QuarantineRecord, TaintedKind, correction_name
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.store.registry import Registry

LEARNED: Final = "learned from"
LEFT_OUT: Final = "left out as an outlier"
SUSPECT: Final = "suspect"


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalUse:
    """How the teacher in service uses a normal."""

    weights: str
    use: str  # learned from, left out as an outlier, suspect; empty: the teacher was fitted without it


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRecord:
    """One stored mask of a capture."""

    weights: str  # that drew it
    kind: WeightsKind  # a mask of a teacher is a pseudo-mask; UNSPECIFIED where the weights can't be read
    uri: str
    is_of_verdict: bool = False  # drawn by inference; verdicts of earlier versions have the key of the pseudo-mask


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureReport:
    """One capture with its verdict, masks and use."""

    receipt: ImageStored
    image_problem: str  # why the image can't be read; empty if it is stored
    masks: tuple[MaskRecord, ...]
    corrections: tuple[str, ...]  # addresses
    normal_use: NormalUse | None  # None: no normal, or no teacher yet
    verdicts: tuple[VerdictGiven, ...] = ()  # oldest first; a repeat is possible
    answers: tuple[CaptureCorrected, ...] = ()  # of people, oldest first; unreadable ones are left out
    quarantine: tuple[QuarantineRecord, ...] = ()  # of the capture and its answers


def read_report(blobs: Blobs, receipt: ImageStored, verdicts: Sequence[VerdictGiven]) -> CaptureReport:
    """Collect from the store what belongs to one capture.

    Raises:
        TransientError: the store is unavailable.
    """
    below = (info.key for info in blobs.list(keys.masks_prefix(receipt.line, receipt.capture_id)))
    masks = [key for key in below if not key.endswith(keys.SCORE_MAP)]
    corrections = [info.key for info in blobs.list(keys.corrections_prefix(receipt.line, receipt.capture_id))]
    answers = _answers(blobs, corrections)
    return CaptureReport(
        receipt=receipt,
        image_problem=image_problem(blobs, receipt),
        masks=tuple(_mask_record(blobs, receipt, key) for key in masks),
        corrections=tuple(blobs.uri(key) for key in corrections),
        normal_use=_normal_use(blobs, receipt) if receipt.intent is Intent.NORMAL else None,
        verdicts=tuple(verdicts),
        answers=tuple(answers),
        quarantine=tuple(_quarantine(blobs, receipt, answers)),
    )


def _quarantine(blobs: Blobs, receipt: ImageStored, answers: Sequence[CaptureCorrected]) -> Iterator[QuarantineRecord]:
    named: list[tuple[TaintedKind, str]] = [(TaintedKind.CAPTURE, receipt.capture_id)]
    named += [(TaintedKind.CORRECTION, correction_name(one.capture_id, one.revision)) for one in answers]
    for kind, subject in named:
        record = Quarantine(blobs).record(receipt.line, kind, subject)
        if record is not None:
            yield record


def _answers(blobs: Blobs, corrections: Sequence[str]) -> list[CaptureCorrected]:
    """Read the records among the keys of corrections."""
    found = []
    for key in corrections:
        with suppress(CorruptError, MissingError, ValueError):
            if keys.correction_of(key) is not None:
                found.append(CaptureCorrected.from_json(blobs.get(key).data))
    return sorted(found, key=lambda one: one.revision)


def image_problem(blobs: Blobs, receipt: ImageStored) -> str:
    """Say why an image can't be read; empty if it is stored."""
    try:
        key = blobs.key_of(receipt.image_uri)
    except ValueError:
        return f"image {receipt.image_uri} is in another bucket than these settings name"
    if blobs.head(key) is not None:
        return ""
    try:
        expiry = Expiry.from_json(blobs.get(keys.expiry_key(receipt.line)).data)
    except (MissingError, CorruptError):
        expiry = Expiry()
    if expiry.is_expired(receipt.received_at):
        return (
            f"image expired: received {receipt.received_at:%Y-%m-%d}, and line {receipt.line} keeps images from "
            f"{expiry.images_from} on; SIAD_INGEST_IMAGES_DAYS sets how long"
        )
    return f"image {receipt.image_uri} is missing: it was removed from the store by hand"


def _mask_record(blobs: Blobs, receipt: ImageStored, key: str) -> MaskRecord:
    weights, kind = keys.weights_of_mask(key), WeightsKind.UNSPECIFIED
    with suppress(CorruptError, MissingError):
        kind = Registry(blobs).manifest(Place(receipt.line, receipt.product), weights).kind
    return MaskRecord(weights=weights, kind=kind, uri=blobs.uri(key), is_of_verdict=keys.is_verdict_mask(key))


def _normal_use(blobs: Blobs, receipt: ImageStored) -> NormalUse | None:
    registry, place = Registry(blobs), Place(receipt.line, receipt.product)
    try:
        pointer = registry.pointer(WeightsKind.TEACHER, place)
        if pointer is None:
            return None
        manifest = registry.manifest(place, pointer.weights)
    except (CorruptError, MissingError):
        return None  # `siad status` and the labeler report the teacher itself
    return NormalUse(weights=pointer.weights, use=_use(manifest, receipt.capture_id))


def _use(manifest: Manifest, capture_id: str) -> str:
    if capture_id in manifest.left_out:
        return LEFT_OUT
    if capture_id in manifest.doubted:
        return SUSPECT
    return LEARNED if capture_id in manifest.normals else ""
