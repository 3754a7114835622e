"""Events of the console: corrections by people, and the thresholds that follow.

The stored record of a correction (``corrections/<line>/<capture>/<revision>.json``) is the event as JSON and holds the
truth; the event follows it. ``protos/siad/v1/events.proto`` documents the unit and range of every field.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, Protocol, TypeVar

from siad.contracts.event_checks import (
    require_capture,
    require_finite,
    require_place,
    require_release,
    require_revision,
    require_uri,
)
from siad.contracts.ids import CaptureId, ImageId, WeightsId, require_hex
from siad.contracts.json_codec import OMIT_IF_DEFAULT, JsonRecord, JsonStyle
from siad.contracts.marked_objects import OBJECTS_MAX, MarkedObject, require_effort

AUTHOR_MAX: Final = 128  # characters
REASON_MAX: Final = 1000  # characters


class CorrectionVerdict(StrEnum):
    """What a person says about a capture."""

    UNSPECIFIED = "unspecified"
    GOOD = "good"
    DEFECT = "defect"
    UNSURE = "unsure"


class Selection(StrEnum):
    """Why a capture was shown to the person who corrected it."""

    UNSPECIFIED = "unspecified"
    NEAREST = "nearest"
    RANDOM = "random"
    CHOSEN = "chosen"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureCorrected(JsonRecord):
    """A person's verdict on one capture; the highest revision counts."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    capture_id: CaptureId
    image_id: ImageId
    image_uri: str
    line: str
    product: str
    serial: str
    captured_at: datetime
    received_at: datetime
    revision: int  # from 1, without gaps
    verdict: CorrectionVerdict
    mask_uri: str  # empty unless DEFECT, and where the defect has no outline
    mask_sha256: str
    weights: str  # a WeightsId: what was shown; empty where nothing was
    score: float  # 0 where nothing was shown
    threshold: float
    author: str
    corrected_at: datetime
    selection: Selection
    # what the person did with each mark; empty where the client does not tell
    objects: tuple[MarkedObject, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    # what it took: seconds without those hidden or idle, keys, and presses of the pointer; 0 where not told
    active_s: float = field(default=0.0, metadata=OMIT_IF_DEFAULT)
    keys: int = field(default=0, metadata=OMIT_IF_DEFAULT)
    presses: int = field(default=0, metadata=OMIT_IF_DEFAULT)

    def __post_init__(self) -> None:
        """Refuse a correction that lacks a field or contradicts itself."""
        require_capture(self.capture_id, self.image_id, self.image_uri)
        require_place(self.line, self.product)
        require_revision("revision", self.revision)
        if self.mask_uri or self.mask_sha256:
            require_uri("mask_uri", self.mask_uri)
            require_hex("mask_sha256", self.mask_sha256, 64)
            if self.verdict in (CorrectionVerdict.GOOD, CorrectionVerdict.UNSURE):
                msg = f"a mask belongs to a defect, and capture {self.capture_id} is called {self.verdict}"
                raise ValueError(msg)
        if self.weights:
            require_hex("weights", self.weights, 64)
        require_finite("score", self.score)
        require_finite("threshold", self.threshold)
        if len(self.objects) > OBJECTS_MAX:
            msg = f"{len(self.objects)} marks; at most {OBJECTS_MAX} are listed"
            raise ValueError(msg)
        require_effort(self.active_s, self.keys, self.presses)
        if not 1 <= len(self.author) <= AUTHOR_MAX:
            msg = f"author has {len(self.author)} characters; 1 to {AUTHOR_MAX} are allowed"
            raise ValueError(msg)


class CorrectionRevision(Protocol):
    """One revision of a capture's correction, as an event or a row."""

    @property
    def capture_id(self) -> str:
        """Id of the capture."""
        ...

    @property
    def revision(self) -> int:
        """Number of the revision, from 1."""
        ...


R = TypeVar("R", bound=CorrectionRevision)


def latest_corrections(corrections: Iterable[R]) -> dict[str, R]:
    """Keep the highest revision of each capture, by capture id.

    Of equal revisions, which are repeats, the first.
    """
    latest: dict[str, R] = {}
    for one in corrections:
        other = latest.get(one.capture_id)
        if other is None or one.revision > other.revision:
            latest[one.capture_id] = one
    return latest


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdSet(JsonRecord):
    """Image threshold that weights of a line and product have now.

    The same bytes as JSON are the pointer in the store (``siad.contracts.keys.threshold_key``).
    """

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    line: str
    product: str
    weights: WeightsId
    revision: int  # grows by one with every change
    image_threshold: float  # in the unit of the weights' scores
    budget: float  # share of good parts, in (0, 1)
    estimated: float  # share of good parts that it rejects, 0..1
    low: float  # interval of the estimate
    high: float
    normals: int  # counts behind it
    stream_captures: int
    answers: int
    reason: str  # one sentence
    set_at: datetime
    advice: str = field(default="", metadata=OMIT_IF_DEFAULT)  # what would narrow the interval, in one sentence

    def __post_init__(self) -> None:
        """Refuse a threshold that lacks a field or contradicts itself."""
        require_release(self.line, self.product, self.revision, self.weights)
        require_finite("image_threshold", self.image_threshold)
        if not 0 < self.budget < 1:
            msg = f"budget {self.budget:g} is not between 0 and 1"
            raise ValueError(msg)
        if not 0 <= self.low <= self.estimated <= self.high <= 1:
            msg = f"false rejects {self.estimated:g} in {self.low:g} to {self.high:g} are no estimate in an interval"
            raise ValueError(msg)
        if min(self.normals, self.stream_captures, self.answers) < 0:
            msg = f"counts {self.normals}, {self.stream_captures}, {self.answers}: none may be below 0"
            raise ValueError(msg)
        for name, text in (("reason", self.reason), ("advice", self.advice)):
            if len(text) > REASON_MAX:
                msg = f"{name} has {len(text)} characters; at most {REASON_MAX} are allowed"
                raise ValueError(msg)
