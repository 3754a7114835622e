"""Dead letters of a plant: read, marked and replayed.

Marks are objects in the store; a replay goes to the retry topic of the letter's stage.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
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
from siad.contracts.events import DeadLetter, ImageStored, PseudoMaskCreated
from siad.contracts.json_codec import to_plain
from siad.contracts.keys import letter_mark_key, letter_marks_prefix
from siad.contracts.topics import IMAGE, PSEUDO_MASK, TOPICS, Topic, dead_letter, retry
from siad.runtime.blobs.port import Blobs, PutCondition
from siad.runtime.bus.port import MESSAGE_BYTES_MAX, Bus, Headers, Record
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.consumer.failure_counters import line_of
from siad.runtime.consumer.retry import first_topic, make_retry

STAGES: Final = tuple(topic.writer for topic in TOPICS if topic.kind == "dead-letter")
EVENTS: Final[Mapping[str, type[Any]]] = {IMAGE.name: ImageStored, PSEUDO_MASK.name: PseudoMaskCreated}
UNSEEN: Final = frozenset({LetterState.OPEN, LetterState.SENDING})  # letters without an operator's decision
JOIN_S: Final = 30.0  # to be given the partitions
QUIET_S: Final = 10.0  # without a record, what the broker has promised will not come any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter, and what was done about it."""

    id: LetterId
    letter: DeadLetter
    headers: Headers
    mark: LetterMark | None = None
    etag: str | None = None  # of the mark

    @property
    def line(self) -> str:
        """The line that its key names."""
        return line_of(self.letter.key)

    @property
    def state(self) -> LetterState:
        """What was done about it."""
        return LetterState.OPEN if self.mark is None else self.mark.state

    @property
    def topic(self) -> str:
        """The topic that the record was first read from."""
        return first_topic(self.headers) or self.letter.topic

    @property
    def mark_key(self) -> str:
        """Where its mark lies."""
        return letter_mark_key(self.id.stage, self.letter.topic, self.letter.partition, self.letter.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters are meant."""

    stage: str | None = None
    line: str | None = None
    kind: str | None = None
    reason_contains: str = ""
    states: frozenset[LetterState] = UNSEEN

    def matches(self, one: Letter) -> bool:
        """Whether a letter is among them."""
        return (
            self.stage in (None, one.id.stage)
            and self.line in (None, one.line)
            and self.kind in (None, one.letter.kind)
            and self.reason_contains.lower() in one.letter.reason.lower()
            and one.state in self.states
        )


class PlantDeadLetters:
    """The dead letters of one plant."""

    def __init__(self, bus: Bus, blobs: Blobs, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._bus, self._blobs, self._clock = bus, blobs, clock

    async def read(self, stages: Sequence[str] = STAGES) -> list[Letter]:
        """Dead letters of some stages, oldest first, without duplicates.

        Raises:
            TransientError: broker or store is away.
        """
        found: dict[str, Letter] = {}
        for record in await read_whole(self._bus, [dead_letter(stage) for stage in stages]):
            stage = record.topic_partition.topic.split(".")[1]
            name = LetterId(stage, record.topic_partition.partition, record.offset)
            with suppress(PoisonError):  # a stranger's: no stage writes what is no letter
                one = Letter(id=name, letter=decode(DeadLetter, record.value), headers=record.headers)
                found.setdefault(one.mark_key, one)
        marked = {info.key for stage in stages for info in self._blobs.list(letter_marks_prefix(stage))}
        letters = [self._with_mark(one) if key in marked else one for key, one in found.items()]
        return sorted(letters, key=lambda one: (one.letter.buried_at, one.id))

    async def find(self, ids: Iterable[str]) -> list[Letter]:
        """Some, by their IDs, in that order.

        Raises:
            ValueError: a text is no ID.
            LookupError: there is no such letter (any more).
        """
        names = [LetterId.parse(text) for text in ids]
        if unknown := sorted({name.stage for name in names} - set(STAGES)):
            msg = f"no stage {', '.join(unknown)} has dead letters; these have: {', '.join(STAGES)}"
            raise ValueError(msg)
        known = {one.id: one for one in await self.read(sorted({name.stage for name in names}))}
        if gone := [str(name) for name in names if name not in known]:
            msg = f"no dead letter {', '.join(gone)}; it may have been kept for its time and no longer"
            raise LookupError(msg)
        return [known[name] for name in names]

    async def replay(
        self, letters: Sequence[Letter], *, again: bool = False, payload: bytes | None = None
    ) -> list[str]:
        """Replay letters once each; returns the refused ones and the reasons.

        Args:
            letters: in the order to send them.
            again: also those that were sent or dropped before.
            payload: the bytes of a mended letter, in place of those that were buried.
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
        """Mark letters as not wanted; returns what was refused, and why."""
        refused = []
        for one in letters:
            try:
                self._put_mark(one, mark_dropped(one.mark, one.id, now=self._clock.now(), because=because))
            except ValueError as error:
                refused.append(str(error))
        return refused

    def _put_mark(self, one: Letter, mark: LetterMark) -> str:
        """Write a mark where it is still as it was read."""
        try:
            return self._put(one, mark, etag=one.etag)
        except ConflictError as error:
            msg = f"{one.id} was just taken by another operator; nothing was done. Check: siad dead-letters list"
            raise ValueError(msg) from error

    def _put(self, one: Letter, mark: LetterMark, *, etag: str | None) -> str:
        data, kind = mark.to_json(), "application/json"
        return self._blobs.put(one.mark_key, data, content_type=kind, condition=PutCondition(etag))

    def _with_mark(self, one: Letter) -> Letter:
        try:
            blob = self._blobs.get(one.mark_key)
        except MissingError:
            return one
        mark = LetterMark.from_json(blob.data)
        return Letter(id=one.id, letter=one.letter, headers=one.headers, mark=mark, etag=blob.etag)


async def read_whole(bus: Bus, topics: Sequence[Topic]) -> list[Record]:
    """Read all present records of work topics, in its own group.

    Raises:
        TransientError: the broker is away.
    """
    await bus.create_topics(topics)
    names = [topic.name for topic in topics]
    records: list[Record] = []
    async with bus.consumer(names, group=f"siad.look-{uuid.uuid4().hex}", start="earliest") as consumer:
        async with _within(JOIN_S, "gave no partitions"):
            while not consumer.assigned():
                records += await consumer.poll(max_records=500, timeout_s=0.2)
        left = dict(await consumer.lag())
        fresh: Sequence[Record] = records
        while True:
            for record in fresh:
                left[record.topic_partition] = left.get(record.topic_partition, 0) - 1
            if all(count <= 0 for count in left.values()):
                return records
            async with _within(QUIET_S, f"did not give all that it has ({len(records)} records so far)"):
                while not (fresh := await consumer.poll(max_records=500, timeout_s=0.2)):
                    continue
            records += fresh


@asynccontextmanager
async def _within(seconds: float, what: str) -> AsyncIterator[None]:
    """Bound what the broker takes; too long is the broker being away."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        msg = f"broker {what} within {seconds:g} s; is it up?"
        raise TransientError(msg) from error


def require_sendable(one: Letter, payload: bytes | None) -> None:
    """Refuse oversize bytes, and repaired bytes that are still no event.

    Raises:
        ValueError: says why.
    """
    data = one.letter.payload if payload is None else payload
    if len(data) > MESSAGE_BYTES_MAX:
        cut = " and may have been cut when it was buried" if payload is None else ""
        msg = f"{one.id} has {len(data)} bytes{cut}; {MESSAGE_BYTES_MAX} are allowed. Send a mended one: --payload FILE"
        raise ValueError(msg)
    if payload is not None and (kind := EVENTS.get(one.topic)) is not None:
        try:
            decode(kind, payload)
        except PoisonError as error:
            msg = f"{one.id} was not sent: the mended {error}"
            raise ValueError(msg) from error


def event_of(one: Letter) -> dict[str, Any] | None:
    """What the buried bytes say; None where they can't be read."""
    if (kind := EVENTS.get(one.topic)) is None:
        return None
    try:
        event = decode(kind, one.letter.payload)
    except PoisonError:
        return None
    plain: dict[str, Any] = to_plain(event)
    return plain
