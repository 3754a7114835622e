"""Parameters of the feature memory, in one place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import ClassVar, Self

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.json_codec import JsonRecord, JsonStyle, read_json
from siad.models.backbone import Variant
from siad.vision.preprocess import STRIDE_PX


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecipe(JsonRecord):
    """Parameters of one feature memory; ``docs/models/feature-memory.md`` has the measurements behind the defaults.

    The recipe is stored with the weights. A bundle whose recipe has other fields is refused, so a new field makes all
    teachers be fitted again.
    """

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    backbone: Variant = "lite0"
    input_px: int = 384  # side of the square with the area that images are brought to, at least
    shrink_max: float = 3.0  # factor that an image's sides are reduced by at most; beyond it the input grows
    input_px_max: int = 960  # limit of that growth: such an input takes six times as long as 384 px
    stages: tuple[int, ...] = (2, 4, 5)
    weights: tuple[float, ...] = (1.0, 1.0, 0.25)  # of the stages in the map: fine detail, parts, the whole
    power: float = 1 / 3  # of the power mean over stages; 1 averages, less asks the stages to agree
    zone: float = 0.3  # factor of the zones' score, which is the least that a position scores; 0: no zones
    zone_share: float = 0.3  # side of a zone, of the view's; half of the side blurs a small defect over half the view
    neighbours: int = 5  # that span what a position of a coarse bank is compared with; 8 and 16 measured the same
    ridge: float = 0.3  # of that span; 0.03 and 0.1 measured the same
    spans_stages: bool = True  # whether the coarse stages use spans; zones always do
    spanning_max: int = 50  # normals up to which stages use spans; with more, spans only come nearer to defects
    floor: float = 0.1  # quantile of an image's scores that becomes 0: what the whole image shows is no local defect
    lift: float = 0.25  # share of an image's median score added to its maximum, for parts that are anomalous all over
    grid_stride: int = 8  # px of the input between two positions; a deeper stage keeps its own stride
    places_max: int = 2_000  # patch features kept of the fine stage; half as many where spans are used
    candidates_max: int = 20_000  # patch features that these are chosen from
    candidates_each: int = 300  # candidates for each normal at least, up to three times ``candidates_max``
    turns: int = 12  # angles of a full turn that normals are added at, where parts lie at any angle; 1: none
    seed: int = 0

    def shown_at(self, sizes: Sequence[tuple[int, int]]) -> Self:
        """Enlarge the input for images that would be reduced too much.

        Defects on a web 4,000 px wide are invisible at 384 px; parts that are reduced 2.4 times lose nothing.

        Args:
            sizes: height and width of each normal, px.
        """
        side = median(math.sqrt(height * width) for height, width in sizes)
        needed = math.ceil(side / self.shrink_max / STRIDE_PX) * STRIDE_PX
        return replace(self, input_px=max(self.input_px, min(needed, self.input_px_max)))

    def for_normals(self, count: int) -> Self:
        """Turn spans of stages off where normals are many."""
        return replace(self, spans_stages=self.spans_stages and count <= self.spanning_max)

    def for_light(self, *, differs: bool) -> Self:
        """Turn ``lift`` off where the light differs.

        In a new light all of a good part scores a little higher.
        """
        return replace(self, lift=0.0) if differs else self

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            CorruptError: the bytes are no recipe.
            UnusableWeightsError: the fields differ from this version's.
        """
        recipe = read_json(cls, data)
        if recipe.to_json() != data:
            msg = f"a feature memory of another version, with the recipe {data.decode()}; fit the teacher again"
            raise UnusableWeightsError(msg)
        return recipe
