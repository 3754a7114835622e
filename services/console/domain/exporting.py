"""What an export holds, and what is left out of it. Pure.

A training format can't say that nothing is known of an image: without a mark it is good there. So captures without an
answer, with the answer unsure, and defects without an outline are left out of it, and counted.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np

from services.console.domain.listing import CaptureFilter
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.events import ImageStored
from siad.contracts.json_codec import to_plain
from siad.vision.datasets.coco import CocoWriter
from siad.vision.datasets.folders import MaskWriter, MvtecWriter
from siad.vision.datasets.samples import DatasetClasses, DatasetSample, DatasetWriter
from siad.vision.datasets.voc import VocWriter
from siad.vision.datasets.yolo import YoloWriter
from siad.vision.images import describe_image
from siad.vision.masks import decode_mask

VERSION: Final = 1  # of the list of captures


class ExportFormat(StrEnum):
    """Layout of an export."""

    COCO = "coco"
    VOC = "voc"
    YOLO = "yolo"
    PNG = "png"
    MVTEC = "mvtec"
    ALL = "all"  # everything of the captures, with weights and lineage


class LeftOut(StrEnum):
    """Why a capture is not part of an export."""

    OPEN = "open"  # no answer
    UNSURE = "unsure"
    NO_OUTLINE = "no-outline"  # a defect without a mask
    IN_QUARANTINE = "in-quarantine"
    ERASED = "erased"  # on request
    EXPIRED = "expired"  # its image was deleted by age
    UNREADABLE = "unreadable"  # image or mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """Which captures to export, and how."""

    line: str
    format: ExportFormat
    filter: CaptureFilter
    classes: tuple[str, ...] = ()


@dataclass(slots=True)
class ExportTally:
    """Counts of one export."""

    captures: int = 0
    normals: int = 0  # of the captures
    image_bytes: int = 0
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    is_complete: bool = True  # False: there are more

    def to_json(self) -> dict[str, Any]:
        """Write the counts, every reason by name."""
        left_out = {reason.value: self.left_out[reason] for reason in LeftOut if self.left_out[reason]}
        counts = {"captures": self.captures, "normals": self.normals, "image_bytes": self.image_bytes}
        return {**counts, "left_out": left_out}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureData:
    """Everything that an export needs of one capture."""

    receipt: ImageStored
    image: bytes
    correction: CaptureCorrected | None = None
    mask: bytes | None = None  # PNG
    is_normal: bool = False


def writer_of(request: ExportRequest) -> DatasetWriter:
    """Make the writer of a format."""
    classes = DatasetClasses.of(request.classes)
    match request.format:
        case ExportFormat.COCO:
            return CocoWriter(classes)
        case ExportFormat.VOC:
            return VocWriter(classes)
        case ExportFormat.YOLO:
            return YoloWriter(classes)
        case ExportFormat.MVTEC:
            return MvtecWriter()
        case ExportFormat.PNG | ExportFormat.ALL:
            return MaskWriter()


def wants_normals(wanted: CaptureFilter) -> bool:
    """Whether normals fit a filter.

    They have no score, answer, person or verdict of the line.
    """
    filters = (wanted.decision, wanted.score_min, wanted.score_max, wanted.class_name, wanted.state, wanted.person)
    return all(one is None for one in filters) and wanted.verdict in (None, CorrectionVerdict.GOOD)


def fits_normal(wanted: CaptureFilter, receipt: ImageStored) -> bool:
    """Whether a normal has the product, serial and time of a filter."""
    if wanted.product not in (None, receipt.product) or wanted.serial not in (None, receipt.serial):
        return False
    is_early = wanted.received_from is not None and receipt.received_at < wanted.received_from
    is_late = wanted.received_before is not None and receipt.received_at >= wanted.received_before
    return not is_early and not is_late


def reason_left_out(form: ExportFormat, correction: CaptureCorrected | None) -> LeftOut | None:
    """Why a format can't hold what was said; None where it can."""
    if form is ExportFormat.ALL:
        return None
    if correction is None:
        return LeftOut.OPEN
    if correction.verdict is CorrectionVerdict.UNSURE:
        return LeftOut.UNSURE
    if correction.verdict is CorrectionVerdict.DEFECT and not correction.mask_uri:
        return LeftOut.NO_OUTLINE
    return None


def make_sample(data: CaptureData) -> DatasetSample:
    """Build what writers take.

    Raises:
        ImageError: image or mask can't be read.
    """
    info = describe_image(data.image)
    receipt, correction = data.receipt, data.correction
    mask_HW = np.zeros((info.height_px, info.width_px), np.uint8)
    if data.mask is not None:
        mask_HW = decode_mask(data.mask, may_ignore=True)
    return DatasetSample(
        name=receipt.capture_id,
        extension=receipt.image_uri.rpartition(".")[2],
        image=data.image,
        width_px=info.width_px,
        height_px=info.height_px,
        mask_HW=mask_HW,
        objects=() if correction is None else correction.objects,
        is_normal=data.is_normal,
        is_known=data.is_normal or reason_left_out(ExportFormat.PNG, correction) is None,
        product=receipt.product,
        facts=_facts(data),
    )


def _facts(data: CaptureData) -> dict[str, Any]:
    """Write a capture for the list of captures."""
    receipt, correction = data.receipt, data.correction
    facts: dict[str, Any] = {
        "capture_id": receipt.capture_id,
        "image_id": receipt.image_id,
        "line": receipt.line,
        "product": receipt.product,
        "serial": receipt.serial,
        "captured_at": receipt.captured_at,
        "received_at": receipt.received_at,
        "intent": "normal" if data.is_normal else "inspect",
    }
    if correction is not None:
        facts |= {
            "verdict": correction.verdict,
            "revision": correction.revision,
            "author": correction.author,
            "corrected_at": correction.corrected_at,
            "mask_sha256": correction.mask_sha256,
            "objects": list(correction.objects),
        }
    plain: dict[str, Any] = to_plain(facts)
    return plain
