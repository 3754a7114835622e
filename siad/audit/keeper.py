"""Keeper of the capture ledger, run by one lease holder.

It reads images, verdicts and dead letters, and writes the totals.

The snapshot is written before the offsets are committed, by a conditional put over the one that it continues. The next
lease holder therefore reads again at most the records since the last snapshot, and the ledger ignores repeats. Two
holders at a time do no harm: the put of the slower one is refused, and its offsets are not committed.

A ledger may hold a million captures, so it is folded, written and reported in threads, never in the event loop.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from siad.audit.ledger import CaptureLedger, LineReport
from siad.audit.reader import LETTERS, LedgerReader, ReaderLimits
from siad.audit.snapshot import LedgerSnapshot, read_snapshot
from siad.contracts.deletion import DeletionIndex
from siad.contracts.errors import ConflictError, MissingError, TransientError
from siad.contracts.ids import SLUG
from siad.contracts.keys import books_key
from siad.contracts.topic_grants import BOOKS_GROUP
from siad.contracts.topics import IMAGE, VERDICT
from siad.erasure.deletions import AsyncDeletions
from siad.runtime import metrics
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import PutCondition
from siad.runtime.bus.port import Bus
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.store.leases import Lease, Leases

log = structlog.get_logger()

LEASE: Final = "books"
STATES: Final = ("received", "verdict", "waiting", "missing", "dead_letter", "normal", "stale")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPolicy:
    """Intervals and sizes of the keeper's reads and writes."""

    write_every_s: float = 5.0  # between two snapshots while records come in; longer where writing takes long
    idle_write_s: float = 30.0  # between two snapshots without records, so that readers see a recent one
    lease_s: float = 30.0  # a lease holder that died is replaced after this time
    limits: ReaderLimits = field(default_factory=ReaderLimits)


class LedgerKeeper:
    """Keeps the capture ledger while this process holds the lease.

    Args:
        bus: with the three topics.
        blobs: with the snapshot and the lease.
        missing_after_s: seconds after which a waiting capture of a line is reported as missing.
        policy: intervals and limits.
        clock: for the snapshot's time and the intervals.
    """

    def __init__(
        self,
        bus: Bus,
        blobs: AsyncBlobs,
        *,
        missing_after_s: Callable[[str], float],
        policy: LedgerPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._bus, self._blobs, self._clock = bus, blobs, clock
        self._missing_after_s, self._policy = missing_after_s, policy or LedgerPolicy()
        self._leases = Leases(blobs.blobs, holder=f"{socket.gethostname()}-{os.getpid()}-{id(self):x}", clock=clock)
        self._deletions = AsyncDeletions(blobs, clock=clock)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the ledger whenever the lease is free, until ``stop``."""
        while not stop.is_set():
            try:
                async with self._hold() as lease:
                    if lease is not None:
                        await self._keep(lease, stop)
            except (TransientError, ConflictError) as error:
                log.warning("books_put_off", reason=str(error))
            metrics.BOOKS.clear()  # only the lease holder exports these gauges
            if not stop.is_set():
                await _wait(stop, self._policy.lease_s / 3)

    @asynccontextmanager
    async def _hold(self) -> AsyncIterator[list[Lease] | None]:
        lease = await self._blobs.run(self._leases.acquire, LEASE, self._policy.lease_s)
        if lease is None:
            yield None
            return
        held = [lease]
        try:
            yield held
        finally:
            if held:
                await asyncio.shield(self._release(held[0]))

    async def _release(self, lease: Lease) -> None:
        try:
            await self._blobs.run(self._leases.release, lease)
        except TransientError as error:  # it expires
            log.info("books_lease_left", reason=str(error))

    async def _keep(self, held: list[Lease], stop: asyncio.Event) -> None:
        ledger, etag = await self._load()
        topics = [IMAGE.name, VERDICT.name, LETTERS.name]
        async with self._bus.consumer(topics, group=BOOKS_GROUP, start="earliest") as consumer:
            reader = LedgerReader(ledger, consumer, self._policy.limits)
            log.info("books_kept_here", lines=len(ledger.lines), waiting=ledger.waiting)
            due_s = self._clock.monotonic()
            while not stop.is_set():
                await reader.read()
                if self._clock.monotonic() < due_s + (0 if reader.has_changes else self._policy.idle_write_s):
                    continue
                began_s = self._clock.monotonic()
                etag = await self._write(reader, etag)
                if not await self._renew(held):
                    return
                spent_s = self._clock.monotonic() - began_s
                due_s = self._clock.monotonic() + max(self._policy.write_every_s, 20 * spent_s)
            if reader.has_changes:
                await self._write(reader, etag)

    async def _load(self) -> tuple[CaptureLedger, str | None]:
        """Read the last snapshot and its etag.

        An unreadable snapshot is replaced by a new ledger.
        """
        try:
            blob = await self._blobs.get(books_key())
        except MissingError:
            return CaptureLedger(), None
        snapshot = await asyncio.to_thread(read_snapshot, blob.data)
        return (CaptureLedger() if snapshot is None else snapshot.ledger), blob.etag

    async def _write(self, reader: LedgerReader, etag: str | None) -> str:
        """Replace the previous snapshot, then commit; returns the new etag."""
        await reader.measure_lag()
        waiting = [line for line, account in reader.ledger.lines.items() if account.waiting and SLUG.fullmatch(line)]
        deletions = {line: await self._deletions.recent(line) for line in waiting}
        snapshot = LedgerSnapshot(
            ledger=reader.ledger,
            as_of=self._clock.now(),
            behind=reader.behind,
            missing_after_s={line: self._missing_after_s(line) for line in reader.ledger.lines},
        )
        data, reports = await asyncio.to_thread(_render, snapshot, deletions)
        etag = await self._blobs.put(books_key(), data, content_type="application/json", condition=PutCondition(etag))
        for report in reports:
            for state in STATES:
                metrics.BOOKS.labels(report.line, state).set(getattr(report, state))
        await reader.commit(self._clock.now().timestamp())
        return etag

    async def _renew(self, held: list[Lease]) -> bool:
        lease = await self._blobs.run(self._leases.renew, held.pop())
        if lease is None:
            log.warning("books_lease_lost")
            return False
        held.append(lease)
        return True


def _render(snapshot: LedgerSnapshot, deletions: Mapping[str, DeletionIndex]) -> tuple[bytes, list[LineReport]]:
    """Drop erased captures, then write the ledger's document and report."""
    ledger = snapshot.ledger
    for line, erased in deletions.items():
        names = list(ledger.lines[line].waiting)
        for name in [name for name in names if erased.covers(name, ledger.received_at(line, name))]:
            ledger.on_erased(line, name)
    return snapshot.to_json(), snapshot.reports()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
