"""Which weights stay in memory. Pure: no clock, no weights.

The rule: weights leave when the room is full; first those that serve no place, then the least used. Use is counted with
a half-life, also of weights that are not in memory, so a line that comes once displaces only another such line, and a
line that comes often displaces it in turn. Weights that were just loaded stay until they were used once, or for some
seconds: a capture that waited for them is judged, and two lines never push each other out unused.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from siad.contracts.ids import WeightsId

HALF_LIFE_S: Final = 300.0  # of a use: what was used five minutes ago counts half
UNUSED_S: Final = 10.0  # weights that nothing used after loading may leave then
COUNTED_MAX: Final = 4096  # weights whose use is remembered


@dataclass(slots=True)
class _Use:
    score: float
    at_s: float

    def now(self, now_s: float) -> float:
        """Uses, each counted by its age."""
        return self.score * math.exp2((self.at_s - now_s) / HALF_LIFE_S)


@dataclass(slots=True)
class _Resident:
    size_bytes: int
    loaded_s: float
    used_s: float
    is_used: bool = False


@dataclass(slots=True)
class Residency:
    """Weights in memory, and how much each is used.

    Not thread-safe.
    """

    models_max: int | None  # None: as many as fit
    bytes_max: int | None  # None: any size
    _residents: dict[WeightsId, _Resident] = field(default_factory=dict)
    _uses: dict[WeightsId, _Use] = field(default_factory=dict)

    def __len__(self) -> int:
        """Weights in memory."""
        return len(self._residents)

    def __contains__(self, weights: object) -> bool:
        """Whether weights are in memory."""
        return weights in self._residents

    @property
    def size_bytes(self) -> int:
        """Estimated memory of all weights."""
        return sum(resident.size_bytes for resident in self._residents.values())

    @property
    def is_full(self) -> bool:
        """Whether another of the largest size would be over a bound."""
        count, largest = len(self._residents), max((one.size_bytes for one in self._residents.values()), default=0)
        too_many = self.models_max is not None and count >= self.models_max
        return too_many or (self.bytes_max is not None and self.size_bytes + largest > self.bytes_max)

    def add(self, weights: WeightsId, *, size_bytes: int, now_s: float) -> None:
        """Record that weights were loaded."""
        self._residents[weights] = _Resident(size_bytes, now_s, now_s)

    def remove(self, weights: WeightsId) -> None:
        """Record that weights left for another reason than room."""
        del self._residents[weights]

    def use(self, weights: WeightsId, *, now_s: float) -> None:
        """Record one use of weights that are in memory."""
        self._residents[weights].is_used = True
        self._residents[weights].used_s = now_s
        use = self._uses.get(weights)
        self._uses[weights] = _Use(1.0 + (use.now(now_s) if use else 0.0), now_s)
        if len(self._uses) > COUNTED_MAX:
            del self._uses[min(self._uses, key=lambda one: self._uses[one].now(now_s))]

    def leave(self, serving: Collection[WeightsId], *, now_s: float) -> list[WeightsId]:
        """Choose what leaves until the rest fits; the last loaded stays.

        Args:
            serving: weights in service at some place.
            now_s: monotonic.
        """
        left = []
        while self._is_over():
            victim = min(list(self._residents)[:-1], key=lambda weights: self._rank(weights, serving, now_s))
            del self._residents[victim]
            left.append(victim)
        return left

    def _is_over(self) -> bool:
        if len(self._residents) <= 1:
            return False
        too_many = self.models_max is not None and len(self._residents) > self.models_max
        return too_many or (self.bytes_max is not None and self.size_bytes > self.bytes_max)

    def _rank(
        self, weights: WeightsId, serving: Collection[WeightsId], now_s: float
    ) -> tuple[bool, bool, float, float]:
        """Order of leaving: the lowest first."""
        resident = self._residents[weights]
        is_fresh = not resident.is_used and now_s - resident.loaded_s < UNUSED_S
        use = self._uses.get(weights)
        return is_fresh, weights in serving, use.now(now_s) if use else 0.0, resident.used_s
