"""Share of synthetic defects that is found, with its interval.

Source: Clopper and Pearson 1934.
"""

import math
from dataclasses import dataclass
from typing import Final

from scipy.special import betaincinv

INTERVAL: Final = 0.9  # probability of the interval of a share


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundShare:
    """How many of some synthetic defects score over the teacher's own threshold."""

    found: int = 0
    defects: int = 0

    @property
    def share(self) -> float:
        """Share that was found, 0..1; NaN of none."""
        return self.found / self.defects if self.defects else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 90% interval for further such defects on such normals.

        Defects of one normal count as if they were independent, which makes it a little too narrow.
        """
        missed, tail = self.defects - self.found, (1 - INTERVAL) / 2
        low = float(betaincinv(self.found, missed + 1, tail)) if self.found else 0.0
        return low, float(betaincinv(self.found + 1, missed, 1 - tail)) if missed else 1.0


NONE_TRIED: Final = FoundShare()
