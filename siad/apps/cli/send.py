"""`siad send`: upload images to a line."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.client import IngestClient
from siad.apps.local.machine import DATA
from siad.apps.uploads import UploadOptions, UploadResult, find_images, send_all
from siad.contracts.events import Intent

errors = Console(stderr=True)


def send(
    files: Annotated[list[Path], typer.Argument(help="Images, or folders with images.", exists=True)],
    line: Annotated[str, typer.Option("--line", help="The line that the images come from.")],
    intent: options.Intent = options.Purpose.INSPECT,
    new: Annotated[
        bool, typer.Option("--new", help="Make each file a new capture, even if its bytes were sent before.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Uploads at a time.")] = 4,
    url: options.Url = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Send images to a line.

    Sending the same file again is safe: it stays one capture. Exit status 1 if an image was refused.
    """
    paths = find_images(files)
    how = UploadOptions(line=line, intent=Intent(intent.value), is_new=new, parallel=parallel)
    with reported_failures(), Progress(console=errors, transient=True) as progress:
        bar = progress.add_task(f"sending to {line}", total=len(paths))
        address = options.ingest_address(url, data)
        result = asyncio.run(_send(address, paths, how, on_done=lambda: progress.advance(bar)))
    _print(result, line, as_json=as_json)
    if result.refused:
        raise typer.Exit(1)


async def _send(
    address: str, paths: Sequence[Path], how: UploadOptions, *, on_done: Callable[[], None]
) -> UploadResult:
    async with IngestClient(address) as client:
        return await send_all(client, paths, how, on_done=on_done)


def _print(result: UploadResult, line: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"accepted": result.accepted, "refused": result.refused}, indent=2))
        return
    for one in result.refused:
        errors.print(f"[red]{escape(one['file'])}[/] refused: {escape(one['detail'])}", highlight=False, soft_wrap=True)
    repeats = sum(one["is_repeat"] for one in result.accepted)
    again = f" ({repeats} of them were sent before)" if repeats else ""
    text = f"{len(result.accepted)} images accepted by line {line}{again}, {len(result.refused)} refused"
    Console().print(text, highlight=False)
