"""Six lines whose cameras, product or process change at the same time."""

import asyncio
import math
import random
from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np

from benchmarks.drift import CHANGES
from siad.contracts.drift import DriftCause
from siad.vision.images import Image
from tests.e2e.runbooks.stand import Change, Stand

USUAL: Final = 30  # captures before the change
SCORES_USUAL: Final = 65  # before a change of the process: the usual scores are learned first
CHANGED_MAX, REPAIRED_MAX = 120, 120
ALERT: Final[Mapping[DriftCause, str]] = {cause: f"SiadDrift{cause.value.capitalize()}" for cause in DriftCause}
REPAIR: Final[Mapping[DriftCause, str]] = {
    DriftCause.FOCUS: "the focus ring is set back",
    DriftCause.LIGHT: "the lamp is replaced",
    DriftCause.SHIFT: "the camera is mounted again",
    DriftCause.DIRT: "the lens is cleaned",
    DriftCause.PRODUCT: "the product of the line runs again",
    DriftCause.PROCESS: "the tool is replaced",
}


def line_of(cause: DriftCause) -> str:
    """Name of the line that drifts by a cause."""
    return f"drift-{cause.value}"


def wear(image_HWC: Image) -> Image:
    """Scratch a part in a random place, as a worn tool does."""
    height, width = image_HWC.shape[:2]
    middle = np.array([random.random() * width, random.random() * height])
    angle = random.random() * math.pi
    along = 0.08 * width * np.array([math.cos(angle), math.sin(angle)])
    ends = [[round(value) for value in middle + sign * along] for sign in (-1, 1)]
    marked = cv2.line(np.ascontiguousarray(image_HWC), ends[0], ends[1], (40, 40, 40), max(2, width // 90))
    return np.asarray(marked, np.uint8)


def other_product(image_HWC: Image) -> Image:
    """Show a board with holes in place of the part."""
    height, width = image_HWC.shape[:2]
    board = np.full_like(image_HWC, 90)
    for x in range(width // 8, width, width // 4):
        for y in range(height // 6, height, height // 3):
            cv2.circle(board, (x, y), width // 20, (210, 200, 60), -1)
    return board


def change_of(cause: DriftCause) -> Change:
    """Return what a cause does to an image."""
    return {**CHANGES, DriftCause.PRODUCT: other_product, DriftCause.PROCESS: wear}[cause]


async def cameras_drift(stand: Stand) -> None:
    """Let six lines drift, each by its cause, and repair each once its alert fired."""
    async with asyncio.TaskGroup() as group:
        for cause in DriftCause:
            group.create_task(_drift_or_note(stand, cause))


async def _drift_or_note(stand: Stand, cause: DriftCause) -> None:
    """Let one line drift; another line's failure is no reason to stop."""
    try:
        await _drift(stand, cause)
    except AssertionError as error:
        stand.failed.add(ALERT[cause])
        stand.note(f"{line_of(cause)}: FAILED {error}")


async def _drift(stand: Stand, cause: DriftCause) -> None:
    line, alert = line_of(cause), ALERT[cause]
    await stand.send(line, stand.good(SCORES_USUAL if cause is DriftCause.PROCESS else USUAL))
    stand.note(f"{line}: {change_of(cause).__doc__}".splitlines()[0])
    changed = asyncio.create_task(stand.send(line, stand.good(CHANGED_MAX), change=change_of(cause)))
    try:
        await stand.expect(alert, 240, line=line)
    finally:
        changed.cancel()
    await stand.siad("drift", line)
    stand.note(f"{line}: {REPAIR[cause]}")
    repaired = asyncio.create_task(stand.send(line, stand.good(REPAIRED_MAX)))
    try:
        await stand.cleared(alert, 240, line=line)
    finally:
        repaired.cancel()
