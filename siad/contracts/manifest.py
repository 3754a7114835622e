"""Manifest: content and thresholds of a bundle of weights.

Weights are named by the digest of their manifest, so equal manifests are equal weights. A manifest therefore holds no
clock and no random name.
"""

import statistics
from dataclasses import dataclass, field

from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId, require_hex, require_slug, sha256_hex
from siad.contracts.json_codec import OMIT_IF_DEFAULT, JsonRecord
from siad.contracts.normals_profile import NormalsProfile, OddNormal
from siad.contracts.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlePart:
    """One file of a bundle; its bytes are stored once, at ``parts/<sha256>``."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateEstimate:
    """Share of good parts that weights reject, as estimated from their normals."""

    budget: float  # that the threshold was chosen for
    estimated: float  # 0..1, median of what the rate may be
    low: float  # 0..1; the rate is from low to high with a probability of 90%
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestTeacher:
    """Teacher of another line or product whose normals are most alike.

    The threshold starts nearer to the one that it judges by, unless ``declined`` says why not.
    """

    line: str
    product: str
    weights: str  # a WeightsId
    distance: float  # between the mean features of both teachers' normals, 0..2
    threshold: float = field(default=0.0, metadata=OMIT_IF_DEFAULT)  # raw score, over 0; 0: nothing was taken over
    rate: float = field(default=0.0, metadata=OMIT_IF_DEFAULT)  # share of its good captures over it, as estimated
    declined: str = field(default="", metadata=OMIT_IF_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(JsonRecord):
    """Description of one bundle: its files, its input, its thresholds.

    The optional fields at the end are written only where they are set: weights from before keep their names.
    """

    kind: WeightsKind
    method: str  # feature-memory, unet
    line: str
    product: str
    code_version: str
    parts: tuple[BundlePart, ...]  # sorted by name
    decoder_version: int
    preprocess_version: int
    input_px: int  # side of the square with the area to which images are scaled
    image_threshold: float  # raw score; a defect has score >= threshold
    pixel_threshold: float  # raw score; a defective pixel has score >= threshold
    promised_false_reject: float | None  # None: n held-out normals guarantee no rate below 1/(n+1), which is too high
    held_out_scores: tuple[float, ...]  # image scores of normals that were not fitted on
    metrics: tuple[tuple[str, float], ...]  # figures measured while fitting, sorted by name
    normals: tuple[str, ...]  # capture ids, sorted; what a teacher was fitted on
    training_set: str | None  # digest; what a segmenter was trained on
    parent: str | None  # weights it was trained from, or whose pseudo-masks it was trained on
    # those that look like defects and were not used: of ``normals``, or captures of the stream
    left_out: tuple[str, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    # of ``normals`` and ``stream_normals``, those that may be defects: what only they show was not used
    doubted: tuple[str, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    # part of the view that is scored, as in ``siad.contracts.region``; empty for all of it
    region: tuple[float, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    # what the teacher's normals were, for the depth and the plausibility of images; None: neither is checked
    profile: NormalsProfile | None = field(default=None, metadata=OMIT_IF_DEFAULT)
    # false rejects to expect at ``image_threshold``; None: not estimated
    false_rejects: RateEstimate | None = field(default=None, metadata=OMIT_IF_DEFAULT)
    # side of the square, px of the input, by which a mark exceeds its defect; 0: marks do not depend on their peaks
    footprint_px: float = field(default=0.0, metadata=OMIT_IF_DEFAULT)
    # captures of the stream, sorted, that a teacher was fitted on too: scored low, confirmed good by no person
    stream_normals: tuple[str, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    # of ``normals``, the few of another size or other channels than the rest
    odd_normals: tuple[OddNormal, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    # the threshold starts from it, or declines to; None: no other teacher could be compared with
    nearest: NearestTeacher | None = field(default=None, metadata=OMIT_IF_DEFAULT)
    # weights whose map a fast segmenter learned, where they are not ``parent``
    distilled: str = field(default="", metadata=OMIT_IF_DEFAULT)

    def __post_init__(self) -> None:
        """Refuse a manifest without files, kind, line or product."""
        require_slug("line", self.line)
        require_slug("product", self.product)
        if self.kind is WeightsKind.UNSPECIFIED or not self.parts:
            msg = f"manifest of {self.line}/{self.product} has kind {self.kind} and {len(self.parts)} parts"
            raise ValueError(msg)
        for part in self.parts:
            require_hex(f"sha256 of part {part.name}", part.sha256, 64)

    @property
    def spread(self) -> float:
        """Standard deviation of the held-out normals' scores, above 0.

        The unit of distances between scores.
        """
        count = len(self.held_out_scores)
        spread = statistics.stdev(self.held_out_scores) if count > 1 else 0.0
        return max(spread, 1e-3 * abs(self.image_threshold), 1e-6)  # equal normals have none

    @property
    def place(self) -> Place:
        """Line and product that the weights are for."""
        return Place(self.line, self.product)

    def part(self, name: str) -> BundlePart:
        """Return the part called ``name``; KeyError where there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        msg = f"no part {name!r} among {', '.join(part.name for part in self.parts)}"
        raise KeyError(msg)

    @property
    def weights(self) -> WeightsId:
        """Digest that names these weights everywhere."""
        return WeightsId(sha256_hex(self.to_json()))


def part_of(name: str, data: bytes) -> BundlePart:
    """Describe one file of a bundle."""
    return BundlePart(name=name, sha256=sha256_hex(data), size_bytes=len(data))
