"""Upload image files to ingest, several at a time."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siad.apps.client import CaptureInfo, IngestClient, ProblemError
from siad.apps.files import link_reason_of, printable, read_stable
from siad.contracts.errors import TransientError
from siad.contracts.events import Intent


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
    skipped: list[dict[str, Any]] = field(default_factory=list)  # file, detail; never sent

    def skip(self, path: Path, detail: str) -> None:
        """Record a file that can't be read."""
        self.skipped.append({"file": printable(path), "detail": detail})


async def send_all(
    client: IngestClient, paths: Sequence[Path], options: UploadOptions, *, on_done: Callable[[], None] = lambda: None
) -> UploadResult:
    """Upload files.

    One that can't be read is skipped, and the others are sent.

    Args:
        client: of ingest.
        paths: the files.
        options: line, intent, keys and concurrency.
        on_done: called after each file.

    Raises:
        TransientError: ingest was unavailable for too long; what it accepted until then stays accepted.
    """
    result, slots = UploadResult(), asyncio.Semaphore(options.parallel)

    async def send(path: Path) -> None:
        async with slots:
            data = await asyncio.to_thread(_read, path, result)
            if data is not None:
                await _send(client, path, data, options, result)
            on_done()

    try:
        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(send(path))
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        if isinstance(first, TransientError):
            msg = f"{first}; {len(result.accepted)} of {len(paths)} images were accepted before, and stay accepted"
            raise TransientError(msg) from None
        raise first from None
    return result


def _read(path: Path, result: UploadResult) -> bytes | None:
    try:
        return read_stable(path)
    except OSError as error:
        result.skip(path, link_reason_of(path, error))
        return None


async def _send(client: IngestClient, path: Path, data: bytes, options: UploadOptions, result: UploadResult) -> None:
    info = CaptureInfo(intent=options.intent, idempotency_key=uuid.uuid4().hex if options.is_new else None)
    try:
        response = await client.send_image(data, line=options.line, info=info)
    except ProblemError as error:
        detail = {"status": error.status, "code": error.code, "detail": str(error)}
        result.refused.append({"file": printable(path), **detail})
    else:
        result.accepted.append({"file": printable(path), **response})
