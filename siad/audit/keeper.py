"""Keeps the books: one process at a time reads images, verdicts and dead letters, and writes what they add up to.

The snapshot is written before the offsets are committed, over the one that it grew from: whoever takes over reads
again at most what came since, and the books drop what they know. Two keepers do no harm: the slower one's snapshot
is refused, and with it its commit.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from siad.audit.ledger import CaptureLedger, LedgerSnapshot, place_name
from siad.contracts.codec import decode
from siad.contracts.errors import ConflictError, CorruptError, MissingError, PoisonError, TransientError
from siad.contracts.events import DeadLetter, ImageStored, VerdictGiven
from siad.contracts.ids import SLUG
from siad.contracts.keys import books_key
from siad.contracts.topics import IMAGE, VERDICT, dead_letter
from siad.erasure.deletions import AsyncDeletions
from siad.runtime import metrics
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import PutCondition
from siad.runtime.bus.port import Bus, Commit, Consumer, Record, TopicPartition
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.store.leases import Lease, Leases

log = structlog.get_logger()

GROUP: Final = "siad.books"
LEASE: Final = "books"
ReadImage = Callable[[Record], ImageStored | None]  # names a capture, or None; the same answer at every reading
LETTERS: Final = dead_letter("inference")
STATES: Final = ("received", "verdict", "waiting", "missing", "dead_letter", "normal", "stale")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPolicy:
    """How the books are kept."""

    write_every_s: float = 5.0  # a snapshot, where anything is new; longer where writing takes long
    idle_write_s: float = 30.0  # and where nothing is, so that everybody sees that they are kept
    lease_s: float = 30.0  # a keeper that died is replaced after so long
    window_s: float = 7200.0  # how late after it was received a capture may be heard of for the first time
    waiting_max: int = 50_000  # captures known by name; past it images are left unread until verdicts catch up
    records_max: int = 500  # of one poll
    poll_s: float = 0.5


def read_image(record: Record) -> ImageStored | None:
    """The capture of a record; None where it is no event."""
    try:
        return decode(ImageStored, record.value)
    except PoisonError:
        return None


class LedgerKeeper:
    """One candidate for keeping the books.

    Args:
        bus: where the events are.
        blobs: where the snapshot is.
        missing_after_s: how long a capture of a line may wait before it is called missing.
        read_image: reads an image's event, or what of it inference answers for.
        policy: see there.
        clock: time.
    """

    def __init__(
        self,
        bus: Bus,
        blobs: AsyncBlobs,
        *,
        missing_after_s: Callable[[str], float],
        read_image: ReadImage = read_image,
        policy: LedgerPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._bus, self._blobs, self._clock = bus, blobs, clock
        self._missing_after_s, self._policy = missing_after_s, policy or LedgerPolicy()
        self._read_image = read_image
        self._leases = Leases(blobs.blobs, holder=f"{socket.gethostname()}-{os.getpid()}-{id(self):x}", clock=clock)
        self._deletions = AsyncDeletions(blobs, clock=clock)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the books whenever nobody else does, until ``stop``."""
        while not stop.is_set():
            try:
                async with self._hold() as lease:
                    if lease is not None:
                        await self._keep(lease, stop)
            except (TransientError, ConflictError) as error:
                log.warning("books_put_off", reason=str(error))
            metrics.BOOKS.clear()  # whoever keeps them now tells them
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
        except TransientError as error:  # it ends by itself
            log.info("books_lease_left", reason=str(error))

    async def _keep(self, held: list[Lease], stop: asyncio.Event) -> None:
        books, etag = await self._load()
        topics = [IMAGE.name, VERDICT.name, LETTERS.name]
        async with self._bus.consumer(topics, group=GROUP, start="earliest") as consumer:
            keeping = _LedgerReader(self._policy, books, consumer, etag=etag, read_image=self._read_image)
            log.info("books_kept_here", lines=len(books.lines), waiting=books.waiting)
            due_s = self._clock.monotonic()
            while not stop.is_set():
                await keeping.read()
                if self._clock.monotonic() < due_s + (0 if keeping.is_new else self._policy.idle_write_s):
                    continue
                began_s = self._clock.monotonic()
                await self._write(keeping)
                if not await self._renew(held):
                    return
                spent_s = self._clock.monotonic() - began_s
                due_s = self._clock.monotonic() + max(self._policy.write_every_s, 20 * spent_s)
            if keeping.is_new:
                await self._write(keeping)

    async def _load(self) -> tuple[CaptureLedger, str | None]:
        try:
            blob = await self._blobs.get(books_key())
        except MissingError:
            return CaptureLedger(), None
        snapshot = _read(blob.data)
        return (CaptureLedger() if snapshot is None else snapshot.books), blob.etag  # unreadable ones are written over

    async def _write(self, keeping: "_LedgerReader") -> None:
        """Snapshot, then commit; then see what may be let go of."""
        await keeping.look_behind()
        await self._drop_forgotten(keeping.books)
        snapshot = self._snapshot(keeping)
        data = await self._blobs.run(snapshot.to_json)
        keeping.etag = await self._blobs.put(
            books_key(),
            data,
            content_type="application/json",
            condition=PutCondition(keeping.etag),
        )
        for report in snapshot.reports():
            for state in STATES:
                metrics.BOOKS.labels(report.line, state).set(getattr(report, state))
        await keeping.commit(self._clock.now().timestamp())

    def _snapshot(self, keeping: "_LedgerReader") -> LedgerSnapshot:
        bounds = {line: self._missing_after_s(line) for line in keeping.books.lines}
        return LedgerSnapshot(
            books=keeping.books, as_of=self._clock.now(), behind=keeping.behind, missing_after_s=bounds
        )

    async def _drop_forgotten(self, books: CaptureLedger) -> None:
        """Of who waits, some may have been forgotten: no verdict will ever come."""
        for line, page in list(books.lines.items()):
            if not page.waiting or not SLUG.fullmatch(line):
                continue
            forgotten = await self._deletions.known(line)
            for name in [name for name in page.waiting if forgotten.covers(name, books.received_at(line, name))]:
                books.on_forgotten(line, name)

    async def _renew(self, held: list[Lease]) -> bool:
        lease = await self._blobs.run(self._leases.renew, held.pop())
        if lease is None:
            log.warning("books_lease_lost")
            return False
        held.append(lease)
        return True


async def read_books(blobs: AsyncBlobs) -> LedgerSnapshot | None:
    """The last snapshot; None where there is none yet, or none that can be read."""
    try:
        blob = await blobs.get(books_key())
    except MissingError:
        return None
    return await blobs.run(_read, blob.data)


def _read(data: bytes) -> LedgerSnapshot | None:
    try:
        return LedgerSnapshot.from_json(data)
    except CorruptError as error:
        log.error("books_unreadable", key=books_key(), reason=str(error), done="new ones are opened")
        return None


class _LedgerReader:
    """The books, and how far the topics are read."""

    def __init__(
        self, policy: LedgerPolicy, books: CaptureLedger, consumer: Consumer, *, etag: str | None, read_image: ReadImage
    ) -> None:
        self.books, self.etag = books, etag
        self.is_new = True  # the first snapshot is written at once
        self.behind = 0
        self._policy, self._consumer, self._read_image = policy, consumer, read_image
        self._commits: dict[TopicPartition, Commit] = {}
        self._folded: Counter[TopicPartition] = Counter()  # since the last commit
        self._read_ms: dict[TopicPartition, int] = {}  # the broker's stamp of the last record
        self._unread: dict[TopicPartition, int] = {}

    async def read(self) -> None:
        """Fold what comes in a moment."""
        images = frozenset(place for place in self._consumer.assigned() if place.topic == IMAGE.name)
        if self.books.waiting >= self._policy.waiting_max:
            self._consumer.pause(images)
        else:
            self._consumer.resume(images)
        for record in await self._consumer.poll(max_records=self._policy.records_max, timeout_s=self._policy.poll_s):
            fold(self.books, record, read_image=self._read_image)
            self._commits[record.topic_partition] = Commit(record.offset + 1)
            self._folded[record.topic_partition] += 1
            self._read_ms[record.topic_partition] = record.timestamp_ms
            self.is_new = True

    async def look_behind(self) -> None:
        """See how many records are unread."""
        lag = await self._consumer.lag()
        self._unread = {place: max(count - self._folded[place], 0) for place, count in lag.items()}
        self.behind = sum(self._unread.values())

    async def commit(self, now_s: float) -> None:
        """Commit what the snapshot holds, and let go of the settled that nobody can name for the first time."""
        places = self._consumer.assigned()
        await self._consumer.commit({place: commit for place, commit in self._commits.items() if place in places})
        self._commits.clear()
        self._folded.clear()
        self.is_new = False
        if all(place in self._read_ms for place, count in self._unread.items() if count):
            read_s = [self._read_ms[place] / 1000 for place, count in self._unread.items() if count]
            self.books.advance(min([now_s, *read_s]), window_s=self._policy.window_s)


def fold(books: CaptureLedger, record: Record, *, read_image: ReadImage) -> None:
    """Enter one record of the three topics."""
    topic, partition = record.topic_partition
    try:
        if topic == VERDICT.name:
            books.on_verdict(decode(VerdictGiven, record.value))
        elif topic == LETTERS.name:
            letter = decode(DeadLetter, record.value)
            books.on_letter(letter, read_image(_first(letter)))
        elif (event := read_image(record)) is not None:
            books.on_image(event)
        else:
            name = place_name(topic, partition, record.offset)
            books.on_unreadable(record.key, name, at_s=record.timestamp_ms / 1000)
    except PoisonError as error:
        log.error("books_record_left_out", topic=topic, offset=record.offset, reason=str(error))


def _first(letter: DeadLetter) -> Record:
    """A dead letter's record as it lay in its first topic, at about that time."""
    return Record(
        topic_partition=TopicPartition(letter.topic, letter.partition),
        offset=letter.offset,
        key=letter.key,
        value=letter.payload,
        timestamp_ms=int(letter.buried_at.timestamp() * 1000),
    )


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
