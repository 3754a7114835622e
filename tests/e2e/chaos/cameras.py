"""Cameras that retry without end: an unacknowledged image is sent again as the same capture."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from siad.apps.client import CaptureInfo, IngestClient
from siad.contracts.events import Intent
from tests.synthetic import PRODUCT, part_image, png

PATIENCE_S = 900.0  # a camera has nowhere else to go
ABREAST = 8  # cameras of the line; each waits for its acknowledgement before it sends the next


@dataclass(slots=True)
class Cameras:
    """Cameras of one line."""

    client: IngestClient
    line: str
    parts: int = 32  # different parts, drawn once: drawing must not take the stages' time
    input_px: int = 0  # to which the line scales its images; 0: as the method has it
    inspected: set[str] = field(default_factory=set)  # captures that were acknowledged
    accepted_s: list[float] = field(default_factory=list)  # when, monotonic
    seconds: list[float] = field(default_factory=list)  # from the exposure of each to its acknowledgement
    _numbers: Iterator[int] = field(default_factory=count)
    _parts: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the parts; one in four has a defect."""
        self._parts = [png(part_image(number, defect=number % 4 == 0)) for number in range(self.parts)]

    async def register(self) -> None:
        """Register the line."""
        settings = {"product": PRODUCT, "false_reject_budget": 0.05, "input_px": self.input_px, "labelled_share": 1.0}
        await self.client.put_line(self.line, settings)

    async def send_normals(self, number: int) -> None:
        """Send good parts with the intent normal."""
        for one in range(number):
            data = png(part_image(10_000 + one))
            info = CaptureInfo(intent=Intent.NORMAL, idempotency_key=f"normal-{one}")
            await self.client.send_image(data, line=self.line, info=info)

    async def trickle(self, *, per_s: float, until: Callable[[], bool]) -> None:
        """Send parts to inspect, one after the other."""
        while not until():
            await self._send(time.monotonic())
            await asyncio.sleep(1 / per_s)

    async def stream(self, number: int, *, per_s: float) -> None:
        """Expose parts at a steady rate, independent of uploads; send them in order of exposure."""
        queue: asyncio.Queue[float | None] = asyncio.Queue()
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(ABREAST):
                group.create_task(self._hand_over(queue))
            for one in range(number):
                due_s = began_s + one / per_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                queue.put_nowait(due_s)
            for _ in range(ABREAST):
                queue.put_nowait(None)

    async def _hand_over(self, queue: asyncio.Queue[float | None]) -> None:
        while (exposed_s := await queue.get()) is not None:
            await self._send(exposed_s)

    async def _send(self, exposed_s: float) -> None:
        number = next(self._numbers)
        data = self._parts[number % self.parts]
        info = CaptureInfo(idempotency_key=f"inspect-{number}")
        answer = await self.client.send_image(data, line=self.line, info=info)
        self.inspected.add(answer["capture_id"])
        self.accepted_s.append(time.monotonic())
        self.seconds.append(self.accepted_s[-1] - exposed_s)
