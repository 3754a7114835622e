"""Corrections by people: what is requested, refused and repeated. Pure."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.console.domain.captures import CaptureEntry
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection
from siad.contracts.errors import CorruptError
from siad.contracts.events import ImageStored
from siad.contracts.json_codec import JsonRecord
from siad.contracts.marked_objects import OBJECTS_MAX, MarkedObject, require_effort

_ETAG: Final = re.compile(r'\s*"(\d{1,15})"\s*')
NONE_YET: Final = 0  # revision of a capture without a correction


class RefusalReason(StrEnum):
    """Every kind of refusal; programs branch on it."""

    UNKNOWN_CAPTURE = "unknown-capture"
    FORGOTTEN = "forgotten"
    IMAGE_EXPIRED = "image-expired"
    CAPTURE_IS_NORMAL = "capture-is-normal"
    IN_QUARANTINE = "in-quarantine"
    PRECONDITION_FAILED = "precondition-failed"
    INVALID_ETAG = "invalid-etag"
    INVALID_AUTHOR = "invalid-author"
    INVALID_WORK = "invalid-work"
    MASK_WITHOUT_DEFECT = "mask-without-defect"
    MASK_UNREADABLE = "mask-unreadable"
    MASK_TOO_LARGE = "mask-too-large"
    MASK_SIZE_DIFFERS = "mask-size-differs"
    MASK_EMPTY = "mask-empty"


class CorrectionRefusedError(Exception):
    """A correction refused for good; nothing was stored.

    The message says what is wrong with the value, what was done about it and what to change.
    """

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionWork(JsonRecord):
    """What a person did: with each mark, and how much it took."""

    objects: tuple[MarkedObject, ...] = ()  # empty: not told
    active_s: float = 0.0  # without the time when the page was hidden or idle
    keys: int = 0
    presses: int = 0  # of the pointer

    def __post_init__(self) -> None:
        """Refuse an effort out of range."""
        require_effort(self.active_s, self.keys, self.presses)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionRequest:
    """What a person says about a capture."""

    line: str
    capture_id: str
    verdict: CorrectionVerdict
    author: str
    mask: bytes = b""  # PNG, as sent; empty: none
    selection: Selection | None = None  # None: as the console showed the capture, else CHOSEN
    if_match: str | None = None  # header of the request
    work: CorrectionWork = field(default_factory=CorrectionWork)


@dataclass(frozen=True, slots=True)
class StoredMask:
    """Address and digest of a mask; both empty where there is none."""

    uri: str = ""
    sha256: str = ""


def check_if_match(capture_id: str, if_match: str | None, revision: int) -> None:
    """Refuse a correction of another revision than the present one.

    Raises:
        CorrectionRefusedError: precondition-failed, which names both revisions, or invalid-etag.
    """
    if if_match is None or (if_match.strip() == "*" and revision):
        return
    match = _ETAG.fullmatch(if_match)
    if match is None and if_match.strip() != "*":
        detail = f'If-Match {if_match!r} is no revision; nothing was stored. Send the value of ETag, in quotes: "2"'
        raise CorrectionRefusedError(RefusalReason.INVALID_ETAG, detail)
    if match is None or int(match[1]) != revision:
        asked = "a correction that exists" if match is None else f"revision {match[1]}"
        now = f"is at revision {revision}" if revision else "has no correction yet (revision 0)"
        detail = (
            f"the request is for {asked} of capture {capture_id}, which {now}; nothing was stored. Read the present "
            "one and decide again"
        )
        raise CorrectionRefusedError(RefusalReason.PRECONDITION_FAILED, detail)


def parse_work(text: str) -> CorrectionWork:
    """Read what a person did; of empty text nothing.

    Raises:
        CorrectionRefusedError: it is no such JSON object, or lists too many marks.
    """
    try:
        work = CorrectionWork.from_json((text or "{}").encode())
    except CorruptError as error:
        detail = f"work refused: {error}; nothing was stored. Send it as the page does, or leave it out"
        raise CorrectionRefusedError(RefusalReason.INVALID_WORK, detail) from error
    if len(work.objects) > OBJECTS_MAX:
        detail = f"work lists {len(work.objects)} marks, at most {OBJECTS_MAX} are kept; nothing was stored. Send the "
        raise CorrectionRefusedError(RefusalReason.INVALID_WORK, f"{detail}largest ones")
    return work


def require_author(author: str) -> str:
    """Return the author without blanks around it.

    Raises:
        CorrectionRefusedError: nothing is left, or it has control characters.
    """
    author = author.strip()
    if not author or not author.isprintable():
        detail = f"author {author!r} is no name; nothing was stored. Send the name of the person, without line breaks"
        raise CorrectionRefusedError(RefusalReason.INVALID_AUTHOR, detail)
    return author


def is_repeat(held: CaptureCorrected, request: CorrectionRequest, *, mask_sha256: str) -> bool:
    """Whether the newest correction already says what is requested."""
    said = (held.verdict, held.mask_sha256, held.author, held.objects)
    return said == (request.verdict, mask_sha256, request.author, request.work.objects)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionContext:
    """What is known of the capture when it is corrected."""

    receipt: ImageStored
    held: CaptureCorrected | None  # the newest correction so far
    entry: CaptureEntry | None  # as it can be shown
    shown: Selection | None  # why the console showed it last; None: it did not


def make_correction(
    request: CorrectionRequest, mask: StoredMask, context: CorrectionContext, now: datetime
) -> CaptureCorrected:
    """Build the next revision of a capture's correction."""
    receipt, held = context.receipt, context.held
    finding = context.entry.finding if context.entry is not None else None
    selection = request.selection or (held.selection if held is not None else context.shown) or Selection.CHOSEN
    return CaptureCorrected(
        capture_id=receipt.capture_id,
        image_id=receipt.image_id,
        image_uri=receipt.image_uri,
        line=receipt.line,
        product=receipt.product,
        serial=receipt.serial,
        captured_at=receipt.captured_at,
        received_at=receipt.received_at,
        revision=(NONE_YET if held is None else held.revision) + 1,
        verdict=request.verdict,
        mask_uri=mask.uri,
        mask_sha256=mask.sha256,
        weights="" if finding is None else finding.weights,
        score=0.0 if finding is None else finding.score,
        threshold=0.0 if finding is None else finding.threshold,
        author=request.author,
        corrected_at=now,
        selection=selection,
        objects=request.work.objects,
        active_s=request.work.active_s,
        keys=request.work.keys,
        presses=request.work.presses,
    )
