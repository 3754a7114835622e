"""What the stages tell each other. Frozen values; no protobuf, no I/O.

A value that can be built is a value that can be handled: what is required is checked here, so bytes that decode to
an empty message fail at the door. The units and ranges of every field stand in ``protos/siad/v1/events.proto``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from siad.contracts.ids import CaptureId, ImageId, WeightsId, require_hex, require_slug
from siad.contracts.region import require_region

REGIONS_MAX = 64  # a mask; keeps every event under 64 KB
POINTS_MAX = 128  # a region
INPUT_PX_MIN, INPUT_PX_MAX = 64, 4096  # side of the square with the area that images are shown at


class Intent(StrEnum):
    """What the sender of an image knows of the part."""

    UNSPECIFIED = "unspecified"
    NORMAL = "normal"
    INSPECT = "inspect"


class WeightsKind(StrEnum):
    """Which of the two models a bundle holds."""

    UNSPECIFIED = "unspecified"
    TEACHER = "teacher"
    SEGMENTER = "segmenter"


class Decision(StrEnum):
    """What a line is told of one capture."""

    UNSPECIFIED = "unspecified"
    PASS = "pass"  # noqa: S105 - not a password
    REJECT = "reject"
    UNKNOWN = "unknown"


class Origin(StrEnum):
    """How a capture came to be judged."""

    UNSPECIFIED = "unspecified"
    STREAM = "stream"
    DIRECT = "direct"


class SegmenterStatus(StrEnum):
    """Where a segmenter stands."""

    UNSPECIFIED = "unspecified"
    SERVING = "serving"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One connected defect in oriented image pixels, origin top left."""

    points: tuple[int, ...]  # x0, y0, x1, y1, ...
    area_px: int
    peak_score: float

    def __post_init__(self) -> None:
        """Refuse an outline that is none."""
        count = len(self.points) / 2
        if not 3 <= count <= POINTS_MAX or count != int(count):
            msg = f"a region of {count:g} points; 3 to {POINTS_MAX} are allowed"
            raise ValueError(msg)
        if min(self.points) < 0:
            msg = f"a region reaches to {min(self.points)} px; an image begins at 0"
            raise ValueError(msg)
        _require_finite("peak_score", self.peak_score)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChanged:
    """The settings of a line as they now stand."""

    line: str
    revision: int
    product: str
    false_reject_budget: float
    shards: int
    deadline_s: float  # 0: none
    changed_at: datetime
    method: str = ""  # of the teacher; empty: the default
    region: tuple[float, ...] = ()  # what of the view counts, as ``siad.contracts.region`` has it; empty: all of it
    input_px: int = 0  # side of the square with the area that images are shown at; 0: as the method has it

    def __post_init__(self) -> None:
        """Refuse settings that nobody could work by."""
        _require_place(self.line, self.product)
        _require_revision("revision", self.revision)
        if not 0 < self.false_reject_budget < 1:
            msg = f"false_reject_budget {self.false_reject_budget:g} is not between 0 and 1"
            raise ValueError(msg)
        if not 1 <= self.shards <= 64:
            msg = f"shards {self.shards} is not 1 to 64"
            raise ValueError(msg)
        if not (math.isfinite(self.deadline_s) and self.deadline_s >= 0):
            msg = f"deadline_s {self.deadline_s:g} is not a number of seconds, 0 for none"
            raise ValueError(msg)
        if self.method:
            require_slug("method", self.method)
        require_region(self.region)
        if self.input_px and not INPUT_PX_MIN <= self.input_px <= INPUT_PX_MAX:
            msg = f"input_px {self.input_px} is not {INPUT_PX_MIN} to {INPUT_PX_MAX}, or 0 for the method's own"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStored:
    """The bytes of one capture lie in the store, ready to label and to judge."""

    capture_id: CaptureId
    image_id: ImageId
    image_uri: str
    size_bytes: int
    line: str
    product: str
    line_revision: int
    captured_at: datetime
    received_at: datetime
    intent: Intent
    serial: str

    def __post_init__(self) -> None:
        """Refuse an event that names no capture."""
        _require_capture(self.capture_id, self.image_id, self.image_uri)
        _require_place(self.line, self.product)
        _require_revision("line_revision", self.line_revision)
        if self.size_bytes < 1:
            msg = f"size_bytes {self.size_bytes} of image {self.image_id} is less than 1"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoMaskCreated:
    """A teacher has drawn a mask for one capture."""

    capture_id: CaptureId
    image_id: ImageId
    image_uri: str
    line: str
    product: str
    captured_at: datetime
    received_at: datetime
    mask_uri: str
    mask_sha256: str
    weights: WeightsId
    score: float
    threshold: float
    defect_ratio: float  # 0..1, fraction of pixels
    regions: tuple[Region, ...]
    confidence: float  # 0..1, how far the mask may be believed

    def __post_init__(self) -> None:
        """Refuse a mask that nobody could train on."""
        _require_capture(self.capture_id, self.image_id, self.image_uri)
        _require_place(self.line, self.product)
        _require_uri("mask_uri", self.mask_uri)
        require_hex("mask_sha256", self.mask_sha256, 64)
        require_hex("weights", self.weights, 64)
        _require_finite("score", self.score)
        _require_finite("threshold", self.threshold)
        if not 0 <= self.defect_ratio <= 1:
            msg = f"defect_ratio {self.defect_ratio:g} is not in [0, 1]"
            raise ValueError(msg)
        if not 0 <= self.confidence <= 1:
            msg = f"confidence {self.confidence:g} is not in [0, 1]"
            raise ValueError(msg)
        _require_few(self.regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherReleased:
    """Which teacher a line and product have now."""

    line: str
    product: str
    revision: int
    weights: WeightsId
    released_at: datetime

    def __post_init__(self) -> None:
        """Refuse a release that names nothing."""
        _require_release(self.line, self.product, self.revision, self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterReleased:
    """Which segmenter a line and product have now, or that it was withdrawn."""

    line: str
    product: str
    revision: int
    weights: WeightsId
    released_at: datetime
    status: SegmenterStatus

    def __post_init__(self) -> None:
        """Refuse a release that names nothing."""
        _require_release(self.line, self.product, self.revision, self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictGiven:
    """One capture judged, by which weights and why."""

    capture_id: CaptureId
    image_id: ImageId
    image_uri: str
    line: str
    product: str
    line_revision: int
    captured_at: datetime
    received_at: datetime
    serial: str
    decision: Decision
    reason: str  # why UNKNOWN; else empty
    score: float
    threshold: float
    regions: tuple[Region, ...]
    mask_uri: str  # empty where there is no defect
    weights: str  # a WeightsId; empty where UNKNOWN
    weights_kind: WeightsKind
    origin: Origin
    judged_at: datetime
    wait_s: float
    fetch_s: float
    score_s: float

    def __post_init__(self) -> None:
        """Refuse a verdict that can't say what it is about, or why it knows nothing."""
        _require_capture(self.capture_id, self.image_id, self.image_uri)
        _require_place(self.line, self.product)
        _require_finite("score", self.score)
        _require_finite("threshold", self.threshold)
        _require_few(self.regions)
        if self.decision is Decision.UNKNOWN and not self.reason:
            msg = f"verdict UNKNOWN of capture {self.capture_id} gives no reason"
            raise ValueError(msg)
        if self.decision in (Decision.PASS, Decision.REJECT):
            require_hex("weights", self.weights, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that can't be handled, whole, with place and reason."""

    topic: str
    partition: int
    offset: int
    key: bytes
    payload: bytes
    kind: str  # poison, crash or quarantine
    reason: str
    buried_at: datetime

    def __post_init__(self) -> None:
        """Refuse a letter without an address."""
        if not self.topic or not self.kind or not self.reason:
            msg = f"dead letter at {self.topic!r}/{self.partition}/{self.offset} lacks topic, kind or reason"
            raise ValueError(msg)


def _require_capture(capture_id: str, image_id: str, image_uri: str) -> None:
    require_hex("capture_id", capture_id, 32)
    require_hex("image_id", image_id, 64)
    _require_uri("image_uri", image_uri)


def _require_place(line: str, product: str) -> None:
    require_slug("line", line)
    require_slug("product", product)


def _require_release(line: str, product: str, revision: int, weights: str) -> None:
    _require_place(line, product)
    _require_revision("revision", revision)
    require_hex("weights", weights, 64)


def _require_revision(name: str, value: int) -> None:
    if value < 1:
        msg = f"{name} {value} is less than 1"
        raise ValueError(msg)


def _require_uri(name: str, value: str) -> None:
    if not value.startswith("s3://"):
        msg = f"{name} {value!r} is not an s3:// address"
        raise ValueError(msg)


def _require_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        msg = f"{name} {value} is not a finite number"
        raise ValueError(msg)


def _require_few(regions: Sequence[Region]) -> None:
    if len(regions) > REGIONS_MAX:
        msg = f"{len(regions)} regions; at most {REGIONS_MAX} fit an event"
        raise ValueError(msg)
