"""Spool of verdicts: outlives kill -9, is bounded, and loses nothing but work when the disk fails."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.inference.adapters.spool import VerdictSpool
from services.inference.domain.judge import CaptureJudgement, UnknownReason, make_verdict
from siad.contracts.errors import TransientError
from siad.contracts.events import ImageStored, VerdictGiven
from siad.contracts.ids import image_id_of
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.testing.clock import FakeClock
from tests.synthetic import store_capture

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def capture(number: int) -> ImageStored:
    return store_capture(MemoryBlobs(), b"image", key=str(number))


def verdict_of(event: ImageStored) -> VerdictGiven:
    judgement = CaptureJudgement.unknown(UnknownReason.LATE)
    return make_verdict(event, judgement, mask_uri="", started_at=NOON, judged_at=NOON)


def open_spool(folder: Path, *, clock: FakeClock | None = None, verdicts_max: int = 4) -> VerdictSpool:
    return VerdictSpool(folder / "spool.sqlite", verdicts_max=verdicts_max, clock=clock or FakeClock(NOON))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[VerdictSpool]:
    spool = open_spool(tmp_path)
    yield spool
    spool.close()


async def test_verdicts_are_kept_only_while_the_broker_refuses(spool: VerdictSpool) -> None:
    before, during, after = (capture(number) for number in range(3))
    await spool.keep(verdict_of(before))
    await spool.on_published([verdict_of(before)])
    await spool.on_refused([])
    await spool.keep(verdict_of(during))
    await spool.on_published([])
    await spool.keep(verdict_of(after))
    assert [await spool.find(event) for event in (before, during, after)] == [None, verdict_of(during), None]


async def test_a_verdict_that_waits_for_those_before_it_is_kept_when_they_are_refused(spool: VerdictSpool) -> None:
    refused, waiting = capture(1), capture(2)
    await spool.keep(verdict_of(waiting))
    await spool.on_refused([verdict_of(refused)])
    assert [await spool.find(event) for event in (refused, waiting)] == [verdict_of(refused), verdict_of(waiting)]


async def test_no_more_verdicts_wait_in_memory_than_fit_into_the_spool(spool: VerdictSpool) -> None:
    events = [capture(number) for number in range(6)]
    for event in events:
        await spool.keep(verdict_of(event))
    await spool.on_refused([])
    assert [await spool.find(event) is not None for event in events] == [False] * 2 + [True] * 4


async def test_another_image_of_the_capture_is_judged_anew(spool: VerdictSpool) -> None:
    event = capture(1)
    await spool.on_refused([verdict_of(event)])
    assert await spool.find(replace(event, image_id=image_id_of(b"other"))) is None


async def test_it_is_named_from_half_on_and_full_it_lets_captures_wait(spool: VerdictSpool) -> None:
    events = [capture(number) for number in range(4)]
    with capture_logs() as logs:
        await spool.on_refused([verdict_of(events[0])])
        await spool.check()
        await spool.keep(verdict_of(events[1]))
        with pytest.raises(TransientError, match=r"2 of at most 4 .* judging goes on until it is full"):
            await spool.check()
        spool.require_room()
        for event in events[2:]:
            await spool.keep(verdict_of(event))
        with pytest.raises(TransientError, match=r"4 of at most 4 .* nothing more is judged\. No capture is lost"):
            spool.require_room()
        await spool.on_published([verdict_of(event) for event in events[:3]])
        spool.require_room()
        await spool.check()
    told = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert told == ["spool_half_full", "spool_full"]


async def test_entries_expire_with_their_captures(tmp_path: Path) -> None:
    clock = FakeClock(NOON)
    first = open_spool(tmp_path, clock=clock)
    await first.on_refused([verdict_of(capture(1))])
    first.close()
    for days, is_kept in ((6, True), (8, False)):
        again = open_spool(tmp_path, clock=FakeClock(NOON + timedelta(days=days)))
        assert (await again.find(capture(1)) is not None) is is_kept
        again.close()


async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"no database" * 100)
    spool = open_spool(tmp_path)
    await spool.on_refused([verdict_of(capture(1))])
    assert await spool.find(capture(1)) is not None
    assert (tmp_path / "spool.damaged").exists()
    spool.close()


async def test_a_folder_that_can_not_be_used_costs_the_copy_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with capture_logs() as logs:
        spool = open_spool(tmp_path / "file")
        await spool.on_refused([verdict_of(capture(1))])
    assert await spool.find(capture(1)) is None
    assert logs[0]["event"] == "spool_unavailable"
    spool.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.unit.inference.test_inference_spool import capture, open_spool, verdict_of

async def main() -> None:
    spool = open_spool(Path(sys.argv[1]), verdicts_max=10_000)
    await spool.on_refused([])
    for number in range(10_000):
        await spool.keep(verdict_of(capture(number)))
        print(number, flush=True)

asyncio.run(main())
"""


def kill_while_writing(folder: Path) -> int:
    """Kill a process that keeps verdicts; return the number of the last one that it kept."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(40):
        last = process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    return int(rest[-1] if rest else last)


async def test_what_was_kept_outlives_kill_9(tmp_path: Path) -> None:
    kept = await asyncio.to_thread(kill_while_writing, tmp_path)
    spool = open_spool(tmp_path, verdicts_max=10_000)
    found = [await spool.find(capture(number)) for number in range(kept + 1)]
    assert None not in found
    assert [verdict.serial for verdict in found if verdict] == [str(number) for number in range(kept + 1)]
    spool.close()
