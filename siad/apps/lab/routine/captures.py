"""Captures of a line in memory: pseudo-labels, answers and their names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.ledger import LedgerRow
from services.trainer.domain.training_set import MemberRole, MemberUse, NormalCapture, TrainingMember
from services.trainer.job.examples import MemberPixels
from siad.apps.files import printable
from siad.apps.lab.evaluate.folder import FolderError, LabelledSample, read_images
from siad.apps.lab.evaluate.run import Progress
from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.contracts.ids import sha256_hex
from siad.models.predictor import Predictor
from siad.vision.images import Image
from siad.vision.plausibility import Misfit

LINE: Final = "routine"
START: Final = datetime(2026, 1, 1, tzinfo=UTC)  # no clock: a repeat must give the same weights
IN_MEMORY: Final = "memory:"  # address of masks, which are in no store


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoLabel:
    """Score and pseudo-mask of one image, by one model."""

    sample: LabelledSample
    score: float
    threshold: float
    weights: str
    defect_ratio: float
    confidence: float
    mask_HW: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer of the simulated reviewer to one capture."""

    shown: PseudoLabel
    verdict: CorrectionVerdict
    selection: Selection
    mask_HW: NDArray[np.uint8] | None  # of a defect; None: the folder has no mask of it


def label(predictor: Predictor, samples: Sequence[LabelledSample], *, progress: Progress) -> list[PseudoLabel]:
    """Draw pseudo-masks.

    An image that can't be decoded, or does not fit the normals, gets none and is reported.
    """
    labels = []
    for sample in samples:
        images, _, left_out = read_images([sample.path])
        for path, why in left_out.items():
            progress.skip(path, why)
        for finding in predictor.examine(images):
            if isinstance(finding, Misfit):
                progress.notify(f"{sample.name} was not labelled ({finding.reason}): {finding.detail}")
            else:
                labels.append(
                    PseudoLabel(
                        sample=sample,
                        score=finding.score,
                        threshold=predictor.image_threshold,
                        weights=predictor.manifest.weights,
                        defect_ratio=finding.defect_ratio,
                        confidence=finding.confidence,
                        mask_HW=finding.pseudo_mask_HW,
                    )
                )
    return labels


def capture_id(salt: str, sample: LabelledSample) -> str:
    """Name a sample; another salt gives another name."""
    return sha256_hex(f"{salt}/{sample.path}".encode())[:32]


def read_sample(sample: LabelledSample) -> Image:
    """Decode one image again.

    Raises:
        FolderError: it became unreadable during the run.
    """
    images, _, left_out = read_images([sample.path])
    for path, why in left_out.items():
        msg = f"{printable(path)} became unreadable during the run: {why}. Restore it, or run again without it"
        raise FolderError(msg)
    return images[0]


@dataclass(frozen=True, slots=True)
class MemoryCaptures:
    """Normals, labelled images and answers by capture id."""

    samples: Mapping[str, LabelledSample]
    masks: Mapping[str, NDArray[np.uint8]]  # of labelled images, by the teacher
    normals: tuple[NormalCapture, ...]
    rows: tuple[LedgerRow, ...]
    corrections: tuple[CorrectionRow, ...] = ()
    outlines: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)  # of corrected defects

    def look(self, members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        """Read members, as the training job does from the store."""
        for member in members:
            image_HWC = read_sample(self.samples[member.capture_id])
            yield member, (image_HWC, self._mask(member))

    def _mask(self, member: TrainingMember) -> NDArray[np.uint8] | None:
        if member.role is MemberRole.NORMAL or not member.mask_uri:
            return None
        if member.is_corrected and member.capture_id in self.outlines:
            return self.outlines[member.capture_id]
        return None if member.is_corrected and member.use is not MemberUse.TRAIN else self.masks[member.capture_id]


def name_captures(
    normals: Sequence[LabelledSample], labels: Sequence[PseudoLabel], answers: Sequence[Answer], *, salt: str
) -> MemoryCaptures:
    """Name normals, labels of the teacher, and answers."""
    known = {capture_id(salt, sample): sample for sample in normals}
    seen = {capture_id(salt, one.sample): one for one in labels}
    answered = {capture_id(salt, one.shown.sample): one for one in answers}
    at = {name: START + timedelta(seconds=index) for index, name in enumerate(seen)}
    return MemoryCaptures(
        samples=known
        | {name: one.sample for name, one in seen.items()}
        | {name: one.shown.sample for name, one in answered.items()},
        masks={name: one.mask_HW for name, one in seen.items()},
        normals=tuple(NormalCapture(capture_id=name, image_id=name, image_uri="") for name in known),
        rows=tuple(
            LedgerRow(
                capture_id=name,
                image_id=name,
                image_uri="",
                captured_at=at[name],
                received_at=at[name],
                mask_uri=IN_MEMORY + name,
                mask_sha256="",
                weights=one.weights,
                score=one.score,
                threshold=one.threshold,
                defect_ratio=one.defect_ratio,
                confidence=one.confidence,
            )
            for name, one in seen.items()
        ),
        corrections=tuple(_correction(name, one, at.get(name, START)) for name, one in answered.items()),
        outlines={name: one.mask_HW for name, one in answered.items() if one.mask_HW is not None},
    )


def _correction(name: str, answer: Answer, at: datetime) -> CorrectionRow:
    return CorrectionRow(
        capture_id=name,
        image_id=name,
        image_uri="",
        serial="",
        captured_at=at,
        received_at=at,
        revision=1,
        verdict=answer.verdict,
        mask_uri="" if answer.mask_HW is None else IN_MEMORY + name,
        mask_sha256="",
        weights=answer.shown.weights,
        score=answer.shown.score,
        threshold=answer.shown.threshold,
        selection=answer.selection,
        corrected_at=at,
    )
