"""Statements that read the projection."""

import operator
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, tuple_

from services.console.adapters.projection import deferring
from services.console.adapters.projection.rows import entry_of, listed_of, to_us
from services.console.adapters.projection.tables import CAPTURES, CORRECTIONS, POSITIONS
from services.console.domain.captures import CaptureEntry
from services.console.domain.listing import (
    SCANNED_MAX,
    CaptureFilter,
    CapturePage,
    PageCursor,
    PageOrder,
    PageRequest,
)
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict

_C: Final = CAPTURES.c


class _Comparison(NamedTuple):
    """One condition on a column."""

    column: str
    compare: Callable[[Any, Any], Any]
    value: Any

    def by_index(self) -> ColumnElement[bool]:
        """Write it so that an index answers it."""
        found: ColumnElement[bool] = self.compare(_C[self.column], self.value)
        return found

    def by_row(self) -> ColumnElement[bool]:
        """Write it so that no index answers it.

        Another index would give another order.
        """
        column = _C[self.column]
        of_row = column.concat("") if isinstance(self.value, str) else column + 0
        found: ColumnElement[bool] = self.compare(of_row, self.value)
        return found


def positions(connection: Connection, topic: str) -> dict[int, int]:
    """Offsets of the records that are applied next, by partition."""
    found = connection.execute(select(POSITIONS.c.partition, POSITIONS.c.next_offset).where(POSITIONS.c.topic == topic))
    return {row.partition: row.next_offset for row in found}


def lines(connection: Connection) -> list[str]:
    """Every line with captures, by name.

    One look into the index for each.
    """
    found: list[str] = []
    while (name := connection.execute(_next_line(found[-1] if found else "")).scalar()) is not None:
        found.append(name)
    return found


def _next_line(after: str) -> Select[Any]:
    return select(_C.line).where(_C.line > after).order_by(_C.line).limit(1)


def newest(connection: Connection, line: str, count: int) -> list[CaptureEntry]:
    """Read the newest captures of a line."""
    order = (_C.received_us.desc(), _C.capture_id.desc())
    found = connection.execute(select(CAPTURES).where(_C.line == line).order_by(*order).limit(count))
    return [entry_of(row) for row in found]


def corrections(connection: Connection) -> Iterable[tuple[CaptureCorrected, bool]]:
    """Read the newest revision of every capture and what is unpublished."""
    names = and_(CORRECTIONS.c.line == _C.line, CORRECTIONS.c.capture_id == _C.capture_id)
    found = connection.execute(
        select(CORRECTIONS.c.record, CORRECTIONS.c.is_published)
        .join(CAPTURES, names)
        .where(or_(CORRECTIONS.c.revision == _C.revision, CORRECTIONS.c.is_published.is_(False)))
    )
    return [(CaptureCorrected.from_json(record.encode()), bool(is_published)) for record, is_published in found]


def answered(connection: Connection) -> list[tuple[str, str]]:
    """Name line and id of every capture with a correction."""
    found = connection.execute(select(_C.line, _C.capture_id).where(_C.answer.is_not(None)))
    return [(line, capture_id) for line, capture_id in found]


def published(connection: Connection) -> list[tuple[str, str, int]]:
    """Name every revision that is known to be on the topic."""
    columns = (CORRECTIONS.c.line, CORRECTIONS.c.capture_id, CORRECTIONS.c.revision)
    found = connection.execute(select(*columns).where(CORRECTIONS.c.is_published.is_(True)))
    return [(line, capture_id, revision) for line, capture_id, revision in found]


def page(connection: Connection, request: PageRequest) -> CapturePage:
    """Read one page of a line's captures.

    It looks at ``SCANNED_MAX`` captures at most, in the order of the index that its filters allow.
    """
    value = _C.score if request.order is PageOrder.SCORE else _C.received_us
    key = tuple_(value, _C.capture_id)
    order = (value.desc(), _C.capture_id.desc())
    driving, others = _conditions(request.filter, request.order)
    where: list[ColumnElement[bool]] = [_C.line == request.line, *(one.by_index() for one in driving)]
    if request.order is PageOrder.SCORE:
        where.append(_C.score.is_not(None))
    if request.after is not None:
        at = request.after.value
        where.append(key < tuple_(at if request.order is PageOrder.SCORE else int(at), request.after.capture_id))
    end: tuple[Any, Any] | None = None
    if (
        others or request.filter.deferred_after is not None
    ):  # the capture at which the search ends; its key is in the index
        last = select(value, _C.capture_id).where(*where).order_by(*order).limit(1).offset(SCANNED_MAX - 1)
        found = connection.execute(last).first()
        end = None if found is None else (found[0], found[1])
    if end is not None:
        where.append(key >= tuple_(*end))
    fitting = select(CAPTURES).where(*where, *(one.by_row() for one in others)).order_by(*order)
    if request.filter.deferred_after is not None:
        fitting = fitting.where(deferring.is_deferred(request.filter.deferred_after))
    rows = connection.execute(fitting.limit(request.limit)).all()
    if len(rows) == request.limit:
        end = getattr(rows[-1], value.name), rows[-1].capture_id
    following = None if end is None else PageCursor(end[0], end[1])
    return CapturePage(captures=[listed_of(row) for row in rows], next=following)


def _conditions(wanted: CaptureFilter, order: PageOrder) -> tuple[list[_Comparison], list[_Comparison]]:
    """Split a filter into conditions of the index and of rows."""
    verdict = wanted.verdict
    if wanted.class_name is not None and verdict is None:
        verdict = CorrectionVerdict.DEFECT  # only a defect has objects
    equal = {  # the rarest kind first
        "person": wanted.person,
        "serial": wanted.serial,
        "answer": verdict,
        "state": wanted.state,
        "decision": wanted.decision,
        "product": wanted.product,
    }
    exact = [_Comparison(name, operator.eq, str(value)) for name, value in equal.items() if value is not None]
    received = _range("received_us", _us(wanted.received_from), _us(wanted.received_before), operator.lt)
    score = _range("score", wanted.score_min, wanted.score_max, operator.le)
    held = [] if wanted.class_name is None else [_Comparison("classes", _holds, f"\n{wanted.class_name}\n")]
    if order is PageOrder.SCORE:
        return score, [*exact, *received, *held]
    return [*exact[:1], *received], [*exact[1:], *score, *held]


def _range(column: str, least: float | None, most: float | None, below: Callable[[Any, Any], Any]) -> list[_Comparison]:
    found = [] if least is None else [_Comparison(column, operator.ge, least)]
    return found if most is None else [*found, _Comparison(column, below, most)]


def _holds(column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    return column.contains(value, autoescape=True)


def _us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)
