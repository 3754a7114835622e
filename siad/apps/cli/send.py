"""`siad send`: upload images to a line."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from siad.apps.cli import bounds, options
from siad.apps.cli.failures import print_failure, reported_failures
from siad.apps.client import IngestClient
from siad.apps.exit_status import FAILED, SOME_SKIPPED
from siad.apps.files import SUFFIXES, listed, printable
from siad.apps.local.machine import DATA, read_state
from siad.apps.local.normals import read_counts, report_after_sending
from siad.apps.local.stage_status import describe_missing_weights, read_metrics
from siad.apps.uploads import UploadOptions, UploadResult, send_all
from siad.apps.walk import FolderContent, find_images
from siad.contracts.events import Intent
from siad.contracts.place import Place

errors = Console(stderr=True)


def send(
    files: Annotated[list[Path], typer.Argument(help="Images, or folders with images.")],
    line: Annotated[str, typer.Option("--line", help="The line that the images come from.")],
    intent: options.Intent = options.Purpose.INSPECT,
    new: Annotated[
        bool, typer.Option("--new", help="Make each file a new capture, even if its bytes were sent before.")
    ] = False,
    parallel: Annotated[
        int, typer.Option(callback=bounds.whole(1, 64, "number of uploads"), help="Uploads at a time.")
    ] = 4,
    url: options.Url = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Send images to a line.

    Sending the same file again is safe: it stays one capture. A file that can't be read is skipped and named; the
    others are sent. Exit status 1 if an image was refused or none was sent, 3 if files were skipped.
    """
    found = find_images(files)
    how = UploadOptions(line=line, intent=Intent(intent.value), is_new=new, parallel=parallel)
    with reported_failures(), Progress(console=errors, transient=True) as progress:
        _require_images(found, files)
        labeler = read_state(data)["labeler"] if how.intent is Intent.NORMAL and not url else ""
        before = read_counts(labeler)
        bar = progress.add_task(escape(f"sending to {line}"), total=len(found.images))
        address = options.ingest_address(url, data)
        result = asyncio.run(_send(address, found.images, how, on_done=lambda: progress.advance(bar)))
    for path, reason in found.skipped.items():
        result.skip(path, reason)
    _print(result, line, found, as_json=as_json)
    if how.intent is Intent.NORMAL and result.accepted and not as_json:
        errors.print(_describe_normals(result, labeler, before), highlight=False, soft_wrap=True)
    if how.intent is Intent.INSPECT and result.accepted and not as_json and not url:
        errors.print(_describe_missing_weights(result, data), highlight=False, soft_wrap=True, end="")
    if result.refused or not result.accepted:
        raise typer.Exit(FAILED)
    if result.skipped:
        raise typer.Exit(SOME_SKIPPED)


def _require_images(found: FolderContent, named: Sequence[Path]) -> None:
    """Refuse to send nothing.

    Raises:
        ValueError: no file is to be sent; the message says what was found instead.
    """
    if found.images:
        return
    for path, reason in found.skipped.items():
        print_failure(f"{printable(path)} skipped: {reason}")
    ignored = f" ({found.ignored_text()} ignored)" if found.ignored else ""
    msg = (
        f"no image in {listed(printable(path) for path in named)}{ignored}; nothing was sent. Name image files, or "
        f"folders that hold files ending in {', '.join(sorted(SUFFIXES))}"
    )
    raise ValueError(msg)


def _describe_normals(result: UploadResult, labeler: str, before: Mapping[Place, int]) -> str:
    """Say how many normals the line has and needs."""
    place = Place(result.accepted[0]["line"], result.accepted[0]["product"])
    new = {one["capture_id"] for one in result.accepted if not one["is_repeat"]}
    return report_after_sending(labeler, place, sent=len(new), before=before.get(place, 0))


def _describe_missing_weights(result: UploadResult, data: Path) -> str:
    """Lines for the terminal where no weights judge the images yet."""
    places = {Place(one["line"], one["product"]) for one in result.accepted}
    with httpx.Client(timeout=2.0) as client:
        metrics = read_metrics(client, read_state(data)["inference"])
    return "".join(f"{text}\n" for text in describe_missing_weights(metrics, sorted(places)))


async def _send(
    address: str, paths: Sequence[Path], how: UploadOptions, *, on_done: Callable[[], None]
) -> UploadResult:
    async with IngestClient(address) as client:
        return await send_all(client, paths, how, on_done=on_done)


def _print(result: UploadResult, line: str, found: FolderContent, *, as_json: bool) -> None:
    if as_json:
        shown = {"accepted": result.accepted, "refused": result.refused, "skipped": result.skipped}
        print(json.dumps(shown | {"ignored": found.ignored}, indent=2))
        return
    for verb, files in (("refused", result.refused), ("skipped", result.skipped)):
        for one in files:
            text = f"[red]{escape(one['file'])}[/] {verb}: {escape(one['detail'])}"
            errors.print(text, highlight=False, soft_wrap=True)
    for one in result.accepted:
        if note := one.get("note"):
            errors.print(f"[yellow]{escape(one['file'])}[/]: {escape(note)}", highlight=False, soft_wrap=True)
    repeats = sum(one["is_repeat"] for one in result.accepted)
    again = f" ({repeats} of them {'was' if repeats == 1 else 'were'} sent before)" if repeats else ""
    others = "".join(
        f", {text}"
        for text in (
            f"{len(result.refused)} refused",
            f"{len(result.skipped)} skipped" if result.skipped else "",
            f"{found.ignored_text()} ignored" if found.ignored else "",
        )
        if text
    )
    number = "1 image" if len(result.accepted) == 1 else f"{len(result.accepted)} images"
    text = f"{number} accepted by line {line}{again}{others}"
    Console().print(escape(text), highlight=False, soft_wrap=True)
