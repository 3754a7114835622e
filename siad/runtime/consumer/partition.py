"""One partition in the loop: what was fetched, what is in hand, and below which offset all is done. No I/O, no clock.

Records wait in ``fetched``, are packed into parcels (of one record, or of a batch), and leave from the head: a parcel
that is done waits until all before it are published.
"""

from asyncio import Task
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from siad.contracts.errors import PoisonError
from siad.runtime.bus.port import Commit, Message, Record, TopicPartition
from siad.runtime.consumer.crash_marker import CLEAN, CrashMarker
from siad.runtime.consumer.routes import Batch, Route


@dataclass(frozen=True, slots=True)
class FetchedRecord:
    """A record that was fetched, and what was read from it."""

    record: Record
    at_s: float  # monotonic
    item: Any
    poison: PoisonError | None = None


class WorkStatus(Enum):
    """Where a parcel stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(slots=True, eq=False)
class WorkItem:
    """Records that one call handles."""

    arrivals: tuple[FetchedRecord, ...]
    stand: WorkStatus = WorkStatus.WAITING
    attempts: int = 0
    trials: int = 0  # while the stage stood still
    started_s: float = 0.0
    messages: Sequence[Message] = ()

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return self.arrivals[0].record.offset

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return self.arrivals[-1].record.offset

    def batch(self, topic_partition: TopicPartition, *, without: Collection[int]) -> Batch[Any]:
        """What the handler gets: all but some offsets."""
        good = [arrival for arrival in self.arrivals if arrival.record.offset not in without]
        return Batch(
            topic_partition=topic_partition,
            first=self.first,
            last=self.last,
            records=tuple(arrival.record for arrival in good),
            items=tuple(arrival.item for arrival in good),
        )


@dataclass(slots=True, eq=False)
class PartitionState:
    """One partition, from its assignment to its loss."""

    topic_partition: TopicPartition
    route: Route
    bound: int  # records in hand, past which it is paused
    is_opening: bool = False
    is_open: bool = False  # its note was read and its own note written
    is_closing: bool = False  # nothing new is started
    is_publishing: bool = False
    watermark: int | None = None  # all below is done
    committed: int | None = None
    careful_until: int = 0
    strikes: int = 0
    fetched: deque[FetchedRecord] = field(default_factory=deque)
    parcels: deque[WorkItem] = field(default_factory=deque)
    tasks: set[Task[None]] = field(default_factory=set)
    wakers: set[Task[None]] = field(default_factory=set)
    blocked: set[str] = field(default_factory=set)  # publish, commit: what the broker refuses now
    _resume_s: float = 0.0
    _failed_s: float | None = None  # since when one try at a time feels out whether it works again

    def accept(self, record: Record, *, now_s: float) -> None:
        """Take in a fetched record; read it, so that poison is known before it is packed."""
        try:
            arrival = FetchedRecord(record, now_s, self.route.sift(record))
        except PoisonError as error:
            arrival = FetchedRecord(record, now_s, None, error)
        self.fetched.append(arrival)

    def is_ready(self, *, now_s: float) -> bool:
        """Whether a parcel may start now."""
        if not self.is_open or self.is_closing or self.blocked or now_s < self._resume_s:
            return False
        if (self.is_careful or self._failed_s is not None) and self.is_running:
            return False
        if any(parcel.stand is WorkStatus.WAITING for parcel in self.parcels):
            return True
        if self.parcels and (self.is_careful or self.route.records_max > 1):
            return False  # batches: the next one gathers while one is handled
        is_full = len(self.fetched) >= self._size
        return bool(self.fetched) and (is_full or now_s - self.fetched[0].at_s >= self.route.wait_s)

    def next_parcel(self) -> WorkItem:
        """What starts now, given that the lane is ready: what failed before, else what came first."""
        for parcel in self.parcels:
            if parcel.stand is WorkStatus.WAITING:
                return parcel
        return self._cut()

    def next_trial(self) -> WorkItem:
        """What is tried while the stage stands still, given that the lane is ready: what was tried least.

        Else one bad record would be tried for ever while a good one waits behind it. But where one record at a time
        goes, because one may end the process, none but the first may be blamed.
        """
        waiting = [parcel for parcel in self.parcels if parcel.stand is WorkStatus.WAITING]
        fewest = min(waiting, key=lambda parcel: parcel.trials, default=None)
        may_cut = bool(self.fetched) and not (self.is_careful or self.route.records_max > 1)
        return self._cut() if fewest is None or (fewest.trials and may_cut) else fewest

    def hold(self, parcel: WorkItem) -> None:
        """Keep a parcel in hand while the stage stands still."""
        parcel.stand = WorkStatus.WAITING
        parcel.trials += 1

    def fail(self, parcel: WorkItem, *, now_s: float, delay_s: float) -> None:
        """Put a parcel back for a later try; until one works, only one at a time is tried."""
        parcel.stand = WorkStatus.WAITING
        parcel.attempts += 1
        self._resume_s = max(self._resume_s, now_s + delay_s)
        self._failed_s = now_s

    def works_again(self, *, started_s: float) -> bool:
        """Whether a success that was started at ``started_s`` ends the feeling out; one begun before proves nothing."""
        if self._failed_s is None or started_s <= self._failed_s:
            return False
        self._failed_s = None
        return True

    def _cut(self) -> WorkItem:
        parcel = WorkItem(tuple(self.fetched.popleft() for _ in range(min(self._size, len(self.fetched)))))
        self.parcels.append(parcel)
        return parcel

    def split(self, parcel: WorkItem) -> None:
        """Take a batch apart: its records go back, and are handled one at a time."""
        self.parcels.remove(parcel)
        self.fetched.extendleft(reversed(parcel.arrivals))
        self.careful_until = max(self.careful_until, parcel.last + 1)

    def due(self) -> list[WorkItem]:
        """The parcels at the head that are done: they may be published together, in this order."""
        run = []
        for parcel in self.parcels:
            if parcel.stand is not WorkStatus.DONE:
                break
            run.append(parcel)
        return run

    def settle(self, run: Sequence[WorkItem]) -> None:
        """What ``due`` gave is acknowledged: the watermark moves past it."""
        for parcel in run:
            if self.parcels[0] is not parcel:
                msg = (
                    f"published offset {parcel.first} of {self.topic_partition} before offset {self.parcels[0].first}; "
                    "the process ends before it commits past a record that was not handled"
                )
                raise RuntimeError(msg)
            self.parcels.popleft()
            self.watermark = parcel.last + 1
        self.strikes = 0
        if self.watermark is not None and self.watermark >= self.careful_until:
            self.careful_until = 0

    def commit(self, *, leaving: bool) -> Commit | None:
        """What to commit; None before anything was fetched.

        The note accuses the record at the watermark in case the process ends now; not on a goodbye, and, where one
        record goes at a time, not while none is in the handler: to wait for the store is not to die.
        """
        if self.watermark is None:
            return None
        if leaving or (self.is_careful and not self.is_running):
            return Commit(self.watermark, str(CrashMarker(self.careful_until, self.strikes)))
        until = max(self.careful_until, self.watermark + self.bound)
        return Commit(self.watermark, str(CrashMarker(until, self.strikes + 1)))

    @property
    def is_dirty(self) -> bool:
        """There is something to commit."""
        return self.watermark != self.committed or "commit" in self.blocked

    @property
    def is_careful(self) -> bool:
        """One record at a time, because one of these may end the process."""
        return self.careful_until > 0

    @property
    def is_running(self) -> bool:
        """A handler is at work."""
        return any(parcel.stand is WorkStatus.RUNNING for parcel in self.parcels)

    @property
    def _size(self) -> int:
        return 1 if self.is_careful else self.route.records_max

    @property
    def is_held(self) -> bool:
        """A failure was not yet followed by a success."""
        return self._failed_s is not None or bool(self.blocked)

    @property
    def in_hand(self) -> int:
        """Records fetched and not yet published."""
        return len(self.fetched) + sum(len(parcel.arrivals) for parcel in self.parcels)

    def open(self, commit: Commit | None) -> None:
        """Begin at the first record fetched, warned by the last owner's note."""
        note = CLEAN if commit is None else CrashMarker.parse(commit.note)
        self.watermark = self.fetched[0].record.offset
        self.strikes = note.strikes
        until = max(note.careful_until, self.watermark + 1) if note.strikes else note.careful_until
        self.careful_until = until if until > self.watermark else 0
        self.is_open = True
