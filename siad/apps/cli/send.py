"""`siad send`: hand images to ingest."""

import asyncio
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from siad.apps.cli.line import Data, Json, Url, address_of, told_errors
from siad.apps.client import IngestClient, ProblemError
from siad.apps.local.machine import DATA
from siad.contracts.events import Intent

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})

errors = Console(stderr=True)


class Purpose(StrEnum):
    """What may be said of an image."""

    INSPECT = "inspect"
    NORMAL = "normal"


@dataclass(slots=True)
class SendResult:
    """What became of some files."""

    accepted: list[dict[str, Any]] = field(default_factory=list)  # ingest's answers, with the file
    refused: list[dict[str, Any]] = field(default_factory=list)  # file, status, code, detail


def send(
    files: Annotated[list[Path], typer.Argument(help="Images, or folders of them.", exists=True)],
    line: Annotated[str, typer.Option("--line", help="The line that they come from.")],
    intent: Annotated[Purpose, typer.Option(help="To be judged, or known to be good.")] = Purpose.INSPECT,
    new: Annotated[
        bool, typer.Option("--new", help="Take each file for a new exposure, though its bytes were sent before.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Uploads at a time.")] = 4,
    url: Url = None,
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Send images to a line; exit 1 where one was refused. Sending again what was sent does no harm."""
    paths = find_images(files)
    with told_errors(), Progress(console=errors, transient=True) as progress:
        bar = progress.add_task(f"sending to {line}", total=len(paths))
        work = _send(
            address_of(url, data),
            paths,
            line=line,
            intent=Intent(intent.value),
            is_new=new,
            parallel=parallel,
            tell=lambda: progress.advance(bar),
        )
        sent = asyncio.run(work)
    _report(sent, line, as_json=as_json)
    if sent.refused:
        raise typer.Exit(1)


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files named, and the images in the folders named, by name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        else:
            found.append(path)
    return found


async def _send(
    url: str,
    paths: Sequence[Path],
    *,
    line: str,
    intent: Intent,
    is_new: bool,
    parallel: int,
    tell: Callable[[], None],
) -> SendResult:
    async with IngestClient(url) as client:
        return await send_all(client, paths, line=line, intent=intent, is_new=is_new, parallel=parallel, tell=tell)


async def send_all(
    client: IngestClient,
    paths: Sequence[Path],
    *,
    line: str,
    intent: Intent,
    is_new: bool = False,
    parallel: int = 4,
    tell: Callable[[], None] = lambda: None,
) -> SendResult:
    """Send files, a few at a time.

    Args:
        client: to ingest.
        paths: the files.
        line: where they come from.
        intent: to be judged, or known to be good.
        is_new: give each file a key of its own, so that it is a new capture.
        parallel: uploads at a time.
        tell: called after each file.

    Raises:
        TransientError: ingest was away for too long; what was accepted till then stays so.
    """
    sent, gate = SendResult(), asyncio.Semaphore(parallel)

    async def one(path: Path) -> None:
        async with gate:
            key = uuid.uuid4().hex if is_new else None
            try:
                answer = await client.send_image(path, line=line, intent=intent, idempotency_key=key)
            except ProblemError as error:
                detail = {"status": error.status, "code": error.code, "detail": str(error)}
                sent.refused.append({"file": str(path), **detail})
            else:
                sent.accepted.append({"file": str(path), **answer})
            tell()

    try:
        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(one(path))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return sent


def _report(sent: SendResult, line: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"accepted": sent.accepted, "refused": sent.refused}, indent=2))
        return
    console = Console()
    for one in sent.refused:
        errors.print(f"[red]{escape(one['file'])}[/] refused: {escape(one['detail'])}", highlight=False, soft_wrap=True)
    repeats = sum(one["is_repeat"] for one in sent.accepted)
    again = f" ({repeats} of them were sent before)" if repeats else ""
    console.print(f"{len(sent.accepted)} images accepted by line {line}{again}, {len(sent.refused)} refused")
