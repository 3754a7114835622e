"""Run the demo: teach, stream, wait for the swap, drain, hold both models against the experts' labels."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from siad.apps.lab.demo.cells import Cell
from siad.apps.lab.demo.report import DemoObservations, ModelVerdict
from siad.contracts.events import Intent, WeightsKind

LINE, PRODUCT = "solar-mono", "mono-cell"
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPace:
    """How the stream is sent, and when it has shown enough."""

    per_s: float = 4.0  # captures; about half of what two cores can do while they also train
    captures_min: int = 300
    seconds_min: float = 60.0
    waiting_per_s: float = 2.0  # once captures_min are sent and no segmenter serves yet: cells must last until it does
    after_swap: int = 100  # captures that the segmenter judges live before the stream may end
    in_flight_max: int = 16  # uploads under way


class Sender(Protocol):
    """Hands images to ingest; returns the capture's id once it was accepted."""

    async def __call__(self, cell: Cell, intent: Intent) -> str:
        """Send one cell."""
        ...


@dataclass(slots=True)
class PhaseTimes:
    """How long each phase took."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def end(self, name: str) -> None:
        """The phase ``name`` is over; the next one begins."""
        now = time.monotonic()
        self.seconds[name] = round(now - self._since, 1)
        self._since = now


async def teach(
    cells: Sequence[Cell], *, send: Sender, is_taught: Callable[[], Awaitable[bool]], timeout_s: float = 180.0
) -> list[str]:
    """Send the normals; return their captures once a teacher fitted on all of them judges.

    Raises:
        TimeoutError: it did not come.
    """
    captures = [await send(cell, Intent.NORMAL) for cell in cells]
    try:
        async with asyncio.timeout(timeout_s):
            while not await is_taught():
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        msg = f"no teacher fitted on {len(cells)} normals was in service after {timeout_s:g} s"
        raise TimeoutError(msg) from error
    return captures


async def stream(
    cells: Sequence[Cell],
    *,
    pace: StreamPace,
    send: Sender,
    seen: DemoObservations,
    tell: Callable[[DemoObservations, int], None],
) -> None:
    """Send cells at a steady pace until the swap was seen, and enough after it.

    Raises:
        TransientError: ingest was away for longer than the sender waits.
        ProblemError: ingest refused a cell.
    """
    started = due = time.monotonic()
    gate = asyncio.Semaphore(pace.in_flight_max)

    async def hand_over(cell: Cell) -> None:
        async with gate:
            seen.sent[await send(cell, Intent.INSPECT)] = cell.probability

    try:
        async with asyncio.TaskGroup() as uploads:
            for number, cell in enumerate(cells, start=1):
                await asyncio.sleep(max(due - time.monotonic(), 0))
                uploads.create_task(hand_over(cell))
                after = sum(v.weights_kind is WeightsKind.SEGMENTER for v in seen.verdicts)
                tell(seen, after)
                is_enough = number >= pace.captures_min and time.monotonic() - started >= pace.seconds_min
                if is_enough and after >= pace.after_swap:
                    return
                due += 1 / (pace.waiting_per_s if is_enough and not after else pace.per_s)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the others fell for the same reason


async def ask_again(url: str, cells: Sequence[tuple[str, Cell]]) -> dict[str, ModelVerdict]:
    """Have inference judge cells at once (origin DIRECT): what does it say of those that the teacher judged live?"""
    said: dict[str, ModelVerdict] = {}
    async with httpx.AsyncClient(timeout=60.0) as client:
        for capture, cell in cells:
            body = await asyncio.to_thread(cell.path.read_bytes)
            answer = await client.post(
                f"{url}/v1/lines/{LINE}/inspect", content=body, headers={"Content-Type": "image/png"}
            )
            answer.raise_for_status()
            verdict: dict[str, Any] = answer.json()
            if verdict["weights_kind"] == WeightsKind.SEGMENTER:
                said[capture] = ModelVerdict(
                    score=verdict["score"], is_defect=verdict["decision"] == "reject", weights=verdict["weights"]
                )
    return said
