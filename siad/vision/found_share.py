"""Share of synthetic defects that is found, with its interval.

Sources: Clopper and Pearson 1934; McCullagh and Nelder 1989, Generalized Linear Models, section 4.5 (dispersion).
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
    dispersion: float = 1.0  # variance of the share over that of independent defects; they count for so much less

    @property
    def share(self) -> float:
        """Share that was found, 0..1; NaN of none."""
        return self.found / self.defects if self.defects else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 90% interval for further such defects on such normals."""
        found, missed = self.found / self.dispersion, (self.defects - self.found) / self.dispersion
        tail = (1 - INTERVAL) / 2
        low = float(betaincinv(found, missed + 1, tail)) if found else 0.0
        return low, float(betaincinv(found + 1, missed, 1 - tail)) if missed else 1.0


NONE_TRIED: Final = FoundShare()
