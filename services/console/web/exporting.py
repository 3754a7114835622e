"""Stream of an export: captures by filters, as a zip.

Captures are read page by page, a few ahead of the one that is written. The list of captures and the summary come last,
since only then the counts are known; a zip without its end was cut off.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from services.console.adapters.zip_stream import ZipStream
from services.console.domain.exporting import (
    VERSION,
    CaptureData,
    ExportFormat,
    ExportRequest,
    ExportTally,
    LeftOut,
    fits_normal,
    make_sample,
    reason_left_out,
    wants_normals,
    writer_of,
)
from services.console.domain.listing import LIMIT_MAX, PageRequest
from services.console.handlers import ConsolePorts, on_captures
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.errors import CorruptError
from siad.contracts.quarantine import QuarantineIndex
from siad.vision.datasets.samples import DatasetSample, DatasetWriter, EndFile, Rows
from siad.vision.headers import ImageError

log = structlog.get_logger()

LIST: Final = "captures.jsonl"
SUMMARY: Final = "export.json"
COUNTED_MAX: Final = 20_000  # captures that a count looks at
_SIZED: Final = 50  # captures whose size is read for an estimate
_AHEAD: Final = 4  # captures that are read before their turn
_LISTED: Final = "captures"  # rows of LIST


class ExportStore(Protocol):
    """What exports read beside captures and corrections.

    Every call may raise ``TransientError``.
    """

    async def normals(self, line: str, product: str | None) -> list[str]:
        """List the captures that were sent as normals."""
        ...

    async def mask(self, correction: CaptureCorrected) -> bytes | None:
        """Read the mask of a correction; None where it is gone."""
        ...

    async def history(self, line: str, capture_id: str) -> list[tuple[str, bytes]]:
        """Read every record and mask of a capture, by path."""
        ...

    def weights(self, line: str) -> AsyncIterator[tuple[str, bytes]]:
        """Read manifests, parts and lineage of a line's weights, by path."""
        ...


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A capture that fits the filters, as far as it is known."""

    capture_id: str
    is_normal: bool


@dataclass(slots=True)
class Export:
    """One export of a line."""

    request: ExportRequest
    ports: ConsolePorts
    store: ExportStore
    tally: ExportTally = field(default_factory=ExportTally)
    _answers: Mapping[str, CaptureCorrected] = field(default_factory=dict)
    _quarantine: QuarantineIndex = field(default_factory=QuarantineIndex)

    async def count(self) -> ExportTally:
        """Count captures, and estimate the bytes of their images from some receipts."""
        sizes: list[int] = []
        looked_at = 0
        async for candidate in self._candidates():
            looked_at += 1
            if looked_at > COUNTED_MAX:
                self.tally.is_complete = False
                break
            if self._is_left_out(candidate):
                continue
            if candidate.is_normal or len(sizes) < _SIZED:
                receipt = await self.ports.captures.receipt(self.request.line, candidate.capture_id)
                if receipt is None or (candidate.is_normal and not fits_normal(self.request.filter, receipt)):
                    continue
                sizes.append(receipt.size_bytes)
            self._add(candidate, 0)
        await self._count_erased()
        self.tally.image_bytes = round(sum(sizes) / len(sizes) * self.tally.captures) if sizes else 0
        return self.tally

    async def stream(self) -> AsyncGenerator[bytes]:
        """Write the zip; yields bytes as they are ready."""
        writer = writer_of(self.request)
        with ZipStream() as out:
            async for candidate, data in self._loaded():
                await self._write(candidate, data, writer, out)
                if piece := out.take():
                    yield piece
            if self.request.format is ExportFormat.ALL:
                async for path, content in self.store.weights(self.request.line):
                    out.add(path, content)
                    yield out.take()
            await self._count_erased()
            summary = json.dumps(self._summary(writer), indent=2).encode()
            ends = (
                *writer.end(),
                EndFile(path=LIST, pieces=(Rows(_LISTED),)),
                EndFile(path=SUMMARY, pieces=(summary,)),
            )
            for file in ends:
                for piece in out.write_end(file):
                    yield piece
            yield out.close()
        log.info(
            "data_exported", line=self.request.line, format=self.request.format.value, captures=self.tally.captures
        )

    async def _write(self, candidate: _Candidate, data: CaptureData, writer: DatasetWriter, out: ZipStream) -> None:
        """Write one capture, or count why not."""
        try:
            sample = await asyncio.to_thread(make_sample, data)
            found = await asyncio.to_thread(writer.add, sample)
        except ImageError as error:
            log.warning("capture_unreadable", capture_id=candidate.capture_id, reason=str(error))
            self.tally.left_out[LeftOut.UNREADABLE] += 1
            return
        listed = {**_paths(sample, found.image), **sample.facts, **found.facts}
        row = json.dumps(listed, ensure_ascii=False, sort_keys=True).encode() + b"\n"
        out.add_sample(sample.image, found, {_LISTED: row})
        self._add(candidate, len(sample.image))
        if self.request.format is ExportFormat.ALL:
            for path, content in await self.store.history(self.request.line, candidate.capture_id):
                out.add(path, content)

    async def _loaded(self) -> AsyncGenerator[tuple[_Candidate, CaptureData]]:
        """Read the captures in order, some ahead."""
        ahead: deque[tuple[_Candidate, asyncio.Task[CaptureData | LeftOut | None]]] = deque()
        try:
            async for candidate in self._candidates():
                if self._is_left_out(candidate):
                    continue
                ahead.append((candidate, asyncio.create_task(self._load(candidate))))
                if len(ahead) > _AHEAD and (found := await self._next(ahead)) is not None:
                    yield found
            while ahead:
                if (found := await self._next(ahead)) is not None:
                    yield found
        finally:
            for _, task in ahead:
                task.cancel()

    async def _next(
        self, ahead: deque[tuple[_Candidate, asyncio.Task[CaptureData | LeftOut | None]]]
    ) -> tuple[_Candidate, CaptureData] | None:
        candidate, task = ahead.popleft()
        found = await task
        if isinstance(found, LeftOut):
            self.tally.left_out[found] += 1
        return (candidate, found) if isinstance(found, CaptureData) else None

    async def _load(self, candidate: _Candidate) -> CaptureData | LeftOut | None:
        """Read a capture, or why it is left out.

        None where it does not fit the filters.
        """
        line, capture_id = self.request.line, candidate.capture_id
        receipt = await self.ports.captures.receipt(line, capture_id)
        if receipt is None:
            return LeftOut.EXPIRED
        if candidate.is_normal and not fits_normal(self.request.filter, receipt):
            return None
        correction = None if candidate.is_normal else self._answers.get(capture_id)
        mask = None
        try:
            image = await self.ports.captures.image(receipt)
            if correction is not None and correction.mask_uri:
                mask = await self.store.mask(correction)
        except CorruptError as error:
            log.warning("capture_unreadable", capture_id=capture_id, reason=str(error))
            return LeftOut.UNREADABLE
        if await self.ports.captures.is_erased(line, capture_id, receipt.received_at):
            return LeftOut.ERASED
        if image is None or (correction is not None and correction.mask_uri and mask is None):
            return LeftOut.EXPIRED
        return CaptureData(
            receipt=receipt, image=image, correction=correction, mask=mask, is_normal=candidate.is_normal
        )

    async def _candidates(self) -> AsyncGenerator[_Candidate]:
        """Name the captures that fit: normals, then the newest first."""
        line, wanted = self.request.line, self.request.filter
        self._quarantine = await self.ports.quarantine.read(line)
        self._answers = self.ports.book.latest(line)
        normals = set(await self.store.normals(line, wanted.product))
        if wants_normals(wanted):
            for capture_id in sorted(normals):
                yield _Candidate(capture_id, is_normal=True)
        page = PageRequest(line=line, filter=wanted, limit=LIMIT_MAX)
        while True:
            found = await on_captures(page, self.ports)
            for one in found.captures:
                if one.entry.capture_id not in normals:
                    yield _Candidate(one.entry.capture_id, is_normal=False)
            if found.next is None:
                break
            page = PageRequest(line=line, filter=wanted, limit=LIMIT_MAX, after=found.next)

    def _is_left_out(self, candidate: _Candidate) -> bool:
        """Whether its answer keeps a capture out; counts it."""
        answer = self._answers.get(candidate.capture_id)
        reason = None if candidate.is_normal else reason_left_out(self.request.format, answer)
        is_withdrawn = answer is not None and self._quarantine.has_correction(answer.capture_id, answer.revision)
        if candidate.capture_id in self._quarantine.captures or is_withdrawn:
            reason = LeftOut.IN_QUARANTINE
        if reason is not None:
            self.tally.left_out[reason] += 1
        return reason is not None

    async def _count_erased(self) -> None:
        """Count what was erased of the line; lists lack it."""
        erased = len((await self.ports.erased.deletions(self.request.line)).captures)
        self.tally.left_out[LeftOut.ERASED] = max(erased, self.tally.left_out[LeftOut.ERASED])

    def _add(self, candidate: _Candidate, size_bytes: int) -> None:
        self.tally.captures += 1
        self.tally.normals += candidate.is_normal
        self.tally.image_bytes += size_bytes

    def _summary(self, writer: DatasetWriter) -> dict[str, object]:
        return {
            "siad": VERSION,
            "format": self.request.format.value,
            "line": self.request.line,
            "classes": list(self.request.classes),
            **self.tally.to_json(),
            **writer.summary(),
        }


def _paths(sample: DatasetSample, image: str) -> dict[str, str]:
    return {"name": sample.name, "image": image}
