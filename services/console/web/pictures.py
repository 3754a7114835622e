"""Routes of images, thumbnails, masks and maps of scores."""

import hashlib
from typing import Annotated, Any, Final, Protocol, TypeVar

from fastapi import APIRouter, Header, Path, Query, Response

from services.console.web.files import PageFile
from services.console.web.responses import IMMUTABLE, Conditions, respond
from siad.contracts.ids import SLUG
from siad.runtime.problems import Problem
from siad.vision.viewable import SAMPLE_MAX, SampleWindow

LineName = Annotated[str, Path(pattern=f"^{SLUG.pattern}$", description="1 to 63 of a-z, 0-9 and '-'")]
CaptureName = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of a capture")]
MaskName = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{64}(\\.t[0-9]{1,12})?(\\.verdict)?$",
        description="End of a mask's address, without .png",
    ),
]
WeightsName = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Id of weights")]
T = TypeVar("T")
Asked = Annotated[Conditions, Header()]
Low = Annotated[int | None, Query(ge=0, le=SAMPLE_MAX, description="Sample shown black; with high")]
High = Annotated[int | None, Query(ge=0, le=SAMPLE_MAX, description="Sample shown white; with low")]
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The picture", "content": {"image/png": {}, "image/jpeg": {}, "image/webp": {}}},
    206: {"description": "A range of its bytes"},
    304: {"description": "The client's copy is current"},
    404: {"description": "There is none, or it was deleted"},
    416: {"description": "The range begins behind the end"},
}


class Pictures(Protocol):
    """Images and masks to show. Every call may raise ``TransientError``."""

    async def image(self, line: str, capture_id: str, window: SampleWindow | None) -> tuple[bytes, str] | None:
        """Read an image as a browser shows it, and its media type.

        None where there is none.
        """
        ...

    async def thumbnail(self, line: str, capture_id: str) -> bytes | None:
        """Make a small JPEG of an image; None where there is none."""
        ...

    async def mask(self, line: str, capture_id: str, name: str) -> bytes | None:
        """Read a mask; None where there is none."""
        ...

    async def score_map(self, line: str, capture_id: str, weights: str) -> bytes | None:
        """Read the map of scores by some weights, else the last one."""
        ...


def make_picture_routes(pictures: Pictures) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/lines/{line}/captures/{capture}", tags=["page"])

    @router.get("/image", response_class=Response, responses=RESPONSES)
    async def image(line: LineName, capture: CaptureName, asked: Asked, low: Low = None, high: High = None) -> Response:
        """Image of a capture as browsers show it.

        As it was sent, else as an 8-bit PNG of equal size. With low and high an 8-bit PNG of the samples between.
        """
        found = await pictures.image(line, capture, _window(low, high))
        return _picture(*_present(found, line, capture), asked)

    @router.get("/thumbnail", response_class=Response, responses=RESPONSES)
    async def thumbnail(line: LineName, capture: CaptureName, asked: Asked) -> Response:
        """Small JPEG of a capture, at most 256 px a side."""
        found = await pictures.thumbnail(line, capture)
        return _picture(_present(found, line, capture), "image/jpeg", asked)

    @router.get("/masks/{name}", response_class=Response, responses=RESPONSES)
    async def mask(line: LineName, capture: CaptureName, name: MaskName, asked: Asked) -> Response:
        """Mask of a capture by some weights or a person.

        A grey PNG: 0 good, 128 unsure, 255 defect.
        """
        if (found := await pictures.mask(line, capture, name)) is None:
            detail = f"capture {capture} has no mask {name}: it was deleted, or drawn again by other weights"
            raise Problem(404, "unknown-mask", detail)
        return _picture(found, "image/png", asked)

    @router.get("/score-maps/{weights}", response_class=Response, responses=RESPONSES)
    async def score_map(line: LineName, capture: CaptureName, weights: WeightsName, asked: Asked) -> Response:
        """Map of scores of a capture, by some weights or the teacher's.

        A grey PNG of at most 1,024 px a side: 64 is the pixel threshold, 255 four times as much.
        """
        if (found := await pictures.score_map(line, capture, weights)) is None:
            detail = f"capture {capture} has no map of scores: its labeler is of an earlier version, or it was deleted"
            raise Problem(404, "unknown-map", detail)
        response = _picture(found, "image/png", asked)
        response.headers["Cache-Control"] = "private, no-cache"  # the teacher's map may come later
        return response

    return router


def _present(found: T | None, line: str, capture: str) -> T:
    """Return a picture of a capture.

    Raises:
        Problem: 404, there is none.
    """
    if found is None:
        detail = f"line {line!r} has no image of capture {capture}: it is unknown, or was deleted. Go to the next"
        raise Problem(404, "unknown-image", detail)
    return found


def _window(low: int | None, high: int | None) -> SampleWindow | None:
    if low is None and high is None:
        return None
    try:
        return SampleWindow(low or 0, SAMPLE_MAX if high is None else high)
    except ValueError as error:
        raise Problem(422, "invalid-window", f"{error}. Nothing was sent") from error


def _picture(data: bytes, media_type: str, asked: Conditions) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return respond(PageFile(data, media_type, etag), asked, {"Cache-Control": IMMUTABLE})
