"""Plausibility of images: whether an image fits the normals of its line.

A network scores whatever it is given. An image of another size, of another camera or of another mode of the camera has
a score too, which says nothing about the part: a 1x1 px image passed. Such an image gets no score, but a reason.

The rules, each measured on the normals and stored with the weights:

- **size**: where all normals are of one size, within 2 %, each side and the aspect of an image differ by 2 % at most.
  Where they are of several sizes, each side is from half of the smallest to twice the largest. A line may accept any.
- **channels**: colour does not fit a line of grey normals; a grey file does not fit one of colour normals, nor does a
  colour file without colour where every normal is clearly coloured. A colour file with equal channels is grey.
- **depth**: an 8-bit file does not fit normals of 16-bit files, nor the other way; a value over the white of the line's
  depth does not either.

An image that is much darker than every normal is scored; ``describe_darkness`` says so for the log.

Shape suffixes: H, W = size of the image, C = channels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from siad.contracts.depth import FULL_BITS, white_of
from siad.contracts.normals_profile import SAME, MisfitReason, NormalsProfile, SizeRule
from siad.vision.depth import scale_to_full_range
from siad.vision.images import Image
from siad.vision.view_figures import make_baseline

GREY: Final = 2.0  # levels of 255 by which the channels of a grey image may differ: rounding of JPEG
COLOURED: Final = 16.0  # levels; an image whose channels differ by more somewhere is clearly coloured
SEVERAL: Final = 2.0  # where sizes vary, sides from 1 / this of the smallest to this times the largest fit
DARK: Final = 0.25  # of the dimmest normal's brightest value; an image whose values stay under it is dark
STEP: Final = 8  # pixels; every eighth one shows the colour of most coloured images, at a 64th of the work


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why an image is not scored."""

    reason: MisfitReason
    detail: str  # with the values of the image and of the normals


class MisfitError(ValueError):
    """An image that does not fit the normals of its weights."""

    def __init__(self, misfit: Misfit) -> None:
        super().__init__(f"{misfit.detail}; not scored (reason: {misfit.reason})")
        self.misfit = misfit


def profile_normals(images: Sequence[Image], bits: int) -> NormalsProfile:
    """Describe the normals of a teacher.

    Args:
        images: decoded normals, at least one, not yet scaled by their depth.
        bits: depth of the samples of 16-bit files, 8 to 16.
    """
    sides = [image_HWC.shape[:2] for image_HWC in images]
    heights, widths = [height for height, _ in sides], [width for _, width in sides]
    aspects = [width / height for height, width in sides]
    scaled = [scale_to_full_range(image_HWC, bits) for image_HWC in images]
    chromas = [chroma_of(image_HWC) for image_HWC in scaled]
    brightest = [float(image_HWC.max()) / np.iinfo(image_HWC.dtype).max for image_HWC in scaled]
    return NormalsProfile(
        widths_px=(min(widths), max(widths)),
        heights_px=(min(heights), max(heights)),
        aspects=(min(aspects), max(aspects)),
        has_grey=any(chroma <= GREY for chroma in chromas),
        has_colour=any(chroma > GREY for chroma in chromas),
        chroma=min((chroma for chroma in chromas if chroma > GREY), default=0.0),
        containers=tuple(sorted({8 * image_HWC.dtype.itemsize for image_HWC in images})),
        bits=bits,
        brightest=(min(brightest), max(brightest)),
        view=make_baseline(scaled),
    )


def find_misfit(profile: NormalsProfile, image_HWC: Image, *, sizes: SizeRule = SizeRule.NORMALS) -> Misfit | None:
    """Compare an image with the normals; None where it fits.

    Args:
        profile: of the normals.
        image_HWC: decoded image, not yet scaled by its depth.
        sizes: which sizes the line accepts.
    """
    if sizes is SizeRule.NORMALS and not _has_size(profile, *image_HWC.shape[:2]):
        size = f"{image_HWC.shape[1]}x{image_HWC.shape[0]} px"
        return Misfit(MisfitReason.SIZE, f"the image has {size}, the normals have {profile.sizes}")
    if depth := _describe_depth_fault(profile, image_HWC):
        return Misfit(MisfitReason.DEPTH, depth)
    if channels := _describe_channel_fault(profile, image_HWC):
        return Misfit(MisfitReason.CHANNELS, channels)
    return None


def describe_darkness(profile: NormalsProfile, image_HWC: Image) -> str:
    """Say that an image is much darker than every normal.

    Empty where it is not.

    Args:
        profile: of the normals.
        image_HWC: decoded image that fits them, not yet scaled by its depth.
    """
    white = white_of(profile.bits if image_HWC.dtype == np.uint16 else 8)
    highest, least = float(image_HWC.max()) / white, profile.brightest[0]
    if highest >= DARK * least:
        return ""
    return (
        f"the brightest value of the image is {highest:.1%} of white, that of the dimmest normal {least:.1%}; "
        "check lamp, exposure and depth of the camera"
    )


def describe_misfits(misfits: Mapping[str, Misfit]) -> str:
    """Count misfits by reason, with an example.

    Empty where there are none.

    Args:
        misfits: by the name of the image.
    """
    if not misfits:
        return ""
    counts = Counter(misfit.reason.value for misfit in misfits.values())
    name, first = next(iter(misfits.items()))
    named = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    cure = "; images of every size are scored with --sizes any" if MisfitReason.SIZE in counts else ""
    return f"not scored, since they do not fit the normals: {named}; for example {name}: {first.detail}{cure}"


def chroma_of(image_HWC: Image) -> float:
    """Largest difference of an image's channels, in levels of 255."""
    if image_HWC.shape[2] == 1:
        return 0.0
    highest_HW, lowest_HW = image_HWC.max(axis=2), image_HWC.min(axis=2)
    return float((highest_HW - lowest_HW).max()) * 255 / float(np.iinfo(image_HWC.dtype).max)


def _has_size(profile: NormalsProfile, height: int, width: int) -> bool:
    sides = ((width, profile.widths_px), (height, profile.heights_px))
    if not profile.has_one_size:
        return all(least / SEVERAL <= side <= largest * SEVERAL for side, (least, largest) in sides)
    low, high = profile.aspects
    return low * (1 - SAME) <= width / height <= high * (1 + SAME) and all(
        least * (1 - SAME) <= side <= largest * (1 + SAME) for side, (least, largest) in sides
    )


def _describe_depth_fault(profile: NormalsProfile, image_HWC: Image) -> str:
    container = 8 * image_HWC.dtype.itemsize
    if container not in profile.containers:
        return f"the image is a file of {container} bits, the normals have {profile.depth}"
    if container < FULL_BITS or profile.bits == FULL_BITS:
        return ""
    highest, white = int(image_HWC.max()), white_of(profile.bits)
    if highest <= white:
        return ""
    return (
        f"the image has values up to {highest}, beyond the {white} of {profile.bits} bits; "
        "state the camera's depth with `siad line put --bits`"
    )


def _describe_channel_fault(profile: NormalsProfile, image_HWC: Image) -> str:
    if profile.has_grey and profile.has_colour:
        return ""
    if profile.has_grey:
        return "the image has colour, the normals are grey" if _has_colour(profile, image_HWC) else ""
    if image_HWC.shape[2] == 1:
        return "the image is a grey file, the normals have colour"
    if profile.chroma > COLOURED and not _has_colour(profile, image_HWC):
        return "the image is grey in a colour file, the normals have colour"
    return ""


def _has_colour(profile: NormalsProfile, image_HWC: Image) -> bool:
    """Whether the channels differ somewhere by more than a grey image's."""
    if image_HWC.shape[2] == 1:
        return False
    some_HWC = scale_to_full_range(image_HWC[::STEP, ::STEP], profile.bits)
    return chroma_of(some_HWC) > GREY or chroma_of(scale_to_full_range(image_HWC, profile.bits)) > GREY
