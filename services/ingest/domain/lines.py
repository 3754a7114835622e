"""What a line's settings may become. Pure."""

import re
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from siad.contracts.documents import LineState
from siad.contracts.events import LineChanged
from siad.contracts.methods import require_askable

FALSE_REJECT_BUDGET: Final = 0.01  # one good part of a hundred
SHARDS: Final = 8  # spreads one line over the partitions of a small cluster; order is kept within each
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditions:
    """Conditional headers of a change request; None: not given."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, line: str, held: LineState | None) -> None:
        """Refuse a change whose precondition fails (RFC 9110, 13.1).

        Raises:
            RefusedError: precondition-failed, or invalid-etag.
        """
        etag = etag_of(held)
        if self.if_match is not None and not _matches(self.if_match, etag, is_strong=True):
            raise RequestRefusedError(
                RefusalReason.PRECONDITION_FAILED, _stale(line, f"If-Match {self.if_match}", held)
            )
        if self.if_none_match is not None and _matches(self.if_none_match, etag, is_strong=False):
            raise RequestRefusedError(
                RefusalReason.PRECONDITION_FAILED, _stale(line, f"If-None-Match {self.if_none_match}", held)
            )


def etag_of(state: LineState | None) -> str | None:
    """Entity tag of a line; None if the line does not exist."""
    return None if state is None or state.is_gone else f'"{state.settings.revision}"'


def is_fresh(if_none_match: str | None, state: LineState) -> bool:
    """Whether the copy that a reader holds is still the newest."""
    return if_none_match is not None and _matches(if_none_match, etag_of(state), is_strong=False)


def is_fulfilled(held: LineState | None, wish: LineChangeRequest) -> bool:
    """Whether the line stands as wished already."""
    if held is None or held.is_gone:
        return False
    return all(getattr(held.settings, name) == value for name, value in _said(wish).items())


def change_line(held: LineState | None, wish: LineChangeRequest, *, line: str, now: datetime) -> LineChanged:
    """Settings after a change, with the next revision.

    A line that comes back after its end begins with defaults, but keeps at least its shards, and its revisions go on.

    Args:
        held: the newest revision; None for a line never seen.
        wish: what was asked for.
        line: its name.
        now: the moment of the change.

    Raises:
        RefusedError: product-missing, shards-shrink, or invalid-line.
    """
    begin = _start(held, wish, line=line, now=now)
    wanted = _said(wish)
    if held is not None and wanted.get("shards", begin.shards) < held.settings.shards:
        detail = (
            f"line {line!r} has {held.settings.shards} shards and can't shrink to {wanted['shards']}: captures under "
            f"way would lose their order; nothing was changed. Send {held.settings.shards} to 64, or leave shards out"
        )
        raise RequestRefusedError(RefusalReason.SHARDS_SHRINK, detail)
    try:
        if wish.method:
            require_askable(wish.method)
        settings = replace(begin, **wanted)
    except ValueError as error:
        raise RequestRefusedError(
            RefusalReason.INVALID_LINE, f"settings of line {line!r} refused: {error}; nothing was changed"
        ) from error
    return settings if held is None else _next(settings, held, now)


def end_line(held: LineState, *, now: datetime) -> LineState:
    """The revision that says that a line is gone."""
    return LineState(settings=_next(held.settings, held, now), is_gone=True)


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


def _said(wish: LineChangeRequest) -> dict[str, Any]:
    return {field.name: value for field in fields(wish) if (value := getattr(wish, field.name)) is not None}


def _start(held: LineState | None, wish: LineChangeRequest, *, line: str, now: datetime) -> LineChanged:
    if held is not None and not held.is_gone:
        return held.settings
    if wish.product is None:
        detail = f"line {line!r} is new and no product was named; nothing was stored. Say what it makes now"
        raise RequestRefusedError(RefusalReason.PRODUCT_MISSING, detail)
    try:
        return LineChanged(
            line=line,
            revision=1,
            product=wish.product,
            false_reject_budget=FALSE_REJECT_BUDGET,
            shards=SHARDS if held is None else max(SHARDS, held.settings.shards),
            deadline_s=DEADLINE_S,
            changed_at=now,
        )
    except ValueError as error:
        raise RequestRefusedError(
            RefusalReason.INVALID_LINE, f"line {line!r} refused: {error}; nothing was stored"
        ) from error


def _next(settings: LineChanged, held: LineState, now: datetime) -> LineChanged:
    return replace(settings, revision=held.settings.revision + 1, changed_at=now)


def _matches(header: str, etag: str | None, *, is_strong: bool) -> bool:
    if header.strip() == "*":
        return etag is not None
    if not _ETAGS.fullmatch(header):
        detail = f'{header!r} is no list of entity tags; write them as they came in ETag, in quotes: "3"'
        raise RequestRefusedError(RefusalReason.INVALID_ETAG, detail)
    return any(tag == etag and not (weak and is_strong) for weak, tag in _ETAG.findall(header))


def _stale(line: str, condition: str, held: LineState | None) -> str:
    is_there = held is not None and not held.is_gone
    now = f"is at revision {held.settings.revision}" if held is not None and is_there else "does not exist"
    return f"line {line!r} {now}, against {condition}; nothing was changed. Read it, and decide again"
