"""HTTP interface of the scorer, shared by its client and its application.

``POST /draw`` and ``POST /fit`` exchange references, never pixels. A response with status 200 is a result; any other is
a problem (RFC 9457) whose ``type`` names the outcome. Fields that a newer version adds are ignored.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Final, Self

from pydantic import BaseModel, FiniteFloat

from services.labeler.ports import DrawnMask, FitOrder
from siad.contracts.corrections import CaptureCorrected, ThresholdSet
from siad.contracts.events import ImageStored, Region
from siad.contracts.ids import WeightsId
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.contracts.release_evidence import EvidenceKind

DRAW_PATH: Final = "/draw"
FIT_PATH: Final = "/fit"

# Types of problems: status, and outcome.
IMAGE_REFUSED: Final = "urn:siad:image-refused"  # 422, the capture is poison: its image is missing, damaged or none
FIT_REFUSED: Final = "urn:siad:fit-refused"  # 422, these normals and settings give no teacher
DRAW_FAILED: Final = "urn:siad:draw-failed"  # 500, a bug: the weights fail on this image alone, with the store at hand
ACCESS_DENIED: Final = "urn:siad:access-denied"  # 503, the store denies access to the scorer
MISFIT: Final = "urn:siad:image-misfit"  # 422, the image does not fit the normals; ``reason`` says in what
UNAVAILABLE: Final = "urn:siad:unavailable"  # 503, the store, the weights or memory are unavailable: retry


class ScorerProblem(BaseModel):
    """Why there is no result."""

    type: str
    detail: str = ""
    reason: str = ""  # a ``MisfitReason`` of MISFIT; else empty


class DrawRequest(BaseModel):
    """One capture to label, and the weights to label it with."""

    capture_id: str
    image_id: str
    image_uri: str
    line: str
    product: str
    weights: str
    sizes: SizeRule = SizeRule.NORMALS
    image_threshold: FiniteFloat | None = None  # None: that of the manifest
    threshold_revision: int = 0  # of ``image_threshold``; part of the mask's key

    @classmethod
    def of(cls, event: ImageStored, weights: WeightsId, sizes: SizeRule, threshold: ThresholdSet | None) -> Self:
        """Request the pseudo-mask of one capture.

        Args:
            event: the capture.
            weights: that draw it.
            sizes: which sizes the line accepts.
            threshold: set for these weights since they were fitted, if any.
        """
        return cls(
            capture_id=event.capture_id,
            image_id=event.image_id,
            image_uri=event.image_uri,
            line=event.line,
            product=event.product,
            weights=weights,
            sizes=sizes,
            image_threshold=None if threshold is None else threshold.image_threshold,
            threshold_revision=0 if threshold is None else threshold.revision,
        )


class RegionBody(BaseModel):
    """One defective region, as ``siad.contracts.events.Region``."""

    points: list[int]
    area_px: int
    peak_score: FiniteFloat


class DrawResponse(BaseModel):
    """Reference to a stored pseudo-mask, and its figures."""

    mask_uri: str
    mask_sha256: str
    score: FiniteFloat
    threshold: FiniteFloat
    defect_ratio: FiniteFloat
    regions: list[RegionBody]
    confidence: FiniteFloat
    image_hash: str = ""

    def mask(self) -> DrawnMask:
        """Convert to the type of the port."""
        regions = (
            Region(points=tuple(body.points), area_px=body.area_px, peak_score=body.peak_score) for body in self.regions
        )
        return DrawnMask(
            mask_uri=self.mask_uri,
            mask_sha256=self.mask_sha256,
            score=self.score,
            threshold=self.threshold,
            defect_ratio=self.defect_ratio,
            regions=tuple(regions),
            confidence=self.confidence,
            image_hash=self.image_hash,
        )


class NormalImage(BaseModel):
    """One capture known to be good."""

    capture_id: str
    image_id: str
    image_uri: str


class HeldOutImage(BaseModel):
    """One capture to compare on, as ``siad.contracts.release_evidence``."""

    capture_id: str
    image_id: str
    image_uri: str
    kind: EvidenceKind
    mask_uri: str = ""
    mask_sha256: str = ""
    is_drawn: bool = False


class FitRequest(BaseModel):
    """Captures to fit a teacher on and to compare on, and ``FitSettings``."""

    line: str
    product: str
    normals: list[NormalImage]
    false_reject_budget: float
    method: str
    region: list[float]
    input_px: int
    bits: int = 0
    budget_tightens: bool = False
    goods: list[NormalImage] = []  # confirmed good by people
    stream: list[NormalImage] = []  # that scored low
    held_out: list[HeldOutImage] = []
    serving: str = ""  # weights to compare with; empty for none
    segmenter: str = ""  # in service: no capture of ``stream`` that it rejects is learned; empty for none

    @classmethod
    def of(cls, place: Place, order: FitOrder) -> Self:
        """Request a teacher."""
        return cls(
            line=place.line,
            product=place.product,
            normals=_images(order.normals),
            goods=_images(order.goods),
            stream=_images(order.stream),
            held_out=[
                HeldOutImage(
                    capture_id=one.about.capture_id,
                    image_id=one.image_id,
                    image_uri=one.image_uri,
                    kind=one.about.kind,
                    mask_uri=one.mask_uri,
                    mask_sha256=one.mask_sha256,
                    is_drawn=one.about.is_drawn,
                )
                for one in order.held_out
            ],
            serving=order.serving,
            segmenter=order.segmenter,
            **asdict(order.settings),
        )


def _images(captures: Iterable[ImageStored | CaptureCorrected]) -> list[NormalImage]:
    return [NormalImage(capture_id=one.capture_id, image_id=one.image_id, image_uri=one.image_uri) for one in captures]


class FitResponse(BaseModel):
    """Digest of the stored weights, and how they compare."""

    weights: str
    evidence: str = ""  # a ``GateEvidence`` as JSON; empty: nothing to compare with
