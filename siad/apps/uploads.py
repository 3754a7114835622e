"""Upload image files to ingest, several at a time."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siad.apps.client import CaptureInfo, IngestClient, ProblemError
from siad.contracts.events import Intent

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """How to upload files."""

    line: str
    intent: Intent = Intent.INSPECT
    is_new: bool = False  # give each file a key of its own, so that it is a new capture
    parallel: int = 4  # uploads at a time


@dataclass(slots=True)
class UploadResult:
    """Outcome of every file."""

    accepted: list[dict[str, Any]] = field(default_factory=list)  # file, and the response of ingest
    refused: list[dict[str, Any]] = field(default_factory=list)  # file, status, code, detail


def find_images(paths: Sequence[Path]) -> list[Path]:
    """List the given files, and the images below given folders."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        else:
            found.append(path)
    return found


async def send_all(
    client: IngestClient, paths: Sequence[Path], options: UploadOptions, *, on_done: Callable[[], None] = lambda: None
) -> UploadResult:
    """Upload files.

    Args:
        client: of ingest.
        paths: the files.
        options: line, intent, keys and concurrency.
        on_done: called after each file.

    Raises:
        TransientError: ingest was unavailable for too long; what it accepted until then stays accepted.
        OSError: a file can't be read.
    """
    result, slots = UploadResult(), asyncio.Semaphore(options.parallel)

    async def send(path: Path) -> None:
        async with slots:
            info = CaptureInfo(intent=options.intent, idempotency_key=uuid.uuid4().hex if options.is_new else None)
            try:
                response = await client.send_image(path, line=options.line, info=info)
            except ProblemError as error:
                detail = {"status": error.status, "code": error.code, "detail": str(error)}
                result.refused.append({"file": str(path), **detail})
            else:
                result.accepted.append({"file": str(path), **response})
            on_done()

    try:
        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(send(path))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return result
