"""Slow variation of a stream, by its first blocks. Pure.

Normals that are neighbours show how much single captures vary, not how the line changes over an hour: lamps warm up,
lots follow each other. The first captures of the stream, in blocks, show that. What exceeds the chance variation of a
block's mean counts, up to ``MOST``, so that a large change is found whatever came before.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 10  # captures of a mean
BLOCKS: Final = 3
MOST: Final = 2.0  # deviations
CHANCE: Final = 2.6  # 95% quantile of chi squared over its three degrees of freedom


@dataclass(slots=True, eq=False)
class SlowVariation:
    """Deviations by which block means of any shape differ from the normals.

    Args:
        allowance: deviations that are no change anyway.
        variation: ``MOST`` until the blocks are complete, then what they show.
    """

    allowance: float
    variation: NDArray[np.float64]
    _block: list[NDArray[np.float64]] = field(default_factory=list)
    _squares: list[NDArray[np.float64]] = field(default_factory=list)  # of block means
    _within: list[NDArray[np.float64]] = field(default_factory=list)  # variance in each block

    @classmethod
    def unknown(cls, *shape: int, allowance: float) -> "SlowVariation":
        """Begin before the first capture."""
        return cls(allowance, np.full(shape, MOST))

    def add(self, deviations: NDArray[np.float64]) -> None:
        """Add one capture; after the last block it changes nothing."""
        if len(self._squares) == BLOCKS:
            return
        self._block.append(deviations)
        if len(self._block) < BLOCK:
            return
        highest = MOST + self.allowance  # a change in one of the blocks counts no further
        mean = np.clip(np.mean(self._block, axis=0), -highest, highest)
        self._squares.append(np.square(mean))
        self._within.append(np.var(self._block, axis=0, ddof=1))
        self._block = []
        if len(self._squares) == BLOCKS:
            by_chance = CHANCE * np.mean(self._within, axis=0) / BLOCK
            lasting = np.sqrt(np.maximum(np.mean(self._squares, axis=0) - by_chance, 0.0))
            self.variation = np.minimum(lasting, MOST)
            self._within = []
