"""The default teacher: remember what places of good parts look like; what is far from all of them is a defect.

PatchCore's idea (Roth et al. 2022, arXiv:2106.08265) with one bank a stage of the backbone, each calibrated on normals
scored without themselves. A place's score is the power mean of what its stages say,

    z_s = max(0, (log d_s - centre_s) / spread_s),    score = (sum_s w_s z_s^p / sum_s w_s)^(1/p),    p = 1/3,

d_s the distance to the nearest place in the bank of stage s or, in the coarse stages, to what its nearest there span.
With p under 1 a place scores high where its stages agree: grain is odd to the fine stage alone, a defect to all. Before
that every image's places are moved to where those of the normals have their mean, and where the normals' light differs,
inputs are brought to one light. Beside the stages a bank of zones knows the grain of a third of the view; no place
scores less than 0.3 of what it says. Last, an image's floor is taken off, and where light does not differ its highest
place is raised by a quarter of its median. Which recipe and why: docs/adr/
0009-stages-must-agree.md, 0014-light-and-style-are-no-defects.md, 0016-zones-spans-and-floors.md and
0018-odd-all-over-is-odder.md.

Shape suffixes: B = batch, C = channels, H, W = size of the input, h, w = size of the grid of places, N = h * w,
M = places in a bank, D = length of a description, L = banks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import torch
from torch import Tensor

from siad.contracts.manifest import Manifest
from siad.contracts.methods import FEATURE_MEMORY
from siad.models.backbone import Backbone, pretrained_backbone
from siad.models.bundle import Bundle
from siad.models.teachers import light
from siad.models.teachers.fitting import FittedDetector, finish, gather, shared_backbone
from siad.models.teachers.memorising import LIGHT, doubt, memorise, see
from siad.models.teachers.memory import describe_places
from siad.models.teachers.memory_banks import Bank, Seen, banks_of, combine, pooled, unit
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.usual import UsualDistance
from siad.models.tensors import pack, unpack
from siad.vision.images import Image
from siad.vision.outliers import find_doubtful, find_odd

METHOD: Final = FEATURE_MEMORY
BACKBONE: Final = "backbone.safetensors"
MEMORY: Final = "memory.safetensors"
RECIPE: Final = "recipe.json"


class FeatureMemory:
    """A fitted teacher. Thread-safe: nothing in it changes."""

    needs_whole_input = True  # style, zones and floor are an image's, not a tile's

    def __init__(self, backbone: Backbone, recipe: MemoryRecipe, memory: Mapping[str, Tensor]) -> None:
        self._backbone = backbone
        self._recipe = recipe
        self._in_one_light = bool(memory[LIGHT])
        self._remembered = [_FilledBank.read(bank, memory) for bank in banks_of(recipe)]

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every place by its calibrated distances to the memory, as far as the stages agree.

        Args:
            images_BCHW: float32, as ``siad.vision.preprocess`` makes them.

        Returns:
            float32 [B, h, w] raw scores, 0 at least; 0 is a usual place of a normal.
        """
        if self._in_one_light:
            images_BCHW = light.even_out(images_BCHW)
        every = pooled(self._backbone, self._recipe, images_BCHW)
        judged_LBhw = [one.judge(self._recipe, seen) for one, seen in zip(self._remembered, every, strict=True)]
        return combine(self._recipe, judged_LBhw)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FilledBank:
    """A bank filled: its places, their style, and how far from them a place usually is."""

    bank: Bank
    places_MD: Tensor  # float32, of length 1
    style_D: Tensor | None
    usual: UsualDistance

    @classmethod
    def read(cls, bank: Bank, memory: Mapping[str, Tensor]) -> Self:
        return cls(
            bank=bank,
            places_MD=unit(memory[f"bank.{bank.name}"]),
            style_D=memory.get(f"mean.{bank.name}"),
            usual=UsualDistance(memory[f"centre.{bank.name}"], memory[f"spread.{bank.name}"]),
        )

    def judge(self, recipe: MemoryRecipe, seen: Seen) -> Tensor:
        """How many spreads over the usual each place lies from what is remembered: float32 [B, h, w]."""
        grid, pooled_BND = seen
        places_BND = describe_places(pooled_BND, usual_D=self.style_D)
        apart_Bhw = torch.stack([self.bank.apart(recipe, places_ND, self.places_MD) for places_ND in places_BND])
        return self.usual.judge(apart_Bhw.view(-1, *grid).log())


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> FeatureMemory:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    recipe = MemoryRecipe.from_json(parts[RECIPE])
    return FeatureMemory(shared_backbone(recipe.backbone, parts[BACKBONE]), recipe, unpack(parts[MEMORY]))


@torch.inference_mode()
def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: MemoryRecipe | None = None,
    input_px: int | None = None,
) -> Bundle:
    """Fit a teacher on good images. The same normals give the same weights, in whatever order they come.

    Args:
        images: decoded, uint8 or uint16 [H, W, C], of any sizes.
        line: slug.
        product: slug.
        normals: the capture id of each image.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        recipe: how; the default is the best we know for a line we know nothing of.
        input_px: side of the square with the area that images are shown at; None: as the recipe has it for their size.

    Raises:
        ValueError: fewer than two normals, or not one id an image.
    """
    found = gather(images, line=line, product=product, normals=normals, false_reject_budget=false_reject_budget)
    recipe = recipe or MemoryRecipe()
    if input_px is None:
        recipe = recipe.shown_at([(image_HWC.shape[0], image_HWC.shape[1]) for image_HWC in found.images])
    else:
        recipe = replace(recipe, input_px=input_px)
    recipe = recipe.for_normals(len(found))
    backbone = pretrained_backbone(recipe.backbone)
    seen = see(backbone, recipe, found.images)
    recipe = recipe.for_light(differs=seen.in_one_light)
    names = list(found.names)
    memorised = memorise(recipe, seen)
    odd = find_odd(memorised.standing_out())
    if odd:
        names = [name for index, name in enumerate(names) if index not in odd]
        seen = replace(seen, each=[one for index, one in enumerate(seen.each) if index not in odd])
        memorised = memorise(recipe, seen)
    doubtful = find_doubtful(memorised.standing_out())
    if doubtful:
        memorised = memorise(recipe, doubt(seen, memorised, doubtful))
    fitted = FittedDetector(
        method=METHOD,
        detector=FeatureMemory(backbone, recipe, memorised.memory),
        parts={BACKBONE: pack(backbone.state_dict()), MEMORY: pack(memorised.memory), RECIPE: recipe.to_json()},
        input_px=recipe.input_px,
        held_out=tuple(memorised.scores),
        metrics=(("in_one_light", float(seen.in_one_light)), ("turned", float(seen.is_turned))),
        left_out=tuple(found.names[index] for index in odd),
        doubted=tuple(names[index] for index in doubtful),
    )
    return finish(found, fitted)
