"""Training examples from the members of a training set.

Shape suffixes: C = channels, H, W = size of the network's input, h, w = size of an image.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from siad.contracts.normals_profile import SizeRule
from siad.contracts.training_runs import RunSpec
from siad.models.training.augment import TrainingExample
from siad.models.training.segmenter import to_bytes
from siad.vision.depth import scale_to_full_range
from siad.vision.images import Image
from siad.vision.masks import DEFECT, IGNORE
from siad.vision.plausibility import find_misfit
from siad.vision.preprocess import input_size, preprocess
from siad.vision.region import RegionOfInterest

log = structlog.get_logger()

# Decoded image, and the teacher's mask at image size; None for a normal.
MemberPixels = tuple[Image, NDArray[np.uint8] | None]
# Reads members in their order, and leaves out those that cannot be read.
ReadMembers = Callable[[Sequence[TrainingMember]], Iterator[tuple[TrainingMember, MemberPixels]]]


class UnreadableTrainingSetError(ValueError):
    """A training set of which too few members can be read."""


def without_misfits(spec: RunSpec, read: ReadMembers) -> ReadMembers:
    """Read members, and leave out images that do not fit the normals.

    The teacher labels none that do not fit its own normals, but an earlier teacher of the line had others, and the
    normals themselves are not labelled.
    """
    profile, sizes = spec.profile, SizeRule.of(spec.sizes)
    if profile is None:
        return read

    def read_fitting(members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        for member, pixels in read(members):
            misfit = find_misfit(profile, pixels[0], sizes=sizes)
            if misfit is None:
                yield member, pixels
            else:
                log.warning("member_left_out", capture_id=member.capture_id, reason=misfit.detail)

    return read_fitting


def as_inputs(spec: RunSpec, read: ReadMembers) -> ReadMembers:
    """Read members scaled by their depth, and cut to the region."""
    region = RegionOfInterest(spec.region)

    def read_inputs(members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        for member, (image_HWC, mask_hw) in read(members):
            cut_hwC = region.cut(scale_to_full_range(image_HWC, spec.bits))
            yield member, (cut_hwC, None if mask_hw is None else region.cut_mask(mask_hw))

    return read_inputs


def make_examples(training_set: TrainingSet, read: ReadMembers, *, input_px: int) -> list[TrainingExample]:
    """Preprocess the members for training, as bytes, all of one shape.

    The shape is that of most images; others are resized to it. Images are decoded one at a time.

    Raises:
        UnreadableTrainingSetError: no member can be read.
    """
    members = [member for member in training_set.members if member.use is MemberUse.TRAIN and member.has_pixels]
    examples = [_example(member, *pixels, input_px=input_px) for member, pixels in read(members)]
    if not examples:
        msg = f"none of the {len(members)} members for training can be read"
        raise UnreadableTrainingSetError(msg)
    shape = Counter(example.mask_HW.shape for example in examples).most_common(1)[0][0]
    return [example if example.mask_HW.shape == shape else _resized(example, shape) for example in examples]


def _example(
    member: TrainingMember, image_HWC: Image, mask_hw: NDArray[np.uint8] | None, *, input_px: int
) -> TrainingExample:
    height, width = input_size(*image_HWC.shape[:2], input_px=input_px)
    mask_HW = np.zeros((height, width), np.uint8)
    if mask_hw is not None:
        mask_HW[_marked_share(mask_hw == IGNORE, (width, height)) > 0] = IGNORE
        if member.role is MemberRole.DEFECT:
            mask_HW[shrink_mask(mask_hw == DEFECT, (width, height))] = DEFECT
    small = to_bytes(preprocess(image_HWC, input_px=input_px))
    return TrainingExample(image_CHW=small, mask_HW=mask_HW, weight=member.weight)


def shrink_mask(marked_hw: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Shrink a mask by area, so that thin marks remain.

    Args:
        marked_hw: bool [h, w].
        size: width and height of the smaller mask.
    """
    share_HW = _marked_share(marked_hw, size)
    return (share_HW > 0) & (share_HW >= min(0.5, float(share_HW.max())))


def _marked_share(marked_hw: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """Marked share of each pixel of a smaller mask: float32, 0..1."""
    return np.asarray(cv2.resize(marked_hw.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _resized(example: TrainingExample, shape: tuple[int, ...]) -> TrainingExample:
    size = (shape[1], shape[0])
    planes = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in example.image_CHW]
    mask_HW = np.asarray(cv2.resize(example.mask_HW, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return TrainingExample(image_CHW=np.stack(planes).astype(np.uint8), mask_HW=mask_HW, weight=example.weight)
