"""Loss of the segmenter's training.

Shape suffixes: B = batch, H, W = size of the network's input, h, w = size of the map.

Source:
    Milletari, Navab and Ahmadi 2016, arXiv:1606.04797, eq. 2 (the soft Dice loss).
"""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from siad.models.segmenter import STRIDE
from siad.models.training.recipe import TrainingRecipe
from siad.vision.decide import SMOOTHING
from siad.vision.masks import DEFECT, IGNORE

_COVER: Final = 0.2  # share of a position that makes it marked; with half of it scratches are lost: image AUROC -.01
_RIM: Final = 1  # positions to both sides of a mask's edge
_SMALL: Final = 1e-6


def segmentation_loss(logits_Bhw: Tensor, masks_BHW: Tensor, weights_B: Tensor, recipe: TrainingRecipe) -> Tensor:
    """Loss over positions, marked positions and the image's score.

    Cross-entropy over positions, Dice over marked ones, and cross-entropy of the image's score.

    Marked and unmarked positions have equal shares of the cross-entropy.

    Args:
        logits_Bhw: float32, stride 8.
        masks_BHW: uint8, 0 good, 255 defect, 128 ignore: such positions have weight 0, for the image's score too.
        weights_B: float32, 0..1, weight of each example.
        recipe: the shares.
    """
    cover_Bhw = functional.avg_pool2d((masks_BHW == DEFECT).float()[:, None], STRIDE)[:, 0]
    target_Bhw = (cover_Bhw >= _COVER).float()
    ignored_Bhw = functional.max_pool2d((masks_BHW == IGNORE).float()[:, None], STRIDE)[:, 0] * (1 - target_Bhw)
    counts_Bhw = 1 - torch.maximum(_rim(target_Bhw), ignored_Bhw)
    is_defect_B = (target_Bhw.flatten(1).sum(1) > 0).float()
    inside_Bhw = target_Bhw * counts_Bhw * weights_B[:, None, None]
    around_B = torch.where(is_defect_B > 0, recipe.unmarked_weight, 1.0) * weights_B
    outside_Bhw = (1 - target_Bhw) * counts_Bhw * around_B[:, None, None]
    entropy_Bhw = functional.binary_cross_entropy_with_logits(logits_Bhw, target_Bhw, reduction="none")
    pixels = 0.5 * (_mean(entropy_Bhw, inside_Bhw) + _mean(entropy_Bhw, outside_Bhw))
    lowest_B11 = logits_Bhw.detach().amin((1, 2), keepdim=True)
    scores_B = image_scores(torch.where(ignored_Bhw > 0, lowest_B11, logits_Bhw))
    images_B = functional.binary_cross_entropy_with_logits(scores_B, is_defect_B, reduction="none")
    dice = _dice(logits_Bhw, target_Bhw, inside_Bhw + outside_Bhw)
    return (1 - recipe.image_share) * (pixels + 0.5 * dice) + recipe.image_share * _mean(images_B, weights_B)


def image_scores(logits_Bhw: Tensor) -> Tensor:
    """Differentiable image score.

    The mean over the highest positions of the blurred map.
    """
    side = math.sqrt(logits_Bhw.shape[1] * logits_Bhw.shape[2])
    blurred_Bhw = _blur(logits_Bhw, sigma=SMOOTHING * side)
    top = max(1, round(blurred_Bhw[0].numel() * 0.002))
    return blurred_Bhw.flatten(1).topk(top, dim=1).values.mean(1)


def _blur(map_Bhw: Tensor, *, sigma: float) -> Tensor:
    reach = max(1, math.ceil(2 * sigma))
    offset = torch.arange(-reach, reach + 1, device=map_Bhw.device, dtype=torch.float32)
    kernel = torch.exp(-(offset**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = functional.pad(map_Bhw[:, None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def _rim(target_Bhw: Tensor) -> Tensor:
    """1 where marked and unmarked positions touch.

    A teacher's borders are inexact.
    """
    size = 2 * _RIM + 1
    grown = functional.max_pool2d(target_Bhw[:, None], size, stride=1, padding=_RIM)
    shrunk = -functional.max_pool2d(-target_Bhw[:, None], size, stride=1, padding=_RIM)
    kept = functional.max_pool2d(
        shrunk, 2 * size - 1, stride=1, padding=2 * _RIM
    )  # thin marks have no inside and stay whole
    return (grown - torch.where(kept > 0, shrunk, target_Bhw[:, None]))[:, 0]


def _dice(logits_Bhw: Tensor, target_Bhw: Tensor, counts_Bhw: Tensor) -> Tensor:
    predicted_Bhw = torch.sigmoid(logits_Bhw) * counts_Bhw
    marked_Bhw = target_Bhw * counts_Bhw
    both = (predicted_Bhw * target_Bhw).sum()
    return 1 - (2 * both + 1) / (predicted_Bhw.sum() + marked_Bhw.sum() + 1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / (weights.sum() + _SMALL)
