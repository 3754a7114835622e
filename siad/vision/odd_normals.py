"""Odd normals: the few of another size or other channels.

One grey image among colour ones, or one of another camera, was most likely sent by mistake. It is learned from like
the others, and later images of its kind are scored too (``siad.vision.plausibility``). So it is named. Where more than
a few differ, or no size is the usual one, the line itself varies.

Shape suffixes: H, W = size of the image, C = channels, N = normals.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from siad.contracts.normals_profile import SAME, MisfitReason, OddNormal, SizeRule, describe_sizes
from siad.vision.images import Image
from siad.vision.plausibility import COLOURED, GREY, STEP, chroma_of

SHARE_MAX: Final = 0.2  # of the normals that may be odd, but always one; where more differ, the line varies
USUAL_MIN: Final = 3  # normals of one kind; fewer do not show what is usual
NAMES_MAX: Final = 5  # named in a sentence
_COLOUR: Final = "colour"


def find_odd_normals(images: Sequence[Image], capture_ids: Sequence[str]) -> tuple[OddNormal, ...]:
    """Find normals of another size or other channels than the rest.

    Args:
        images: decoded normals, uint8 or uint16 [H, W, C].
        capture_ids: of each image.

    Returns:
        In the order of the images; empty where none is odd, and of fewer than four normals.
    """
    kinds = _channel_kinds(images)
    by_size, by_channels = _odd_sizes(images), _odd_kinds(kinds)
    odd = sorted(by_size | by_channels)
    if not odd:
        return ()
    usual = [index for index in range(len(images)) if index not in odd]
    heights, widths = zip(*(images[index].shape[:2] for index in usual), strict=True)
    sizes = describe_sizes((min(widths), max(widths)), (min(heights), max(heights)))
    others = f"the other {len(usual)}: {sizes}, {' and '.join(sorted({kinds[index] for index in usual}))}"
    return tuple(
        OddNormal(
            capture_id=capture_ids[index],
            own=f"{images[index].shape[1]}x{images[index].shape[0]} px, {kinds[index]}",
            others=others,
            differs_in=tuple(
                reason
                for reason, found in ((MisfitReason.SIZE, by_size), (MisfitReason.CHANNELS, by_channels))
                if index in found
            ),
        )
        for index in odd
    )


def without_wanted_sizes(odd: Sequence[OddNormal], sizes: SizeRule) -> tuple[OddNormal, ...]:
    """Leave out sizes that a line accepts.

    A normal that differs in channels too stays.
    """
    return tuple(one for one in odd if sizes is not SizeRule.ANY or one.differs_in != (MisfitReason.SIZE,))


def describe_odd_normals(
    odd: Sequence[OddNormal], *, left_out: Collection[str] = (), names: Mapping[str, str] | None = None
) -> str:
    """Say which normals are odd, how, and whether they were learned.

    Empty where there are none.

    Args:
        odd: as found at the fit.
        left_out: capture ids of outliers, which were not learned from.
        names: for people, by capture id; without one, a normal is named by its capture id.
    """
    names = names or {}
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for one in odd:
        group = groups.setdefault((one.own, one.others, one.capture_id in left_out), [])
        group.append(names.get(one.capture_id, one.capture_id))
    sentences = []
    for (own, others, is_left_out), called in groups.items():
        more = f" and {len(called) - NAMES_MAX} more" if len(called) > NAMES_MAX else ""
        fate = "left out as outliers" if is_left_out else "learned from like the others, so such images are scored too"
        sentences.append(f"{', '.join(called[:NAMES_MAX])}{more}: {own}; {others}; {fate}")
    return f"odd normals: {'. '.join(sentences)}" if sentences else ""


def advise_on_odd_normals(odd: Sequence[OddNormal], line: str) -> str:
    """Name the commands that settle odd normals, at least one."""
    advice = (
        f"if one was sent by mistake, send another normal, then: siad forget capture {odd[0].capture_id} --line {line}"
    )
    if any(MisfitReason.SIZE in one.differs_in for one in odd):
        advice += f"; if parts of every size are meant: siad line put {line} --sizes any"
    return advice


def _odd_sizes(images: Sequence[Image]) -> set[int]:
    """Positions of images whose size differs from that of the rest.

    Most have the median size if any size is usual.
    """
    sides_N2 = np.array([image_HWC.shape[:2] for image_HWC in images], np.float64).reshape(-1, 2)
    if not len(sides_N2):
        return set()
    usual_2 = np.median(sides_N2, axis=0)
    factors_N2 = np.maximum(sides_N2 / usual_2, usual_2 / sides_N2)
    odd_N = (factors_N2 > 1 + SAME).any(axis=1)
    rest_N2 = sides_N2[~odd_N]
    if not _is_few(int(odd_N.sum()), len(images)) or (rest_N2.max(axis=0) > rest_N2.min(axis=0) * (1 + SAME)).any():
        return set()
    return set(np.flatnonzero(odd_N).tolist())


def _odd_kinds(kinds: Sequence[str]) -> set[int]:
    """Positions of images whose channels differ from those of the rest."""
    if not kinds:
        return set()
    [(usual, _)] = Counter(kinds).most_common(1)
    odd = {index for index, kind in enumerate(kinds) if kind != usual}
    return odd if _is_few(len(odd), len(kinds)) else set()


def _channel_kinds(images: Sequence[Image]) -> list[str]:
    """Channels of each image, for people.

    A faint colour may be that of a grey part: where a normal has one, files of three channels are all colour.
    """
    chromas = [_chroma_at_least(image_HWC) for image_HWC in images]
    is_clear = not any(GREY < chroma <= COLOURED for chroma in chromas)
    return [
        "grey" if image_HWC.shape[2] == 1 else "grey in a colour file" if is_clear and chroma <= GREY else _COLOUR
        for image_HWC, chroma in zip(images, chromas, strict=True)
    ]


def _chroma_at_least(image_HWC: Image) -> float:
    """Chroma of some pixels where it is clear, else of all."""
    some = chroma_of(image_HWC[::STEP, ::STEP])
    return some if some > COLOURED else chroma_of(image_HWC)


def _is_few(odd: int, total: int) -> bool:
    return 0 < odd <= max(1, SHARE_MAX * total) and total - odd >= USUAL_MIN
