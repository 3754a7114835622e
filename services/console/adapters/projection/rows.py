"""Rows of the projection, and what they mean in the domain."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row

from services.console.domain.captures import CaptureEntry, Finding
from services.console.domain.listing import STATE_OF, CaptureAnswer, CaptureDecision, CaptureState, ListedCapture
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.events import Decision, PseudoMaskCreated, VerdictGiven
from siad.contracts.marked_objects import ObjectFate

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
Values = dict[str, Any]  # of one row, by column


def to_us(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def from_us(at_us: int) -> datetime:
    """Return the moment of some microseconds since 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=at_us)


def verdict_rows(events: Iterable[VerdictGiven]) -> list[Values]:
    """Fold verdicts into one row for each capture: the last one counts."""
    rows: dict[tuple[str, str], Values] = {}
    for event in events:
        row = _base(event, event.serial) | {
            "judged_us": to_us(event.judged_at),
            "verdict_weights": None,
            "verdict_score": None,
            "verdict_threshold": None,
            "verdict_mask_uri": None,
            "score": None,
            "decision": None,
        }
        if event.decision in (Decision.PASS, Decision.REJECT):
            row |= _finding("verdict", event)
        held = rows.get((event.line, event.capture_id))
        if held is not None and held["judged_us"] > row["judged_us"]:
            continue
        if held is not None and row["verdict_weights"] is None:  # unknown; what was found before stays
            row = held | {"judged_us": row["judged_us"], "serial": row["serial"]}
        rows[event.line, event.capture_id] = row
    return _in_order(rows)


def pseudo_mask_rows(events: Iterable[PseudoMaskCreated]) -> list[Values]:
    """Fold pseudo-masks into one row for each capture: the last one counts."""
    rows = {
        (event.line, event.capture_id): _base(event, "")
        | _finding("pseudo", event)
        | {"pseudo_confidence": event.confidence}
        for event in events
    }
    return _in_order(rows)


def answer_rows(corrections: Iterable[CaptureCorrected]) -> list[Values]:
    """Fold corrections into one row for each capture: the highest revision counts."""
    latest: dict[tuple[str, str], CaptureCorrected] = {}
    for one in corrections:
        held = latest.get((one.line, one.capture_id))
        if held is None or one.revision > held.revision:
            latest[one.line, one.capture_id] = one
    return _in_order({name: _base(one, one.serial) | _answer(one) for name, one in latest.items()})


def correction_rows(corrections: Iterable[CaptureCorrected], *, is_published: bool) -> list[Values]:
    """One row for each revision."""
    rows = {
        (one.line, one.capture_id, one.revision): {
            "line": one.line,
            "capture_id": one.capture_id,
            "revision": one.revision,
            "is_published": is_published,
            "record": _text(one.to_json().decode()),
        }
        for one in corrections
    }
    return [rows[name] for name in sorted(rows)]


def entry_of(row: Row[Any]) -> CaptureEntry:
    """Read one capture of the table ``captures``."""
    return CaptureEntry(
        line=row.line,
        product=row.product,
        capture_id=row.capture_id,
        image_uri=row.image_uri,
        captured_at=from_us(row.captured_us),
        received_at=from_us(row.received_us),
        serial=row.serial or "",
        verdict=None
        if row.verdict_weights is None
        else Finding(
            weights=row.verdict_weights,
            score=row.verdict_score,
            threshold=row.verdict_threshold,
            mask_uri=row.verdict_mask_uri,
        ),
        judged_at=None if row.judged_us is None else from_us(row.judged_us),
        pseudo_mask=None
        if row.pseudo_weights is None
        else Finding(
            weights=row.pseudo_weights,
            score=row.pseudo_score,
            threshold=row.pseudo_threshold,
            mask_uri=row.pseudo_mask_uri,
            confidence=row.pseudo_confidence,
        ),
    )


def listed_of(row: Row[Any]) -> ListedCapture:
    """Read one capture with its newest answer."""
    answer = None
    if row.answer is not None:
        answer = CaptureAnswer(
            verdict=CorrectionVerdict(row.answer),
            revision=row.revision,
            person=row.person,
            corrected_at=from_us(row.corrected_us),
            classes=tuple(row.classes.split("\n")[1:-1]) if row.classes else (),
        )
    return ListedCapture(entry=entry_of(row), answer=answer)


def _base(event: VerdictGiven | PseudoMaskCreated | CaptureCorrected, serial: str) -> Values:
    return {
        "line": event.line,
        "capture_id": event.capture_id,
        "product": event.product,
        "image_uri": _text(event.image_uri),
        "captured_us": to_us(event.captured_at),
        "received_us": to_us(event.received_at),
        "serial": _text(serial) or None,
        "state": CaptureState.OPEN.value,
        "revision": 0,
    }


def _finding(kind: str, event: VerdictGiven | PseudoMaskCreated) -> Values:
    decision = CaptureDecision.REJECT if event.score >= event.threshold else CaptureDecision.PASS
    return {
        f"{kind}_weights": event.weights,
        f"{kind}_score": event.score,
        f"{kind}_threshold": event.threshold,
        f"{kind}_mask_uri": _text(event.mask_uri),
        "score": event.score,
        "decision": decision.value,
    }


def _answer(correction: CaptureCorrected) -> Values:
    return {
        "state": STATE_OF.get(correction.verdict, CaptureState.OPEN).value,
        "answer": correction.verdict.value,
        "revision": correction.revision,
        "person": _text(correction.author),
        "corrected_us": to_us(correction.corrected_at),
        "classes": _classes(correction),
    }


def _classes(correction: CaptureCorrected) -> str | None:
    kept = [one for one in correction.objects if one.fate is not ObjectFate.DELETED]
    names = sorted({one.class_name for one in kept if one.class_name})
    return _text("\n".join(["", *names, ""])) if names else None


def _text(value: str) -> str:
    """Replace what PostgreSQL can't hold."""
    return value.replace("\0", "\ufffd")


def _in_order(rows: Mapping[Any, Values]) -> list[Values]:
    """Return rows by capture.

    Two transactions that lock rows in one order can't block each other.
    """
    return [rows[name] for name in sorted(rows)]
