"""A part is laid onto what it should look like, and what differs by more than normals do is a defect.

The oldest method of inspection (Moganti et al. 1996, Automatic PCB inspection algorithms: a survey, section 3.1), for
parts that lie still and look alike: prints, boards, woven patterns. No network; what it finds it can show.

Fit: the normals x_i [H, W, C] are laid onto the first and then onto their median (phase correlation, then ECC), and
given its light;

    T     = median_i x_i                                              template, [H, W, C]
    d(x)  = max_C max(x - max_r T, min_r T - x, 0)                     what no shift by r = 1 px explains, [H, W]
    t     = floor + mean_i d(x_i) + 3 deviation_i d(x_i)               tolerance of a place, grown by 2 px, [H, W]
    score = d(x) / t                                                  about 1 at the edge of what normals do

so edges, which no registration lays exactly, and places that differ from part to part are tolerated by as much as they
were seen to differ. Each normal is scored by a template and tolerances that it had no part in (ten folds).

``compare_pair`` is for a template per image: there are no normals to learn a tolerance from, so the shift is r = 3 px.

Shape suffixes: B = batch, C = channels, H, W = size of the template, N = normals.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siad.contracts.manifest import Manifest
from siad.contracts.methods import TEMPLATE
from siad.models.bundle import Bundle
from siad.models.teachers.fitting import FittedDetector, finish, gather
from siad.models.tensors import pack, unpack
from siad.models.tiling import TILE_PX
from siad.vision.decide import finish_map
from siad.vision.images import Image
from siad.vision.preprocess import preprocess
from siad.vision.registration import even_light, lay, lay_back, register

METHOD: Final = TEMPLATE
PARTS: Final = "template.safetensors"
RECIPE: Final = "recipe.json"
NORMALS_MIN: Final = 4  # a median and a deviation without the one that is scored
_FOLDS: Final = 10
_PAIR_REACH_PX: Final = 3
Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRecipe:
    """How strict the comparison is."""

    input_px: int = 512
    reach_px: int = 1  # that an edge may be off after registration
    floor: float = 0.08  # of the range -1..1, that any place may differ: ten grey values
    deviations: float = 3.0

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back."""
        return cls(**json.loads(data))


class Template:
    """A template and its tolerances. Thread-safe: nothing in it changes."""

    def __init__(self, template_HWC: Pixels, tolerance_HW: Pixels, recipe: TemplateRecipe) -> None:
        self.template_HWC, self.tolerance_HW, self._recipe = template_HWC, tolerance_HW, recipe

    def score(self, images_BCHW: Tensor) -> Tensor:
        """Score every pixel: float32 [B, h, w] of the images' own size."""
        return torch.from_numpy(np.stack([self._score(one_CHW.numpy()) for one_CHW in images_BCHW.cpu()]))

    def _score(self, image_CHW: Pixels) -> Pixels:
        height, width = self.tolerance_HW.shape
        image_HWC = _resized(_planes(image_CHW, is_grey=self.template_HWC.shape[2] == 1), (height, width))
        motion_23 = register(_grey(self.template_HWC), _grey(image_HWC))
        laid_HWC = even_light(lay(image_HWC, motion_23), self.template_HWC)
        score_HW = differing(laid_HWC, self.template_HWC, reach_px=self._recipe.reach_px) / self.tolerance_HW
        return _resized(lay_back(score_HW, motion_23), (image_CHW.shape[1], image_CHW.shape[2]))


def load(manifest: Manifest, parts: Mapping[str, bytes]) -> Template:
    """Make a teacher of its files; ``siad.models.bundle`` calls this."""
    assert manifest.method == METHOD
    tensors = unpack(parts[PARTS])
    return Template(
        tensors["template"].float().numpy(),
        tensors["tolerance"].float().numpy(),
        TemplateRecipe.from_json(parts[RECIPE]),
    )


def fit(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    recipe: TemplateRecipe | None = None,
    input_px: int = 0,
) -> Bundle:
    """Fit a teacher on good images; the arguments are those of ``fitting.gather``, four normals at least.

    ``input_px`` other than 0 is what images are shown at instead of the recipe's.

    Raises:
        ValueError: too few normals, or images so large that they would come in tiles: a tile has no template.
    """
    if input_px > TILE_PX:
        msg = (
            f"input_px {input_px} for a template, which is compared as a whole; at most {TILE_PX} can be shown at once"
        )
        raise ValueError(msg)
    found = gather(
        images,
        line=line,
        product=product,
        normals=normals,
        false_reject_budget=false_reject_budget,
        at_least=NORMALS_MIN,
    )
    recipe = recipe or TemplateRecipe()
    recipe = replace(recipe, input_px=input_px or recipe.input_px)
    is_grey = all(one.shape[2] == 1 for one in found.images)
    laid_NHWC = lay_all([_planes(preprocess(one, input_px=recipe.input_px), is_grey=is_grey) for one in found.images])
    template_HWC, tolerance_HW = learn(laid_NHWC, recipe)
    tensors = {"template": torch.from_numpy(template_HWC).half(), "tolerance": torch.from_numpy(tolerance_HW).half()}
    parts = {PARTS: pack(tensors), RECIPE: recipe.to_json()}
    fitted = FittedDetector(
        method=METHOD,
        # float16 is what will be read back
        detector=Template(tensors["template"].float().numpy(), tensors["tolerance"].float().numpy(), recipe),
        parts=parts,
        input_px=recipe.input_px,
        held_out=_held_out(laid_NHWC, [one.shape[:2] for one in found.images], recipe),
    )
    return finish(found, fitted)


def compare_pair(template_HWC: Image, image_HWC: Image) -> Pixels:
    """Compare an image with the template that belongs to it, and to it alone.

    A place counts where the image differs by more than a shift of 3 px explains, and around such a place as far as the
    two differ at all, before registration or after.

    Args:
        template_HWC: uint8 or uint16, free of defects.
        image_HWC: uint8 or uint16, of the same number of pixels each way.

    Returns:
        float32 [H, W] on the image, 0 alike, 1 as different as black and white.

    Raises:
        ValueError: they are of different sizes, or not of 1 or 3 channels.
    """
    template, image = _unit(template_HWC), _unit(image_HWC)
    motion_23 = register(_grey(image), _grey(template), motion="affine")
    laid = even_light(lay(template, motion_23), image)
    seed_HW = differing(image, laid, reach_px=_PAIR_REACH_PX)
    around_HW = _largest(seed_HW, _PAIR_REACH_PX + 1)
    extent_HW = np.maximum(np.abs(image - laid), np.abs(image - template)).max(2)
    return np.asarray(np.minimum(extent_HW, around_HW))


def differing(image_HWC: Pixels, template_HWC: Pixels, *, reach_px: int) -> Pixels:
    """How far each pixel lies outside what the template has within ``reach_px``, over channels the most: [H, W]."""
    high_HWC, low_HWC = (fold(template_HWC, reach_px) for fold in (_largest, _smallest))
    return np.asarray(np.maximum(np.maximum(image_HWC - high_HWC, low_HWC - image_HWC), 0).max(2))


def lay_all(images: Sequence[Pixels]) -> Pixels:
    """Bring all to the size of the first, lay them onto it, then onto their median: float32 [N, H, W, C]."""
    size = images[0].shape[:2]
    target_HWC = images[0]
    for _ in range(2):
        laid = []
        for image_HWC in images:
            resized_HWC = _resized(image_HWC, size)
            motion_23 = register(_grey(target_HWC), _grey(resized_HWC))
            laid.append(even_light(lay(resized_HWC, motion_23), target_HWC))
        target_HWC = np.median(laid, axis=0)
    return np.stack(laid)


def learn(laid_NHWC: Pixels, recipe: TemplateRecipe) -> tuple[Pixels, Pixels]:
    """Template and tolerances of normals that lie on each other."""
    template_HWC = np.median(laid_NHWC, axis=0)
    apart_NHW = np.stack([differing(one, template_HWC, reach_px=recipe.reach_px) for one in laid_NHWC])
    tolerance_HW = recipe.floor + apart_NHW.mean(0) + recipe.deviations * apart_NHW.std(0)
    tolerance_HW = cv2.GaussianBlur(_largest(tolerance_HW, 2), (0, 0), 1.5)  # few normals: what a neighbour did it may
    return template_HWC, np.asarray(tolerance_HW, np.float32)


def _held_out(laid_NHWC: Pixels, sizes: Sequence[tuple[int, ...]], recipe: TemplateRecipe) -> tuple[float, ...]:
    """Image scores of all normals, each by a template that it is not in."""
    count = len(laid_NHWC)
    folds = np.arange(count) % min(_FOLDS, count)
    scores = np.zeros(count)
    for fold in range(folds.max() + 1):
        template_HWC, tolerance_HW = learn(laid_NHWC[folds != fold], recipe)
        for index in np.flatnonzero(folds == fold).tolist():
            map_HW = differing(laid_NHWC[index], template_HWC, reach_px=recipe.reach_px) / tolerance_HW
            size = (sizes[index][0], sizes[index][1])
            scores[index] = finish_map(map_HW, input_hw=(map_HW.shape[0], map_HW.shape[1]), size_px=size).max()
    return tuple(scores.tolist())


def _unit(image_HWC: Image) -> Pixels:
    """An image as float32 0..1."""
    return image_HWC.astype(np.float32) / float(np.iinfo(image_HWC.dtype).max)


def _planes(image_CHW: Pixels, *, is_grey: bool) -> Pixels:
    """As [H, W, C]; of a grey line one plane, for preprocessing gives three equal ones."""
    image_HWC = image_CHW.transpose(1, 2, 0)
    return np.ascontiguousarray(image_HWC.mean(2, keepdims=True) if is_grey else image_HWC, np.float32)


def _grey(image_HWC: Pixels) -> Pixels:
    return np.ascontiguousarray(image_HWC.mean(2))


def _resized(image: Pixels, size: tuple[int, ...]) -> Pixels:
    if image.shape[:2] == size:
        return np.ascontiguousarray(image)
    kernel = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
    resized = cv2.resize(image, (size[1], size[0]), interpolation=kernel)
    return np.asarray(resized, np.float32).reshape(*size, *image.shape[2:])  # OpenCV drops a single channel


def _largest(image: Pixels, reach_px: int) -> Pixels:
    return np.asarray(cv2.dilate(image, np.ones((2 * reach_px + 1,) * 2, np.uint8))).reshape(image.shape)


def _smallest(image: Pixels, reach_px: int) -> Pixels:
    return np.asarray(cv2.erode(image, np.ones((2 * reach_px + 1,) * 2, np.uint8))).reshape(image.shape)
