"""How a memory is made: everything that could be otherwise, in one place."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Self

from siad.models.backbone import Variant
from siad.models.bundle import UnusableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a memory is made. A field more or another default is another teacher, not another version of this one."""

    backbone: Variant = "lite0"
    input_px: int = 384
    stages: tuple[int, ...] = (2, 4, 5)
    weights: tuple[float, ...] = (1.0, 1.0, 0.25)  # of the stages in the map: fine detail, parts, the whole
    power: float = 1 / 3  # of the mean over stages; 1 adds them up, less asks them to agree
    zone: float = 0.3  # of what zones of the first stage say, the least that a place scores; 0: zones are not looked at
    zone_share: float = 0.3  # side of a zone, of the view's; half of the side blurs a small defect over half the view
    neighbours: int = 5  # whose span a place of a coarse bank is compared with; 8 and 16 measured the same
    ridge: float = 0.3  # of that span; 0.03 and 0.1 measured the same
    floor: float = 0.1  # quantile of an image's places that counts as 0: what all of it shows is no defect's place
    grid_stride: int = 8  # px of the input between two places; a deeper stage keeps its own
    places_max: int = 2_000  # kept of the fine stage; half as many of those with spans
    candidates_max: int = 20_000  # places that these are chosen from
    candidates_each: int = 300  # of each normal at least, where normals are many; up to three times the former
    turns: int = 12  # angles of a full turn that normals are shown at, where parts lie at any; 1 is never
    seed: int = 0

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back.

        Raises:
            UnusableError: it has other fields than this code's recipe.
        """
        raw = json.loads(data)
        if raw.keys() != {field.name for field in fields(cls)}:
            msg = f"a memory made by the recipe {sorted(raw)}; this code has another: refit it"
            raise UnusableError(msg)
        return cls(**{**raw, "stages": tuple(raw["stages"]), "weights": tuple(raw["weights"])})
