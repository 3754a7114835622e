"""The port ``Projection`` on a database."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time

from services.console.adapters.projection import deferring, leasing, reading, writing
from services.console.adapters.projection.database import Database
from services.console.adapters.projection.rows import to_us
from services.console.domain.book import CorrectionBook, CorrectionId
from services.console.domain.captures import CaptureWindow
from services.console.domain.deferrals import Deferral
from services.console.domain.leases import LeaseHolder
from services.console.domain.listing import CapturePage, PageRequest
from services.console.ports import TopicBatch
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.deletion import DeletionIndex


class SqlProjection:
    """Captures and corrections in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def is_lasting(self) -> bool:
        """Whether it outlives the process, so that topics are not read again."""
        return not self._database.is_in_memory

    async def load(self, window: CaptureWindow, book: CorrectionBook) -> None:
        """Fill what the process holds in memory."""
        for line in await self._database.read(reading.lines):
            for entry in await self._database.read(reading.newest, line, window.captures_max):
                window.restore(entry)
        book.restore(CorrectionId(*name) for name in await self._database.read(reading.published))
        for correction, is_published in await self._database.read(reading.corrections):
            book.add(correction, is_published=is_published)

    async def positions(self, topic: str) -> Mapping[int, int]:
        """Read the offsets that come next, by partition."""
        return await self._database.read(reading.positions, topic)

    async def rewind(self, topic: str, positions: Mapping[int, int]) -> None:
        """Set back the offsets of a topic that was created again."""
        await self._database.write(writing.move, topic, positions)

    async def apply(self, batch: TopicBatch) -> None:
        """Apply records in order; repeated ones change nothing."""
        await self._database.write(writing.apply, batch)

    async def add_corrections(self, corrections: Sequence[CaptureCorrected], *, is_published: bool) -> None:
        """Enter corrections; a repeat changes nothing."""
        await self._database.write(writing.put_corrections, corrections, is_published=is_published)

    async def answered(self) -> Sequence[tuple[str, str]]:
        """Name line and id of every capture with a correction."""
        return await self._database.read(reading.answered)

    async def withdraw(self, captures: Sequence[tuple[str, str]]) -> None:
        """Remove the corrections of captures, which are open again."""
        await self._database.write(writing.withdraw, captures)

    async def page(self, request: PageRequest) -> CapturePage:
        """Read one page of a line's captures."""
        return await self._database.read(reading.page, request)

    async def lines(self) -> Sequence[str]:
        """Name every line with captures."""
        return await self._database.read(reading.lines)

    async def leased(self, holder: LeaseHolder) -> Collection[str]:
        """Name the captures of a line that other pages show."""
        return await self._database.read(leasing.leased, holder)

    async def lease(self, holder: LeaseHolder, captures: Collection[str]) -> Collection[str]:
        """Give or renew leases; return the captures that the page has now."""
        return await self._database.write(leasing.lease, holder, captures)

    async def release(self, holder: LeaseHolder, captures: Collection[str]) -> None:
        """End leases of a page; others stay."""
        await self._database.write(leasing.release, holder, captures)

    async def defer(self, deferral: Deferral) -> None:
        """Put a capture off; a repeat replaces reason and time."""
        await self._database.write(deferring.defer, deferral)

    async def resume(self, line: str, capture_id: str, person: str) -> None:
        """End a deferral; a repeat is harmless."""
        await self._database.write(deferring.resume, line, capture_id, person)

    async def deferred(self, line: str, person: str, now: datetime) -> Collection[str]:
        """Name the captures of a line that a person put off."""
        return await self._database.read(deferring.deferred, line, person, now)

    async def deferrals(self, line: str, captures: Collection[str], now: datetime) -> Mapping[str, Sequence[Deferral]]:
        """Read the running deferrals of captures, the newest first."""
        return await self._database.read(deferring.of_captures, line, captures, now)

    async def drop(self, line: str, deletions: DeletionIndex) -> int:
        """Remove what was erased of a line; return how many captures."""
        return await self._database.write(writing.drop, line, deletions)

    async def expire(self, line: str, first_day: date) -> int:
        """Remove unanswered captures of earlier days; return how many."""
        midnight = datetime.combine(first_day, time(), UTC)
        return await self._database.write(writing.expire, line, to_us(midnight))
