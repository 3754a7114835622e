"""Screening: a faster network passes what is clearly good.

The exact network decides the rest.

Networks in BF16 or INT8 take half the time and give scores that are a few percent off. Most parts are good and score
far under the threshold, where that changes nothing. What scores less than ``doubt`` under it, or over it, is scored
again by the exact network, whose score and mask then count. So a reject is always the exact network's, and a verdict
differs only where the screening score is too low by more than ``doubt``.

Shape suffixes: as in ``siad.models.runner.port``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from siad.contracts.errors import GoldenError
from siad.models.runner.port import Runner

DOUBT: Final = 0.05  # of the largest golden score; on bottles BF16 was off by 0.02 at most
PEAK_MAX: Final = 0.025  # of the same: how far the highest score of a golden input may be off
MEAN_MAX: Final = 0.10  # of the same: mean over the positions of a golden input


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningRunner:
    """Two runners of one network; implements ``Runner`` by the faster."""

    name: str
    screen: Runner
    exact: Runner
    doubt: float  # raw score, over 0

    @property
    def device(self) -> str:
        """Device of the faster runner."""
        return self.screen.device

    @property
    def has_views(self) -> bool:
        """False, since a graph has one map."""
        return False

    @property
    def needs_whole_input(self) -> bool:
        """As the network."""
        return self.exact.needs_whole_input

    def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a batch by the faster runner: float32 [B, 1, h, w]."""
        return self.screen.run(images_BCHW)


def doubt_of(golden: Mapping[str, NDArray[Any]]) -> float:
    """Width of the band under a threshold that is scored again."""
    return DOUBT * float(np.abs(golden["maps"]).max())


def check_screen(given_Ghw: NDArray[np.float32], expected_Ghw: NDArray[np.float32], *, name: str) -> None:
    """Compare the screening scores of golden inputs with the stored ones.

    Args:
        given_Ghw: float32 [G, h, w].
        expected_Ghw: the same shape.
        name: of the runner, for the error.

    Raises:
        GoldenError: they are off by more than a screening network may be.
    """
    largest = float(np.abs(expected_Ghw).max())
    peak = float(np.abs(given_Ghw.max((1, 2)) - expected_Ghw.max((1, 2))).max()) / largest
    mean = float(np.abs(given_Ghw - expected_Ghw).mean((1, 2)).max()) / largest
    if not (peak <= PEAK_MAX and mean <= MEAN_MAX):  # so that NaN fails
        msg = (
            f"{name} misses golden scores: the highest by {peak:.1%} ({PEAK_MAX:.1%} is allowed), the mean position by"
            f" {mean:.1%} ({MEAN_MAX:.0%} is allowed) of the largest score; an exact runner serves these weights"
        )
        raise GoldenError(msg)
