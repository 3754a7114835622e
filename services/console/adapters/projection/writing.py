"""Statements that bring the projection up to date.

The offset up to which a partition was applied moves in the transaction that applies it, and its row is locked
meanwhile. So each record is applied once and in order, also by two consoles on one database.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Insert, and_, case, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from services.console.adapters.projection.rows import (
    Values,
    answer_rows,
    correction_rows,
    pseudo_mask_rows,
    to_us,
    verdict_rows,
)
from services.console.adapters.projection.tables import CAPTURES, CORRECTIONS, DEFERRALS, LEASES, POSITIONS
from services.console.ports import TopicBatch
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.deletion import DeletionIndex
from siad.contracts.events import PseudoMaskCreated, VerdictGiven

_C: Final = CAPTURES.c
CHUNK: Final = 400  # captures named in one statement
_VERDICT: Final = ("verdict_weights", "verdict_score", "verdict_threshold", "verdict_mask_uri", "score", "decision")
_ANSWER: Final = ("state", "answer", "revision", "person", "corrected_us", "classes")
_PSEUDO: Final = ("pseudo_weights", "pseudo_score", "pseudo_threshold", "pseudo_mask_uri", "pseudo_confidence")


def apply(connection: Connection, batch: TopicBatch) -> None:
    """Apply the records of a topic that were not applied before."""
    held = _lock(connection, batch)
    fresh = [one for one in batch.records if one.offset >= held[one.partition]]
    if not fresh:
        return
    events = [one.event for one in fresh]
    put_verdicts(connection, [event for event in events if isinstance(event, VerdictGiven)])
    put_pseudo_masks(connection, [event for event in events if isinstance(event, PseudoMaskCreated)])
    put_corrections(connection, [event for event in events if isinstance(event, CaptureCorrected)], is_published=True)
    move(connection, batch.topic, {one.partition: one.offset + 1 for one in fresh})


def move(connection: Connection, topic: str, positions: Mapping[int, int]) -> None:
    """Set the offsets of the records that are applied next."""
    for partition, offset in sorted(positions.items()):
        where = (POSITIONS.c.topic == topic, POSITIONS.c.partition == partition)
        connection.execute(update(POSITIONS).where(*where).values(next_offset=offset))


def _lock(connection: Connection, batch: TopicBatch) -> dict[int, int]:
    """Lock the positions of a batch's partitions, and return them."""
    partitions = sorted({one.partition for one in batch.records})
    if not partitions:
        return {}
    rows = [{"topic": batch.topic, "partition": partition, "next_offset": 0} for partition in partitions]
    connection.execute(insert_into(connection)(POSITIONS).on_conflict_do_nothing(), rows)
    found = connection.execute(
        select(POSITIONS.c.partition, POSITIONS.c.next_offset)
        .where(POSITIONS.c.topic == batch.topic, POSITIONS.c.partition.in_(partitions))
        .order_by(POSITIONS.c.partition)
        .with_for_update()
    )
    return {row.partition: row.next_offset for row in found}


def put_verdicts(connection: Connection, events: Iterable[VerdictGiven]) -> None:
    """Enter verdicts; an earlier one that arrives late is ignored."""
    insert = insert_into(connection)(CAPTURES)
    new = insert.excluded
    found = {name: func.coalesce(new[name], _C[name]) for name in _VERDICT}
    statement = insert.on_conflict_do_update(
        index_elements=[_C.line, _C.capture_id],
        set_={"judged_us": new.judged_us, "serial": func.coalesce(new.serial, _C.serial), **found},
        where=or_(_C.judged_us.is_(None), new.judged_us >= _C.judged_us),
    )
    _execute(connection, statement, verdict_rows(events))


def put_pseudo_masks(connection: Connection, events: Iterable[PseudoMaskCreated]) -> None:
    """Enter pseudo-masks; the last one that was drawn counts."""
    insert = insert_into(connection)(CAPTURES)
    new = insert.excluded
    shown: dict[str, ColumnElement[Any]] = {
        name: case((_C.verdict_weights.is_(None), new[name]), else_=_C[name]) for name in ("score", "decision")
    }
    statement = insert.on_conflict_do_update(
        index_elements=[_C.line, _C.capture_id], set_={name: new[name] for name in _PSEUDO} | shown
    )
    _execute(connection, statement, pseudo_mask_rows(events))


def put_corrections(connection: Connection, corrections: Sequence[CaptureCorrected], *, is_published: bool) -> None:
    """Enter revisions of corrections, published or only stored."""
    insert = insert_into(connection)(CORRECTIONS)
    published = or_(CORRECTIONS.c.is_published, insert.excluded.is_published)
    statement = insert.on_conflict_do_update(
        index_elements=list(CORRECTIONS.primary_key.columns), set_={"is_published": published}
    )
    _execute(connection, statement, correction_rows(corrections, is_published=is_published))
    insert = insert_into(connection)(CAPTURES)
    new = insert.excluded
    answers = insert.on_conflict_do_update(
        index_elements=[_C.line, _C.capture_id],
        set_={name: new[name] for name in _ANSWER} | {"serial": func.coalesce(_C.serial, new.serial)},
        where=new.revision >= _C.revision,
    )
    _execute(connection, answers, answer_rows(corrections))


def withdraw(connection: Connection, captures: Sequence[tuple[str, str]]) -> None:
    """Remove the corrections of captures, which are open again."""
    for chunk in _chunks(sorted(captures)):
        names = tuple_(CORRECTIONS.c.line, CORRECTIONS.c.capture_id)
        connection.execute(delete(CORRECTIONS).where(names.in_(chunk)))
        empty: Values = dict.fromkeys(_ANSWER) | {"state": "open", "revision": 0}
        connection.execute(update(CAPTURES).where(tuple_(_C.line, _C.capture_id).in_(chunk)).values(empty))


def drop(connection: Connection, line: str, index: DeletionIndex) -> int:
    """Remove what was erased of a line; return how many captures."""
    count = 0
    for chunk in _chunks(sorted(index.captures)):
        for table in (LEASES, DEFERRALS, CORRECTIONS, CAPTURES):
            found = connection.execute(delete(table).where(table.c.line == line, table.c.capture_id.in_(chunk)))
        count += found.rowcount
    if index.before_at is not None:
        is_old = and_(_C.line == line, _C.received_us <= to_us(index.before_at))
        erased = select(_C.capture_id).where(is_old)
        where = (CORRECTIONS.c.line == line, CORRECTIONS.c.capture_id.in_(erased))
        connection.execute(delete(CORRECTIONS).where(*where))
        count += connection.execute(delete(CAPTURES).where(is_old)).rowcount
        kept = select(_C.capture_id).where(_C.line == line)
        connection.execute(delete(DEFERRALS).where(DEFERRALS.c.line == line, DEFERRALS.c.capture_id.not_in(kept)))
    return count


def expire(connection: Connection, line: str, before_us: int) -> int:
    """Remove captures without an answer that were received before a moment."""
    is_old = and_(_C.line == line, _C.received_us < before_us, _C.revision == 0)
    return connection.execute(delete(CAPTURES).where(is_old)).rowcount


def _execute(connection: Connection, statement: Insert, rows: Sequence[Values]) -> None:
    if rows:
        connection.execute(statement, rows)


def insert_into(connection: Connection) -> Callable[..., Any]:
    """Return the database's own INSERT: both have upserts, the standard has none."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def _chunks(names: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (names[start : start + CHUNK] for start in range(0, len(names), CHUNK))
