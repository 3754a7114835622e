"""State of one partition: pure bookkeeping that returns decisions.

It has no I/O, no clock and no tasks.

A fetched record waits in ``fetched``. ``start`` packs one record, or a batch, into a work item, which one call of the
handler processes. Work items leave in offset order: one that is done waits until all before it are published. The
watermark is the offset below which everything is published; only it is ever committed.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from siad.runtime.bus.port import Commit, Message, Record, TopicPartition
from siad.runtime.consumer.crash_marker import CLEAN, CrashMarker
from siad.runtime.consumer.routes import Route


@dataclass(frozen=True, slots=True)
class FetchedRecord:
    """A record, and when it was fetched."""

    record: Record
    fetched_at_s: float  # monotonic


class WorkStatus(Enum):
    """Progress of a work item."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(slots=True, eq=False)
class WorkItem:
    """Records of one call of the handler: one, or a batch."""

    fetched: tuple[FetchedRecord, ...]
    status: WorkStatus = WorkStatus.WAITING
    attempts: int = 0  # that failed
    trials: int = 0  # attempts while the breaker was open
    started_s: float = 0.0
    messages: Sequence[Message] = ()  # to publish, once it is done

    @property
    def records(self) -> tuple[Record, ...]:
        """The records, by offset."""
        return tuple(fetched.record for fetched in self.fetched)

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return self.fetched[0].record.offset

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return self.fetched[-1].record.offset


@dataclass(slots=True, eq=False)
class PartitionState:
    """One partition, from its assignment to its loss."""

    topic_partition: TopicPartition
    route: Route
    capacity: int  # records in flight at which fetching pauses
    works_ahead: bool = False  # what was fetched is handled also while the broker refuses results and commits
    done_below: int = 0  # an earlier owner's transaction, which ended after the fetch, holds the records below
    is_opening: bool = False
    is_open: bool = False  # the last owner's marker was read and this owner's was committed
    is_closing: bool = False  # no new work starts
    is_publishing: bool = False
    is_uncertain: bool = False  # a transaction may have committed: a plain commit could set the offset back
    watermark: int | None = None  # everything below is published
    committed: int | None = None
    isolated_until: int = 0
    crash_count: int = 0
    fetched: deque[FetchedRecord] = field(default_factory=deque)
    items: deque[WorkItem] = field(default_factory=deque)
    blocked_by: set[str] = field(default_factory=set)  # "publish", "commit": what the broker refuses now
    _retry_at_s: float = 0.0
    _failed_at_s: float | None = None  # since then one item at a time is tried, until one succeeds

    def open(self, commit: Commit | None) -> None:
        """Begin at the first record fetched.

        The marker of the last owner's commit tells whether to isolate records.
        """
        marker = CLEAN if commit is None else CrashMarker.parse(commit.note)
        self.watermark = max(self.fetched[0].record.offset, self.done_below)
        while self.fetched and self.fetched[0].record.offset < self.done_below:
            self.fetched.popleft()
        self.crash_count = marker.crash_count
        least = self.watermark + 1 if marker.crash_count else 0
        until = max(marker.isolated_until, least)
        self.isolated_until = until if until > self.watermark else 0
        self.is_open = True

    def accept(self, record: Record, *, now_s: float) -> None:
        """Add a fetched record, unless it is known to be done."""
        if record.offset >= self.done_below:
            self.fetched.append(FetchedRecord(record, now_s))

    def can_start(self, *, now_s: float) -> bool:
        """Whether a work item may start now."""
        is_blocked = bool(self.blocked_by) and (self.is_isolated or not self.works_ahead)
        if not self.is_open or self.is_closing or is_blocked or now_s < self._retry_at_s:
            return False
        if (self.is_isolated or self._failed_at_s is not None) and self.is_running:
            return False
        if any(item.status is WorkStatus.WAITING for item in self.items):
            return True
        if self.items and (self.is_isolated or self.route.records_max > 1):
            return False  # of batches, the next one gathers while one is handled
        is_full = len(self.fetched) >= self._size
        return bool(self.fetched) and (is_full or now_s - self.fetched[0].fetched_at_s >= self.route.wait_s)

    def start(self, *, now_s: float, is_trial: bool) -> WorkItem:
        """Start the next work item of a partition that ``can_start``.

        Args:
            now_s: monotonic.
            is_trial: the breaker is open, and one record is tried.
        """
        item = self._next_trial() if is_trial else self._next()
        item.status, item.started_s = WorkStatus.RUNNING, now_s
        return item

    def complete(self, item: WorkItem, messages: Sequence[Message]) -> bool:
        """Keep an item's messages for publishing.

        Return whether the partition works again after a failure.

        A success that started before the failure proves nothing.
        """
        item.status, item.messages = WorkStatus.DONE, messages
        if self._failed_at_s is None or item.started_s <= self._failed_at_s:
            return False
        self._failed_at_s = None
        return True

    def retry(self, item: WorkItem, *, now_s: float, delay_s: float) -> None:
        """Put an item back for a later attempt.

        Until one succeeds, one at a time is tried.
        """
        item.status = WorkStatus.WAITING
        item.attempts += 1
        self._retry_at_s = max(self._retry_at_s, now_s + delay_s)
        self._failed_at_s = now_s

    def hold(self, item: WorkItem) -> None:
        """Hold an item while the breaker is open."""
        item.status = WorkStatus.WAITING
        item.trials += 1

    def isolate(self, item: WorkItem) -> None:
        """Take a batch apart: its records are handled one at a time."""
        self.items.remove(item)
        self.fetched.extendleft(reversed(item.fetched))
        self.isolated_until = max(self.isolated_until, item.last + 1)

    def publishable(self) -> list[WorkItem]:
        """Return the items at the head that are done.

        They may be published together, in this order.
        """
        found = []
        for item in self.items:
            if item.status is not WorkStatus.DONE:
                break
            found.append(item)
        return found

    def mark_published(self, items: Sequence[WorkItem]) -> None:
        """Remove acknowledged items, and move the watermark past them.

        Raises:
            RuntimeError: an item is not the first; the watermark would pass a record that was not handled.
        """
        for item in items:
            if self.items[0] is not item:
                msg = (
                    f"published offset {item.first} of {self.topic_partition} before offset {self.items[0].first}; "
                    "the process ends before it commits past a record that was not handled"
                )
                raise RuntimeError(msg)
            self.items.popleft()
            self.watermark = item.last + 1
        self.crash_count = 0
        if self.watermark is not None and self.watermark >= self.isolated_until:
            self.isolated_until = 0

    def next_commit(self, *, is_final: bool) -> Commit | None:
        """Return what to commit; None before a record was fetched.

        None also while a transaction may have committed.

        The marker counts a crash against the record at the watermark, in case the process ends now. It counts none in
        the final commit, nor while an isolated partition runs no handler: a record that waits for a dependency does
        not crash the process.
        """
        if self.watermark is None or self.is_uncertain:
            return None
        if is_final or (self.is_isolated and not self.is_running):
            return Commit(self.watermark, str(CrashMarker(self.isolated_until, self.crash_count)))
        until = max(self.isolated_until, self.watermark + self.capacity)
        return Commit(self.watermark, str(CrashMarker(until, self.crash_count + 1)))

    def commit_past(self, items: Sequence[WorkItem]) -> Commit:
        """Return what to commit together with the results of items.

        They are the first of the partition. It is what ``next_commit`` returns after they are marked as published.
        """
        watermark = items[-1].last + 1
        isolated_until = self.isolated_until if watermark < self.isolated_until else 0
        if isolated_until and not self.is_running:
            return Commit(watermark, str(CrashMarker(isolated_until, 0)))
        return Commit(watermark, str(CrashMarker(max(isolated_until, watermark + self.capacity), 1)))

    def without_crash(self) -> Commit | None:
        """Return the last commit with a marker that counts no crash.

        None before the first commit.
        """
        if self.committed is None or self.is_uncertain:
            return None
        return Commit(self.committed, str(CrashMarker(self.isolated_until, self.crash_count)))

    @property
    def is_dirty(self) -> bool:
        """Whether there is something to commit."""
        return self.watermark != self.committed or "commit" in self.blocked_by

    @property
    def is_isolated(self) -> bool:
        """Whether one record at a time is handled.

        One of them may end the process.
        """
        return self.isolated_until > 0

    @property
    def is_running(self) -> bool:
        """Whether a handler is running."""
        return any(item.status is WorkStatus.RUNNING for item in self.items)

    @property
    def is_failing(self) -> bool:
        """Whether the last failure was not followed by a success yet.

        Failures of a handler and of the broker count.
        """
        return self._failed_at_s is not None or bool(self.blocked_by)

    @property
    def in_hand(self) -> int:
        """Records fetched and not yet published."""
        return len(self.fetched) + sum(len(item.fetched) for item in self.items)

    @property
    def oldest(self) -> Record | None:
        """The first record that is fetched and not yet published."""
        if self.items:
            return self.items[0].records[0]
        return self.fetched[0].record if self.fetched else None

    @property
    def _size(self) -> int:
        return 1 if self.is_isolated else self.route.records_max

    def _next(self) -> WorkItem:
        """Return an item that failed, otherwise the oldest fetched records."""
        waiting = (item for item in self.items if item.status is WorkStatus.WAITING)
        return next(waiting, None) or self._pack()

    def _next_trial(self) -> WorkItem:
        """Return the item that was tried least.

        Otherwise a bad record would keep a good one behind it from a trial.

        Where records are isolated, or batches gather, only the first may be tried: a crash would be counted against
        it.
        """
        waiting = [item for item in self.items if item.status is WorkStatus.WAITING]
        fewest = min(waiting, key=lambda item: item.trials, default=None)
        may_pack = bool(self.fetched) and not (self.is_isolated or self.route.records_max > 1)
        return self._pack() if fewest is None or (fewest.trials and may_pack) else fewest

    def _pack(self) -> WorkItem:
        item = WorkItem(tuple(self.fetched.popleft() for _ in range(min(self._size, len(self.fetched)))))
        self.items.append(item)
        return item
