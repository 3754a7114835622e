"""How a memory is made: everything that could be otherwise, in one place."""

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
    """How a memory is made. A field more or another default is another teacher, not another version of this one."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    backbone: Variant = "lite0"
    input_px: int = 384  # side of the square with the area that images are shown at, at least
    shrink_max: float = 3.0  # times that an image's sides are made smaller, where that needs a larger input
    input_px_max: int = 960  # which then grows no further: it already takes six times as long as 384 px
    stages: tuple[int, ...] = (2, 4, 5)
    weights: tuple[float, ...] = (1.0, 1.0, 0.25)  # of the stages in the map: fine detail, parts, the whole
    power: float = 1 / 3  # of the mean over stages; 1 adds them up, less asks them to agree
    zone: float = 0.3  # of what zones of the first stage say, the least that a place scores; 0: zones are not looked at
    zone_share: float = 0.3  # side of a zone, of the view's; half of the side blurs a small defect over half the view
    neighbours: int = 5  # whose span a place of a coarse bank is compared with; 8 and 16 measured the same
    ridge: float = 0.3  # of that span; 0.03 and 0.1 measured the same
    spans_stages: bool = True  # whether the coarse stages ask for spans; zones always do
    spanning_max: int = 50  # normals with which stages do; more show what lies between, and spans only reach defects
    floor: float = 0.1  # quantile of an image's places that counts as 0: what all of it shows is no defect's place
    lift: float = 0.25  # of an image's median place, added to its highest: odd all over is odder than odd in one place
    grid_stride: int = 8  # px of the input between two places; a deeper stage keeps its own
    places_max: int = 2_000  # kept of the fine stage; half as many of those with spans
    candidates_max: int = 20_000  # places that these are chosen from
    candidates_each: int = 300  # of each normal at least, where normals are many; up to three times the former
    turns: int = 12  # angles of a full turn that normals are shown at, where parts lie at any; 1 is never
    seed: int = 0

    def shown_at(self, sizes: Sequence[tuple[int, int]]) -> Self:
        """The recipe for images so large that they would be shrunk out of recognition, else the recipe itself.

        Who looks at a web 4,000 px wide looks for what 384 px do not show; parts shrunk 2.4 times lose nothing.

        Args:
            sizes: height and width of each normal, px.
        """
        side = median(math.sqrt(height * width) for height, width in sizes)
        needed = math.ceil(side / self.shrink_max / STRIDE_PX) * STRIDE_PX
        return replace(self, input_px=max(self.input_px, min(needed, self.input_px_max)))

    def for_normals(self, count: int) -> Self:
        """The recipe for so many normals: the places of many are compared with as they are."""
        return replace(self, spans_stages=self.spans_stages and count <= self.spanning_max)

    def for_light(self, *, differs: bool) -> Self:
        """The recipe for a line whose light differs, or does not: in a new light all of a good part is a little odd."""
        return replace(self, lift=0.0) if differs else self

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a recipe back.

        Raises:
            CorruptError: the bytes are no recipe.
            UnusableWeightsError: it has other fields than this code's recipe.
        """
        recipe = read_json(cls, data)
        if recipe.to_json() != data:
            msg = f"recipe of a memory refused: this code has other fields than {data.decode()}; fit the teacher again"
            raise UnusableWeightsError(msg)
        return recipe
