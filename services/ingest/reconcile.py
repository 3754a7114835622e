"""Reconcilers of ingest: announcing lines, and expiring objects past retention.

A line's pointer may have moved without its event, because something died or was away between the two.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from services.ingest.handlers import announce
from services.ingest.ports import EventPublisher, LineStore
from siad.contracts.documents import LineState
from siad.contracts.errors import CorruptError, MissingError, TransientError
from siad.contracts.events import LineChanged
from siad.erasure import expiry_plan as retention
from siad.erasure.expiry_plan import AdvanceExpiry, ExpireObjects, LineInventory, RetentionPolicy
from siad.erasure.expiry_store import InventoryStore
from siad.runtime.clock import Clock
from siad.runtime.state_table import StateTable

log = structlog.get_logger()

UNIT: Final = "ingest/"
RETENTION: Final = "ingest-retention/"


@dataclass(frozen=True, slots=True)
class LineStanding:
    """How one line stands, and what was said of it."""

    state: LineState | None  # by its pointer
    told: int | None  # the revision in the state topic; None: nothing, or a tombstone
    is_checked: bool  # this process has announced it once


@dataclass(frozen=True, slots=True)
class AnnounceLine:
    """Tell the other stages how the line stands."""

    state: LineState


def plan(standing: LineStanding) -> list[AnnounceLine]:
    """Announce every line after the start, later only unannounced ones.

    The first round does not trust the topic: two announcements may have crossed, and the older have come last.
    """
    if standing.state is None:  # deleted by hand, or unreadable
        return []
    revision = standing.state.settings.revision
    if standing.state.is_gone:
        is_told = standing.told is None or standing.told > revision
    else:
        is_told = standing.told is not None and standing.told >= revision
    return [] if is_told and standing.is_checked else [AnnounceLine(standing.state)]


class LineReconciler:
    """The unit of work is a line."""

    def __init__(self, lines: LineStore, table: StateTable[LineChanged], news: EventPublisher) -> None:
        self._lines, self._table, self._news = lines, table, news
        self._checked: set[str] = set()
        self._missing: set[str] | None = None  # lines of the first round; None before it

    async def names(self) -> Sequence[str]:
        """Every line ever seen; none before the topic was read."""
        await self._table.check()
        lines = await self._lines.names()
        if self._missing is None:
            self._missing = set(lines)
        return [UNIT + line for line in lines]

    async def observe(self, name: str, /) -> LineStanding:
        """Pointer against topic."""
        line = name.removeprefix(UNIT)
        told = self._table.lookup(line)
        try:
            held = await self._lines.read(line)
        except CorruptError as error:  # a record was edited by hand; the other lines continue
            log.error("line_unreadable", line=line, reason=str(error))
            held = None
        if held is None and self._missing is not None:
            self._missing.discard(line)
        return LineStanding(
            state=held.state if held else None,
            told=told.revision if told else None,
            is_checked=line in self._checked,
        )

    def plan(self, state: LineStanding, now: datetime, /) -> Sequence[AnnounceLine]:  # noqa: ARG002 - nothing is due by time
        """See ``plan``."""
        return plan(state)

    async def act(self, name: str, action: AnnounceLine, /) -> None:
        """Announce."""
        await announce(action.state, lines=self._lines, news=self._news)
        line = name.removeprefix(UNIT)
        self._checked.add(line)
        if self._missing is not None:
            self._missing.discard(line)

    async def check(self) -> None:
        """For the ready probe: raise TransientError until every line was announced once."""
        if self._missing is None:
            msg = "the lines in the store were not yet listed"
            raise TransientError(msg)
        if self._missing:
            msg = f"{len(self._missing)} lines are not announced yet"
            raise TransientError(msg)


class NoLeases:
    """No lease: two replicas announcing one line do no harm."""

    def acquire(self, name: str, ttl_s: float, /) -> str:  # noqa: ARG002 - the port's
        """Always."""
        return name

    def renew(self, lease: str, /) -> str:
        """Always."""
        return lease

    def release(self, lease: str, /) -> None:
        """Nothing to give back."""


class RetentionReconciler:
    """Reconciler of expiry; one line is one unit, under a lease.

    A unit takes long, and one replica does it for all.
    """

    def __init__(
        self,
        lines: LineStore,
        stock: InventoryStore,
        *,
        policy: RetentionPolicy,
        nudge: asyncio.Event,
        clock: Clock,
    ) -> None:
        self._lines, self._stock, self._policy = lines, stock, policy
        self._nudge, self._clock = nudge, clock

    async def names(self) -> Sequence[str]:
        """Every line ever seen."""
        return [RETENTION + line for line in await self._lines.names()]

    async def observe(self, name: str, /) -> LineInventory:
        """What has had its time.

        Raises:
            TransientError: the store is away, or holds what can't be read; other lines go on.
        """
        try:
            return await self._stock.read(name.removeprefix(RETENTION), self._clock.now())
        except (CorruptError, MissingError, ValueError, KeyError) as error:
            msg = f"nothing of {name} expires until its records are mended: {error!r}"
            raise TransientError(msg) from error

    def plan(self, state: LineInventory, now: datetime, /) -> Sequence[AdvanceExpiry | ExpireObjects]:  # noqa: ARG002 - the stock is as of now
        """See ``domain.retention.plan``."""
        return retention.plan(state, objects_max=self._policy.objects_max)

    async def act(self, name: str, action: AdvanceExpiry | ExpireObjects, /) -> None:
        """Do it; a repeat deletes what is gone."""
        line = name.removeprefix(RETENTION)
        if isinstance(action, AdvanceExpiry):
            await self._stock.advance(line, action)
            return
        await self._stock.expire(line, action)
        if not action.is_all:
            self._nudge.set()
