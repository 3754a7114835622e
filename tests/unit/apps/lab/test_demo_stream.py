"""How the demo sends its cells; with a sender that answers at once."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from siad.apps.client import ProblemError
from siad.apps.lab.demo.cells import Cell
from siad.apps.lab.demo.report import DemoObservations
from siad.apps.lab.demo.stream import StreamPace, send_normals, stream
from siad.contracts.events import Intent, WeightsKind
from tests.unit.apps.cli.events import verdict

CELLS = [Cell(Path(f"cell{n}.png"), float(n % 2)) for n in range(60)]
FAST = StreamPace(per_s=1000, waiting_per_s=500, captures_min=20, seconds_min=0.0, after_swap=5)


async def accept(cell: Cell, intent: Intent) -> str:
    return f"{intent}-{cell.serial}"


async def run(pace: StreamPace, *, segmenter_after: int | None = None, cells: list[Cell] = CELLS) -> DemoObservations:
    seen = DemoObservations()

    def tell(seen: DemoObservations, _: int) -> None:
        if segmenter_after is not None and len(seen.sent) >= segmenter_after:
            seen.verdicts.append(verdict(len(seen.verdicts), 0.0, kind=WeightsKind.SEGMENTER))

    await stream(cells, pace=pace, send=accept, observations=seen, on_progress=tell)
    return seen


async def test_without_a_swap_every_cell_is_sent() -> None:
    assert len((await run(FAST)).sent) == 60


async def test_the_stream_ends_once_the_segmenter_has_judged_enough() -> None:
    seen = await run(FAST, segmenter_after=25)
    assert 25 < len(seen.sent) < 40


async def test_a_swap_that_comes_early_does_not_cut_the_stream_short() -> None:
    assert 20 <= len((await run(FAST, segmenter_after=2)).sent) < 30


async def test_the_stream_slows_down_while_it_waits_for_the_swap() -> None:
    async def seconds(pace: StreamPace) -> float:
        started = time.monotonic()
        await run(pace)
        return time.monotonic() - started

    slow = replace(FAST, waiting_per_s=100)
    assert await seconds(slow) > 0.35  # 40 cells at 100 a second; it never runs ahead of its pace


async def test_a_missing_teacher_is_an_error() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(TimeoutError, match=r"fitted on 3 normals served after 0\.05 s"):
        await send_normals(CELLS[:3], send=accept, is_fitted=never, timeout_s=0.05)


async def test_normals_are_sent_as_such() -> None:
    async def at_once() -> bool:
        await asyncio.sleep(0)
        return True

    captures = await send_normals(CELLS[:2], send=accept, is_fitted=at_once)
    assert captures == ["normal-cell0", "normal-cell1"]


async def test_a_refused_cell_ends_the_stream_with_its_own_error() -> None:
    async def refuse(cell: Cell, intent: Intent) -> str:
        raise ProblemError(422, "not-an-image", f"{cell.serial} refused")

    with pytest.raises(ProblemError, match=r"cell\d+ refused"):
        await stream(CELLS, pace=FAST, send=refuse, observations=DemoObservations(), on_progress=lambda *_: None)


async def test_a_stream_that_no_segmenter_joins_ends_in_time() -> None:
    pace = replace(FAST, seconds_max=0.0)
    assert len((await run(pace)).sent) == FAST.captures_min
