"""Events that the stages exchange, as frozen dataclasses; no protobuf, no I/O.

Constructors check what is required, so that bytes that decode to an empty message are refused when they are read.
``protos/siad/v1/events.proto`` documents the unit and range of every field.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from siad.contracts.depth import require_bits
from siad.contracts.event_checks import (
    require_capture,
    require_finite,
    require_place,
    require_release,
    require_revision,
    require_uri,
)
from siad.contracts.ids import CaptureId, ImageId, WeightsId, require_hex, require_slug
from siad.contracts.json_codec import OMIT_IF_DEFAULT
from siad.contracts.labelling import require_labelled_share
from siad.contracts.learning import require_learning
from siad.contracts.marked_objects import require_classes
from siad.contracts.normals_profile import require_sizes
from siad.contracts.region import require_region
from siad.contracts.rollout import require_rollout

REGIONS_MAX = 64  # per mask; keeps every event below 64 KB
POINTS_MAX = 128  # per region
MISS_COST_MIN, MISS_COST_MAX = 1e-3, 1e6  # false rejects
INPUT_PX_MIN, INPUT_PX_MAX = 64, 4096  # side of the square with the area to which images are scaled


class Intent(StrEnum):
    """What the sender of an image knows about the part."""

    UNSPECIFIED = "unspecified"
    NORMAL = "normal"
    INSPECT = "inspect"


class WeightsKind(StrEnum):
    """Which of the two models a bundle holds."""

    UNSPECIFIED = "unspecified"
    TEACHER = "teacher"
    SEGMENTER = "segmenter"


class Decision(StrEnum):
    """Decision about one capture."""

    UNSPECIFIED = "unspecified"
    PASS = "pass"  # noqa: S105 - not a password
    REJECT = "reject"
    UNKNOWN = "unknown"


class Origin(StrEnum):
    """How a capture reached inference."""

    UNSPECIFIED = "unspecified"
    STREAM = "stream"
    DIRECT = "direct"


class SegmenterStatus(StrEnum):
    """Whether a segmenter is in service."""

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
        """Refuse points that form no outline."""
        count = len(self.points) / 2
        if not 3 <= count <= POINTS_MAX or count != int(count):
            msg = f"a region has {count:g} points; 3 to {POINTS_MAX} are allowed"
            raise ValueError(msg)
        if min(self.points) < 0:
            msg = f"a region has a coordinate of {min(self.points)} px; coordinates begin at 0"
            raise ValueError(msg)
        require_finite("peak_score", self.peak_score)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChanged:
    """Present settings of a line."""

    line: str
    revision: int
    product: str
    false_reject_budget: float
    shards: int
    deadline_s: float  # 0: none
    changed_at: datetime
    method: str = ""  # of the teacher; empty: the default
    region: tuple[float, ...] = ()  # part of the view that counts, as in ``siad.contracts.region``; empty: all of it
    input_px: int = 0  # side of the square with the area to which images are scaled; 0: as the method has it
    # significant bits of the samples of 16-bit files, 8 to 16; 0: found from the normals
    bits: int = field(default=0, metadata=OMIT_IF_DEFAULT)
    # a ``siad.contracts.normals_profile.SizeRule``; empty: normals
    sizes: str = field(default="", metadata=OMIT_IF_DEFAULT)
    # whether the false-reject budget tightens as normals grow, as ``siad.contracts.fit_settings`` has it
    budget_tightens: bool = field(default=False, metadata=OMIT_IF_DEFAULT)
    # a ``siad.contracts.learning.LearningMode``; empty: auto
    learning: str = field(default="", metadata=OMIT_IF_DEFAULT)
    # what a miss costs, in false rejects; 0: the budget chooses the threshold
    miss_cost: float = field(default=0.0, metadata=OMIT_IF_DEFAULT)
    segmenter: str = field(default="", metadata=OMIT_IF_DEFAULT)  # method of the segmenter; empty: the default
    # kinds of defects that people tell apart, in the order of their digits
    classes: tuple[str, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    # of captures, beside doubtful ones, that are labelled while a segmenter serves; 0: ``labelling.DEFAULT_SHARE``
    labelled_share: float = field(default=0.0, metadata=OMIT_IF_DEFAULT)
    # a ``siad.contracts.rollout.RolloutMode``; empty: direct
    rollout: str = field(default="", metadata=OMIT_IF_DEFAULT)

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        require_place(self.line, self.product)
        require_revision("revision", self.revision)
        if not 0 < self.false_reject_budget < 1:
            msg = f"false_reject_budget {self.false_reject_budget:g} is not between 0 and 1"
            raise ValueError(msg)
        if not 1 <= self.shards <= 64:
            msg = f"shards {self.shards} is not 1 to 64"
            raise ValueError(msg)
        if not (math.isfinite(self.deadline_s) and self.deadline_s >= 0):
            msg = f"deadline_s {self.deadline_s:g} is not a finite number of seconds of at least 0; 0 means no deadline"
            raise ValueError(msg)
        if self.method:
            require_slug("method", self.method)
        if self.segmenter:
            require_slug("segmenter", self.segmenter)
        require_region(self.region)
        require_classes(self.classes)
        if self.input_px and not INPUT_PX_MIN <= self.input_px <= INPUT_PX_MAX:
            msg = f"input_px {self.input_px} is not {INPUT_PX_MIN} to {INPUT_PX_MAX}, nor 0 for the method's own"
            raise ValueError(msg)
        if self.miss_cost and not MISS_COST_MIN <= self.miss_cost <= MISS_COST_MAX:
            msg = f"miss_cost {self.miss_cost:g} is not {MISS_COST_MIN:g} to {MISS_COST_MAX:g}, nor 0 for the budget"
            raise ValueError(msg)
        require_bits(self.bits)
        require_sizes(self.sizes)
        require_learning(self.learning)
        require_labelled_share(self.labelled_share)
        require_rollout(self.rollout)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStored:
    """One capture is stored, ready to be labelled and judged."""

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
        """Refuse an event without a valid capture, line or image."""
        require_capture(self.capture_id, self.image_id, self.image_uri)
        require_place(self.line, self.product)
        require_revision("line_revision", self.line_revision)
        if self.size_bytes < 1:
            msg = f"size_bytes {self.size_bytes} of image {self.image_id} is less than 1"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoMaskCreated:
    """A teacher drew a pseudo-mask for one capture."""

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
    confidence: float  # 0..1, weight of the mask in training
    serial: str = ""  # as in ImageStored
    image_hash: str = ""  # perceptual, 256 bits as hex; empty where unknown

    def __post_init__(self) -> None:
        """Refuse a mask that can't be trained on."""
        require_capture(self.capture_id, self.image_id, self.image_uri)
        require_place(self.line, self.product)
        require_uri("mask_uri", self.mask_uri)
        require_hex("mask_sha256", self.mask_sha256, 64)
        require_hex("weights", self.weights, 64)
        require_finite("score", self.score)
        require_finite("threshold", self.threshold)
        if not 0 <= self.defect_ratio <= 1:
            msg = f"defect_ratio {self.defect_ratio:g} is not in [0, 1]"
            raise ValueError(msg)
        if not 0 <= self.confidence <= 1:
            msg = f"confidence {self.confidence:g} is not in [0, 1]"
            raise ValueError(msg)
        if self.image_hash:
            require_hex("image_hash", self.image_hash, 64)
        _require_regions(self.regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherReleased:
    """Teacher that a line and product have now."""

    line: str
    product: str
    revision: int
    weights: WeightsId
    released_at: datetime

    def __post_init__(self) -> None:
        """Refuse a release without place, revision or weights."""
        require_release(self.line, self.product, self.revision, self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterReleased:
    """Segmenter that a line and product have now, or its withdrawal."""

    line: str
    product: str
    revision: int
    weights: WeightsId
    released_at: datetime
    status: SegmenterStatus

    def __post_init__(self) -> None:
        """Refuse a release without place, revision or weights."""
        require_release(self.line, self.product, self.revision, self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictGiven:
    """Verdict on one capture, with the weights and scores behind it."""

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
    detail: str = ""  # why UNKNOWN, in words; empty where the reason says all
    threshold_revision: int = 0  # of the ``ThresholdSet``; 0: the threshold is that of the manifest
    false_rejects: float = 0.0  # estimated share of good parts that the threshold rejects; 0 where not estimated
    false_rejects_low: float = 0.0
    false_rejects_high: float = 0.0
    advice: str = ""  # what would narrow that interval; empty where nothing would
    runner: str = ""  # what ran the network, such as openvino; empty where UNKNOWN
    pixel_threshold: float = 0.0  # raw score from which a pixel is marked; 0 where UNKNOWN, or not recorded
    decode_s: float = 0.0  # of ``fetch_s``
    mask_s: float = 0.0  # in writing the mask, after ``score_s``
    publish_wait_s: float = 0.0  # from ``judged_at`` until it was handed to the broker
    trace_id: str = ""  # of the capture's trace, from the camera's request on; empty where not recorded
    trial: int = 0  # whose candidate decided, as a canary; 0: the weights in service decided

    def __post_init__(self) -> None:
        """Refuse a verdict without capture, reason or weights."""
        require_capture(self.capture_id, self.image_id, self.image_uri)
        require_place(self.line, self.product)
        require_finite("score", self.score)
        require_finite("threshold", self.threshold)
        _require_regions(self.regions)
        if self.decision is Decision.UNKNOWN and not self.reason:
            msg = f"verdict UNKNOWN on capture {self.capture_id} has no reason"
            raise ValueError(msg)
        if self.decision in (Decision.PASS, Decision.REJECT):
            require_hex("weights", self.weights, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Message that can't be handled: whole, with its position and the reason."""

    topic: str
    partition: int
    offset: int
    key: bytes
    payload: bytes
    kind: str  # poison, crash or quarantine
    reason: str
    buried_at: datetime

    def __post_init__(self) -> None:
        """Refuse a letter without topic, kind or reason."""
        if not self.topic or not self.kind or not self.reason:
            msg = f"dead letter at {self.topic!r}/{self.partition}/{self.offset} lacks topic, kind or reason"
            raise ValueError(msg)


def _require_regions(regions: Sequence[Region]) -> None:
    if len(regions) > REGIONS_MAX:
        msg = f"{len(regions)} regions; an event holds at most {REGIONS_MAX}"
        raise ValueError(msg)
