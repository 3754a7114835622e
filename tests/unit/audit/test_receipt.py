"""What a receipt says of a verdict, of people's answers and of today's weights."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from siad.audit.lineage import LineLineage, WeightsLineage
from siad.audit.receipt import compare, describe_answer, describe_lineage
from siad.audit.today import JudgementToday
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection
from siad.contracts.events import Decision, VerdictGiven, WeightsKind
from siad.contracts.ids import CaptureId, ImageId
from tests.unit.apps.cli.events import SEGMENTER, TEACHER, verdict

REJECT: VerdictGiven = replace(verdict(1, 3.2), runner="openvino")
TODAY = JudgementToday(
    decision=Decision.REJECT, score=3.2, threshold=1.0, weights=TEACHER, weights_kind=WeightsKind.TEACHER,
    runner="openvino",
)  # fmt: skip
UNKNOWN = replace(verdict(1, 0.0), decision=Decision.UNKNOWN, reason="late", weights="")


@pytest.mark.parametrize(
    ("given", "today", "told"),
    [
        (REJECT, TODAY, "yes; the same weights, threshold, score"),
        (REJECT, replace(TODAY, score=3.2005), "yes; the same weights, threshold, score"),
        (
            REJECT,
            replace(TODAY, score=3.3, runner="torch"),
            "yes; the same weights, threshold, score differs by 0.1 (openvino then, torch today)",
        ),
        (
            REJECT,
            replace(TODAY, decision=Decision.PASS, threshold=4.0),
            "no: reject then, pass today; the same weights, threshold moved from 1 to 4, score",
        ),
        (
            REJECT,
            replace(TODAY, weights=SEGMENTER, weights_kind=WeightsKind.SEGMENTER),
            (
                "yes; other weights: teacher aaaaaaaaaaaa then, segmenter bbbbbbbbbbbb today, "
                "whose scores have another scale"
            ),
        ),
        (
            REJECT,
            JudgementToday(decision=Decision.UNKNOWN, reason="no weights serve"),
            "no: reject then, unknown today",
        ),
        (UNKNOWN, TODAY, "no: unknown (late) then, reject today"),
        (UNKNOWN, JudgementToday(decision=Decision.UNKNOWN, reason="gone"), "yes: unknown"),
        (None, TODAY, "no verdict to compare with; today reject"),
    ],
)
def test_a_receipt_says_what_changed(given: VerdictGiven | None, today: JudgementToday, told: str) -> None:
    assert compare(given, today) == told


def answer(verdict: CorrectionVerdict, revision: int = 1) -> CaptureCorrected:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return CaptureCorrected(
        capture_id=CaptureId("c" * 32), image_id=ImageId("a" * 64), image_uri="s3://siad/x", line="l", product="p",
        serial="", captured_at=at, received_at=at, revision=revision, verdict=verdict, mask_uri="", mask_sha256="",
        weights="", score=0.0, threshold=0.0, author="anna", corrected_at=at, selection=Selection.CHOSEN,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said", "told"),
    [
        (REJECT, CorrectionVerdict.DEFECT, ": the verdict was right"),
        (REJECT, CorrectionVerdict.GOOD, ": the verdict was a false reject"),
        (verdict(1, 0.5), CorrectionVerdict.DEFECT, ": the verdict was a miss"),
        (REJECT, CorrectionVerdict.UNSURE, ""),
        (UNKNOWN, CorrectionVerdict.GOOD, ""),
        (None, CorrectionVerdict.GOOD, ""),
    ],
)
def test_the_last_answer_is_compared_with_the_verdict(
    given: VerdictGiven | None, said: CorrectionVerdict, told: str
) -> None:
    earlier = answer(CorrectionVerdict.UNSURE)
    text = describe_answer(given, [earlier, answer(said, revision=2)])
    assert text == f"{said.value}, by anna at 2026-01-02 03:04:05 UTC{told}"
    assert describe_answer(given, []) == "none"


def test_lineage_is_one_line() -> None:
    one = WeightsLineage(
        weights=TEACHER, kind=WeightsKind.SEGMENTER, line="l", product="p", method="fast", state="served before",
        training_set="d" * 64, teachers=(SEGMENTER,), normals=(), captures=("1", "2"), corrections=("1-1",),
        in_quarantine=True,
    )  # fmt: skip
    lines = LineLineage(line="l", weights={TEACHER: one})
    assert describe_lineage(REJECT, lines) == (
        "segmenter aaaaaaaaaaaa (fast), served before, in quarantine: learned from training set dddddddddddd of 2 "
        "captures; 1 corrections; weights bbbbbbbbbbbb"
    )
    assert describe_lineage(REJECT, LineLineage(line="l")).startswith("unknown: the manifest of aaaaaaaaaaaa")
    assert describe_lineage(UNKNOWN, lines) == "none: no weights judged it"
