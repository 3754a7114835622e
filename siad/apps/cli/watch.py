"""`siad watch`: upload every image that is written to a folder."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from siad.apps.cli import bounds, options
from siad.apps.cli.failures import print_failure, reported_failures
from siad.apps.edge.agent import WatchJob, run_watch, unchanged_refused
from siad.apps.edge.folder import WatchedFolder
from siad.apps.edge.journal import Journal, journal_path, locked
from siad.apps.edge.names import SerialPattern
from siad.apps.edge.ports import WatchOptions
from siad.apps.edge.zones import machine_zone, read_zone
from siad.apps.files import printable
from siad.apps.local.machine import DATA
from siad.contracts.events import Intent
from siad.contracts.ids import require_slug

console = Console()
NO_LINE = "it is required. Name the line that the images come from, for example --line press-1; nothing was sent"

Zone = Annotated[
    str | None,
    typer.Option(
        help="Time zone of times in names that name none: Europe/Berlin, +01:00 or UTC; default: that of this "
        "machine. A time in the hour that the end of summer time repeats is read as the file's time says."
    ),
]
SettleS = Annotated[
    float,
    typer.Option(
        callback=bounds.seconds(0.1, 3600), help="Seconds without a change after which a file counts as complete."
    ),
]
Parallel = Annotated[
    int,
    typer.Option(callback=bounds.whole(1, 64, "number of uploads"), help="Uploads at a time; 1 keeps strict order."),
]


def watch(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    folder: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="The folder to watch.")],
    line: Annotated[str, typer.Option("--line", help="The line that the images come from; required.")] = "",
    intent: options.Intent = options.Purpose.INSPECT,
    serial_from_name: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Regular expression for file names, with a group 'serial' and optionally 'captured_at', for example "
            "'(?P<serial>[A-Z0-9]+)_'. A file that does not match is sent without a serial.",
        ),
    ] = None,
    zone: Zone = None,
    move_to: Annotated[Path | None, typer.Option(help="Move each file to this folder once it was accepted.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Include folders below DIR.")] = False,
    once: Annotated[
        bool,
        typer.Option("--once", help="Send the files that are there, then end; exit status 1 if not all were sent."),
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Each write of a file is a new capture, even with the same bytes.")
    ] = False,
    settle_s: SettleS = 1.0,
    parallel: Parallel = 4,
    list_refused: Annotated[bool, typer.Option("--refused", help="List refused files and end.")] = False,
    url: options.Url = None,
    data: options.Data = DATA,
) -> None:
    """Watch a folder and send each image once, when complete.

    A journal under --data records what was sent, so a restart repeats nothing. While ingest is unavailable, images wait
    in the folder.
    """
    root, journal_file = folder.resolve(), journal_path(data, folder.resolve())
    with reported_failures(), _reported_journal_errors(journal_file):
        if list_refused:
            raise typer.Exit(_print_refused(journal_file, root))
        if not line:
            raise typer.BadParameter(NO_LINE, param_hint="--line")
        require_slug("--line", line)
        target = move_to and _require_other(move_to, root)
        job = WatchJob(
            folder=WatchedFolder(root, is_recursive=recursive, move_to=target),
            line=line,
            intent=Intent(intent.value),
            url=options.ingest_address(url, data),
            options=WatchOptions(
                name=str(root),
                settle_s=settle_s,
                parallel=parallel,
                is_new=new,
                is_once=once,
                is_moving=target is not None,
                serials=_serials(serial_from_name, zone),
            ),
        )
        with locked(journal_file, line), Journal(journal_file, line) as journal:
            raise typer.Exit(asyncio.run(run_watch(job, journal, console)))


def _serials(pattern: str | None, zone: str | None) -> SerialPattern | None:
    named = read_zone(zone) if zone else None
    serials = SerialPattern(pattern, zone=named or machine_zone(os.environ.get("TZ"))) if pattern else None
    if zone and (serials is None or not serials.has_time):
        msg = (
            f"--zone {zone} has no effect without a group 'captured_at' in --serial-from-name; nothing was sent. Add "
            "the group, for example '_(?P<captured_at>[0-9-]+)', or leave out --zone"
        )
        raise ValueError(msg)
    return serials


def _require_other(move_to: Path, root: Path) -> Path:
    if move_to.resolve() == root:
        msg = f"--move-to {move_to} is the watched folder itself; nothing was sent. Name another folder"
        raise ValueError(msg)
    return move_to.resolve()


def _print_refused(journal_file: Path, root: Path) -> int:
    """Print refused files as path, line, code and detail, separated by tabs.

    Returns 1 if there are any.
    """
    found = unchanged_refused(journal_file, root)
    for path, line, entry in found:
        print(printable(path), line, entry.code, entry.detail, sep="\t")
    if not found:
        console.print(f"no refused files in {root}", markup=False, highlight=False, soft_wrap=True)
    return 1 if found else 0


@contextmanager
def _reported_journal_errors(journal_file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        print_failure(
            f"the journal {journal_file} can't be used: {error}; nothing more was sent. Check the disk, or delete the "
            "file: images sent before are recognised and not captured twice"
        )
        raise typer.Exit(1) from error
