"""Sends to the embedded bus: whoever publishes at the same time shares one transaction, and one wait for the disk."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from siad.contracts.errors import TransientError
from siad.runtime.bus.embedded.log import append, sweep
from siad.runtime.bus.embedded.sqlite_thread import SqliteThread
from siad.runtime.bus.port import Message, refuse_oversize
from siad.runtime.bus.settings import BusSettings

log = structlog.get_logger()

SWEEP_EVERY_S = 60.0  # of every process that publishes; one that finds nothing takes a millisecond


class _PendingPublish(NamedTuple):
    """One publish on its way."""

    messages: Sequence[Message]
    answer: "asyncio.Future[None]"


class EmbeddedProducer:
    """Every answer is final: what was refused is never written later."""

    def __init__(self, lane: SqliteThread, settings: BusSettings) -> None:
        self._lane, self._settings = lane, settings
        self._waiting: list[_PendingPublish] = []
        self._writing: asyncio.Task[None] | None = None
        self._swept_at_s = float("-inf")

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send in order; return once all lie on disk."""
        for message in messages:
            refuse_oversize(message)
        if not messages:
            return
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_PendingPublish(tuple(messages), answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await answer

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._writing is not None:
            await asyncio.wait((self._writing,))
        await self._lane.close()

    async def _write(self) -> None:
        """Write until nobody waits; what comes during one transaction goes together into the next."""
        try:
            while self._waiting:
                together, self._waiting = self._waiting, []
                together = [one for one in together if not one.answer.cancelled()]
                await self._write_together(together)
            if time.monotonic() - self._swept_at_s > SWEEP_EVERY_S:
                self._swept_at_s = time.monotonic()
                await self._sweep()
        finally:
            self._writing = None
            if self._waiting:  # they came while it swept
                self._writing = asyncio.create_task(self._write())

    async def _write_together(self, together: Sequence[_PendingPublish]) -> None:
        batches = [one.messages for one in together]
        writing = asyncio.create_task(self._lane.run(append, batches, now_ms=_now_ms()))
        await asyncio.wait((writing,))
        error = writing.exception()  # whatever it is, it is theirs whose messages were not written
        refusals = writing.result() if error is None else [error] * len(together)
        for one, refusal in zip(together, refusals, strict=True):
            _answer(one, refusal)

    async def _sweep(self) -> None:
        try:
            gone = await self._lane.run(sweep, self._settings, now_ms=_now_ms())
        except (TransientError, RuntimeError) as error:
            log.warning("bus_sweep_failed", reason=str(error))  # whoever publishes next is told
            return
        if gone:
            log.info("bus_swept", records=gone)


def _answer(waiting: _PendingPublish, error: BaseException | None) -> None:
    if waiting.answer.done():
        return
    if error is None:
        waiting.answer.set_result(None)
    else:
        waiting.answer.set_exception(error)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
