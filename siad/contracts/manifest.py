"""The manifest: what a bundle of weights is, and by what it decides. Pure.

Weights are named by the digest of their manifest, so equal manifests are equal weights: it holds no clock and no
random name.
"""

import json
import statistics
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from siad.contracts.errors import CorruptError
from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId, require_hex, require_slug, sha256_hex

_SAID_IF_ANY = ("region", "left_out", "doubted")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlePart:
    """One file of a bundle; its bytes lie at ``parts/<sha256>``, each once."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One bundle of weights: its files, how to feed it, and by which thresholds it decides."""

    kind: WeightsKind
    method: str  # feature-memory, unet
    line: str
    product: str
    code_version: str
    parts: tuple[BundlePart, ...]  # sorted by name
    decoder_version: int
    preprocess_version: int
    input_px: int  # side of the square with the area that images are brought to
    image_threshold: float  # raw score; a defect has score >= threshold
    pixel_threshold: float  # raw score; a defective pixel has score >= threshold
    promised_false_reject: float | None  # None: n held-out normals allow nothing under 1/(n+1), and that is too much
    held_out_scores: tuple[float, ...]  # image scores of normals that it was not fitted on
    metrics: tuple[tuple[str, float], ...]  # figures measured when it was made, sorted by name
    normals: tuple[str, ...]  # capture ids, sorted; what a teacher was fitted on
    training_set: str | None  # digest; what a segmenter was trained on
    parent: str | None  # weights that it grew from, or whose pseudo-masks taught it
    left_out: tuple[str, ...] = ()  # of ``normals``, those that looked like defects and taught nothing
    doubted: tuple[str, ...] = ()  # of ``normals``, those that may be defects: what they alone show taught nothing
    region: tuple[float, ...] = ()  # what of the view it looks at, as ``siad.contracts.region`` has it; empty for all

    def __post_init__(self) -> None:
        """Refuse a manifest that names no files or belongs to nobody."""
        require_slug("line", self.line)
        require_slug("product", self.product)
        if self.kind is WeightsKind.UNSPECIFIED or not self.parts:
            msg = f"manifest of {self.line}/{self.product} has kind {self.kind} and {len(self.parts)} parts"
            raise ValueError(msg)
        for part in self.parts:
            require_hex(f"sha256 of part {part.name}", part.sha256, 64)

    @property
    def spread(self) -> float:
        """Standard deviation of the held-out normals' scores, over 0: the unit in which scores are far apart."""
        count = len(self.held_out_scores)
        spread = statistics.stdev(self.held_out_scores) if count > 1 else 0.0
        return max(spread, 1e-3 * abs(self.image_threshold), 1e-6)  # equal normals have none

    def part(self, name: str) -> BundlePart:
        """The part called ``name``; KeyError where there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        msg = f"no part {name!r} among {', '.join(part.name for part in self.parts)}"
        raise KeyError(msg)

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces; equal manifests give equal bytes.

        Without a region, or normals left out or doubted, nothing is said of them: weights from before keep their name.
        """
        raw = asdict(self)
        for name in _SAID_IF_ANY:
            if not raw[name]:
                del raw[name]
        return json.dumps(raw, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @property
    def weights(self) -> WeightsId:
        """The digest by which these weights are named everywhere."""
        return WeightsId(sha256_hex(self.to_json()))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a manifest back; fields of a newer writer are ignored.

        Raises:
            CorruptError: the bytes are not a manifest.
        """
        try:
            raw: dict[str, Any] = json.loads(data)
            known = {field.name: raw[field.name] for field in fields(cls) if field.name not in _SAID_IF_ANY}
            known["region"] = tuple(float(value) for value in raw.get("region", ()))
            known["left_out"] = tuple(raw.get("left_out", ()))
            known["doubted"] = tuple(raw.get("doubted", ()))
            known["kind"] = WeightsKind(known["kind"])
            known["parts"] = tuple(BundlePart(**part) for part in known["parts"])
            known["held_out_scores"] = tuple(float(score) for score in known["held_out_scores"])
            known["metrics"] = tuple((str(name), float(value)) for name, value in known["metrics"])
            known["normals"] = tuple(known["normals"])
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{len(data)} bytes are not a manifest: {error!r}"
            raise CorruptError(msg) from error


def part_of(name: str, data: bytes) -> BundlePart:
    """Describe one file of a bundle."""
    return BundlePart(name=name, sha256=sha256_hex(data), size_bytes=len(data))
