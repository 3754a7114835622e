"""A state topic as a local table.

It is read whole before the stage is ready, then followed for as long as the stage runs. Values that an earlier process
knew may stand in until then (``restore``).

Only a higher revision is applied, so late or repeated events do no harm. A tombstone removes its key. While the broker
is unavailable the table keeps its values; afterwards the topic is read whole again, so no change is missed. Denied
access makes the stage unready, since its values may be out of date.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

import structlog

from siad.contracts.codec import decode
from siad.contracts.errors import DeniedError, PoisonError, TransientError
from siad.contracts.topics import Topic
from siad.runtime import metrics
from siad.runtime.backoff import Backoff
from siad.runtime.bus.port import Bus, Record, StateReader
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.outcomes import report_of

log = structlog.get_logger()

BACKOFF = Backoff()  # while the broker is unavailable
POLL_S = 0.5  # longest wait for changes; a stop is noticed as late


class RevisionedValue(Protocol):
    """A value with a revision that only grows."""

    @property
    def revision(self) -> int:
        """Higher is newer."""
        ...


V = TypeVar("V", bound=RevisionedValue)
OnChange = Callable[[str, V | None], None]  # key and new value; None where the key was removed


class StateTable(Generic[V]):
    """The last value of each key of one state topic."""

    def __init__(
        self,
        topic: Topic,
        kind: type[V],
        *,
        stage: str,
        on_change: OnChange[V] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the table; ``follow`` fills it.

        Args:
            topic: a state topic.
            kind: its event type.
            stage: for logs and metrics.
            on_change: called with every change applied, those of the first reading included; must not block.
            clock: for waits.
        """
        self._topic, self._kind, self._stage = topic, kind, stage
        self._on_change, self._clock = on_change, clock
        self._values: dict[str, V] = {}
        self._changed = asyncio.Event()  # replaced at each change; tasks wait on the old one
        self._is_ready = False
        self._is_restored = False  # the values are those of an earlier process
        self._denied = ""  # why the topic cannot be read now

    def lookup(self, key: str) -> V | None:
        """Return the last value of ``key`` that was read.

        None where there is none.
        """
        return self._values.get(key)

    def values(self) -> Mapping[str, V]:
        """Return a copy of all values by key."""
        return dict(self._values)

    def restore(self, values: Mapping[str, V]) -> None:
        """Start with the values that an earlier process knew.

        Call it before ``follow``. ``lookup`` finds them, and ``check`` fails as before: the first reading of the topic
        replaces them all, whatever their revisions.
        """
        assert not self._is_ready, "the topic was read already"
        self._values, self._is_restored = dict(values), True

    @property
    def is_known(self) -> bool:
        """Whether the values are those of the topic, now or earlier."""
        return self._is_ready or self._is_restored

    async def check(self) -> None:
        """Raise TransientError until the topic was read, or while it is denied."""
        if self._denied:
            raise DeniedError(self._denied)
        if not self._is_ready:
            msg = f"{self._topic.name} has not been read to its end yet"
            raise TransientError(msg)

    async def wait(self, key: str, *, revision: int = 1, timeout_s: float) -> V | None:
        """Wait for the value of ``key`` at ``revision`` or higher.

        None if that takes longer than ``timeout_s``.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while (value := self._values.get(key)) is None or value.revision < revision:
                    await self._changed.wait()
                return value
        except TimeoutError:
            return None

    async def wait_ready(self) -> None:
        """Return once the topic was read whole."""
        while not self._is_ready:
            await self._changed.wait()

    async def follow(self, bus: Bus, stop: asyncio.Event) -> None:
        """Read the topic whole, then its changes, until ``stop``.

        Run it as a task of the stage.
        """
        attempt = 0
        while not stop.is_set():
            try:
                async with bus.state(self._topic.name) as reader:
                    self._replace(await reader.snapshot())
                    attempt, self._denied = 0, ""
                    await self._follow(reader, stop)
            except TransientError as error:
                delay_s = BACKOFF.delay_s(attempt)
                attempt += 1
                self._denied = report_of(error)
                log.warning("state_away", topic=self._topic.name, reason=str(error), retry_s=round(delay_s, 3))
                await self._clock.sleep(delay_s)

    async def _follow(self, reader: StateReader, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for record in await reader.changes(timeout_s=POLL_S):
                self._apply(record.key.decode("utf-8", "replace"), record)

    def _replace(self, records: Mapping[str, Record]) -> None:
        if self._is_restored:
            self._values, self._is_restored = {}, False
        for key in self._values.keys() - records.keys():
            self._remove(key)
        for key, record in records.items():
            self._apply(key, record)
        self._is_ready = True
        self._wake_waiting()

    def _apply(self, key: str, record: Record) -> None:
        if record.value is None:
            self._remove(key)
            return
        try:
            value = decode(self._kind, record.value)
        except PoisonError as error:  # all readers get it, so none dead-letters it; the old value stays
            metrics.FAILED.labels(self._stage, self._topic.name, "poison").inc()
            log.error("state_refused", topic=self._topic.name, key=key, offset=record.offset, reason=str(error))
            return
        held = self._values.get(key)
        if held is None or value.revision > held.revision:
            self._values[key] = value
            self._report(key, value)

    def _remove(self, key: str) -> None:
        if self._values.pop(key, None) is not None:
            self._report(key, None)

    def _report(self, key: str, value: V | None) -> None:
        log.info("state_changed", topic=self._topic.name, key=key, revision=value.revision if value else None)
        if self._on_change is not None:
            self._on_change(key, value)
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
