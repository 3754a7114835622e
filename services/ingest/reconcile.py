"""Reconcilers of ingest: announce lines, and expire objects by age."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from services.ingest.domain.announcements import AnnounceLine, LineAnnouncement, plan
from services.ingest.handlers import announce
from services.ingest.ports import EventPublisher, ExpiryInventory, LineStore
from siad.contracts.errors import CorruptError, MissingError, TransientError
from siad.contracts.events import LineChanged
from siad.erasure import expiry_plan
from siad.erasure.expiry_plan import AdvanceExpiry, ExpireObjects, LineInventory, RetentionPolicy
from siad.runtime.clock import Clock
from siad.runtime.state_table import StateTable

log = structlog.get_logger()

UNIT: Final = "ingest/"
RETENTION: Final = "ingest-retention/"


class LineReconciler:
    """Announces lines; one line is one unit."""

    def __init__(self, lines: LineStore, table: StateTable[LineChanged], publisher: EventPublisher) -> None:
        self._lines, self._table, self._publisher = lines, table, publisher
        self._checked: set[str] = set()
        self._outstanding: set[str] | None = None  # lines of the first round; None before it

    async def names(self) -> Sequence[str]:
        """List every line.

        Raises:
            TransientError: the state topic is not read yet.
        """
        await self._table.check()
        lines = await self._lines.names()
        if self._outstanding is None:
            self._outstanding = set(lines)
        return [UNIT + line for line in lines]

    async def observe(self, name: str, /) -> LineAnnouncement:
        """Read a line from the store and from the state topic."""
        line = name.removeprefix(UNIT)
        announced = self._table.lookup(line)
        try:
            stored = await self._lines.read(line)
        except CorruptError as error:  # edited by hand; the other lines continue
            log.error("line_unreadable", line=line, reason=str(error))
            stored = None
        if stored is None and self._outstanding is not None:
            self._outstanding.discard(line)
        return LineAnnouncement(
            state=stored.state if stored else None,
            announced=announced.revision if announced else None,
            is_checked=line in self._checked,
        )

    def plan(self, state: LineAnnouncement, now: datetime, /) -> Sequence[AnnounceLine]:  # noqa: ARG002 - nothing is due by time
        """Plan the announcement of a line."""
        return plan(state)

    async def act(self, name: str, action: AnnounceLine, /) -> None:
        """Announce a line."""
        await announce(action.state, lines=self._lines, publisher=self._publisher)
        line = name.removeprefix(UNIT)
        self._checked.add(line)
        if self._outstanding is not None:
            self._outstanding.discard(line)

    async def check(self) -> None:
        """Readiness: raise TransientError until every line was announced once."""
        if self._outstanding is None:
            msg = "the lines in the store are not listed yet"
            raise TransientError(msg)
        if self._outstanding:
            msg = f"{len(self._outstanding)} lines are not announced yet"
            raise TransientError(msg)


class NoLeases:
    """Grants every lease: two replicas announcing one line do no harm."""

    def acquire(self, name: str, ttl_s: float, /) -> str:  # noqa: ARG002 - the port's
        """Grant the lease."""
        return name

    def renew(self, lease: str, /) -> str:
        """Renew the lease."""
        return lease

    def release(self, lease: str, /) -> None:
        """Do nothing."""


class RetentionReconciler:
    """Expires objects; one line is one unit, under a lease.

    A unit takes long, and one replica does it for all.
    """

    def __init__(
        self,
        lines: LineStore,
        inventory: ExpiryInventory,
        *,
        policy: RetentionPolicy,
        nudge: asyncio.Event,
        clock: Clock,
    ) -> None:
        self._lines, self._inventory, self._policy = lines, inventory, policy
        self._nudge, self._clock = nudge, clock

    async def names(self) -> Sequence[str]:
        """List every line."""
        return [RETENTION + line for line in await self._lines.names()]

    async def observe(self, name: str, /) -> LineInventory:
        """List the expired objects of a line.

        Raises:
            TransientError: the store is unavailable, or has an unreadable record; other lines continue.
        """
        try:
            return await self._inventory.read(name.removeprefix(RETENTION), self._clock.now())
        except (CorruptError, MissingError, ValueError, KeyError) as error:
            msg = f"no object of {name} expires until its unreadable record is repaired or removed: {error!r}"
            raise TransientError(msg) from error

    def plan(self, state: LineInventory, now: datetime, /) -> Sequence[AdvanceExpiry | ExpireObjects]:  # noqa: ARG002 - the inventory is as of now
        """Plan the expiry of a line."""
        return expiry_plan.plan(state, objects_max=self._policy.objects_max)

    async def act(self, name: str, action: AdvanceExpiry | ExpireObjects, /) -> None:
        """Advance the mark, or delete objects; a repeat is harmless."""
        line = name.removeprefix(RETENTION)
        if isinstance(action, AdvanceExpiry):
            await self._inventory.advance(line, action)
            return
        await self._inventory.expire(line, action)
        if not action.is_all:
            self._nudge.set()
