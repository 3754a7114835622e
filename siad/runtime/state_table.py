"""A state topic as a local table: read whole before the stage is ready, then followed for as long as it runs.

Only a higher revision is applied, so late or repeated news does no harm. A tombstone removes its key. While the broker
is away the table stays as it is; afterwards the topic is read whole again, so nothing that came meanwhile is missed.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

import structlog

from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.topics import Topic
from siad.runtime import metrics
from siad.runtime.backoff import Backoff
from siad.runtime.bus.port import Bus, Record, StateReader
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

POLL_S = 0.5  # one look for changes waits so long at most; a stop is noticed as late


class Revisioned(Protocol):
    """A value with a revision that only grows."""

    @property
    def revision(self) -> int:
        """Higher is newer."""
        ...


V = TypeVar("V", bound=Revisioned)
OnChange = Callable[[str, V | None], None]  # key, and the new value; None: gone


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
        backoff: Backoff | None = None,
    ) -> None:
        """Describe the table; ``follow`` fills it.

        Args:
            topic: a state topic.
            kind: the event it holds.
            stage: for logs and metrics.
            on_change: told of every change applied, the first reading included; must not block.
            clock: to wait on.
            backoff: how long to wait while the broker is away.
        """
        self._topic, self._kind, self._stage = topic, kind, stage
        self._on_change, self._clock, self._backoff = on_change, clock, backoff or Backoff()
        self._values: dict[str, V] = {}
        self._changed = asyncio.Event()  # replaced at each change; whoever waits holds the old one
        self._is_ready = False

    def lookup(self, key: str) -> V | None:
        """The value of ``key`` as far as is known; None where there is none."""
        return self._values.get(key)

    def values(self) -> Mapping[str, V]:
        """All values by key; a copy."""
        return dict(self._values)

    async def check(self) -> None:
        """For the ready probe: raise TransientError until the topic was read whole."""
        if not self._is_ready:
            msg = f"{self._topic.name} was not yet read to its end"
            raise TransientError(msg)

    async def wait(self, key: str, *, revision: int = 1, timeout_s: float) -> V | None:
        """The value of ``key`` once it has at least ``revision``; None if that takes longer than ``timeout_s``."""
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
        """Read the topic whole, then its changes, until ``stop``. Run it as a task of the stage."""
        attempt = 0
        while not stop.is_set():
            try:
                async with bus.state(self._topic.name) as reader:
                    self._replace(await reader.snapshot())
                    attempt = 0
                    await self._follow(reader, stop)
            except TransientError as error:
                delay_s = self._backoff.delay_s(attempt)
                attempt += 1
                log.warning("state_away", topic=self._topic.name, reason=str(error), retry_s=round(delay_s, 3))
                await self._clock.sleep(delay_s)

    async def _follow(self, reader: StateReader, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for record in await reader.changes(timeout_s=POLL_S):
                self._apply(record.key.decode("utf-8", "replace"), record)

    def _replace(self, records: Mapping[str, Record]) -> None:
        for key in self._values.keys() - records.keys():
            self._remove(key)
        for key, record in records.items():
            self._apply(key, record)
        self._is_ready = True
        self._tell_waiting()

    def _apply(self, key: str, record: Record) -> None:
        if record.value is None:
            self._remove(key)
            return
        try:
            value = decode(self._kind, record.value)
        except PoisonError as error:  # every reader of the topic meets it, so nobody buries it; the old value stands
            metrics.FAILED.labels(self._stage, self._topic.name, "poison").inc()
            log.error("state_refused", topic=self._topic.name, key=key, offset=record.offset, reason=str(error))
            return
        held = self._values.get(key)
        if held is None or value.revision > held.revision:
            self._values[key] = value
            self._tell(key, value)

    def _remove(self, key: str) -> None:
        if self._values.pop(key, None) is not None:
            self._tell(key, None)

    def _tell(self, key: str, value: V | None) -> None:
        log.info("state_changed", topic=self._topic.name, key=key, revision=value.revision if value else None)
        if self._on_change is not None:
            self._on_change(key, value)
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
