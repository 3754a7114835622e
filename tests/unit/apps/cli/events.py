"""Events for the demo's tests, made by hand."""

from datetime import UTC, datetime, timedelta

from siad.contracts.events import Decision, Origin, PseudoMaskCreated, VerdictGiven, WeightsKind
from siad.contracts.ids import CaptureId, ImageId, WeightsId

START = datetime(2026, 1, 1, tzinfo=UTC)
TEACHER, SEGMENTER = WeightsId("a" * 64), WeightsId("b" * 64)


def capture(number: int) -> CaptureId:
    return CaptureId(f"{number:032x}")


def verdict(
    number: int, score: float, *, kind: WeightsKind = WeightsKind.TEACHER, threshold: float = 1.0
) -> VerdictGiven:
    return VerdictGiven(
        capture_id=capture(number),
        image_id=ImageId("c" * 64),
        image_uri="s3://siad/x",
        line="l",
        product="p",
        line_revision=1,
        captured_at=START,
        received_at=START,
        serial="",
        decision=Decision.REJECT if score >= threshold else Decision.PASS,
        reason="",
        score=score,
        threshold=threshold,
        regions=(),
        mask_uri="",
        weights=TEACHER if kind is WeightsKind.TEACHER else SEGMENTER,
        weights_kind=kind,
        origin=Origin.STREAM,
        judged_at=START + timedelta(seconds=number),
        wait_s=0.0,
        fetch_s=0.0,
        score_s=0.0,
    )


def mask(number: int, score: float) -> PseudoMaskCreated:
    return PseudoMaskCreated(
        capture_id=capture(number),
        image_id=ImageId("c" * 64),
        image_uri="s3://siad/x",
        line="l",
        product="p",
        captured_at=START,
        received_at=START,
        mask_uri="s3://siad/m",
        mask_sha256="d" * 64,
        weights=TEACHER,
        score=score,
        threshold=1.0,
        defect_ratio=0.0,
        regions=(),
        confidence=1.0,
    )
