"""Sending of the demo's cells: normals, then the stream."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from siad.apps.lab.demo.cells import Cell
from siad.apps.lab.demo.report import DemoObservations
from siad.contracts.events import Intent, WeightsKind

POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPace:
    """Rate of the stream, and when it ends."""

    per_s: float = 3.0  # captures; two cores also fit, train and compare meanwhile
    captures_min: int = 300
    seconds_min: float = 60.0
    waiting_per_s: float = 2.0  # after captures_min, until a segmenter serves: the cells must last until then
    seconds_max: float = 240.0  # the gate may refuse every candidate; then the stream ends without a swap
    after_swap: int = 100  # captures that the segmenter judges live before the stream may end
    in_flight_max: int = 16  # uploads at a time


class Sender(Protocol):
    """Sends one image to ingest.

    Returns the capture id once ingest has accepted it.
    """

    async def __call__(self, cell: Cell, intent: Intent) -> str:
        """Send one cell."""
        ...


@dataclass(slots=True)
class PhaseTimes:
    """Duration of each phase."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def end(self, name: str) -> None:
        """End the phase ``name``; the next one begins."""
        now = time.monotonic()
        self.seconds[name] = round(now - self._since, 1)
        self._since = now


async def send_normals(
    cells: Sequence[Cell], *, send: Sender, is_fitted: Callable[[], Awaitable[bool]], timeout_s: float = 180.0
) -> list[str]:
    """Send the normals.

    Return their capture ids once a teacher fitted on all of them serves.

    Raises:
        TimeoutError: no such teacher was served in time.
    """
    captures = [await send(cell, Intent.NORMAL) for cell in cells]
    try:
        async with asyncio.timeout(timeout_s):
            while not await is_fitted():
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        msg = (
            f"no teacher fitted on {len(cells)} normals served after {timeout_s:g} s; the demo ends. The logs of "
            "labeler, scorer and inference give the reason"
        )
        raise TimeoutError(msg) from error
    return captures


async def stream(
    cells: Sequence[Cell],
    *,
    pace: StreamPace,
    send: Sender,
    observations: DemoObservations,
    on_progress: Callable[[DemoObservations, int], None],
) -> None:
    """Send cells at a steady rate until the segmenter judged enough.

    Raises:
        TransientError: ingest was unavailable for longer than the sender retries.
        ProblemError: ingest refused a cell.
    """
    started = due = time.monotonic()
    slots = asyncio.Semaphore(pace.in_flight_max)

    async def upload(cell: Cell) -> None:
        async with slots:
            observations.sent[await send(cell, Intent.INSPECT)] = cell.probability

    try:
        async with asyncio.TaskGroup() as uploads:
            for number, cell in enumerate(cells, start=1):
                await asyncio.sleep(max(due - time.monotonic(), 0))
                uploads.create_task(upload(cell))
                after = sum(v.weights_kind is WeightsKind.SEGMENTER for v in observations.verdicts)
                on_progress(observations, after)
                is_enough = number >= pace.captures_min and time.monotonic() - started >= pace.seconds_min
                if is_enough and (after >= pace.after_swap or time.monotonic() - started >= pace.seconds_max):
                    return
                due += 1 / (pace.waiting_per_s if is_enough and not after else pace.per_s)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the others failed for the same reason
