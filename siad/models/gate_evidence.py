"""Evidence for a release, from the candidate and the weights that serve.

They score the same held-out captures and the same synthetic defects. Both are opened from their bundles, as they would
serve. Images are read in two passes and one at a time, so memory does not grow with the captures: the first pass scores
them, the second puts synthetic defects into good ones.

Shape suffixes: H, W = size of an image, P = side of the square that maps and masks are compared at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from siad.contracts.ids import sha256_hex
from siad.contracts.release_evidence import (
    EvidenceKind,
    GateEvidence,
    HeldOutCapture,
    ModelFigures,
    ProbeFigures,
)
from siad.models.defect_families import describe_defect, group_defects
from siad.models.predictor import Predictor
from siad.models.teachers.synthetic_estimate import MAP_PX, mean_pixel_ap, shrink_map
from siad.vision.images import Image
from siad.vision.masks import DEFECT
from siad.vision.ranking import average_precision
from siad.vision.scores import image_auroc
from siad.vision.synthetic_defects import KINDS, make_synthetic_defect

HOSTS_MAX: Final = 12  # good captures with a probe of every kind: 72 probes in all
HOSTS_MIN: Final = 4
HOSTS_SHARE: Final = 0.6  # of the stream, from the lowest score up, as the gate's pseudo-normals
PROBE_PX_MIN: Final = 16  # side of an image that a synthetic defect needs

# Image, and mask of a corrected defect as ``siad.vision.masks`` has it; None: there is none.
HeldOutPixels = tuple[Image, NDArray[np.uint8] | None]
# Reads captures in their order, and leaves out those that cannot be read.
ReadHeldOut = Callable[[Sequence[HeldOutCapture]], Iterator[tuple[HeldOutCapture, HeldOutPixels]]]


@dataclass(frozen=True, slots=True)
class CrossFittedCandidate:
    """A candidate, and networks trained alike without some captures.

    What a candidate learned says nothing of it. A network of the same recipe that did not learn this capture says how
    such a candidate judges one like it.

    Source:
        Stone 1974, cross-validatory choice; docs/adr/0057-answers-outweigh.md has what it is worth here.
    """

    predictor: Predictor
    without: Mapping[str, Predictor] = field(default_factory=dict)  # by id of the capture that it did not learn


@dataclass(slots=True)
class _Side:
    """Results of one model, as they are collected."""

    predictor: Predictor
    scores: list[float] = field(default_factory=list)
    pixel_aps: list[float | None] = field(default_factory=list)
    corrected_PP: list[NDArray[np.float32]] = field(default_factory=list)  # maps of corrected captures
    good: list[float] = field(default_factory=list)  # scores of the hosts
    probes: list[float] = field(default_factory=list)
    maps_PP: dict[str, list[NDArray[np.float32]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def figures(
        self, masks_PP: dict[str, list[NDArray[np.bool_]]], corrected_PP: Sequence[NDArray[np.bool_]]
    ) -> ModelFigures:
        manifest = self.predictor.manifest
        return ModelFigures(
            weights=manifest.weights,
            method=manifest.method,
            threshold=self.predictor.image_threshold,
            scores=tuple(self.scores),
            pixel_aps=tuple(self.pixel_aps),
            probes=self._probe_figures(masks_PP) if len(self.good) >= HOSTS_MIN else None,
            corrected_pixel_ap=_pooled_ap(self.corrected_PP, corrected_PP),
        )

    def _probe_figures(self, masks_PP: dict[str, list[NDArray[np.bool_]]]) -> ProbeFigures:
        hosts = range(len(self.good))
        image_auroc, pixel_ap = self._merit_of(hosts, masks_PP)
        return ProbeFigures(
            image_auroc=image_auroc,
            pixel_ap=pixel_ap,
            scores=tuple(self.probes),
            merits_without=tuple(
                sum(self._merit_of([one for one in hosts if one != host], masks_PP)) for host in hosts
            ),
        )

    def _merit_of(self, hosts: Sequence[int], masks_PP: dict[str, list[NDArray[np.bool_]]]) -> tuple[float, float]:
        """Image AUROC and pixel AP of the probes in some hosts."""
        good = [self.good[host] for host in hosts]
        probes = [score for host in hosts for score in self.probes[len(KINDS) * host : len(KINDS) * (host + 1)]]
        maps = {kind: [self.maps_PP[kind][host] for host in hosts] for kind in KINDS}
        masks = {kind: [masks_PP[kind][host] for host in hosts] for kind in KINDS}
        labels = [False] * len(good) + [True] * len(probes)
        return image_auroc([*good, *probes], labels), mean_pixel_ap(maps, masks)


def collect_evidence(
    candidate: Predictor | CrossFittedCandidate,
    serving: Predictor,
    captures: Sequence[HeldOutCapture],
    read: ReadHeldOut,
    *,
    budget: float,
) -> GateEvidence:
    """Compare a candidate with the weights that serve.

    Args:
        candidate: opened from its bundle; with others beside it where captures are cross-fitted.
        serving: likewise, at the threshold that it serves with.
        captures: that the serving weights did not learn from, and the candidate only where they are cross-fitted.
        read: reads them; is called twice.
        budget: share of good captures that may be rejected, in (0, 1).

    Raises:
        OutOfMemoryError: memory ran out.
    """
    fitted = candidate if isinstance(candidate, CrossFittedCandidate) else CrossFittedCandidate(candidate)
    sides = (_Side(fitted.predictor), _Side(serving))
    found = []
    looks_D: dict[str, NDArray[np.float32]] = {}
    corrected_PP: list[NDArray[np.bool_]] = []
    for capture, (image_HWC, mask_HW) in read(captures):
        found.append(capture)
        look_D = None if mask_HW is None else describe_defect(serving.at_full_range(image_HWC), mask_HW)
        if look_D is not None:
            looks_D[capture.capture_id] = look_D
        known_PP = _known_mask(capture, mask_HW)
        corrected_PP += [] if known_PP is None else [known_PP]
        unseen = fitted.without[capture.capture_id] if capture.is_cross_fitted else fitted.predictor
        for side, predictor in zip(sides, (unseen, serving), strict=True):
            [map_HW] = predictor.maps([image_HWC])
            side.scores.append(float(map_HW.max()))
            side.pixel_aps.append(_pixel_ap(map_HW, mask_HW))
            side.corrected_PP += [] if known_PP is None else [shrink_map(map_HW)]
    masks_PP: dict[str, list[NDArray[np.bool_]]] = {kind: [] for kind in KINDS}
    for capture, (image_HWC, _) in read(_hosts(found, sides[1].scores)):
        _probe(capture, image_HWC, sides, masks_PP)
    families = group_defects(looks_D)
    return GateEvidence(
        budget=budget,
        captures=tuple(replace(one, family=families.get(one.capture_id, "")) for one in found),
        candidate=sides[0].figures(masks_PP, corrected_PP),
        serving=sides[1].figures(masks_PP, corrected_PP),
    )


def _hosts(captures: Sequence[HeldOutCapture], scores: Sequence[float]) -> list[HeldOutCapture]:
    """Choose good captures for synthetic defects: certain ones first.

    Others are low-scoring captures of the stream. The choice goes by the hash of the id, so that it is no matter of
    score or order.
    """
    certain = [
        one
        for one in captures
        if one.kind in (EvidenceKind.NORMAL, EvidenceKind.GOOD) and not one.is_cross_fitted  # the candidate knows those
    ]
    ranked = sorted(
        (score, one.capture_id, one)
        for one, score in zip(captures, scores, strict=True)
        if one.kind is EvidenceKind.STREAM
    )
    low = [one for _, _, one in ranked[: int(len(ranked) * HOSTS_SHARE)]]
    return [*_by_hash(certain)[: HOSTS_MAX // 2], *_by_hash(low)][:HOSTS_MAX]


def _by_hash(captures: Sequence[HeldOutCapture]) -> list[HeldOutCapture]:
    return sorted(captures, key=lambda one: sha256_hex(one.capture_id.encode()))


def _probe(
    capture: HeldOutCapture, image_HWC: Image, sides: Sequence[_Side], masks_PP: dict[str, list[NDArray[np.bool_]]]
) -> None:
    """Score one good capture without and with a defect of every kind."""
    if min(image_HWC.shape[:2]) < PROBE_PX_MIN:
        return
    rng = np.random.default_rng(int(sha256_hex(capture.capture_id.encode())[:16], 16))
    for side in sides:
        [map_HW] = side.predictor.maps([image_HWC])
        side.good.append(float(map_HW.max()))
    for kind in KINDS:
        defect = make_synthetic_defect(image_HWC, kind, rng)
        masks_PP[kind].append(shrink_map(defect.mask_HW.astype(np.float32)) >= 127.5)
        for side in sides:
            [map_HW] = side.predictor.maps([defect.image_HWC])
            side.probes.append(float(map_HW.max()))
            side.maps_PP[kind].append(shrink_map(map_HW))


def _known_mask(capture: HeldOutCapture, mask_HW: NDArray[np.uint8] | None) -> NDArray[np.bool_] | None:
    """Pixels that a person called defective; None where not known."""
    if capture.kind is EvidenceKind.GOOD:
        return np.zeros((MAP_PX, MAP_PX), np.bool_)
    if capture.kind is not EvidenceKind.DEFECT or mask_HW is None:
        return None
    return shrink_map((mask_HW == DEFECT).astype(np.float32)) >= 0.5


def _pooled_ap(maps_PP: Sequence[NDArray[np.float32]], masks_PP: Sequence[NDArray[np.bool_]]) -> float | None:
    """Average precision over all pixels together; None without a marked one."""
    if not any(mask_PP.any() for mask_PP in masks_PP):
        return None
    return average_precision(np.stack(masks_PP).ravel(), np.stack(maps_PP).ravel())


def _pixel_ap(map_HW: NDArray[np.float32], mask_HW: NDArray[np.uint8] | None) -> float | None:
    """Average precision on one capture; None without a marked pixel."""
    if mask_HW is None:
        return None
    is_defect_PP = shrink_map((mask_HW == DEFECT).astype(np.float32)) >= 0.5
    if not is_defect_PP.any():
        return None
    return average_precision(is_defect_PP.ravel(), shrink_map(map_HW).ravel())
