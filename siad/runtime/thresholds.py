"""Thresholds set for weights since they were fitted, from their state topic."""

from siad.contracts.corrections import ThresholdSet
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.runtime.state_table import StateTable


class KnownThresholds:
    """Thresholds by weights. Safe to read from any thread.

    A threshold of weights that are not loaded yet is kept for them.
    """

    def __init__(self, table: StateTable[ThresholdSet]) -> None:
        self._table = table

    def of(self, place: Place, weights: WeightsId) -> ThresholdSet | None:
        """Return the threshold that was set; None for that of the manifest."""
        return self._table.lookup(f"{place}/{weights}")
