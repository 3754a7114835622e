"""Changes of a line's settings. Pure."""

import re
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from siad.contracts.documents import LineState
from siad.contracts.events import LineChanged
from siad.contracts.fit_settings import DEFAULT_BUDGET
from siad.contracts.methods import require_askable, require_segmenter

FALSE_REJECT_BUDGET: Final = DEFAULT_BUDGET
SHARDS: Final = 8  # spread a line over the partitions of a small cluster; order is kept within a shard
DEADLINE_S: Final = 0.0  # none
_ETAGS = re.compile(r'\s*(?:W/)?"[^"]*"\s*(?:,\s*(?:W/)?"[^"]*"\s*)*')
_ETAG = re.compile(r'(W/)?("[^"]*")')


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChangeRequest:
    """Requested settings of a line.

    None keeps the present value; a new line takes the default.
    """

    product: str | None = None
    false_reject_budget: float | None = None
    shards: int | None = None
    deadline_s: float | None = None
    method: str | None = None
    region: tuple[float, ...] | None = None
    input_px: int | None = None
    bits: int | None = None
    sizes: str | None = None
    budget_tightens: bool | None = None  # not given with a budget: no
    learning: str | None = None
    miss_cost: float | None = None
    segmenter: str | None = None
    classes: tuple[str, ...] | None = None
    labelled_share: float | None = None
    rollout: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditions:
    """Conditional headers of a change request; None: not given."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, line: str, current: LineState | None) -> None:
        """Refuse a change whose precondition fails (RFC 9110, 13.1).

        Raises:
            RequestRefusedError: precondition-failed, or invalid-etag.
        """
        etag = etag_of(current)
        if self.if_match is not None and not _matches(self.if_match, etag, is_strong=True):
            raise RequestRefusedError(
                RefusalReason.PRECONDITION_FAILED, _stale(line, f"If-Match {self.if_match}", current)
            )
        if self.if_none_match is not None and _matches(self.if_none_match, etag, is_strong=False):
            raise RequestRefusedError(
                RefusalReason.PRECONDITION_FAILED, _stale(line, f"If-None-Match {self.if_none_match}", current)
            )


def etag_of(state: LineState | None) -> str | None:
    """Entity tag of a line; None if the line does not exist."""
    return None if state is None or state.is_gone else f'"{state.settings.revision}"'


def is_fresh(if_none_match: str | None, state: LineState) -> bool:
    """Whether a reader's copy is the newest revision."""
    return if_none_match is not None and _matches(if_none_match, etag_of(state), is_strong=False)


def is_fulfilled(current: LineState | None, request: LineChangeRequest) -> bool:
    """Whether the settings are already as requested."""
    if current is None or current.is_gone:
        return False
    return all(getattr(current.settings, name) == value for name, value in _given(request).items())


def change_line(current: LineState | None, request: LineChangeRequest, *, line: str, now: datetime) -> LineChanged:
    """Compute the settings after a change, with the next revision.

    A line that is registered again after its end starts with defaults, but keeps at least its shards and continues its
    revisions.

    Args:
        current: the newest revision; None for a new line.
        request: the new settings.
        line: name of the line.
        now: time of the change.

    Raises:
        RequestRefusedError: product-missing, shards-shrink, or invalid-line.
    """
    start = _start(current, request, line=line, now=now)
    given = _given(request)
    if current is not None and given.get("shards", start.shards) < current.settings.shards:
        detail = (
            f"line {line!r} has {current.settings.shards} shards and can't shrink to {given['shards']}: captures in "
            f"flight would lose their order; nothing was changed. Send {current.settings.shards} to 64, or omit shards"
        )
        raise RequestRefusedError(RefusalReason.SHARDS_SHRINK, detail)
    try:
        if request.method:
            require_askable(request.method)
        if request.segmenter:
            require_segmenter(request.segmenter)
        settings = replace(start, **given)
    except ValueError as error:
        raise RequestRefusedError(
            RefusalReason.INVALID_LINE, f"settings of line {line!r} refused: {error}; nothing was changed"
        ) from error
    return settings if current is None else _next(settings, current, now)


def end_line(current: LineState, *, now: datetime) -> LineState:
    """Build the revision that ends a line."""
    return LineState(settings=_next(current.settings, current, now), is_gone=True)


def missing_after_s(settings: LineChanged | None, *, default_s: float, grace_s: float) -> float:
    """Seconds after which a capture without a verdict is missing.

    Args:
        settings: of its line; None where they are not known.
        default_s: for lines without a deadline.
        grace_s: added to a deadline, since the ledger reads a verdict later than the line does.
    """
    if settings is None or not settings.deadline_s:
        return default_s
    return settings.deadline_s + grace_s


def _given(request: LineChangeRequest) -> dict[str, Any]:
    given = {field.name: value for field in fields(request) if (value := getattr(request, field.name)) is not None}
    if "false_reject_budget" in given:
        given.setdefault("budget_tightens", False)  # a stated budget is kept as it is
    return given


def _start(current: LineState | None, request: LineChangeRequest, *, line: str, now: datetime) -> LineChanged:
    if current is not None and not current.is_gone:
        return current.settings
    if request.product is None:
        detail = f"line {line!r} is new and no product was given; nothing was stored. Send the product that it makes"
        raise RequestRefusedError(RefusalReason.PRODUCT_MISSING, detail)
    try:
        return LineChanged(
            line=line,
            revision=1,
            product=request.product,
            false_reject_budget=FALSE_REJECT_BUDGET,
            shards=SHARDS if current is None else max(SHARDS, current.settings.shards),
            deadline_s=DEADLINE_S,
            changed_at=now,
            budget_tightens=True,
        )
    except ValueError as error:
        raise RequestRefusedError(
            RefusalReason.INVALID_LINE, f"line {line!r} refused: {error}; nothing was stored"
        ) from error


def _next(settings: LineChanged, current: LineState, now: datetime) -> LineChanged:
    return replace(settings, revision=current.settings.revision + 1, changed_at=now)


def _matches(header: str, etag: str | None, *, is_strong: bool) -> bool:
    if header.strip() == "*":
        return etag is not None
    if not _ETAGS.fullmatch(header):
        detail = f'{header!r} is not a list of entity tags; send the value of ETag, in quotes: "3"'
        raise RequestRefusedError(RefusalReason.INVALID_ETAG, detail)
    return any(tag == etag and not (weak and is_strong) for weak, tag in _ETAG.findall(header))


def _stale(line: str, condition: str, current: LineState | None) -> str:
    is_there = current is not None and not current.is_gone
    now = f"is at revision {current.settings.revision}" if current is not None and is_there else "does not exist"
    return f"line {line!r} {now}, but the request has {condition}; nothing was changed. Read the line and decide again"
