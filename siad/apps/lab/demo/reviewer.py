"""Simulated reviewer of the demo: answers with the experts' labels."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from siad.apps.console_client import CaptureAnswer
from siad.apps.lab.demo.cells import DEFECTIVE, LINE, NORMAL, Cell

AUTHOR: Final = "simulated reviewer"
POLL_S: Final = 1.0


class AnswerDesk(Protocol):
    """The part of the console that answers go through."""

    async def review(self, line: str, *, count: int, product: str | None = None) -> dict[str, Any]:
        """Read the captures that are worth an answer."""
        ...

    async def correct(self, line: str, capture_id: str, answer: CaptureAnswer) -> dict[str, Any]:
        """Store an answer."""
        ...


async def answer_cells(console: AnswerDesk, cells: Sequence[Cell], *, count: int) -> int:
    """Answer the captures that the console shows, by the experts' labels.

    They are certain of some cells only; of the others the answer is that the image does not show which.

    Returns:
        How many were answered.
    """
    by_serial = {cell.serial: cell for cell in cells}
    shown = await console.review(LINE, count=count)
    answered = 0
    for item in shown["items"]:
        cell = by_serial.get(item["serial"])
        if cell is not None:
            verdict = {NORMAL: "good", DEFECTIVE: "defect"}.get(cell.probability, "unsure")
            await console.correct(LINE, item["capture_id"], CaptureAnswer(verdict=verdict, author=AUTHOR))
            answered += 1
    return answered


async def wait_for(is_done: Callable[[], bool], *, timeout_s: float) -> bool:
    """Wait until something is done.

    False after ``timeout_s``.
    """
    until = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(POLL_S)
    return True
