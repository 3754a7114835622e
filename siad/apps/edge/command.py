"""`siad watch`: hand every image that is put into a folder to ingest."""

import asyncio
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli.line import Data, Url, address_of, told_errors
from siad.apps.cli.send import Purpose
from siad.apps.client import IngestClient, ProblemError
from siad.apps.edge.folder import WatchedFolder
from siad.apps.edge.handover import IngestReceiver
from siad.apps.edge.journal import Journal, held, place_of, refused
from siad.apps.edge.names import SerialPattern
from siad.apps.edge.output import WatchOutput, images, shown
from siad.apps.edge.run import FolderWatch, WatchOptions
from siad.apps.local.machine import DATA
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent
from siad.contracts.ids import require_slug
from siad.runtime.clock import SYSTEM_CLOCK

GRACE_S: Final = 5.0  # for uploads under way when the watch is told to stop; cut off, they are repeated harmlessly

console, errors = Console(), Console(stderr=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchJob:
    """What one call of the command is to do."""

    folder: WatchedFolder
    line: str
    intent: Intent
    url: str
    ways: WatchOptions


def watch(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    folder: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="The folder to watch.")],
    line: Annotated[str, typer.Option("--line", help="The line that its images come from.")] = "",
    intent: Annotated[Purpose, typer.Option(help="To be judged, or known to be good.")] = Purpose.INSPECT,
    serial_from_name: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Regular expression with a group 'serial', and 'captured_at' if names tell the time. "
            "A name that does not match is handed over without a serial.",
        ),
    ] = None,
    move_to: Annotated[Path | None, typer.Option(help="Move each file there once it is handed over.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Folders in DIR belong to it.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Hand over what is there, then end; 1 if not all was.")] = False,
    new: Annotated[
        bool, typer.Option("--new", help="A file written again is a new exposure, though its bytes are the same.")
    ] = False,
    settle_s: Annotated[float, typer.Option(min=0.1, help="Seconds that a file must rest to count as whole.")] = 1.0,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Uploads at a time; 1 keeps them in strict order.")] = 4,
    list_refused: Annotated[bool, typer.Option("--refused", help="List what was refused, and end.")] = False,
    url: Url = None,
    data: Data = DATA,
) -> None:
    """Watch a folder as if it were a camera: each image in it is handed over once, when it is whole."""
    root, place = folder.resolve(), place_of(data, folder.resolve())
    with _told():
        if list_refused:
            raise typer.Exit(_list_refused(place, root))
        require_slug("--line", line)
        target = move_to and _require_other(move_to, root)
        job = WatchJob(
            folder=WatchedFolder(root, is_recursive=recursive, move_to=target),
            line=line,
            intent=Intent(intent.value),
            url=address_of(url, data),
            ways=WatchOptions(
                name=str(root),
                settle_s=settle_s,
                parallel=parallel,
                is_new=new,
                is_once=once,
                is_moving=target is not None,
                serials=SerialPattern(serial_from_name) if serial_from_name else None,
            ),
        )
        with held(place, line), Journal(place, line) as journal:
            raise typer.Exit(asyncio.run(_watch(job, journal)))


def _require_other(move_to: Path, root: Path) -> Path:
    if move_to.resolve() == root:
        msg = f"--move-to {move_to} is the folder that is watched; nothing was done. Name another one"
        raise ValueError(msg)
    return move_to.resolve()


async def _watch(job: WatchJob, journal: Journal) -> int:
    """Do it; the exit status."""
    say = WatchOutput(console, clock=SYSTEM_CLOCK)
    async with IngestClient(job.url, patience_s=0) as client:
        await _require_line(client, job.line)
        to_ingest = IngestReceiver(client, line=job.line, intent=job.intent)
        watch = FolderWatch(job.folder, journal, to_ingest, say=say, ways=job.ways, clock=SYSTEM_CLOCK)
        ends = "ends when all is handed over" if job.ways.is_once else "Ctrl-C ends it"
        say.line(f"watching {job.folder.root} for line {job.line}, which {job.url} takes in; {ends}")
        with _signals() as stop:
            try:
                await watch.run(stop)
            except asyncio.CancelledError:
                say.line("cut off within an upload; it is repeated when the watch is started again")
    return _sum_up(watch, say, job)


def _sum_up(watch: FolderWatch, say: WatchOutput, job: WatchJob) -> int:
    tally, no, left = watch.tally, watch.refused(), watch.left()
    say.flush()
    again = f" ({tally.repeats} of them it had already)" if tally.repeats else ""
    say.line(
        f"ended: {images(tally.handed)} handed over to line {job.line}{again}, {len(no)} refused, {len(left)} not done"
    )
    say.refused(no)
    say.left(left)
    return 1 if job.ways.is_once and (no or left) else 0


async def _require_line(client: IngestClient, line: str) -> None:
    """End at once where there is no such line; where ingest is away, the watch begins and waits for it."""
    try:
        await client.get_line(line)
    except ProblemError as error:
        hint = f"; register it first: siad line put {line} --product PRODUCT" if error.code == "unknown-line" else ""
        raise ProblemError(error.status, error.code, f"{error}{hint}") from error
    except TransientError:
        return


def _list_refused(journal: Path, root: Path) -> int:
    """Tell what was refused and still lies there as it was; 1 where there is any."""
    count = 0
    for line, files in refused(journal).items():
        still = {path: known for path, known in files.items() if _is_as_noted(root / path, known.stamp)}
        count += len(still)
        for path, known in still.items():
            print(shown(path), line, known.code, known.detail, sep="\t")
    if not count:
        console.print(f"nothing in {root} stands refused", markup=False, highlight=False, soft_wrap=True)
    return 1 if count else 0


def _is_as_noted(place: Path, stamp: tuple[int, int]) -> bool:
    try:
        found = place.lstat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == stamp


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """An event that the first signal sets; what is not done soon after, or at the second one, is cut off."""
    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()
        loop.call_later(GRACE_S, task.cancel)

    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread alone
        yield stop
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextmanager
def _told() -> Iterator[None]:
    """Tell what went wrong in a line; the command ends with 1."""
    with told_errors():
        try:
            yield
        except (ValueError, BlockingIOError) as error:
            _end(str(error), lambda text: text)
        except sqlite3.Error as error:
            _end(str(error), lambda text: f"the journal can't be used: {text}; delete it, no image is captured twice")


def _end(said: str, tell: Callable[[str], str]) -> None:
    errors.print(f"[red]{escape(tell(said))}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)
