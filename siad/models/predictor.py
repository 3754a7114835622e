"""Judgement of images with a network, shared by masks, verdicts and thresholds.

Shape suffixes: B = batch, C = channels, V = views, H, W = size of an image, h, w = size of a map.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from siad.contracts.manifest import Manifest
from siad.contracts.normals_profile import SizeRule
from siad.models.runner.port import Runner
from siad.models.runner.screening import ScreeningRunner
from siad.models.view_maps import mean_of, view_maps
from siad.vision.decide import Finding, decide
from siad.vision.depth import scale_to_full_range
from siad.vision.images import Image
from siad.vision.marks import RelativeMarks
from siad.vision.plausibility import Misfit, MisfitError, describe_darkness, find_misfit
from siad.vision.region import RegionOfInterest
from siad.vision.score_map import make_score_map
from siad.vision.view_figures import ViewFigures, measure_view

_ROUNDING = 1e-5  # of a score: refining and smoothing differ in the last digits of the highest


class Predictor:
    """One set of weights, ready to judge.

    Thread-safe: a call changes nothing in it.

    It takes images as they are decoded, and scales them by the depth of its normals. ``examine`` is for images of
    unknown origin: it scores only those that fit the normals. Weights without a profile of their normals, of earlier
    versions, do neither.

    It judges at the image threshold of its manifest, or at another one that was set for these weights since
    (``at_threshold``).

    Every method that scores images raises ``OutOfMemoryError`` where memory runs out.
    """

    def __init__(
        self,
        manifest: Manifest,
        runner: Runner,
        *,
        image_threshold: float | None = None,
        has_score_maps: bool = False,
    ) -> None:
        self.manifest, self._has_score_maps = manifest, has_score_maps
        self._runner = runner
        self.image_threshold = manifest.image_threshold if image_threshold is None else image_threshold

    def at_threshold(self, image_threshold: float | None) -> "Predictor":
        """Judge by another image threshold, with the same network.

        Args:
            image_threshold: raw score; None for that of the manifest. The pixel threshold keeps its ratio to it.
        """
        return Predictor(
            self.manifest, self._runner, image_threshold=image_threshold, has_score_maps=self._has_score_maps
        )

    def with_score_maps(self) -> "Predictor":
        """Give findings a map for people, with the same network."""
        return Predictor(self.manifest, self._runner, image_threshold=self.image_threshold, has_score_maps=True)

    def examine(self, images: Sequence[Image], *, sizes: SizeRule = SizeRule.NORMALS) -> list[Finding | Misfit]:
        """Judge decoded images that fit the normals, and name the others.

        Args:
            images: uint8 or uint16 [H, W, C] each.
            sizes: which sizes the line accepts.

        Returns:
            In the order of the images: the finding, or why the image is not scored.
        """
        misfits = [self.misfit(image_HWC, sizes=sizes) for image_HWC in images]
        fitting = [image_HWC for image_HWC, misfit in zip(images, misfits, strict=True) if misfit is None]
        findings = iter(self._judge(fitting))
        return [next(findings) if misfit is None else misfit for misfit in misfits]

    def predict(self, images: Sequence[Image]) -> list[Finding]:
        """Judge decoded images that are known to fit the normals.

        uint8 or uint16 [H, W, C] each; in their order.

        Raises:
            MisfitError: one of them does not fit.
        """
        findings = []
        for finding in self.examine(images):
            if isinstance(finding, Misfit):
                raise MisfitError(finding)
            findings.append(finding)
        return findings

    def misfit(self, image_HWC: Image, *, sizes: SizeRule = SizeRule.NORMALS) -> Misfit | None:
        """Compare an image with the normals.

        None where it fits, or where the weights do not record them.
        """
        profile = self.manifest.profile
        return None if profile is None else find_misfit(profile, image_HWC, sizes=sizes)

    def darkness(self, image_HWC: Image) -> str:
        """Say that an image is much darker than every normal.

        Empty where it is not.
        """
        profile = self.manifest.profile
        return "" if profile is None else describe_darkness(profile, image_HWC)

    def view_figures(self, image_HWC: Image) -> ViewFigures | None:
        """Measure what the camera shows, for drift.

        None where the weights have no baseline of their normals.
        """
        profile = self.manifest.profile
        if profile is None or profile.view is None:
            return None
        return measure_view(self.at_full_range(image_HWC), profile.view)

    def at_full_range(self, image_HWC: Image) -> Image:
        """Scale an image by the depth of the normals, as before scoring."""
        return scale_to_full_range(image_HWC, self._bits)

    def _judge(self, images: Sequence[Image]) -> list[Finding]:
        every = self._screened(images) if self._screens else self._views(images, refine_from=self._marked_from)
        return [self.decide(mean_of(views), views=views if len(views) > 1 else ()) for views in every]

    @property
    def _screens(self) -> bool:
        """Whether a faster network passes what is clearly good.

        A map for people is the exact network's.
        """
        return isinstance(self._runner, ScreeningRunner) and not self._has_score_maps

    def _screened(self, images: Sequence[Image]) -> list[list[NDArray[np.float32]]]:
        """Score by the faster network, and the doubtful again.

        Those get the maps of the exact network.
        """
        assert isinstance(self._runner, ScreeningRunner)
        clear_under = self.image_threshold - self._runner.doubt
        every = self._views(images, refine_from=math.inf, runner=self._runner.screen)
        doubted = [index for index, [map_HW] in enumerate(every) if not float(map_HW.max()) < clear_under]
        exact = self._views([images[index] for index in doubted], refine_from=self._marked_from)
        for index, views in zip(doubted, exact, strict=True):
            every[index] = views
        return every

    @property
    def _marked_from(self) -> float:
        """Highest score of a map from which its edges matter.

        Those of a good image do not, unless people see its map; of several views each has edges of its own.
        """
        if self._has_score_maps or self.has_views:
            return -math.inf
        return self.image_threshold - _ROUNDING * abs(self.image_threshold)

    def decide(self, map_HW: NDArray[np.float32], *, views: Sequence[NDArray[np.float32]] = ()) -> Finding:
        """Judge by a map that ``maps`` gave.

        ``views`` are those that it is the mean of, if several.
        """
        manifest = self.manifest
        finding = decide(
            map_HW,
            image_threshold=self.image_threshold,
            pixel_threshold=marking_of(manifest, image_threshold=self.image_threshold),
            spread=manifest.spread,
            views=views,
        )
        if not self._has_score_maps:
            return finding
        pixel_threshold = pixel_threshold_at(manifest, self.image_threshold)
        return replace(finding, score_map_hw=make_score_map(map_HW, pixel_threshold=pixel_threshold))

    def maps(self, images: Sequence[Image]) -> list[NDArray[np.float32]]:
        """Score decoded images.

        float32 [H, W] raw scores each, at image size, along the image's edges. An image that does not fit the normals
        has a map too, which says nothing about its part: ask ``misfit`` first.
        """
        return [mean_of(views) for views in self.views(images)]

    def views(self, images: Sequence[Image]) -> list[list[NDArray[np.float32]]]:
        """Score decoded images by each view.

        The mean over views is what ``maps`` gives; there is one view unless ``has_views``.
        """
        return self._views(images, refine_from=-math.inf)

    def _views(
        self, images: Sequence[Image], *, refine_from: float, runner: Runner | None = None
    ) -> list[list[NDArray[np.float32]]]:
        """Score by a runner; by default by the exact one."""
        scaled = [self.at_full_range(image_HWC) for image_HWC in images]
        exact = self._runner.exact if isinstance(self._runner, ScreeningRunner) else self._runner
        return view_maps(
            exact if runner is None else runner,
            scaled,
            input_px=self.manifest.input_px,
            interest=self._interest(),
            refine_from=refine_from,
        )

    @property
    def runner_name(self) -> str:
        """Name of the runner that scores, such as ``openvino``."""
        return self._runner.name

    @property
    def has_views(self) -> bool:
        """Whether there are several maps of an image, which may differ."""
        return self._runner.has_views

    @property
    def _bits(self) -> int:
        return 0 if self.manifest.profile is None else self.manifest.profile.bits

    def _interest(self) -> RegionOfInterest:
        return RegionOfInterest(self.manifest.region)


def marking_of(manifest: Manifest, *, image_threshold: float | None = None) -> float | RelativeMarks:
    """Choose the rule of marks.

    Weights of an older version have a pixel threshold alone.

    Args:
        manifest: of the weights.
        image_threshold: the one in use, where it is not that of the manifest.
    """
    pixel_threshold = pixel_threshold_at(manifest, image_threshold)
    if not manifest.footprint_px:
        return pixel_threshold
    ratio = (manifest.footprint_px / manifest.input_px) ** 2 * RegionOfInterest(manifest.region).area_ratio
    return RelativeMarks(pixel_threshold=pixel_threshold, footprint_ratio=ratio)


def pixel_threshold_at(manifest: Manifest, image_threshold: float | None) -> float:
    """Scale the pixel threshold with the image threshold.

    Where a threshold is not over 0, ratios say nothing, and their difference stays.
    """
    if image_threshold is None or image_threshold == manifest.image_threshold:
        return manifest.pixel_threshold
    if min(image_threshold, manifest.image_threshold) > 0:
        return manifest.pixel_threshold * image_threshold / manifest.image_threshold
    return manifest.pixel_threshold + image_threshold - manifest.image_threshold
