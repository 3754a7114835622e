"""Refit of a teacher in memory, as the labeler does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from services.labeler.domain.refits import STREAM_METHODS, choose_captures, judge_refit
from siad.apps.lab.routine.captures import LINE, MemoryCaptures, name_captures, read_sample
from siad.apps.lab.routine.line import Lesson, Naming
from siad.apps.lab.routine.reviewer import AUTHOR
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import CaptureId, ImageId
from siad.contracts.place import Place
from siad.contracts.refits import RefitCause
from siad.contracts.release_evidence import EvidenceKind, GateDecision, HeldOutCapture
from siad.contracts.stream_scores import StreamScore
from siad.models.bundle import Bundle, open_bundle
from siad.models.gate_evidence import HeldOutPixels
from siad.models.teachers.normals import Normals
from siad.models.teachers.refit import Comparison, refit_teacher


class CannotRefitError(ValueError):
    """Images that no teacher can be fitted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRefit:
    """A refitted teacher, and the labeler's decision."""

    bundle: Bundle
    decision: GateDecision
    learned: int  # captures besides the normals


def refit(teacher: Bundle, settings: FitSettings, lesson: Lesson, *, naming: Naming) -> TeacherRefit:
    """Fit on normals, confirmed goods and low scores, and judge it.

    Args:
        teacher: in service.
        settings: of the line.
        lesson: normals, labels by ``teacher``, and answers.
        naming: of the captures.

    Raises:
        CannotRefitError: no teacher can be fitted on them.
    """
    captures = name_captures(lesson.normals, lesson.labels, lesson.answers, salt=naming.salt)
    corrections = {str(one.capture_id): one for one in _corrections(captures)}
    normals = [one.capture_id for one in captures.normals]
    chosen = choose_captures(
        _scores(captures), corrections, known=normals, learns_stream=teacher.manifest.method in STREAM_METHODS
    )
    goods = [one.capture_id for one in chosen.goods]
    names = [*normals, *goods, *chosen.stream]
    images = [read_sample(captures.samples[name]) for name in names]
    fitted_on = replace(
        Normals.ordered(images, names, Place(LINE, LINE)),
        selected=frozenset(goods),
        unconfirmed=frozenset(chosen.stream),
    )
    about = [HeldOutCapture(capture_id=name, kind=EvidenceKind.STREAM) for name in chosen.held_out]
    about += [HeldOutCapture(capture_id=one.capture_id, kind=_kind(one)) for one in chosen.corrected]
    learned = {*names, *teacher.manifest.normals, *teacher.manifest.stream_normals}

    def read(wanted: Sequence[HeldOutCapture]) -> Iterator[tuple[HeldOutCapture, HeldOutPixels]]:
        for one in wanted:
            yield one, (read_sample(captures.samples[one.capture_id]), captures.outlines.get(one.capture_id))

    comparison = Comparison(
        serving=open_bundle(teacher.manifest, teacher.parts),
        captures=[one for one in about if one.capture_id not in learned],
        read=read,
    )
    try:
        made = refit_teacher(fitted_on, settings, comparison)
    except ValueError as error:
        msg = f"no teacher can be fitted on these {len(names)} images: {error}"
        raise CannotRefitError(msg) from error
    cause = RefitCause.GOODS if goods else RefitCause.STREAM
    return TeacherRefit(
        bundle=made.bundle,
        decision=judge_refit(cause, made.evidence),
        learned=len(goods) + len(chosen.stream),
    )


def _scores(captures: MemoryCaptures) -> list[StreamScore]:
    return [
        StreamScore(
            capture_id=row.capture_id,
            received_at=row.received_at,
            weights=row.weights[:12],
            score=row.score,
            threshold=row.threshold,
            defect_ratio=row.defect_ratio,
            regions=0,
        )
        for row in captures.rows
    ]


def _corrections(captures: MemoryCaptures) -> Iterator[CaptureCorrected]:
    for row in captures.corrections:
        yield CaptureCorrected(
            capture_id=CaptureId(row.capture_id),
            image_id=ImageId(row.image_id * 2),  # 64 digits, as of a stored image
            image_uri=f"s3://memory/{row.capture_id}",  # never read
            line=LINE,
            product=LINE,
            serial="",
            captured_at=row.captured_at,
            received_at=row.received_at,
            revision=row.revision,
            verdict=row.verdict,
            mask_uri="",
            mask_sha256="",
            weights="",
            score=row.score,
            threshold=row.threshold,
            author=AUTHOR,
            corrected_at=row.corrected_at,
            selection=row.selection,
        )


def _kind(correction: CaptureCorrected) -> EvidenceKind:
    return EvidenceKind.GOOD if correction.verdict is CorrectionVerdict.GOOD else EvidenceKind.DEFECT
