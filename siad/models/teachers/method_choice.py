"""Choice of method and input size for ``auto``.

Every variant is estimated on the same folds and the same synthetic defects (``synthetic_estimate.py``). The default
wins unless another is better by more than chance explains. Only variants that are fitted in seconds take part: a line
must not wait an hour for its first teacher. ``siad evaluate --no-labels --method all`` estimates every method.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.methods import FEATURE_MEMORY
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers.normals import Normals
from siad.models.teachers.synthetic_estimate import SyntheticEstimate, estimate

log = structlog.get_logger()

MARGIN: Final = 0.04  # of merit: synthetic defects overrate larger inputs by up to .032, since they are small
NORMALS_MAX: Final = 20  # that the estimate uses: more add little, and each costs seven images


@dataclass(frozen=True, slots=True, kw_only=True)
class FitVariant:
    """A method with an input size."""

    method: str
    input_px: int = 0  # side of the square with the area that images are brought to; 0: the method's default

    def __str__(self) -> str:
        """Write it for people."""
        return self.method if not self.input_px else f"{self.method} at {self.input_px} px"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedVariant:
    """A variant with its estimate, None where it can't be fitted."""

    variant: FitVariant
    estimate: SyntheticEstimate | None
    reason: str = ""  # why it can't be fitted


VARIANTS: Final = (  # the first is the default
    FitVariant(method=FEATURE_MEMORY),
    FitVariant(method=FEATURE_MEMORY, input_px=256),
    FitVariant(method=FEATURE_MEMORY, input_px=512),
)
VariantFit = Callable[[FitVariant, Normals], Bundle]


def rank_variants(
    normals: Normals, variants: Sequence[FitVariant], fit: VariantFit, *, seed: int = 0
) -> list[RankedVariant]:
    """Estimate every variant, and sort them best first.

    Those that can't be fitted come last.

    Args:
        normals: at least 3; of many only the first ``NORMALS_MAX`` are used.
        variants: in the order in which they win where they are equal.
        fit: fits a bundle of one variant on some of the normals.
        seed: of folds and synthetic defects.
    """
    some = normals.subset(range(min(len(normals), NORMALS_MAX)))
    ranked = [_estimated(some, variant, fit, seed) for variant in variants]
    return sorted(ranked, key=merit_of, reverse=True)


def merit_of(ranked: RankedVariant) -> float:
    """The merit of an estimate; -1 where there is none."""
    return -1.0 if ranked.estimate is None else ranked.estimate.merit


def choose_variant(ranked: Sequence[RankedVariant], default: FitVariant) -> RankedVariant:
    """Choose the best variant, or a default equal within chance.

    Raises:
        ValueError: no variant could be fitted.
    """
    fitted = [one for one in ranked if one.estimate is not None]
    if not fitted:
        msg = "; ".join(f"{one.variant}: {one.reason}" for one in ranked)
        raise ValueError(msg)
    best = fitted[0]
    usual = next((one for one in fitted if one.variant == default), None)
    return best if usual is None or merit_of(best) > merit_of(usual) + MARGIN else usual


def _estimated(normals: Normals, variant: FitVariant, fit: VariantFit, seed: int) -> RankedVariant:
    def fit_some(some: Normals) -> Predictor:
        bundle = fit(variant, some)
        return open_bundle(bundle.manifest, bundle.parts)

    try:
        found = estimate(normals, fit_some, seed=seed)
    except (ValueError, UnusableWeightsError) as error:
        log.warning("way_left_out", way=str(variant), reason=str(error))
        return RankedVariant(variant=variant, estimate=None, reason=str(error))
    log.info("way_probed", way=str(variant), image_auroc=round(found.image_auroc, 4), pixel_ap=round(found.pixel_ap, 4))
    return RankedVariant(variant=variant, estimate=found)
