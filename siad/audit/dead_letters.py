"""Dead letters of a plant: read, marked and replayed.

Marks are objects in the store; a replay goes to the retry topic of the letter's stage.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from siad.contracts.codec import decode
from siad.contracts.dead_letters import (
    LetterId,
    LetterMark,
    LetterState,
    mark_dropped,
    mark_sending,
)
from siad.contracts.errors import ConflictError, MissingError, PoisonError, TransientError
from siad.contracts.events import DeadLetter, ImageStored, PseudoMaskCreated, VerdictGiven
from siad.contracts.json_codec import to_plain
from siad.contracts.keys import letter_mark_key, letter_marks_prefix
from siad.contracts.topics import IMAGE, PSEUDO_MASK, TOPICS, VERDICT, Topic, dead_letter, retry
from siad.runtime.blobs.port import Blobs, PutCondition
from siad.runtime.bus.port import MESSAGE_BYTES_MAX, Bus, Headers, Record
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.consumer.failure_counters import line_of
from siad.runtime.consumer.retry import first_topic, make_retry

STAGES: Final = tuple(topic.writer for topic in TOPICS if topic.kind == "dead-letter")
EVENTS: Final[Mapping[str, type[Any]]] = {
    IMAGE.name: ImageStored,
    PSEUDO_MASK.name: PseudoMaskCreated,
    VERDICT.name: VerdictGiven,
}
UNSEEN: Final = frozenset({LetterState.OPEN, LetterState.SENDING})  # letters without an operator's decision
CLOCK_SKEW: Final = timedelta(minutes=5)  # between the machines of stages and operators
JOIN_S: Final = 30.0  # for the broker to assign the partitions
QUIET_S: Final = 10.0  # for the next records, while some are outstanding


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter and its mark."""

    id: LetterId
    letter: DeadLetter
    headers: Headers
    mark: LetterMark | None = None
    etag: str | None = None  # of the mark

    @property
    def line(self) -> str:
        """Line in the record's key."""
        return line_of(self.letter.key)

    @property
    def state(self) -> LetterState:
        """State of the mark; OPEN without one."""
        return LetterState.OPEN if self.mark is None else self.mark.state

    @property
    def topic(self) -> str:
        """Topic that the record was first read from."""
        return first_topic(self.headers) or self.letter.topic

    @property
    def mark_key(self) -> str:
        """Key of its mark in the store."""
        return letter_mark_key(self.id.stage, self.letter.topic, self.letter.partition, self.letter.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Selection of dead letters."""

    stage: str | None = None
    line: str | None = None
    kind: str | None = None
    reason_contains: str = ""
    states: frozenset[LetterState] = UNSEEN

    def matches(self, one: Letter) -> bool:
        """Whether a letter is selected."""
        return (
            self.stage in (None, one.id.stage)
            and self.line in (None, one.line)
            and self.kind in (None, one.letter.kind)
            and self.reason_contains.lower() in one.letter.reason.lower()
            and one.state in self.states
        )


class PlantDeadLetters:
    """Dead letters of one plant."""

    def __init__(self, bus: Bus, blobs: Blobs, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._bus, self._blobs, self._clock = bus, blobs, clock

    async def read(self, stages: Sequence[str] = STAGES) -> list[Letter]:
        """Read the dead letters of some stages, oldest first, without duplicates.

        Raises:
            TransientError: broker or store is unavailable.
        """
        found: dict[str, Letter] = {}
        for record in await read_whole(self._bus, [dead_letter(stage) for stage in stages]):
            stage = record.topic_partition.topic.split(".")[1]
            name = LetterId(stage, record.topic_partition.partition, record.offset)
            with suppress(PoisonError):  # not written by a stage
                one = Letter(id=name, letter=decode(DeadLetter, record.value), headers=record.headers)
                found.setdefault(one.mark_key, one)
        marked = {info.key for stage in stages for info in self._blobs.list(letter_marks_prefix(stage))}
        letters = [self._with_mark(one) if key in marked else one for key, one in found.items()]
        return sorted(letters, key=lambda one: (one.letter.buried_at, one.id))

    async def find(self, ids: Iterable[str]) -> list[Letter]:
        """Read dead letters by ID, in the order of the IDs.

        Raises:
            ValueError: a text is not an ID.
            LookupError: there is no such letter, or no longer.
        """
        names = [LetterId.parse(text) for text in ids]
        if unknown := sorted({name.stage for name in names} - set(STAGES)):
            msg = f"no stage {', '.join(unknown)} has dead letters; these have: {', '.join(STAGES)}"
            raise ValueError(msg)
        known = {one.id: one for one in await self.read(sorted({name.stage for name in names}))}
        if gone := [str(name) for name in names if name not in known]:
            msg = (
                f"no dead letter {', '.join(gone)}; nothing was done. It may be past the retention of its topic: "
                "siad dead-letters list"
            )
            raise LookupError(msg)
        return [known[name] for name in names]

    async def replay(
        self, letters: Sequence[Letter], *, again: bool = False, payload: bytes | None = None
    ) -> list[str]:
        """Replay letters once each; return the refused ones and the reasons.

        Args:
            letters: in the order to send them.
            again: also letters that were sent or dropped before.
            payload: corrected bytes, in place of the original ones.
        """
        await self._bus.create_topics([retry(stage) for stage in sorted({one.id.stage for one in letters})])
        refused = []
        async with self._bus.producer() as producer:
            for one in letters:
                try:
                    require_sendable(one, payload)
                    now = self._clock.now()
                    mark = mark_sending(one.mark, one.id, now=now, again=again, is_mended=payload is not None)
                    etag = self._put_mark(one, mark)
                except ValueError as error:
                    refused.append(str(error))
                    continue
                name = str(one.id)
                message = make_retry(one.letter, one.headers, stage=one.id.stage, name=name, payload=payload)
                await producer.publish([message])
                with suppress(ConflictError):  # another operator replays it at this moment
                    self._put(one, mark.sent(), etag=etag)
        return refused

    async def drop(self, letters: Sequence[Letter], *, because: str) -> list[str]:
        """Mark letters as dropped; return the refused ones and the reasons."""
        refused = []
        for one in letters:
            try:
                self._put_mark(one, mark_dropped(one.mark, one.id, now=self._clock.now(), because=because))
            except ValueError as error:
                refused.append(str(error))
        return refused

    def _put_mark(self, one: Letter, mark: LetterMark) -> str:
        """Write a mark unless it changed since it was read."""
        try:
            return self._put(one, mark, etag=one.etag)
        except ConflictError as error:
            msg = f"{one.id} was just changed by another operator; nothing was done. Check: siad dead-letters list"
            raise ValueError(msg) from error

    def _put(self, one: Letter, mark: LetterMark, *, etag: str | None) -> str:
        data, kind = mark.to_json(), "application/json"
        return self._blobs.put(one.mark_key, data, content_type=kind, condition=PutCondition(etag))

    def _with_mark(self, one: Letter) -> Letter:
        try:
            blob = self._blobs.get(one.mark_key)
        except MissingError:
            return one
        mark: LetterMark | None = LetterMark.from_json(blob.data)
        if mark is not None and mark.at < one.letter.buried_at - CLOCK_SKEW:
            mark = None  # of another letter, at this position of a broker that was replaced by an empty one
        return Letter(id=one.id, letter=one.letter, headers=one.headers, mark=mark, etag=blob.etag)


async def read_whole(bus: Bus, topics: Sequence[Topic]) -> list[Record]:
    """Read all present records of work topics in an own group.

    Raises:
        TransientError: the broker is unavailable.
    """
    await bus.create_topics(topics)
    names = [topic.name for topic in topics]
    records: list[Record] = []
    async with bus.consumer(names, group=f"siad.look-{uuid.uuid4().hex}", start="earliest") as consumer:
        async with _within(JOIN_S, "assigned no partitions"):
            while not consumer.assigned():
                records += await consumer.poll(max_records=500, timeout_s=0.2)
        left = dict(await consumer.lag())
        fresh: Sequence[Record] = records
        while True:
            for record in fresh:
                left[record.topic_partition] = left.get(record.topic_partition, 0) - 1
            if all(count <= 0 for count in left.values()):
                return records
            async with _within(QUIET_S, f"did not deliver the remaining records ({len(records)} so far)"):
                while not (fresh := await consumer.poll(max_records=500, timeout_s=0.2)):
                    continue
            records += fresh


@asynccontextmanager
async def _within(seconds: float, what: str) -> AsyncIterator[None]:
    """Bound the wait for the broker, which counts as unavailable after it."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        msg = f"the broker {what} within {seconds:g} s. Check that it runs: siad status"
        raise TransientError(msg) from error


def require_sendable(one: Letter, payload: bytes | None) -> None:
    """Refuse oversized bytes, and corrected bytes that are still no event.

    Raises:
        ValueError: names the fault.
    """
    data = one.letter.payload if payload is None else payload
    if len(data) > MESSAGE_BYTES_MAX:
        cut = " and may have been truncated" if payload is None else ""
        msg = (
            f"{one.id} has {len(data)} bytes{cut}; {MESSAGE_BYTES_MAX} are allowed. It was not sent. Send a corrected "
            "one: --payload FILE"
        )
        raise ValueError(msg)
    if payload is not None and (kind := EVENTS.get(one.topic)) is not None:
        try:
            decode(kind, payload)
        except PoisonError as error:
            msg = f"{one.id} was not sent: the corrected {error}"
            raise ValueError(msg) from error


def event_of(one: Letter) -> dict[str, Any] | None:
    """Decode the event of a dead letter; None where it is unreadable."""
    if (kind := EVENTS.get(one.topic)) is None:
        return None
    try:
        event = decode(kind, one.letter.payload)
    except PoisonError:
        return None
    plain: dict[str, Any] = to_plain(event)
    return plain
