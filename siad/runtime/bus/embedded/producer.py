"""Producer of the embedded bus.

Concurrent publishes share one transaction, and one wait for the disk.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from siad.contracts.errors import BusFailedError, TransientError
from siad.runtime.bus.embedded.log import append, sweep
from siad.runtime.bus.embedded.sqlite_thread import SqliteThread
from siad.runtime.bus.outgoing import prepare
from siad.runtime.bus.port import Message
from siad.runtime.bus.settings import BusSettings

log = structlog.get_logger()

SWEEP_EVERY_S = 60.0  # in every process that publishes; one that finds nothing takes a millisecond


class _PendingPublish(NamedTuple):
    """One publish in flight."""

    messages: Sequence[Message]
    answer: "asyncio.Future[None]"


class EmbeddedProducer:
    """Publishes to the file; a refused message is never written later."""

    def __init__(self, thread: SqliteThread, settings: BusSettings) -> None:
        self._thread, self._settings = thread, settings
        self._waiting: list[_PendingPublish] = []
        self._writing: asyncio.Task[None] | None = None
        self._swept_at_s = float("-inf")

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send in order, and wait until all are on disk."""
        if not (prepared := prepare(messages)):
            return
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_PendingPublish(prepared, answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await answer

    async def close(self) -> None:
        """Wait for publishes in flight, and close."""
        while self._writing is not None:
            await asyncio.wait((self._writing,))
        await self._thread.close()

    async def _write(self) -> None:
        """Write until none is pending.

        Publishes that arrive during one transaction share the next.
        """
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                batch = [one for one in batch if not one.answer.cancelled()]
                await self._write_together(batch)
            if time.monotonic() - self._swept_at_s > SWEEP_EVERY_S:
                self._swept_at_s = time.monotonic()
                await self._sweep()
        finally:
            self._writing = None
            if self._waiting:  # published during the sweep
                self._writing = asyncio.create_task(self._write())

    async def _write_together(self, batch: Sequence[_PendingPublish]) -> None:
        batches = [one.messages for one in batch]
        writing = asyncio.create_task(self._thread.run(append, batches, now_ms=_now_ms()))
        await asyncio.wait((writing,))
        error = writing.exception()  # returned to the callers whose messages were not written
        refusals = writing.result() if error is None else [error] * len(batch)
        for one, refusal in zip(batch, refusals, strict=True):
            _answer(one, refusal)

    async def _sweep(self) -> None:
        try:
            deleted = await self._thread.run(sweep, self._settings, now_ms=_now_ms())
        except (TransientError, BusFailedError) as error:
            log.warning("bus_sweep_failed", reason=str(error))  # the next publish reports it to its caller
            return
        if deleted:
            log.info("bus_swept", records=deleted)


def _answer(waiting: _PendingPublish, error: BaseException | None) -> None:
    if waiting.answer.done():
        return
    if error is None:
        waiting.answer.set_result(None)
    else:
        waiting.answer.set_exception(error)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
