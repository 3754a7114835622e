"""Audit log: a log line and a write-once object for each entry.

A request does not wait for the store: entries are written within a second, and again until the store takes them.
Senders without rights could fill the store with refusals, so each process stores a bounded number of them a minute; the
log has all.
"""

import secrets
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import structlog

from siad.contracts.access_keys import audit_entries_prefix, audit_entry_key
from siad.contracts.audit_log import AuditAction, AuditEntry
from siad.contracts.errors import ConflictError, MissingError, TransientError
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT, Blobs
from siad.runtime.context import StageContext

log = structlog.get_logger()

WRITE_EVERY_S: Final = 1.0
PENDING_MAX: Final = 10_000  # entries that wait for the store; the oldest go first, and stay in the log
REFUSALS_PER_MINUTE: Final = 30


class AuditLog:
    """Entries of one stage."""

    def __init__(self, store: AsyncBlobs, context: StageContext) -> None:
        self._store, self._context = store, context
        self._pending: deque[AuditEntry] = deque(maxlen=PENDING_MAX)
        self._refused_at_s: deque[float] = deque(maxlen=REFUSALS_PER_MINUTE)

    def add(self, action: AuditAction, actor: str, subject: str, *, detail: str = "", address: str = "") -> None:
        """Enter what happened; it is stored soon."""
        entry = AuditEntry(
            entry_id=secrets.token_hex(4),
            at=self._context.clock.now(),
            action=action,
            actor=actor,
            subject=subject,
            detail=detail,
            stage=self._context.stage,
            address=address,
        )
        _tell(entry)
        if not action.is_refusal or self._has_room():
            self._pending.append(entry)

    async def run(self) -> None:
        """Store entries until the stage stops, and then those that are left."""
        stop, clock = self._context.stop, self._context.clock
        while not stop.is_set():
            await clock.sleep(WRITE_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Store what waits; what the store does not take waits on."""
        while self._pending:
            entry = self._pending[0]
            try:
                await self._store.put(
                    audit_entry_key(entry.at, entry.entry_id),
                    entry.to_json(),
                    content_type="application/json",
                    condition=IF_ABSENT,
                )
            except (TransientError, MissingError) as error:
                log.warning("audit_log_waits", entries=len(self._pending), reason=str(error))
                return
            except ConflictError:
                pass  # a repeat of a put whose answer was lost
            self._pending.popleft()

    def _has_room(self) -> bool:
        now_s = self._context.clock.monotonic()
        if len(self._refused_at_s) == REFUSALS_PER_MINUTE and now_s - self._refused_at_s[0] < 60:
            return False
        self._refused_at_s.append(now_s)
        return True


def record(blobs: Blobs, action: AuditAction, actor: str, subject: str, *, now: datetime, detail: str = "") -> None:
    """Enter what a command did, at once.

    Raises:
        TransientError: the store is unavailable; what the command did stays done.
    """
    entry = AuditEntry(
        entry_id=secrets.token_hex(4), at=now, action=action, actor=actor, subject=subject, detail=detail
    )
    key = audit_entry_key(entry.at, entry.entry_id)
    blobs.put(key, entry.to_json(), content_type="application/json", condition=IF_ABSENT)


def read_days(blobs: Blobs, last: datetime, days: int) -> Iterator[AuditEntry]:
    """Yield the entries of some days, the newest first.

    Args:
        blobs: the store.
        last: a moment of the last day.
        days: how many, counted back from it.

    Raises:
        CorruptError: one can't be read.
    """
    for back in range(days):
        infos = list(blobs.list(audit_entries_prefix(last - timedelta(days=back))))
        yield from (AuditEntry.from_json(blobs.get(info.key).data) for info in reversed(infos))


def _tell(entry: AuditEntry) -> None:
    tell = log.warning if entry.action.is_refusal else log.info
    tell(
        "audit",
        action=entry.action.value,
        actor=entry.actor,
        subject=entry.subject,
        detail=entry.detail,
        address=entry.address,
    )
