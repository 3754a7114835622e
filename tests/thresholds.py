"""Thresholds of weights, by hand."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from siad.contracts.corrections import ThresholdSet
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place


@dataclass
class FixedThresholds:
    """The port ``ThresholdLookup``: those that a test puts in."""

    by_weights: dict[str, ThresholdSet] = field(default_factory=dict)

    def of(self, place: Place, weights: WeightsId) -> ThresholdSet | None:
        return self.by_weights.get(weights)


def make_threshold_set(weights: str, **changes: Any) -> ThresholdSet:
    values: dict[str, Any] = {
        "line": "line-1",
        "product": "cell",
        "weights": WeightsId(weights),
        "revision": 3,
        "image_threshold": 1.5,
        "budget": 0.05,
        "estimated": 0.04,
        "low": 0.01,
        "high": 0.1,
        "normals": 10,
        "stream_captures": 120,
        "answers": 7,
        "reason": "by hand",
        "set_at": datetime(2026, 1, 2, tzinfo=UTC),
        "advice": "20 more normals would sharpen it",
    }
    return ThresholdSet(**(values | changes))
