"""JSON bodies of the HTTP API, with their descriptions."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.ingest.domain.lines import DEADLINE_S, FALSE_REJECT_BUDGET, SHARDS, LineChangeRequest
from services.ingest.domain.uploads import SERIAL_MAX
from siad.audit.snapshot import LedgerReport
from siad.contracts.events import INPUT_PX_MAX, ImageStored, LineChanged
from siad.contracts.ids import SLUG
from siad.contracts.methods import ASKABLE, DEFAULT
from siad.contracts.region import POLYGON_POINTS_MAX
from siad.vision.images import ImageInfo

Slug = Annotated[str, Field(pattern=f"^{SLUG.pattern}$")]
Polygon = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=2 * POLYGON_POINTS_MAX)]


class LineRequest(BaseModel):
    """Settings to change.

    Omitted settings stay as they are; a new line takes the defaults.
    """

    model_config = ConfigDict(extra="forbid")

    product: Slug | None = Field(None, description="What the line makes now; needed where the line is new")
    false_reject_budget: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = Field(
        None, description=f"Share of good parts that may be rejected; {FALSE_REJECT_BUDGET} where the line is new"
    )
    shards: Annotated[int, Field(ge=1, le=64, strict=True)] | None = Field(
        None, description=f"Keys that its captures are spread over; may only grow; {SHARDS} where the line is new"
    )
    deadline_s: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None = Field(
        None, description=f"Seconds after which a verdict is of no use; 0: none; {DEADLINE_S:g} where the line is new"
    )
    method: str | None = Field(None, description=f"Of its teacher: {', '.join(ASKABLE)}; empty: {DEFAULT}")
    region: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=2 * POLYGON_POINTS_MAX)] | None = (
        Field(
            None, description="Polygon of the view that counts: x0, y0, x1, y1, ... in shares of it; empty: all of it"
        )
    )
    input_px: Annotated[int, Field(ge=0, le=INPUT_PX_MAX, strict=True)] | None = Field(
        None, description="Side of the square with the area that images are shown at; 0: as the method has it"
    )
    line: str | None = Field(None, description="As in a line that was read; must be the one in the path")
    revision: int | None = Field(None, description="As in a line that was read; counts as If-Match")
    changed_at: AwareDatetime | None = Field(None, description="As in a line that was read; ignored")

    def wish(self) -> LineChangeRequest:
        """What is asked for."""
        return LineChangeRequest(
            product=self.product,
            false_reject_budget=self.false_reject_budget,
            shards=self.shards,
            deadline_s=self.deadline_s,
            method=self.method,
            region=None if self.region is None else tuple(self.region),
            input_px=self.input_px,
        )


class LineResponse(BaseModel):
    """A line as it stands."""

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

    @classmethod
    def of(cls, settings: LineChanged) -> Self:
        """A line's settings, to be told."""
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
    """An image that is stored and announced, as it was accepted first."""

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

    @classmethod
    def of(cls, receipt: ImageStored, info: ImageInfo, *, is_repeat: bool) -> Self:
        """An accepted image, to be told."""
        said = asdict(receipt) | {"intent": receipt.intent.value, "is_repeat": is_repeat}
        return cls(**said, width_px=info.width_px, height_px=info.height_px, channels=info.channels, bits=info.bits)


_SAID: Final[dict[str, dict[str, Any]]] = {
    "intent": {"type": "string", "enum": ["inspect", "normal"], "default": "inspect"},
    "captured_at": {"type": "string", "format": "date-time", "description": "The camera's clock, with a zone"},
    "serial": {"type": "string", "maxLength": SERIAL_MAX, "description": "The part's own number"},
}
_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
_FORM: Final = {"type": "object", "required": ["image"], "properties": {"image": _BYTES["schema"], **_SAID}}
UPLOAD: Final[dict[str, Any]] = {
    "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in _SAID.items()],
    "requestBody": {
        "required": True,
        "content": {"image/*": _BYTES, "application/octet-stream": _BYTES, "multipart/form-data": {"schema": _FORM}},
    },
}
UPLOAD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "Unknown line"},
    409: {"description": "The capture was sent before, and differs"},
    410: {"description": "The capture was forgotten on demand, and is not taken again"},
    413: {"description": "Too many bytes, or too many pixels"},
    415: {"description": "Not an image, or of a kind that is not read"},
    422: {"description": "The image is damaged, or what was said of it can't be"},
    503: {"description": "Store or broker away, or too many uploads; send it again after Retry-After"},
}
