"""Reads the ledger's three topics and folds their records."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from siad.audit.ledger import CaptureLedger, line_of_key, place_name
from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError
from siad.contracts.events import DeadLetter, ImageStored, VerdictGiven
from siad.contracts.partial_image import read_image
from siad.contracts.topics import IMAGE, VERDICT, dead_letter
from siad.runtime.bus.port import Commit, Consumer, Record, TopicPartition

log = structlog.get_logger()

LETTERS: Final = dead_letter("inference")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLimits:
    """How much the reader takes at a time."""

    window_s: float = 7200.0  # how late after it was received a capture may be announced and still be counted
    waiting_max: int = 50_000  # captures kept by name; beyond it images stay unread until verdicts catch up
    records_max: int = 500  # of one poll
    poll_s: float = 0.5


class LedgerReader:
    """A ledger, and the offsets up to which it counts."""

    def __init__(self, ledger: CaptureLedger, consumer: Consumer, limits: ReaderLimits) -> None:
        self.ledger = ledger
        self.has_changes = True  # since the last commit; the first snapshot is written at once
        self.behind = 0  # unread records
        self._consumer, self._limits = consumer, limits
        self._commits: dict[TopicPartition, Commit] = {}
        self._folded: Counter[TopicPartition] = Counter()  # since the last commit
        self._read_ms: dict[TopicPartition, int] = {}  # broker's timestamp of the last record
        self._unread: dict[TopicPartition, int] = {}

    async def read(self) -> None:
        """Fold one poll's records, in a thread.

        Image partitions are paused while too many captures wait.
        """
        images = frozenset(place for place in self._consumer.assigned() if place.topic == IMAGE.name)
        if self.ledger.waiting >= self._limits.waiting_max:
            self._consumer.pause(images)
        else:
            self._consumer.resume(images)
        records = await self._consumer.poll(max_records=self._limits.records_max, timeout_s=self._limits.poll_s)
        if records:
            await asyncio.to_thread(fold, self.ledger, records)
            self._note(records)

    async def measure_lag(self) -> None:
        """Count the unread records."""
        lag = await self._consumer.lag()
        self._unread = {place: max(count - self._folded[place], 0) for place, count in lag.items()}
        self.behind = sum(self._unread.values())

    async def commit(self, now_s: float) -> None:
        """Commit the snapshot's offsets, and drop finished captures."""
        assigned = self._consumer.assigned()
        await self._consumer.commit({place: commit for place, commit in self._commits.items() if place in assigned})
        self._commits.clear()
        self._folded.clear()
        self.has_changes = False
        if all(place in self._read_ms for place, count in self._unread.items() if count):
            read_s = [self._read_ms[place] / 1000 for place, count in self._unread.items() if count]
            progress_s = min([now_s, *read_s])
            await asyncio.to_thread(self.ledger.advance, progress_s, window_s=self._limits.window_s)

    def _note(self, records: Sequence[Record]) -> None:
        for record in records:
            self._commits[record.topic_partition] = Commit(record.offset + 1)
            self._folded[record.topic_partition] += 1
            self._read_ms[record.topic_partition] = record.timestamp_ms
        self.has_changes = True


def fold(ledger: CaptureLedger, records: Sequence[Record]) -> None:
    """Enter records of the three topics into the ledger."""
    for record in records:
        try:
            _fold_one(ledger, record)
        except PoisonError as error:
            topic = record.topic_partition.topic
            log.error("books_record_left_out", topic=topic, offset=record.offset, reason=str(error))


def _fold_one(ledger: CaptureLedger, record: Record) -> None:
    topic, partition = record.topic_partition
    if topic == VERDICT.name:
        ledger.on_verdict(decode(VerdictGiven, record.value))
    elif topic == LETTERS.name:
        letter = decode(DeadLetter, record.value)
        event = read_image(letter.payload, line=line_of_key(letter.key), now=letter.buried_at)
        ledger.on_letter(letter, event)
    elif (event := _image_of(record)) is not None:
        ledger.on_image(event)
    else:
        name = place_name(topic, partition, record.offset)
        ledger.on_unreadable(record.key, name, at_s=record.timestamp_ms / 1000)


def _image_of(record: Record) -> ImageStored | None:
    """The capture of an image record.

    Missing times are the record's own, so every reading gives the same.
    """
    now = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    return read_image(record.value, line=line_of_key(record.key), now=now)
