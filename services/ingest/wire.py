"""JSON bodies and problems of the HTTP API, with their descriptions."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final, Self

import structlog
from fastapi import FastAPI, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.ingest.domain.lines import DEADLINE_S, FALSE_REJECT_BUDGET, SHARDS, LineChangeRequest
from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from services.ingest.domain.uploads import SERIAL_MAX
from siad.audit.snapshot import LedgerReport
from siad.contracts.depth import FULL_BITS
from siad.contracts.errors import CorruptError, DeniedError, MissingError
from siad.contracts.events import INPUT_PX_MAX, MISS_COST_MAX, ImageStored, LineChanged
from siad.contracts.ids import SLUG
from siad.contracts.labelling import DEFAULT_SHARE, SHARE_MIN
from siad.contracts.marked_objects import CLASSES_MAX
from siad.contracts.methods import ASKABLE, DEFAULT, DEFAULT_SEGMENTER, SEGMENTERS
from siad.contracts.normals_profile import SizeRule
from siad.contracts.region import POLYGON_POINTS_MAX
from siad.runtime.problems import problem_response
from siad.runtime.uploads import describe_upload
from siad.vision.images import ImageInfo

log = structlog.get_logger()

Slug = Annotated[str, Field(pattern=f"^{SLUG.pattern}$")]
Polygon = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=2 * POLYGON_POINTS_MAX)]


class LineRequest(BaseModel):
    """Settings to change.

    Omitted settings stay as they are; a new line takes the defaults.
    """

    model_config = ConfigDict(extra="forbid")

    product: Slug | None = Field(None, description="Product that the line makes now; required for a new line")
    false_reject_budget: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = Field(
        None, description=f"Share of good parts that may be rejected; default of a new line: {FALSE_REJECT_BUDGET}"
    )
    budget_tightens: bool | None = Field(
        None,
        description="Whether the budget tightens to 1 / (normals + 1) as normals grow, not under 0.01; a new line: "
        "true; false where only a budget is sent",
    )
    shards: Annotated[int, Field(ge=1, le=64, strict=True)] | None = Field(
        None, description=f"Keys that its captures are spread over; may only grow; default of a new line: {SHARDS}"
    )
    deadline_s: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None = Field(
        None,
        description=f"Seconds from receipt to the deadline of a verdict; 0: none; new lines: {DEADLINE_S:g}",
    )
    method: str | None = Field(None, description=f"Method of its teacher: {', '.join(ASKABLE)}; empty: {DEFAULT}")
    region: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=2 * POLYGON_POINTS_MAX)] | None = (
        Field(
            None, description="Polygon to inspect: x0, y0, x1, y1, ... in shares of width and height; empty: whole view"
        )
    )
    input_px: Annotated[int, Field(ge=0, le=INPUT_PX_MAX, strict=True)] | None = Field(
        None, description="Side in px of a square with the area of model inputs; 0: default of the method"
    )
    bits: Annotated[int, Field(ge=0, le=FULL_BITS, strict=True)] | None = Field(
        None, description="Significant bits of the samples in 16-bit files, 8 to 16; 0: found from the normals"
    )
    sizes: str | None = Field(
        None, description=f"Sizes that images may have: {', '.join(SizeRule)}; empty: {SizeRule.NORMALS.value}"
    )
    learning: str | None = Field(
        None,
        description="Whether the line learns: auto (until the brake stops it), on (whatever the brake says) or off; "
        "empty: auto",
    )
    miss_cost: Annotated[float, Field(ge=0, le=MISS_COST_MAX, allow_inf_nan=False)] | None = Field(
        None,
        description="What a miss costs, in false rejects; the threshold costs least. 0: the budget chooses it",
    )
    segmenter: str | None = Field(
        None, description=f"Method of its segmenter: {', '.join(SEGMENTERS)}; empty: {DEFAULT_SEGMENTER}"
    )
    classes: list[str] | None = Field(
        None,
        description=f"Kinds of defects that people tell apart, at most {CLASSES_MAX}, in the order of their digits; "
        "empty: none",
    )
    labelled_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None,
        description="Share of captures that are labelled once a segmenter serves, beside those that it doubts: "
        f"{SHARE_MIN:g} to 1; 0: the default, {DEFAULT_SHARE:g}",
    )
    rollout: str | None = Field(
        None,
        description="How an accepted segmenter comes into service: direct (at once), shadow or canary (after a trial); "
        "empty: direct",
    )
    line: str | None = Field(None, description="As read; must equal the line in the path")
    revision: int | None = Field(None, description="As read; acts as If-Match")
    changed_at: AwareDatetime | None = Field(None, description="As read; ignored")

    def change(self) -> LineChangeRequest:
        """Return the requested settings."""
        return LineChangeRequest(
            product=self.product,
            false_reject_budget=self.false_reject_budget,
            shards=self.shards,
            deadline_s=self.deadline_s,
            method=self.method,
            region=None if self.region is None else tuple(self.region),
            input_px=self.input_px,
            bits=self.bits,
            sizes=self.sizes,
            budget_tightens=self.budget_tightens,
            learning=self.learning,
            miss_cost=self.miss_cost,
            segmenter=self.segmenter,
            classes=None if self.classes is None else tuple(self.classes),
            labelled_share=self.labelled_share,
            rollout=self.rollout,
        )


class LineResponse(BaseModel):
    """Present settings of a line."""

    line: str
    revision: int
    product: str
    false_reject_budget: float
    shards: int
    deadline_s: float
    changed_at: datetime
    method: str
    region: list[float]
    input_px: int
    bits: int
    sizes: str
    budget_tightens: bool
    learning: str
    miss_cost: float
    segmenter: str
    classes: list[str]
    labelled_share: float
    rollout: str

    @classmethod
    def of(cls, settings: LineChanged) -> Self:
        """Describe the settings of a line."""
        return cls(**asdict(settings))


class LinesResponse(BaseModel):
    """All lines, by name."""

    lines: list[LineResponse]


class LedgerLineResponse(BaseModel):
    """Counts of one line in the capture ledger."""

    line: str
    received: int
    verdict: int
    waiting: int
    missing: int
    dead_letter: int
    normal: int
    stale: int
    missing_after_s: float
    missing_names: list[str]


class LedgerResponse(BaseModel):
    """Capture ledger at its last snapshot.

    ``as_of`` and ``age_s`` are null before the first snapshot.
    """

    as_of: datetime | None
    age_s: float | None
    behind: int
    lines: list[LedgerLineResponse]

    @classmethod
    def of(cls, report: LedgerReport | None, *, now: datetime) -> Self:
        """Describe the ledger's report."""
        if report is None:
            return cls(as_of=None, age_s=None, behind=0, lines=[])
        return cls(
            as_of=report.as_of,
            age_s=round(max((now - report.as_of).total_seconds(), 0.0), 1),
            behind=report.behind,
            lines=[LedgerLineResponse(**asdict(line)) for line in report.lines],
        )


class ImageResponse(BaseModel):
    """A stored and announced image, as first accepted."""

    capture_id: str
    image_id: str
    image_uri: str
    size_bytes: int
    width_px: int
    height_px: int
    channels: int
    bits: int
    line: str
    product: str
    line_revision: int
    intent: str
    captured_at: datetime
    received_at: datetime
    serial: str
    is_repeat: bool
    note: str = Field(default="", description="Which of several images in the file was used; empty: it holds one")

    @classmethod
    def of(cls, receipt: ImageStored, info: ImageInfo, *, is_repeat: bool) -> Self:
        """Describe an accepted image."""
        fields = asdict(receipt) | {"intent": receipt.intent.value, "is_repeat": is_repeat, "note": info.note}
        return cls(**fields, width_px=info.width_px, height_px=info.height_px, channels=info.channels, bits=info.bits)


_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "intent": {"type": "string", "enum": ["inspect", "normal"], "default": "inspect"},
    "captured_at": {"type": "string", "format": "date-time", "description": "Camera time, with a time zone"},
    "serial": {"type": "string", "maxLength": SERIAL_MAX, "description": "Serial of the part"},
}
UPLOAD: Final[dict[str, Any]] = describe_upload(_PARAMETERS)
UPLOAD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "Unknown line"},
    409: {"description": "The capture was sent before and differs"},
    410: {"description": "The capture was erased on request and is not accepted again"},
    413: {"description": "Too many bytes or pixels"},
    415: {"description": "Not an image, or an unsupported format"},
    422: {"description": "Damaged image, or invalid parameters"},
    503: {"description": "Store or broker unavailable, or too many uploads; send it again after Retry-After"},
}

STATUS_OF: Final[Mapping[RefusalReason, int]] = {
    RefusalReason.UNKNOWN_LINE: 404,
    RefusalReason.PRECONDITION_FAILED: 412,
    RefusalReason.CAPTURE_DIFFERS: 409,
    RefusalReason.CAPTURE_IS_NORMAL: 409,
    RefusalReason.ERASED: 410,
    RefusalReason.TOO_LARGE: 413,
    RefusalReason.NOT_AN_IMAGE: 415,
    RefusalReason.UNSUPPORTED: 415,
    RefusalReason.UNSUPPORTED_MEDIA_TYPE: 415,
    RefusalReason.TOO_SLOW: 408,
    RefusalReason.CUT_OFF: 400,
}  # otherwise 422


def add_problems(app: FastAPI) -> None:
    """Answer ingest's own exceptions by problems."""
    app.add_exception_handler(RequestRefusedError, _on_refused)
    app.add_exception_handler(DeniedError, _on_store_refusal)
    app.add_exception_handler(MissingError, _on_store_refusal)
    app.add_exception_handler(CorruptError, _on_corrupt)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefusedError)
    return problem_response(STATUS_OF.get(error.reason, 422), error.reason.value, str(error))


async def _on_store_refusal(_: Request, error: Exception) -> Response:
    """Answer 503: the store denies access or has no bucket."""
    detail = (
        f"{error}; nothing is lost: send the same request later. If it persists, check ingest's bucket and access keys"
    )
    return problem_response(503, "store-refuses", detail, headers={"Retry-After": "30"})


async def _on_corrupt(_: Request, error: Exception) -> Response:
    log.error("record_unreadable", reason=str(error))
    return problem_response(
        500, "unreadable-record", f"{error}; nothing was done. Repair or remove the object in the store"
    )
