"""Misses and false rejects, from answers to captures drawn at random. Pure.

``draw`` says which answers are a uniform sample of the line. Intervals are those of Clopper and Pearson 1934,
Biometrika 26: their coverage is at least the nominal one, whatever the true rate.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from scipy.special import betaincinv

from services.console.domain.draw import DrawnSample, samples
from services.console.domain.serving import WeightsInService, count_earlier
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.place import Place

INTERVAL: Final = 0.9  # probability of an interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share, with the counts that it comes from."""

    count: int
    of: int
    low: float  # of the interval, 0..1
    high: float

    @property
    def estimated(self) -> float:
        """The share, 0..1."""
        return self.count / self.of

    @property
    def bounds(self) -> dict[str, float]:
        """The share and its interval, by name."""
        return {"low": self.low, "estimated": self.estimated, "high": self.high}

    @property
    def complement(self) -> dict[str, float]:
        """Like ``bounds``, of the others: what is not counted."""
        return {"low": 1 - self.high, "estimated": 1 - self.estimated, "high": 1 - self.low}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceEstimates:
    """What drawn answers say about the weights of a line and product."""

    place: Place
    weights: str
    threshold: float
    answers: int  # to drawn captures, that are good or defective
    unsure: int
    false_rejects: Rate | None  # of good parts, those rejected; None without an answer
    misses: Rate | None  # of defective parts, those passed
    defects: Rate | None  # of all parts, those defective
    earlier: int  # answers to captures that these weights have not scored: they count for nothing here


def estimate(latest: Collection[CaptureCorrected], serving: Mapping[Place, WeightsInService]) -> list[PlaceEstimates]:
    """Estimate rates for the weights in service.

    Args:
        latest: the newest correction of each capture of one line.
        serving: weights and threshold of each place, as they are now.

    Returns:
        One for each place with an answer to a drawn capture, or to one that only earlier weights scored; by place.
    """
    found = [
        _of_place(place, serving[place], sample, count_earlier(latest, place, serving[place]))
        for place, sample in sorted(samples(latest, serving).items())
    ]
    return [one for one in found if one.answers or one.unsure or one.earlier]


def interval(count: int, of: int) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of ``count`` out of ``of``."""
    tail = (1 - INTERVAL) / 2
    low = float(betaincinv(count, of - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, of - count, 1 - tail)) if count < of else 1.0
    return low, high


def _of_place(place: Place, serving: WeightsInService, sample: DrawnSample, earlier: int) -> PlaceEstimates:
    answers = sample.answers
    good = [one for one in answers if one.verdict is CorrectionVerdict.GOOD]
    bad = [one for one in answers if one.verdict is CorrectionVerdict.DEFECT]
    rejected = sum(one.score >= serving.threshold for one in good)
    passed = sum(one.score < serving.threshold for one in bad)
    return PlaceEstimates(
        place=place,
        weights=serving.weights,
        threshold=serving.threshold,
        answers=len(good) + len(bad),
        unsure=len(answers) - len(good) - len(bad),
        false_rejects=_rate(rejected, len(good)),
        misses=_rate(passed, len(bad)),
        defects=_rate(len(bad), len(good) + len(bad)),
        earlier=earlier,
    )


def _rate(count: int, of: int) -> Rate | None:
    if not of:
        return None
    low, high = interval(count, of)
    return Rate(count=count, of=of, low=low, high=high)
