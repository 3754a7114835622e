"""The audit of the chaos test finds every fault that is planted in clean books, and none in clean ones."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from siad.contracts.events import (
    DeadLetter,
    Decision,
    ImageStored,
    Intent,
    Origin,
    PseudoMaskCreated,
    VerdictGiven,
    WeightsKind,
)
from siad.contracts.ids import CaptureId, ImageId, WeightsId
from tests.e2e.chaos.audit import Account, faults, first_wins, repeats

LINE, PRODUCT = "press-1", "cap"

NOW = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
CAPTURES = tuple(CaptureId(f"{number:032x}") for number in range(6))
EARLY, LOST, STRANGER = CAPTURES[0], CAPTURES[3], CaptureId("f" * 32)
WEIGHTS = WeightsId("a" * 64)


def image(capture: CaptureId, *, intent: Intent = Intent.INSPECT) -> ImageStored:
    return ImageStored(
        capture_id=capture, image_id=ImageId("b" * 64), image_uri="s3://b/i.png", size_bytes=1, line=LINE,
        product=PRODUCT, line_revision=1, captured_at=NOW, received_at=NOW, intent=intent, serial="",
    )  # fmt: skip


def verdict(capture: CaptureId, decision: Decision = Decision.PASS) -> VerdictGiven:
    is_known = decision is not Decision.UNKNOWN
    return VerdictGiven(
        capture_id=capture, image_id=ImageId("b" * 64), image_uri="s3://b/i.png", line=LINE, product=PRODUCT,
        line_revision=1, captured_at=NOW, received_at=NOW, serial="", decision=decision,
        reason="" if is_known else "no-weights", score=0.1, threshold=0.5, regions=(), mask_uri="",
        weights=WEIGHTS if is_known else "", weights_kind=WeightsKind.TEACHER if is_known else WeightsKind.UNSPECIFIED,
        origin=Origin.STREAM, judged_at=NOW, wait_s=0.0, fetch_s=0.0, score_s=0.0,
    )  # fmt: skip


def mask(capture: CaptureId) -> PseudoMaskCreated:
    return PseudoMaskCreated(
        capture_id=capture, image_id=ImageId("b" * 64), image_uri="s3://b/i.png", line=LINE, product=PRODUCT,
        captured_at=NOW, received_at=NOW, mask_uri="s3://b/m.png", mask_sha256="c" * 64, weights=WEIGHTS, score=0.1,
        threshold=0.5, defect_ratio=0.0, regions=(), confidence=1.0,
    )  # fmt: skip


LETTER = DeadLetter(
    topic="siad.image.v1", partition=0, offset=7, key=b"", payload=b"", kind="poison", reason="why", buried_at=NOW
)
CLEAN = Account(
    accepted=frozenset(CAPTURES),
    early=frozenset({EARLY}),
    images=(image(STRANGER, intent=Intent.NORMAL), *map(image, CAPTURES)),
    verdicts=(verdict(EARLY, Decision.UNKNOWN), *map(verdict, CAPTURES[1:])),
    masks=tuple(map(mask, CAPTURES)),
    letters=(),
    buried=frozenset(),
    ledger=frozenset(CAPTURES),
    broken={},
    waiting=0,
    repeats_max=2,
    swap_expected=False,
)


def test_clean_books_have_no_faults() -> None:
    assert faults(CLEAN) == []


def test_a_swap_that_happened_is_no_fault() -> None:
    swapped = replace(CLEAN.verdicts[-1], weights_kind=WeightsKind.SEGMENTER)
    assert faults(replace(CLEAN, swap_expected=True, verdicts=(*CLEAN.verdicts[:-1], swapped))) == []


def test_repeats_are_no_fault_while_a_blow_can_excuse_them() -> None:
    assert (
        faults(replace(CLEAN, verdicts=CLEAN.verdicts + CLEAN.verdicts[1:3], masks=CLEAN.masks + CLEAN.masks[:2])) == []
    )


@pytest.mark.parametrize(
    ("said", "planted"),
    [
        ("accepted from the camera and not announced", replace(CLEAN, images=CLEAN.images[:-1])),
        ("announced and not accepted from the camera", replace(CLEAN, images=(*CLEAN.images, image(STRANGER)))),
        ("announced and not judged", replace(CLEAN, verdicts=CLEAN.verdicts[:-1])),
        ("judged and not announced", replace(CLEAN, verdicts=(*CLEAN.verdicts, verdict(STRANGER)))),
        ("announced and not labelled", replace(CLEAN, masks=CLEAN.masks[1:])),
        ("labelled and not announced", replace(CLEAN, masks=(*CLEAN.masks, mask(STRANGER)))),
        ("labelled and not in the ledger", replace(CLEAN, ledger=CLEAN.ledger - {LOST})),
        ("in the ledger and not labelled", replace(CLEAN, ledger=CLEAN.ledger | {STRANGER})),
        ("UNKNOWN though", replace(CLEAN, verdicts=(*CLEAN.verdicts[:-1], verdict(CAPTURES[5], Decision.UNKNOWN)))),
        ("differs from its event", replace(CLEAN, broken={LOST: "missing"})),
        ("dead letter: siad.image.v1 offset 7: why", replace(CLEAN, letters=(LETTER,))),
        ("the ledger does not balance: received 6 - verdicts 6", replace(CLEAN, waiting=1)),
        ("= 1, and 0 are waiting", replace(CLEAN, verdicts=CLEAN.verdicts[:-1])),
        ("3 repeated verdicts", replace(CLEAN, verdicts=CLEAN.verdicts + CLEAN.verdicts[1:4])),
        ("3 repeated pseudo-masks", replace(CLEAN, masks=CLEAN.masks + CLEAN.masks[:3])),
        ("no segmenter took over", replace(CLEAN, swap_expected=True)),
    ],
)
def test_a_planted_fault_is_told(said: str, planted: Account) -> None:
    assert any(said in fault for fault in faults(planted))


def test_a_buried_capture_without_a_verdict_keeps_the_books_balanced_and_is_told() -> None:
    found = faults(replace(CLEAN, verdicts=CLEAN.verdicts[:-1], letters=(LETTER,), buried={CAPTURES[5]}))
    assert not any("books" in fault for fault in found)
    assert any("announced and not judged" in fault for fault in found)


def test_many_captures_are_counted_and_a_few_named() -> None:
    (fault,) = (one for one in faults(replace(CLEAN, ledger=frozenset())) if "ledger" in one)
    assert fault.startswith("6 captures labelled and not in the ledger: ")
    assert fault.endswith("and 1 more")


def test_the_first_verdict_counts() -> None:
    said = [verdict(CAPTURES[1]), verdict(CAPTURES[1], Decision.REJECT)]
    assert first_wins(said)[CAPTURES[1]].decision is Decision.PASS
    assert repeats(one.capture_id for one in said) == 1
