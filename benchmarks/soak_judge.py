"""Verdict on memory and lag: flat or growing.

A process is flat where the Theil-Sen slope of its memory (the median of the slopes of all pairs, so that a few outliers
do not matter) is under a bound. The bound is what one leaked image per capture would cost: at half of the
measured rate that is far more than the noise of a steady process, and such a leak would be gigabytes a week.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scipy.stats import theilslopes

SETTLED_S: Final = 180.0  # caches fill and pools grow before
SLOPE_MAX_MB_MIN: Final = 1.0
LAG_SLOPE_MAX_S_MIN: Final = 0.1  # of waiting work, a minute: lag grows by less than 0.2 % of the input


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one moment."""

    at_s: float  # since the load began
    rss_mb: Mapping[int, float]  # pid -> resident memory
    lag: Mapping[str, int]  # stage -> records that wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatness:
    """One process or stage over the judged part."""

    name: str
    first: float
    last: float
    highest: float
    slope_min: float  # a minute
    is_flat: bool


def judge_memory(samples: Sequence[Sample], names: Mapping[int, str]) -> list[Flatness]:
    """One row for each process, in MB.

    Only those that ran from the third minute to the end.
    """
    judged = [sample for sample in samples if sample.at_s >= SETTLED_S]
    rows = []
    for pid in sorted(stayed(judged), key=lambda pid: names[pid]):
        series = [sample.rss_mb[pid] for sample in judged]
        rows.append(_row(names[pid], [sample.at_s for sample in judged], series, slope_max=SLOPE_MAX_MB_MIN))
    return rows


def judge_lag(samples: Sequence[Sample], *, per_s: float) -> list[Flatness]:
    """One row for each stage, in records.

    The bound is proportional to the rate, since the waiting work matters.
    """
    judged = [sample for sample in samples if sample.at_s >= SETTLED_S]
    times = [sample.at_s for sample in judged]
    return [
        _row(stage, times, [float(sample.lag[stage]) for sample in judged], slope_max=LAG_SLOPE_MAX_S_MIN * per_s)
        for stage in sorted(judged[0].lag)
    ]


def passers_by(samples: Sequence[Sample], names: Mapping[int, str]) -> list[str]:
    """Processes that started or ended after the third minute.

    So a growing process can't hide by being restarted.
    """
    judged = [sample for sample in samples if sample.at_s >= SETTLED_S]
    seen = {pid for sample in judged for pid in sample.rss_mb}
    return sorted(names[pid] for pid in seen - stayed(judged))


def stayed(samples: Sequence[Sample]) -> set[int]:
    """Processes that are in all of them."""
    pids = set(samples[0].rss_mb)
    for sample in samples:
        pids &= sample.rss_mb.keys()
    return pids


def _row(name: str, times_s: Sequence[float], series: Sequence[float], *, slope_max: float) -> Flatness:
    slope = float(theilslopes(series, [at_s / 60 for at_s in times_s]).slope)
    return Flatness(
        name=name,
        first=series[0],
        last=series[-1],
        highest=max(series),
        slope_min=slope,
        is_flat=slope <= slope_max,
    )
