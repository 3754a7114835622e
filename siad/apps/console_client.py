"""HTTP client of the console: captures to answer, and answers."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import httpx

from siad.apps.refusals import Refusal
from siad.apps.stage_client import StageClient, json_of, line_path

PIECE_BYTES: Final = 2**20
RETRY_FOR_S: Final = 10.0  # a person waits for it
_ADVICE: Final[Mapping[str, str]] = {
    "precondition-failed": "See its revisions: siad correct {capture} --show",
    "http-error": "Check --url: it must be the address of the console, such as http://127.0.0.1:8405",
}
_CAPTURE: Final = re.compile(r"capture ([0-9a-f]{12})")
_INSTEAD: Final = re.compile(r" (?:Read the present one and decide again|Send the value of ETag.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureAnswer:
    """What a person says about one capture."""

    verdict: str  # good, defect or unsure
    author: str
    mask: bytes = b""  # PNG of a defect; empty: none
    if_revision: int | None = None  # only if the capture is at this revision; 0: it has no correction


class ConsoleClient(StageClient):
    """Client of one console."""

    def __init__(
        self, url: str, *, retry_for_s: float = RETRY_FOR_S, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Describe the connection, as ``StageClient`` does."""
        super().__init__(url, stage="the console", retry_for_s=retry_for_s, transport=transport)

    def explain(self, refusal: Refusal) -> str:
        """Say what was refused, and what to change."""
        text = refusal.detail.replace("the request is for", "--if-revision is for")
        if advice := _ADVICE.get(refusal.code):
            named = _CAPTURE.search(text)
            instead = advice.format(capture=named[1] if named else "CAPTURE")
            text = f"{_INSTEAD.sub('', text).rstrip('.')}. {instead}"
        return text

    async def review(self, line: str, *, count: int, product: str | None = None) -> dict[str, Any]:
        """Read the captures of a line that are worth an answer."""
        params = {"count": str(count)} | ({"product": product} if product else {})
        return json_of(await self.request("GET", f"{line_path(line)}/review", params=params))

    async def estimates(self, line: str) -> dict[str, Any]:
        """Read what answers say about misses and false rejects of a line."""
        return json_of(await self.request("GET", f"{line_path(line)}/review/estimates"))

    async def corrections(self, line: str, capture_id: str) -> list[dict[str, Any]]:
        """Read every revision of a capture's correction, oldest first."""
        found = json_of(await self.request("GET", _corrections_path(line, capture_id)))
        corrections: list[dict[str, Any]] = found["corrections"]
        return corrections

    async def correct(self, line: str, capture_id: str, answer: CaptureAnswer) -> dict[str, Any]:
        """Store what a person says about a capture; a repeat changes nothing.

        Raises:
            ProblemError: refused; 412 if the capture is at another revision.
            TransientError: the console, the store or the broker was unavailable for too long.
        """
        headers = {"Content-Type": "image/png"} if answer.mask else {}
        if answer.if_revision is not None:
            headers["If-Match"] = f'"{answer.if_revision}"'
        params = {"verdict": answer.verdict, "author": answer.author}
        path = _corrections_path(line, capture_id)
        return json_of(await self.request("POST", path, params=params, headers=headers, content=answer.mask))

    async def import_archive(self, line: str, archive: BinaryIO, params: Mapping[str, str]) -> dict[str, Any]:
        """Send an archive; of one with problems nothing is stored."""
        path = f"{line_path(line)}/import"

        async def pieces() -> AsyncIterator[bytes]:
            while piece := archive.read(PIECE_BYTES):
                yield piece

        answer = b"".join([one async for one in self.pieces("POST", path, params=dict(params), content=pieces())])
        found: dict[str, Any] = json.loads(answer)
        return found

    async def export_count(self, line: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Count what an export would hold."""
        return json_of(await self.request("GET", f"{line_path(line)}/export/count", params=dict(params)))

    async def export(self, line: str, params: Mapping[str, str], target: BinaryIO) -> int:
        """Write an export to a file; return its bytes.

        Raises:
            ProblemError: refused; nothing fits, for example.
            TransientError: the console ended the connection; what is in the file is no whole zip.
        """
        path, size = f"{line_path(line)}/export", 0
        async for piece in self.pieces("GET", path, params=dict(params)):
            size += target.write(piece)
        return size


def _corrections_path(line: str, capture_id: str) -> str:
    return f"{line_path(line)}/captures/{capture_id}/corrections"
