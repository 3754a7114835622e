"""HTTP routes of data in and out of a line."""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path as PathOfFile
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from services.console.adapters.zip_reading import ArchiveLimits, ZipFiles
from services.console.domain.corrections import require_author
from services.console.domain.exporting import ExportFormat, ExportRequest, ExportTally
from services.console.domain.import_fit import ImportFit
from services.console.domain.importing import AUTHOR_PREFIX
from services.console.ports import ServingWeights
from services.console.routes import ConsoleDependencies, LineName, Product, require_line
from services.console.web.exporting import Export, ExportStore
from services.console.web.importing import ImageSink, Import, ImportRequest
from services.console.web.listing import FilterQuery
from siad.contracts.corrections import AUTHOR_MAX
from siad.contracts.events import LineChanged
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.runtime.access.guard import person_of
from siad.runtime.deadline import answered_within
from siad.runtime.problems import Problem
from siad.vision.datasets.reading import DatasetError

COUNT_S: Final = 20.0
NORMALS_MAX: Final = 24  # ids are hashes: the first ones are a sample
WORDS: Final[Mapping[str, str]] = {
    "open": "without an answer",
    "unsure": "answered unsure",
    "no-outline": "defects without an outline",
    "in-quarantine": "in quarantine",
    "erased": "erased on request",
    "expired": "with an image deleted by age",
    "unreadable": "unreadable",
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A zip, sent while it is written", "content": {"application/zip": {}}},
    404: {"description": "Unknown line, or no capture fits"},
    503: {"description": "Store or database unavailable"},
}


IMPORT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "What was stored, or the problems for which nothing was"},
    404: {"description": "Unknown line"},
    413: {"description": "The archive has too many bytes"},
    422: {"description": "The archive is no data set that can be read, or breaks a limit; nothing was stored"},
    503: {"description": "Store, broker or ingest unavailable; a repeat goes on after Retry-After"},
}
ARCHIVE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A zip: COCO, Pascal VOC, YOLO, images and masks, MVTec, or an export by SIAD",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Person = Annotated[str, Query(max_length=100, description="In whose name; of an account its own counts")]
Check = Annotated[bool, Query(description="Only say what an import would do")]


class ExportQuery(FilterQuery):
    """Format of an export, and which captures."""

    format: ExportFormat = Field(default=ExportFormat.COCO, description="Layout of the zip")


class ExportCount(BaseModel):
    """What an export would hold."""

    captures: int
    normals: int = Field(description="Of the captures, those that were sent as normals")
    image_bytes: int = Field(description="Of all images, estimated from fifty of them")
    is_complete: bool = Field(description="Whether all captures were looked at; otherwise there are more")
    left_out: dict[str, int] = Field(
        description="Captures left out, by reason: open, unsure, no-outline, in-quarantine, erased, expired"
    )

    @classmethod
    def of(cls, tally: ExportTally) -> "ExportCount":
        """Describe the counts."""
        return cls(**tally.to_json(), is_complete=tally.is_complete)


class NormalsResponse(BaseModel):
    """A sample of the normals of a line."""

    captures: list[str] = Field(description="Ids, at most 24; the images are those of captures")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDependencies:
    """Dependencies of the routes."""

    console: ConsoleDependencies
    exports: ExportStore
    lines: Callable[[], Mapping[str, LineChanged]]
    sink: ImageSink


def make_export_routes(dependencies: DataDependencies) -> APIRouter:
    """Make the routes that export a line's captures."""
    router = APIRouter(prefix="/v1/lines", tags=["data"])

    def begin(line: str, query: ExportQuery) -> Export:
        known = dependencies.lines().get(line)
        classes = () if known is None else tuple(known.classes)
        request = ExportRequest(line=line, format=query.format, filter=query.to_filter(), classes=classes)
        return Export(request, dependencies.console.ports, dependencies.exports)

    @router.get("/{line}/normals", responses={404: {"description": "Unknown line"}})
    async def normals(line: LineName, product: Product = None) -> NormalsResponse:
        """Name some captures that were sent as normals, always the same ones."""
        await require_line(dependencies.console, line)
        found = await dependencies.exports.normals(line, product)
        return NormalsResponse(captures=sorted(found)[:NORMALS_MAX])

    @router.get("/{line}/export/count", responses={404: {"description": "Unknown line"}})
    async def count(line: LineName, query: Annotated[ExportQuery, Query()]) -> ExportCount:
        """Count what an export would hold, and why captures are left out."""
        async with answered_within(COUNT_S, f"the captures of line {line!r} were not counted"):
            await require_line(dependencies.console, line)
            return ExportCount.of(await begin(line, query).count())

    @router.get("/{line}/export", response_class=StreamingResponse, responses=RESPONSES)
    async def export(line: LineName, query: Annotated[ExportQuery, Query()]) -> StreamingResponse:
        """Export the captures of a line as a zip.

        Images as they were sent; masks and marks of the newest answers; ``captures.jsonl`` lists all, ``export.json``
        counts them and what was left out. A zip that can't be opened was cut off: repeat the request.
        """
        async with answered_within(COUNT_S, f"the captures of line {line!r} were not read"):
            await require_line(dependencies.console, line)
            found = await begin(line, query).count()
        if not found.captures:
            why = ", ".join(f"{count} {WORDS[name]}" for name, count in found.to_json()["left_out"].items())
            detail = (
                f"no capture of line {line!r} fits; nothing was exported. Left out: {why or 'none'}. Answer captures, "
                "change the filters, or take the format all"
            )
            raise Problem(404, "nothing-to-export", detail)
        name = f"{line}-{query.format.value}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingResponse(begin(line, query).stream(), headers=headers, media_type="application/zip")

    return router


class ImportProblemResponse(BaseModel):
    """A file that keeps an import back."""

    file: str
    detail: str


class ImportResponse(BaseModel):
    """What an import did, or would do."""

    format: str
    is_check: bool = Field(description="Whether nothing was stored: a check, or there are problems")
    images: int
    normals: int = Field(description="Of the images, those sent as normals")
    new_images: int = Field(description="That the line did not have")
    answers: int = Field(description="Stored, or that would be")
    unchanged: int = Field(description="Answers that the line has already")
    kept: int = Field(description="Other answers of the line, newer or of other people, which stay")
    unanswered: int = Field(description="Images about which the archive says nothing")
    problem_count: int
    problems: list[ImportProblemResponse] = Field(description="The first fifty")
    warnings: list[str] = Field(description="New images that get no score, and why")


def make_import_routes(dependencies: DataDependencies) -> APIRouter:
    """Make the route that imports an archive."""
    router = APIRouter(prefix="/v1/lines", tags=["data"])
    console = dependencies.console

    @router.post("/{line}/import", responses=IMPORT_RESPONSES, openapi_extra=ARCHIVE)
    async def import_(
        line: LineName, request: Request, person: Person = "operator", *, check: Check = False
    ) -> ImportResponse:
        """Import images and answers from a zip.

        COCO, Pascal VOC, YOLO, mask PNG and MVTec. Everything is checked first; of an archive with a problem nothing
        is stored. Answers are stored under ``import:`` and the person; other answers stay. A repeat changes nothing.
        """
        await require_line(console, line)
        author = require_author(f"{AUTHOR_PREFIX}{person_of(request, person)}"[:AUTHOR_MAX])
        known = dependencies.lines().get(line)
        asked = ImportRequest(
            line=line,
            author=author,
            classes=() if known is None else tuple(known.classes),
            image_bytes_max=console.settings.image_max_bytes,
            is_check=check,
            fit=None if known is None else await _begin_fit(known, console.ports.serving),
        )
        with tempfile.TemporaryDirectory(prefix="siad-import-") as folder:
            path = PathOfFile(folder) / "archive.zip"
            await _receive(request, path, console.settings.import_max_bytes)
            try:
                with await asyncio.to_thread(ZipFiles, path, ArchiveLimits()) as files:
                    report = await Import(asked, files, console.ports, dependencies.sink).run()
            except DatasetError as error:
                raise Problem(422, "invalid-archive", f"nothing was stored: {error}") from error
        return ImportResponse(**asdict(report))

    return router


async def _begin_fit(line: LineChanged, serving: ServingWeights) -> ImportFit:
    place = Place(line.line, line.product)
    return ImportFit(place=place, serving=await serving.serving(place), sizes=SizeRule.of(line.sizes))


async def _receive(request: Request, path: PathOfFile, bytes_max: int) -> None:
    """Write the body to a file.

    Raises:
        Problem: 413, it is too large; 400, it was cut off.
    """
    size = 0
    try:
        with path.open("wb") as target:
            async for piece in request.stream():
                size += len(piece)
                if size > bytes_max:
                    detail = f"the archive has more than {bytes_max} bytes; nothing was stored. Split it"
                    raise Problem(413, "too-large", detail)
                await asyncio.to_thread(target.write, piece)
    except ClientDisconnect as error:
        raise Problem(400, "cut-off", "the archive was cut off; nothing was stored. Send it again") from error
