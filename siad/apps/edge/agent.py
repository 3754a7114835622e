"""One run of the edge agent: check, watch, sum up."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from siad.apps.client import IngestClient
from siad.apps.edge.folder import WatchedFolder
from siad.apps.edge.journal import Journal, read_refused
from siad.apps.edge.output import WatchOutput, images
from siad.apps.edge.plan import JournalEntry
from siad.apps.edge.ports import WatchOptions, WatchPorts
from siad.apps.edge.run import FolderWatch
from siad.apps.edge.upload import IngestUploader
from siad.apps.exit_status import FAILED, SOME_SKIPPED
from siad.apps.files import printable
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent
from siad.runtime.clock import SYSTEM_CLOCK

GRACE_S: Final = 5.0  # for uploads in progress after a stop signal; an aborted upload is repeated by the next start


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchJob:
    """What to watch, and where to send it."""

    folder: WatchedFolder
    line: str
    intent: Intent
    url: str
    options: WatchOptions


async def run_watch(job: WatchJob, journal: Journal, console: Console) -> int:
    """Watch until a signal, or with ``is_once`` until done.

    Returns:
        The exit status: 0; with ``is_once`` 1 if it left files unsent or refused, else 3 if it skipped files.

    Raises:
        ProblemError: the line does not exist.
    """
    output = WatchOutput(console, clock=SYSTEM_CLOCK)
    async with IngestClient(job.url, retry_for_s=0) as client:
        await _require_line(client, job.line)
        uploader = IngestUploader(client, line=job.line, intent=job.intent)
        ports = WatchPorts(folder=job.folder, journal=journal, upload=uploader, output=output, clock=SYSTEM_CLOCK)
        watch = FolderWatch(ports, job.options)
        end = "ends when all files are sent" if job.options.is_once else "Ctrl-C ends it"
        output.line(f"watching {printable(job.folder.root)}, sending to line {job.line} at {job.url}; {end}")
        serials = job.options.serials
        if serials is not None and serials.has_time:
            output.line(f"times in names are read in the zone {serials.zone} unless they name one; --zone sets it")
        with _stop_on_signals() as stop:
            try:
                await watch.run(stop)
            except asyncio.CancelledError:
                output.line("aborted during an upload; the next start repeats it")
    return _sum_up(watch, output, job)


def unchanged_refused(journal: Path, root: Path) -> list[tuple[str, str, JournalEntry]]:
    """Path, line and entry of refused files that have not changed."""
    return [
        (path, line, entry)
        for line, files in read_refused(journal).items()
        for path, entry in files.items()
        if _has_stamp(root / path, entry.stamp)
    ]


def _sum_up(watch: FolderWatch, output: WatchOutput, job: WatchJob) -> int:
    counts, refused, unsent, skipped = watch.counts, watch.refused(), watch.unsent(), watch.skipped()
    output.flush()
    again = f" ({counts.repeats} of them it had already)" if counts.repeats else ""
    output.line(
        f"ended: {images(counts.accepted)} sent to line {job.line}{again}, {len(refused)} refused, "
        f"{len(unsent)} not sent{f', {len(skipped)} skipped' if skipped else ''}"
    )
    for problem, count in sorted(counts.names.items(), key=lambda one: one[0].value):
        output.line(f"of the images sent, names {problem.value}: {count}")
    output.refused(refused)
    output.unsent(unsent)
    output.skipped(skipped)
    if not job.options.is_once:
        return 0
    return FAILED if refused or unsent else SOME_SKIPPED if skipped else 0


async def _require_line(client: IngestClient, line: str) -> None:
    """End at once if the line does not exist.

    While ingest is unavailable, the watch starts and waits for it.
    """
    try:
        await client.get_line(line)
    except TransientError:
        return


def _has_stamp(place: Path, stamp: tuple[int, int]) -> bool:
    try:
        found = place.lstat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == stamp


@contextmanager
def _stop_on_signals() -> Iterator[asyncio.Event]:
    """An event set by the first signal.

    The second signal, or ``GRACE_S``, aborts what is in progress.
    """
    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()
        loop.call_later(GRACE_S, task.cancel)

    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield stop
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
