"""Examination of images by one set of weights, as predictions."""

from collections.abc import Sequence

from services.inference.domain.judge import Prediction
from services.inference.domain.releases import ReleasePointer
from siad.contracts.corrections import ThresholdSet
from siad.contracts.normals_profile import SizeRule
from siad.models.predictor import Predictor, pixel_threshold_at
from siad.vision.images import Image
from siad.vision.plausibility import Misfit
from siad.vision.threshold_in_use import threshold_in_use


def examine(
    predictor: Predictor,
    release: ReleasePointer,
    threshold: ThresholdSet | None,
    images: Sequence[Image],
    sizes: SizeRule,
) -> list[Prediction]:
    """Examine images, in the calling thread.

    Args:
        predictor: of the weights.
        release: that names them.
        threshold: set for them since; None: that of their manifest.
        images: uint8 or uint16 [H, W, C] each.
        sizes: which sizes the line accepts.

    Raises:
        OutOfMemoryError: memory ran out.
        DeviceError: the device failed.
    """
    judging = predictor.at_threshold(None if threshold is None else threshold.image_threshold)
    findings = judging.examine(images, sizes=sizes)
    in_use = threshold_in_use(judging.manifest, threshold)
    return [
        Prediction(
            finding=finding,
            release=release,
            threshold=in_use,
            pixel_threshold=pixel_threshold_at(judging.manifest, in_use.image_threshold),
            runner=judging.runner_name,
            score_s=0.0,  # known once the caller has its result
            darkness="" if isinstance(finding, Misfit) else judging.darkness(image_HWC),
            baseline=None if judging.manifest.profile is None else judging.manifest.profile.view,
            figures=None if isinstance(finding, Misfit) else judging.view_figures(image_HWC),
        )
        for image_HWC, finding in zip(images, findings, strict=True)
    ]
