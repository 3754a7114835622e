"""Which way of fitting a line gets that asks for ``auto``: the one that probes of its own normals speak for.

Every way is estimated by ``siad.models.probing`` on the same folds and the same probes. The default wins unless another
is better by more than the draw of the probes explains. Only ways that are fitted in seconds are asked: a line must not
wait an hour for its first teacher. ``siad evaluate --no-labels`` asks all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.methods import FEATURE_MEMORY
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.probing import ProbeEstimate, estimate
from siad.vision.images import Image

log = structlog.get_logger()

MARGIN: Final = 0.04  # of merit: probes overrate a larger input by up to .032: they are smaller than defects
NORMALS_MAX: Final = 20  # that are probed: more tell little more, and each costs seven images


@dataclass(frozen=True, slots=True, kw_only=True)
class FittingMethod:
    """One way of fitting."""

    method: str
    input_px: int = 0  # side of the square with the area that images are shown at; 0: the method's own

    def __str__(self) -> str:
        """For people."""
        return self.method if not self.input_px else f"{self.method} at {self.input_px} px"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedMethod:
    """One way, and what probes say of it; None where it can't be fitted on these normals."""

    way: FittingMethod
    estimate: ProbeEstimate | None
    reason: str = ""  # why not


WAYS: Final = (  # the first is the default
    FittingMethod(method=FEATURE_MEMORY),
    FittingMethod(method=FEATURE_MEMORY, input_px=256),
    FittingMethod(method=FEATURE_MEMORY, input_px=512),
)
FitWay = Callable[[FittingMethod, Sequence[Image], Sequence[str]], Bundle]


def rank(images: Sequence[Image], ways: Sequence[FittingMethod], fit: FitWay, *, seed: int = 0) -> list[RankedMethod]:
    """Estimate every way, the best first; those that can't be fitted come last.

    Args:
        images: normals, at least 3; of very many the first ``NORMALS_MAX`` are probed.
        ways: in the order in which they win where they are equal.
        fit: fits a bundle one way on some of the images.
        seed: of folds and probes.
    """
    found = [_ranked(images[:NORMALS_MAX], way, fit, seed) for way in ways]
    return sorted(found, key=lambda one: -1.0 if one.estimate is None else one.estimate.merit, reverse=True)


def choose(ranked: Sequence[RankedMethod], default: FittingMethod) -> RankedMethod:
    """Take the best, or the default where that is as good but for chance.

    Raises:
        ValueError: nothing could be fitted.
    """
    fitted = [one for one in ranked if one.estimate is not None]
    if not fitted:
        msg = "; ".join(f"{one.way}: {one.reason}" for one in ranked)
        raise ValueError(msg)
    best = fitted[0]
    usual = next((one for one in fitted if one.way == default), None)
    if usual is None or usual.estimate is None or best.estimate is None:
        return best
    return best if best.estimate.merit > usual.estimate.merit + MARGIN else usual


def _ranked(images: Sequence[Image], way: FittingMethod, fit: FitWay, seed: int) -> RankedMethod:
    def fit_some(some: Sequence[Image], names: Sequence[str]) -> Predictor:
        bundle = fit(way, some, names)
        return open_bundle(bundle.manifest, bundle.parts)

    try:
        found = estimate(images, fit_some, seed=seed)
    except (ValueError, UnusableWeightsError) as error:
        log.warning("way_left_out", way=str(way), reason=str(error))
        return RankedMethod(way=way, estimate=None, reason=str(error))
    log.info("way_probed", way=str(way), image_auroc=round(found.image_auroc, 4), pixel_ap=round(found.pixel_ap, 4))
    return RankedMethod(way=way, estimate=found)
