"""Pages of captures, by filters. Pure.

Pages are cut by keys, not by counts, so that a page costs the same at any depth and captures that arrive meanwhile move
nothing. A page is bounded twice: by the captures it shows, and by those it looks at, so that a filter that few
captures fit takes no longer. Such a page may show fewer captures, even none, and the next one goes on behind it.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.console.domain.captures import CaptureEntry
from services.console.domain.deferrals import Deferral
from siad.contracts.corrections import CorrectionVerdict

LIMIT_MAX: Final = 200  # captures of one page
SCANNED_MAX: Final = 10_000  # captures that one page looks at


class CaptureState(StrEnum):
    """What people did about a capture."""

    OPEN = "open"
    ANSWERED = "answered"
    SKIPPED = "skipped"  # called unsure


class CaptureDecision(StrEnum):
    """What the line decided, at the threshold of then."""

    PASS = "pass"  # noqa: S105 - no password
    REJECT = "reject"


class PageOrder(StrEnum):
    """Order of the captures of a page."""

    NEWEST = "newest"  # by the time of receipt
    SCORE = "score"  # highest first; captures without a score are left out


STATE_OF: Final = {
    CorrectionVerdict.GOOD: CaptureState.ANSWERED,
    CorrectionVerdict.DEFECT: CaptureState.ANSWERED,
    CorrectionVerdict.UNSURE: CaptureState.SKIPPED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureAnswer:
    """The newest correction of a capture, as far as lists show it."""

    verdict: CorrectionVerdict
    revision: int
    person: str
    corrected_at: datetime
    classes: tuple[str, ...] = ()  # of the objects in its mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCapture:
    """One row of a list."""

    entry: CaptureEntry
    answer: CaptureAnswer | None = None
    deferrals: tuple[Deferral, ...] = ()  # running ones, the newest first; none of a capture with an answer

    @property
    def state(self) -> CaptureState:
        """What people did about it."""
        return CaptureState.OPEN if self.answer is None else STATE_OF[self.answer.verdict]


class CursorError(ValueError):
    """A cursor that this version did not give."""


@dataclass(frozen=True, slots=True)
class PageCursor:
    """The capture behind which the next page begins."""

    value: float  # of the order: microseconds since 1970, or the score
    capture_id: str

    def to_text(self, order: PageOrder) -> str:
        """Write the cursor for an address."""
        value = self.value if order is PageOrder.SCORE else int(self.value)
        return base64.urlsafe_b64encode(f"{order.value} {value!r} {self.capture_id}".encode()).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str, order: PageOrder) -> "PageCursor":
        """Read a cursor.

        Raises:
            CursorError: the text is no cursor, or that of another order.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            kind, value, capture_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split(" ")
            number = float(value) if kind == PageOrder.SCORE else int(value)
        except (ValueError, binascii.Error) as error:
            msg = (
                f"after={text!r} is no cursor; nothing was read. Send the value of next of the page before, or nothing"
            )
            raise CursorError(msg) from error
        if kind != order.value or number != number or len(capture_id) != 32 or abs(number) > 2**62:  # noqa: PLR0124 - NaN
            msg = (
                f"after={text!r} belongs to a list in the order {kind!r}, not {order.value!r}; nothing was read. "
                "Begin without after"
            )
            raise CursorError(msg)
        return cls(number, capture_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureFilter:
    """Which captures of a line a list shows; None: all."""

    product: str | None = None
    received_from: datetime | None = None
    received_before: datetime | None = None
    serial: str | None = None
    decision: CaptureDecision | None = None
    verdict: CorrectionVerdict | None = None  # of the newest correction
    score_min: float | None = None
    score_max: float | None = None
    class_name: str | None = None
    state: CaptureState | None = None
    person: str | None = None
    deferred_after: datetime | None = None  # only captures that a person put off after this moment


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """One page of a line's captures."""

    line: str
    filter: CaptureFilter = field(default_factory=CaptureFilter)
    order: PageOrder = PageOrder.NEWEST
    limit: int = 50
    after: PageCursor | None = None  # None: the first page


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePage:
    """Captures of one page, and where the next one begins."""

    captures: Sequence[ListedCapture]
    next: PageCursor | None  # None: this is the last page
