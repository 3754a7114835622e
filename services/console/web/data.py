"""HTTP routes of data that leave the plant: exports of a line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from services.console.domain.exporting import ExportFormat, ExportRequest, ExportTally
from services.console.routes import ConsoleDependencies, LineName, require_line
from services.console.web.exporting import Export, ExportStore
from services.console.web.listing import FilterQuery
from siad.contracts.events import LineChanged
from siad.runtime.deadline import answered_within
from siad.runtime.problems import Problem

COUNT_S: Final = 20.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDependencies:
    """Dependencies of the routes."""

    console: ConsoleDependencies
    exports: ExportStore
    lines: Callable[[], Mapping[str, LineChanged]]


def make_export_routes(dependencies: DataDependencies) -> APIRouter:
    """Make the routes that export a line's captures."""
    router = APIRouter(prefix="/v1/lines", tags=["data"])

    def begin(line: str, query: ExportQuery) -> Export:
        known = dependencies.lines().get(line)
        classes = () if known is None else tuple(known.classes)
        request = ExportRequest(line=line, format=query.format, filter=query.to_filter(), classes=classes)
        return Export(request, dependencies.console.ports, dependencies.exports)

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
