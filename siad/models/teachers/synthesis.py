"""Images with something on them that is not the part's, to learn from: Perlin-shaped patches of other texture.

Zavrtanik, Kristan and Skocaj 2021, DRAEM, arXiv:2108.07610, section 3.3. There the texture comes from a data set of
textures; here from the normals themselves, moved, mirrored, scaled and recoloured, or from noise.

These differ from ``siad.vision.synthetic_defects``: a method that learnt from
those would be ranked by its own training.

Shape suffixes: C = channels, H, W = size of the input.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.vision.perlin import perlin

Pixels = NDArray[np.float32]
_THRESHOLD = 0.35  # of the noise, over which a patch is: about a tenth of the places
_SEEN = 0.06  # of the range -1..1: a patch of what was there anyway is none
_OPACITY = (0.1, 1.0)


def paint(image_CHW: Pixels, source_CHW: Pixels, rng: np.random.Generator) -> tuple[Pixels, NDArray[np.bool_]]:
    """Put patches on a normal.

        painted = (1 - M) image + M ((1 - b) image + b texture)      b: opacity, 0.1 to 1

    Args:
        image_CHW: float32, -1 to 1.
        source_CHW: a normal of the same size, whose texture is made another.
        rng: draws everything.

    Returns:
        float32 [C, H, W], and bool [H, W]: where it can be seen that something is there.
    """
    patch_HW = _patches(image_CHW.shape[1:], rng)
    texture_CHW = _noise(image_CHW.shape, rng) if rng.random() < 0.3 else _another(source_CHW, rng)
    opacity = rng.uniform(*_OPACITY)
    painted_CHW = np.where(patch_HW, (1 - opacity) * image_CHW + opacity * texture_CHW, image_CHW)
    seen_HW = np.abs(painted_CHW - image_CHW).max(0) > _SEEN
    return painted_CHW.astype(np.float32), seen_HW


def _patches(size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Noise over a threshold, turned by any angle; where little is over it, its highest places."""
    height, width = size
    cells = (int(2 ** rng.integers(0, 6)), int(2 ** rng.integers(0, 6)))
    noise_HW = perlin((height, width), cells=cells, rng=rng)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-90, 90), 1.0)
    noise_HW = cv2.warpAffine(noise_HW, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(noise_HW > min(_THRESHOLD, float(np.quantile(noise_HW, 0.98))))


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> Pixels:
    """Lumps of some size in some colours about some colour."""
    channels, height, width = shape
    cells = int(2 ** rng.integers(2, 7))
    noise_CHW = np.stack([perlin((height, width), cells=(cells, cells), rng=rng) for _ in range(channels)])
    return np.clip(noise_CHW * rng.uniform(0.1, 1) + rng.uniform(-0.8, 0.8, (channels, 1, 1)), -1, 1)


def _another(source_CHW: Pixels, rng: np.random.Generator) -> Pixels:
    """A normal made unlike itself: moved, mirrored, and three of six other changes."""
    height, width = source_CHW.shape[1:]
    shift = (int(rng.integers(height // 6, height - height // 6)), int(rng.integers(width // 6, width - width // 6)))
    texture_CHW = np.roll(source_CHW, shift, (1, 2))[:, :: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]
    for change in rng.choice(6, 3, replace=False):
        texture_CHW = _changed(texture_CHW, int(change), rng)
    return np.clip(texture_CHW, -1, 1).astype(np.float32)


def _changed(texture_CHW: Pixels, change: int, rng: np.random.Generator) -> Pixels:
    """One of: other brightness, inverted, few tones, solarised, other colours, other scale."""
    if change == 0:
        return texture_CHW * float(rng.uniform(0.4, 1.6)) + float(rng.uniform(-0.5, 0.5))
    if change == 1:
        return -texture_CHW
    if change == 2:
        tones = int(rng.integers(2, 6))
        return np.asarray(np.round(texture_CHW * tones) / tones, np.float32)
    if change == 3:
        level = rng.uniform(-0.5, 0.8)
        return np.asarray(np.where(texture_CHW > level, 2 * level - texture_CHW, texture_CHW), np.float32)
    if change == 4:
        gains = rng.uniform(0.5, 1.2, (len(texture_CHW), 1, 1))
        return np.asarray(texture_CHW[rng.permutation(len(texture_CHW))] * gains, np.float32)
    return _scaled(texture_CHW, rng.uniform(0.4, 2.0))


def _scaled(texture_CHW: Pixels, scale: float) -> Pixels:
    """Seen from nearer or further, mirrored at the border."""
    height, width = texture_CHW.shape[1:]
    zoom = cv2.getRotationMatrix2D((width / 2, height / 2), 0, scale)
    planes = [np.ascontiguousarray(plane, np.float32) for plane in texture_CHW]
    return np.stack([cv2.warpAffine(one, zoom, (width, height), borderMode=cv2.BORDER_REFLECT) for one in planes])
